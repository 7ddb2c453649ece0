# SPDX-License-Identifier: Apache-2.0
"""Files and objects for tests of transfers, and helpers that look at the results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from oio.transfer import Remote, Report, Transfer, TransferConfig
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, read

BOX = Remote(ACCOUNT, CONTAINER)
PART = 65536
"""Bytes of a part: the smallest that is allowed."""
TREE = {
    "a": b"",
    "a.txt": b"text",
    "b/c/d": b"deep",
    "b/large": LARGE,
    "b-": b"before the directory in the order of bytes",
    "é": "ü".encode(),
}


def fill(directory: Path, tree: dict[str, bytes]) -> None:
    """Write files into a directory, with times in the past."""
    for name, data in tree.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        # A time that no file gets by chance.
        os.utime(path, ns=(1_500_000_000_123_456_789, 1_500_000_000_123_456_789 + len(data)))


def content(directory: Path) -> dict[str, bytes]:
    """The files of a directory, including temporary files of downloads."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def stored(api: Any, remote: Remote = BOX) -> dict[str, bytes]:
    """The objects of a container, and their data."""
    names = [obj["name"] for obj in api.object_list_all(remote.account, remote.container)]
    return {name: read(api, name) for name in names}


def transfer(api: Any, *, waits: list[float] | None = None, **settings: Any) -> Transfer:
    """A :class:`Transfer` whose pauses take no time."""
    hooks = {key: settings.pop(key) for key in ("on_progress", "on_result", "clock") if key in settings}
    config = TransferConfig(**({"part_size": PART, "workers": 4} | settings))
    return Transfer(api, config, sleep=([] if waits is None else waits).append, **hooks)


def outcomes(report: Report) -> dict[str, str]:
    """Outcome of each object, with the reason."""
    return {
        result.name: " ".join(part for part in (result.action, result.outcome, result.reason) if part)
        for result in report
    }


def failure(report: Report) -> BaseException:
    """The only failure."""
    (result,) = report.failures
    assert result.error is not None
    return result.error
