# SPDX-License-Identifier: Apache-2.0
"""Signals that come just before a wait begins: that wait does not notice them, but the next one does."""

from __future__ import annotations

import pytest

from oio.common.green import _network


class Idle:
    """A poll on which nothing comes; it notes how long it was to wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        self.waits.append(milliseconds)
        return []


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1.0, 2.5, 60.0])
def test_long_wait_is_made_of_slices_between_which_handlers_run(seconds):
    idle = Idle()
    assert _network._polled(idle, seconds) == []
    assert sum(idle.waits) == seconds * 1000
    assert max(idle.waits) <= 1000
