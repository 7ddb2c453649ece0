# SPDX-License-Identifier: Apache-2.0
"""The recorded calls, made again: what a capture says in Python, against the services that replay it."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from oio.api.object_storage import ObjectStorageApi
from oio.conscience.client import ConscienceClient
from oio.directory.client import DirectoryClient
from oio.rdir.client import RdirClient
from tests.wire.big import RECORDED_HASH, big
from tests.wire.recorded import DIRECTORY, DIRECTORY_2026
from tests.wire.replayed import Replay

_STAMP = "1795332627"
_ACCOUNT = f"capacct-{_STAMP}"
_CHUNK = "D259DCB5138049A8DD64F7EED4D1BBDDD6C244869C7EDC746717915BDC187B85"
_SMALL = b"hello openio " * 5
#: A file that was there where the calls were recorded.
_FILE = "/etc/debian_version"
_FILE_CONTENT = b"12.11\n"


@dataclass(frozen=True)
class Call:
    """What the program asked for, and what came of it."""

    text: str
    outcome: dict[str, Any]


def load_call(name: str) -> Call:
    """Return the call of a capture."""
    data = json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
    return Call(data["call"], data["outcome"])


def load_call_2026(name: str) -> Call:
    """Return the call of a capture of the development head."""
    data = json.loads((DIRECTORY_2026 / f"{name}.json").read_text(encoding="utf-8"))
    return Call(data["call"], data["outcome"])


def make_2026(call: Call, replay: Replay, **defaults: Any) -> Any:
    """Make a call of a capture of the development head again, and describe its result."""
    query = replay.query
    container = query["ref"]
    names = {
        "A": query["acct"],
        "c": container,
        "v": container,
        "SMALL": _SMALL,
        "BIG": big_2026(),
        "fetch": _fetch,
    }
    endpoint = f"http://{replay.ports['127.0.0.1:7000']}"
    with ObjectStorageApi("OPENIO", endpoint=endpoint, **defaults) as api:
        return describe(eval(call.text, {**names, "api": api}))


@cache
def big_2026() -> bytes:
    """What stands for the large object of these recordings, of which only beginnings are known: as long."""
    return bytes(number % 251 for number in range(12_000_001))


def make(call: Call, name: str, replay: Replay, directory: Path) -> Any:
    """Make a call again, and describe its result as the recording does."""
    text, options = _parse(call.text)
    if "BIG" in text:
        replay.hashes[RECORDED_HASH] = hashlib.md5(big()).hexdigest()
    copy = directory / Path(_FILE).name
    copy.write_bytes(_FILE_CONTENT)
    text = text.replace(_FILE, str(copy))
    endpoint = f"http://{replay.ports['127.0.0.1:6000']}"
    conf = {"namespace": "OPENIO"}
    with ObjectStorageApi("OPENIO", endpoint=endpoint, **{"request_attempts": 1, **options}) as api:
        shared = {
            "endpoint": endpoint,
            "pool_manager": api.container.pool_manager,
            # The recorded clients said each request once.
            "request_attempts": options.get("request_attempts", 1),
        }
        clients = {
            "cs": lambda: ConscienceClient(conf, **shared),
            "di": lambda: DirectoryClient(conf, **shared),
            "rd": lambda: RdirClient(conf, **shared),
        }
        function = eval(text, {**_names(name, replay), **clients, "fetch": _fetch, "_get": _get})
        return describe(function(api))


def _parse(text: str) -> tuple[str, dict[str, Any]]:
    """Take the function to call, and the options of the API, from a line of the recording program."""
    statement = ast.parse(text).body[0]
    assert isinstance(statement, (ast.Expr, ast.Assign))
    assert isinstance(statement.value, ast.Call)
    options = {
        keyword.arg: ast.literal_eval(keyword.value)
        for outer in statement.value.keywords
        if isinstance(outer.value, ast.Call)
        for keyword in outer.value.keywords
    }
    return ast.unparse(statement.value.args[1]), options


def _names(name: str, replay: Replay) -> dict[str, Any]:
    """Return the variables of the recording program."""
    tag = name.rpartition("_")[2]
    rawx = replay.ports.get("127.0.0.1:6025")
    return {
        "A": _ACCOUNT,
        "A2": f"{_ACCOUNT}-deg",
        "a0": f"{_ACCOUNT}-mgmt",
        "NOPE": f"nonexistent-{_STAMP}",
        "R": f"ref-{_STAMP}",
        "c": "cont",
        "L": "listing",
        "V": "versioned",
        "V1": "1795332632023631",
        "S": f"snapsrc-{tag}",
        "U": f"http://{rawx}/{_CHUNK}",
        "CID": "4138614523E7AF7B2D8C87201E7A0382B6814469D5942B7DCFC84213B66FD27C",
        "tag": tag,
        "pol": tag,
        "o": f"small-{tag}",
        "b": f"big-{tag}",
        "i": {"THREECOPIES": 2}.get(tag, 0),
        "SMALL": _SMALL,
        "BIG": big(),
        "pd": {},
        "vol": "127.0.0.1:6009",
    }


def _fetch(api: ObjectStorageApi, *args: Any, **kwargs: Any) -> dict[str, Any]:
    meta, stream = api.object_fetch(*args, **kwargs)
    with stream:
        return {"meta": meta, "data": b"".join(stream)}


def _get(api: ObjectStorageApi, url: str, **kwargs: Any) -> tuple[dict[str, Any], bytes]:
    meta, stream = api.blob_client.chunk_get(url, **kwargs)
    return meta, b"".join(stream)


def describe(value: Any) -> Any:
    """Describe a result as the recording does."""
    if isinstance(value, bytes):
        return {"bytes": len(value), "base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    if hasattr(value, "getheaders") or hasattr(value, "status"):
        return {"http_response": value.status}
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return [describe(item) for item in value]


def recorded_result(value: Any) -> Any:
    """Put a recorded result in the form that :func:`describe` gives."""
    if isinstance(value, list):
        return [recorded_result(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: recorded_result(item) for key, item in value.items()}
    if "http_response" in value:
        return {"http_response": value["http_response"]}
    if "parts" in value:
        data = b"".join(base64.b64decode(part["base64"]) for part in value.pop("parts"))
        value["data"] = describe(data)
    value.pop("n_parts", None)
    return value
