# SPDX-License-Identifier: Apache-2.0
"""Demonstration: files stored with each policy, nodes stopped, files read back and compared."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from oio.sandbox.remote import RemoteNamespace

_B2: Final = "BACKBLAZE"
#: Policies shown, and how many nodes of an object are stopped: with erasure coding, as many as it tolerates.
_POLICIES: Final = {
    "SINGLE": 0,
    "TWOCOPIES": 1,
    "THREECOPIES": 1,
    "17COPIES": 1,
    "EC21": 1,
    "EC": 3,
    _B2: 0,
}
_MOST_COPIES: Final = 17
_MADE_FILES: Final = {"letter.txt": 2_345, "picture.bin": 5_000_001, "film.bin": 120_000_000}
_ACCOUNT: Final = "demo"
_CONTAINER: Final = "files"
_BLOCK: Final = 1024 * 1024
_MARGIN: Final = 200 * 1024 * 1024
_ROW: Final = "{:<24} {:>14} {:<12} {:>9} {:>9}  {:<36} {}"
_FAILED: Final = 1
_USAGE_ERROR: Final = 2


@dataclass(frozen=True)
class _Row:
    """Result of one file stored with one policy; rates in megabytes (10**6 bytes) per second."""

    put: float
    get: float
    stopped: str
    identical: bool


def demonstrate(files: Sequence[Path]) -> int:
    """Run the demonstration on ``files``, or on some that are made; return the exit status."""
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        print(f"not a file: {', '.join(missing)}", file=sys.stderr)
        return _USAGE_ERROR
    with tempfile.TemporaryDirectory(prefix="oio-demo-") as directory:
        problem = _lack_of_space(files, directory)
        if problem:
            print(problem, file=sys.stderr)
            return _USAGE_ERROR
        chosen = list(files) or _make_files(Path(directory))
        # In a process of its own: sharing one with the client would slow both down.
        with RemoteNamespace(Path(directory) / "namespace") as namespace:
            return _show_all(chosen, namespace)


def _lack_of_space(files: Sequence[Path], directory: str) -> str | None:
    sizes = [file.stat().st_size for file in files] or list(_MADE_FILES.values())
    # One object is there at a time, with all its copies.
    needed = max(sizes) * _MOST_COPIES + (0 if files else sum(sizes)) + _MARGIN
    free = shutil.disk_usage(directory).free
    if free >= needed:
        return None
    return (
        f"{directory} has {free // 10**6} MB free, {needed // 10**6} are needed: set TMPDIR to another place"
    )


def _make_files(directory: Path) -> list[Path]:
    for name, size in _MADE_FILES.items():
        with (directory / name).open("wb") as file:
            for offset in range(0, size, _BLOCK):
                file.write(os.urandom(min(_BLOCK, size - offset)))
    return [directory / name for name in _MADE_FILES]


def _show_all(files: Sequence[Path], namespace: RemoteNamespace) -> int:
    print(_ROW.format("file", "size", "policy", "put MB/s", "get MB/s", "nodes stopped", "identical"))
    module = importlib.import_module("oio.api.object_storage")
    status = 0
    place = namespace.place
    client = module.ObjectStorageApi(place.name, endpoint=place.endpoint, key_file=place.b2_key_file)
    with contextlib.closing(client) as api:
        for file in files:
            size = file.stat().st_size
            for policy, nodes in _POLICIES.items():
                start = (file.name[-24:], f"{size:,}", policy)
                try:
                    row = _try_one(api, namespace, file, policy, nodes)
                except Exception as exc:  # noqa: BLE001 - whatever went wrong is the result of this row
                    print(
                        _ROW.format(*start, "-", "-", "-", f"FAILED: {type(exc).__name__}: {exc}"), flush=True
                    )
                    status = _FAILED
                    continue
                rates = (f"{row.put:.1f}", f"{row.get:.1f}")
                print(_ROW.format(*start, *rates, row.stopped, "yes" if row.identical else "NO"), flush=True)
                if not row.identical:
                    status = _FAILED
    print(f"{_B2}: in the B2 of the sandbox, at {place.b2_endpoint}; nothing was sent to Backblaze.")
    return status


def _try_one(api: Any, namespace: RemoteNamespace, file: Path, policy: str, nodes: int) -> _Row:
    name = f"{policy}/{file.name}"
    size = file.stat().st_size
    begin = time.perf_counter()
    chunks, _, _ = api.object_create(
        _ACCOUNT, _CONTAINER, file_or_path=str(file), obj_name=name, policy=policy
    )
    put = time.perf_counter() - begin
    # The first fragments hold data: without them, the others must be decoded.
    first = sorted(chunks, key=lambda chunk: chunk["pos"])[:nodes]
    stopped = [urlsplit(chunk.get("real_url") or chunk["url"]).netloc for chunk in first]
    try:
        namespace.trouble((), stopped)
        identical, get = _compare(api, name, file)
    finally:
        namespace.trouble((), ())
    api.object_delete(_ACCOUNT, _CONTAINER, name)
    where = "0 (it is in the sandbox's B2)" if policy == _B2 else _names(stopped)
    return _Row(size / 10**6 / put, size / 10**6 / get, where, identical)


def _names(nodes: list[str]) -> str:
    """Describe nodes, all on one host: ``3 (127.0.0.1:6010 :6011 :6012)``."""
    if not nodes:
        return "0 (it has the only copy)"
    first, *others = nodes
    return f"{len(nodes)} ({' '.join([first, *(':' + node.rpartition(':')[2] for node in others)])})"


def _compare(api: Any, name: str, file: Path) -> tuple[bool, float]:
    """Compare an object with a file, block by block; return the time spent reading the object, in seconds."""
    begin = time.perf_counter()
    _, stream = api.object_fetch(_ACCOUNT, _CONTAINER, name)
    spent = time.perf_counter() - begin
    blocks = iter(stream)
    with file.open("rb") as original:
        while True:
            begin = time.perf_counter()
            block = next(blocks, b"")
            spent += time.perf_counter() - begin
            if not block:
                return not original.read(1), spent
            if original.read(len(block)) != block:
                stream.close()
                return False, spent
