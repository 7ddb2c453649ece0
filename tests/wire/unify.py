# SPDX-License-Identifier: Apache-2.0
"""Comparing recorded answers with actual ones: services choose IDs, versions, addresses and dates freely."""

from __future__ import annotations

import json
import re
from typing import Any

# What a service makes up: chunk URLs (and the IDs in them), content IDs, versions.
_TOKEN = re.compile(r"http://[\d.]+:\d+/[0-9A-F]{64}|\b[0-9A-F]{64}\b|\b[0-9A-F]{32}\b|\b1[67]\d{14}\b")
_CHUNK_ID = 64
_ADDRESS = re.compile(r"\b\d+\.\d+\.\d+\.\d+(:|%3A)\d+\b")
_NUMBER = re.compile(r"\d+")

#: Statistics, and the header lines of prepare that are cut at the colon of the URL in their name.
_QUALITY = ("stat.", "x-oio-content-meta-__oio_chunk__")

#: Policies that the recorded namespace had not.
_OURS = frozenset({"ECISAL63"})

#: Keys and headers whose values depend on the day, the host or the engine: only their type is compared.
VOLATILE = frozenset(
    {
        "ctime",
        "mtime",
        "dtime",
        "score",
        "message",
        "sys.m2.ctime",
        "stat",
        "tag.vol",
        "tag.loc",
        "host",
        "addr",
        "id",
        "account_count",
        "opened_db_count",
    }
    | {"x-oio-perfdata", "date", "content-length", "x-oio-content-meta-ctime", "x-oio-content-meta-mtime"}
    # Of bodies that were recorded in part.
    | {"x-oio-chunk-meta-chunk-hash"}
    | {"ttime", "x-oio-content-meta-ttime", "score.put", "score.get", "sys.last_vacuum"}
    | {f"sys.m2.{stage}.timestamp" for stage in ("sharding", "draining", "flushing")}
    | {f"x-oio-container-meta-sys-m2-{stage}-timestamp" for stage in ("sharding", "draining", "flushing")}
    | {"x-oio-container-meta-sys-last-vacuum"}
    | {"x-oio-container-meta-sys-m2-ctime", "server", "last-modified", "last-update-date"}
)


#: A rawx gives the parameters in any order.
_CHUNK_METHOD = "x-oio-chunk-meta-content-chunk-method"


class Mismatch(AssertionError):
    """An actual answer is not what was recorded."""


class Unifier:
    """Knows which actual value stands for which recorded one.

    A recorded value that a client had sent is itself; one that the service made up is bound to the first
    actual value met in its place, for good and one to one.
    """

    def __init__(self) -> None:
        self._actual: dict[str, str] = {}
        self._sent: set[str] = set()

    def sent(self, text: str) -> None:
        """Note what a client has sent."""
        self._sent.update(token for token in _TOKEN.findall(text) if token not in self._actual)

    def actual(self, text: str) -> str:
        """Return a recorded text with the actual values."""
        return _TOKEN.sub(lambda match: self._translated(match[0]), text)

    def _translated(self, token: str) -> str:
        if token in self._actual:
            return self._actual[token]
        if token.isdigit():
            # The version of a delete marker is the one after that of the object.
            for step in (1, 2):
                before = self._actual.get(str(int(token) - step))
                if before:
                    return str(int(before) + step)
        return token

    def unify(self, recorded: Any, actual: Any, where: str = "body", key: str = "") -> None:
        """Raise :class:`Mismatch` unless the actual value is, or may stand for, the recorded one."""
        if type(recorded) is not type(actual):
            raise Mismatch(f"{where}: {actual!r} is not a {type(recorded).__name__} as {recorded!r}")
        if isinstance(recorded, dict):
            self._unify_objects(recorded, actual, where)
        elif isinstance(recorded, list):
            self._unify_arrays(recorded, actual, where)
        elif key.startswith(_QUALITY) or key in VOLATILE:
            if (
                isinstance(recorded, str)
                and _NUMBER.sub("", recorded) == "" != recorded
                and not actual.isdigit()
            ):
                raise Mismatch(f"{where}: {actual!r} is not a number as {recorded!r}")
        elif key == _CHUNK_METHOD:
            if _parameters(recorded) != _parameters(actual):
                raise Mismatch(f"{where}: {actual!r}, recorded {recorded!r}")
        elif isinstance(recorded, str | int) and not isinstance(recorded, bool):
            self._unify_texts(str(recorded), str(actual), where)
        elif recorded != actual and not isinstance(recorded, float):
            raise Mismatch(f"{where}: {actual!r}, recorded {recorded!r}")

    def _unify_objects(self, recorded: dict[str, Any], actual: dict[str, Any], where: str) -> None:
        if all(map(_ADDRESS.fullmatch, [*recorded, *actual])):
            self._unify_arrays(list(recorded.values()), list(actual.values()), where)
            return
        for key in sorted(recorded, key=lambda key: key.startswith("__OIO_CHUNK__")):
            found = self.actual(key)
            if found not in actual:
                raise Mismatch(f"{where}: no {found!r} in {sorted(actual)}")
            self.unify(recorded[key], actual[found], f"{where}.{key}", key)
        extra = set(actual) - {self.actual(key) for key in recorded} - _OURS
        if extra:
            raise Mismatch(f"{where}: unexpected {sorted(extra)}")

    def _unify_arrays(self, recorded: list[Any], actual: list[Any], where: str) -> None:
        if len(recorded) != len(actual):
            raise Mismatch(f"{where}: {len(actual)} items, recorded {len(recorded)}")
        for index, pair in enumerate(zip(recorded, actual, strict=True)):
            self.unify(*pair, f"{where}[{index}]")

    def _unify_texts(self, recorded: str, actual: str, where: str) -> None:
        tokens, found = _TOKEN.findall(recorded), _TOKEN.findall(actual)
        skeletons = [_ADDRESS.sub("HOST:PORT", _TOKEN.sub("?", text)) for text in (recorded, actual)]
        if skeletons[0] != skeletons[1] and not _same_json(*skeletons):
            raise Mismatch(f"{where}: {actual!r}, recorded {recorded!r}")
        for token, value in zip(tokens, found, strict=False):
            self._bind(token, value, where)

    def _bind(self, token: str, value: str, where: str) -> None:
        known = self._translated(token)
        if (
            len(token) != _CHUNK_ID
            and token not in self._sent
            and known == token
            and value not in self._actual.values()
        ):
            self._actual[token] = value
            if token.startswith("http"):
                self._actual[token[-_CHUNK_ID:]] = value[-_CHUNK_ID:]
        elif known != value:
            raise Mismatch(f"{where}: {value!r}, recorded {token!r}, which stands for {known!r}")


def _parameters(method: str) -> tuple[str, list[str]]:
    kind, _, parameters = method.partition("/")
    return kind, sorted(parameters.split(","))


def _same_json(recorded: str, actual: str) -> bool:
    """Whether two texts are JSON objects with the same keys (qualities of chunks)."""
    try:
        left, right = json.loads(recorded), json.loads(actual)
    except ValueError:
        return False
    return isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys()
