# SPDX-License-Identifier: Apache-2.0
"""Bars of other packages get the progress; stand-ins for these note what they get."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from oio.transfer import Progress
from oio.transfer.bars import RichBar, TqdmBar

_PROGRESS = Progress(5, 1, 9, 2, 9, 2, 0)


class _Bar(SimpleNamespace):
    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def test_tqdm_shows_bytes_and_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[_Bar] = []

    def tqdm(**options: Any) -> _Bar:
        made.append(_Bar(calls=[], options=options))
        return made[0]

    module = ModuleType("tqdm")
    module.tqdm = tqdm  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm", module)
    with TqdmBar(desc="photos") as bar:
        bar(_PROGRESS)
    assert made[0].options["desc"] == "photos"
    assert (made[0].n, made[0].total) == (5, 9)
    assert [name for name, _, _ in made[0].calls] == ["set_postfix_str", "refresh", "close"]


def test_rich_shows_bytes_and_the_total(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = _Bar(calls=[], add_task=lambda text, total: text)
    module = ModuleType("rich.progress")
    for name in ("TextColumn", "BarColumn", "DownloadColumn", "TransferSpeedColumn", "TimeRemainingColumn"):
        setattr(module, name, lambda *_args: None)
    module.Progress = lambda *_columns, **_options: bars  # type: ignore[attr-defined]
    package = ModuleType("rich")
    package.progress = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rich", package)
    monkeypatch.setitem(sys.modules, "rich.progress", module)
    with RichBar("photos") as bar:
        bar(_PROGRESS)
    assert bars.calls == [
        ("start", (), {}),
        ("update", ("photos",), {"completed": 5, "total": 9}),
        ("stop", (), {}),
    ]
