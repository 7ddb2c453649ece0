# SPDX-License-Identifier: Apache-2.0
"""Bars of rich and tqdm, as these draw them on a terminal."""

from __future__ import annotations

import io
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import pytest
import tqdm
from rich.console import Console

from oio.transfer import Progress
from oio.transfer.bars import RichBar, TqdmBar
from tests.kit.facade import LARGE
from tests.kit.transfers import BOX, fill, transfer

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
Draw = Callable[[TextIO], Any]


def on_terminal(draw: Draw) -> str:
    """What is drawn on a pseudo terminal."""
    ours, theirs = os.openpty()
    found: list[bytes] = []

    def read() -> None:
        while True:
            try:
                found.append(os.read(ours, 4096))
            except OSError:
                # The other end was closed.
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with open(theirs, "w", encoding="utf-8") as terminal:
            assert terminal.isatty()
            draw(terminal)
    finally:
        reader.join()
        os.close(ours)
    return _ESCAPES.sub("", b"".join(found).decode())


def in_file(draw: Draw) -> str:
    file = io.StringIO()
    draw(file)
    return _ESCAPES.sub("", file.getvalue())


@pytest.fixture(autouse=True)
def no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """tqdm looks after its bars in a thread, which stays."""
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)


def of_tqdm(file: TextIO) -> TqdmBar:
    return TqdmBar(desc="photos", file=file, ncols=120, ascii=True)


def of_rich(file: TextIO) -> RichBar:
    return RichBar("photos", console=Console(file=file, width=120, force_terminal=True), auto_refresh=False)


@pytest.mark.parametrize("bar_on", [of_tqdm, of_rich])
def test_bar_shows_a_transfer(api: Any, files: Path, bar_on: Callable[[TextIO], Any]) -> None:
    fill(files, {"a": LARGE, "b": b"", "c": LARGE})

    def draw(terminal: TextIO) -> None:
        with bar_on(terminal) as bar, transfer(api, policy="SINGLE", on_progress=bar) as moving:
            moving.upload_tree(files, BOX).raise_failures()

    drawn = on_terminal(draw)
    last = drawn.rstrip().splitlines()[-1]
    assert "photos" in last
    assert "100%" in last or "━" * 20 in last
    if bar_on is of_tqdm:
        assert "3 objects, 0 failed" in last
    else:
        size = re.search(r"([0-9.]+)/\1 [kM]B", last)
        assert size is not None
        assert float(size[1]) == pytest.approx(2 * len(LARGE) / 1e6, rel=0.1)


@pytest.mark.parametrize("bar_on", [of_tqdm, of_rich])
def test_bar_goes_back_when_something_is_moved_again(bar_on: Callable[[TextIO], Any]) -> None:
    def draw(file: TextIO) -> None:
        with bar_on(file) as bar:
            # Nobody knows how much there is while more is being found.
            for moved, total in ((700, None), (100, 800), (500, 800)):
                bar(Progress(moved, 1, total, 2, 800, 2, 1))
                if bar_on is of_rich:
                    bar._bars.refresh()

    drawn = in_file(draw)
    shown = [drawn.find(text) for text in ("700", "100/800", "500/800")]
    assert -1 not in shown, drawn
    assert shown == sorted(shown)


@pytest.mark.parametrize("bar_on", [of_tqdm, of_rich])
def test_bar_ends_when_a_transfer_fails(bar_on: Callable[[TextIO], Any]) -> None:
    made: list[Any] = []

    def draw(file: TextIO) -> None:
        with bar_on(file) as bar:
            made.append(bar)
            bar(Progress(5, 1, 10, 2, 10, 2, 0))
            raise LookupError("of the program")

    def draw_safely(file: TextIO) -> None:
        with pytest.raises(LookupError):
            draw(file)

    before = threading.active_count()
    assert "photos" in in_file(draw_safely)
    assert threading.active_count() == before
    (bar,) = made
    assert bar._bar.disable if bar_on is of_tqdm else not bar._bars.live.is_started
