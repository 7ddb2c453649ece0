# SPDX-License-Identifier: Apache-2.0
"""Chunks without an object, and their explanations."""

from __future__ import annotations

import collections
import contextlib
import logging
import re
import threading
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

from oio.common.exceptions import OioException
from oio.sandbox.remote import StoredChunk

#: A chunk, as its URL has it: on services of today, the chunks of one metachunk are namesakes.
_PLACE: Final = re.compile(r"[\w.:\[\]-]+/[0-9A-F]{64}\b", re.IGNORECASE)

#: Explanations of a chunk that no object has.
LOGGED: Final = "deletion failed and was logged"
UNKNOWN: Final = "of a change with an unknown outcome"
UNEXPLAINED: Final = "unexplained"


class Ear(logging.Handler):
    """Handler that keeps the places of the chunks that are named in warnings of the library."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.chunks: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Collect the chunks named in one message."""
        self.chunks.update(_places_in(record.getMessage()))


def _places_in(text: str) -> Iterable[str]:
    return map(str.upper, _PLACE.findall(text))


@contextlib.contextmanager
def listening() -> Any:
    """Listen to the warnings of the library, which are not shown meanwhile."""
    logger = logging.getLogger("oio")
    ear, propagated = Ear(), logger.propagate
    logger.addHandler(ear)
    logger.propagate = False
    try:
        yield ear
    finally:
        logger.removeHandler(ear)
        logger.propagate = propagated


class Doubts:
    """Objects that a change with an unknown outcome may have left chunks of; safe from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: set[tuple[str, str]] = set()
        self._containers: set[str] = set()

    def add(self, container: str, name: str | None = None) -> None:
        """Note an object, or all of a container."""
        with self._lock:
            if name is None:
                self._containers.add(container)
            else:
                self._objects.add((container, name))

    def has(self, full_path: str) -> bool:
        """Tell whether a chunk with this full path may be left of such a change."""
        parts = [unquote(part) for part in full_path.split("/")]
        with self._lock:
            return parts[1] in self._containers or (parts[1], parts[2]) in self._objects


def known_chunks(api: Any, account: str) -> set[str]:
    """Return the places (``HOST:PORT/ID``) of the chunks of all objects of an account, all versions of them.

    :raises OioException: something cannot be listed or located.
    """
    found: set[str] = set()
    for row in api.container_list_all(account):
        container = row[0]
        for item in api.object_list_all(account, container, versions=True):
            if item.get("deleted"):
                continue
            try:
                _, chunks = api.object_locate(account, container, item["name"], version=item["version"])
            except OioException as err:
                # A change with an unknown outcome may still come.
                logging.getLogger("oio").info("cannot locate %s: %s", item["name"], err)
                continue
            for chunk in chunks:
                found.update(_places_in(chunk["url"]))
    return found


def explain(stored: Iterable[StoredChunk], known: set[str], ear: Ear, doubts: Doubts) -> dict[str, int]:
    """Count the chunks that no object has, by explanation.

    >>> ear, chunk = Ear(), StoredChunk("HOST:1/0A", "account/box/name/1/2")
    >>> explain([chunk], set(), ear, Doubts()), explain([chunk], {"HOST:1/0A"}, ear, Doubts())
    ({'unexplained': 1}, {})
    """
    reasons: collections.Counter[str] = collections.Counter()
    for chunk in stored:
        if chunk.place in known:
            continue
        if chunk.place in ear.chunks:
            reasons[LOGGED] += 1
        elif doubts.has(chunk.full_path):
            reasons[UNKNOWN] += 1
        else:
            reasons[UNEXPLAINED] += 1
    return dict(reasons)
