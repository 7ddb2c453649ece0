# SPDX-License-Identifier: Apache-2.0
"""When a chunk server is late, and how often a rival may be asked."""

from __future__ import annotations

import pytest

from oio.common import hedging
from oio.common.hedging import BURST, DELAY_FACTOR, LATE_SECONDS, SHARE, Hedging


@pytest.fixture(autouse=True)
def _real_delays(monkeypatch):
    for name, seconds in (("FIRST_DELAY", 0.5), ("SHORTEST_DELAY", 0.05), ("LONGEST_DELAY", 2.0)):
        monkeypatch.setattr(hedging, name, seconds)


def measured(*seconds: float) -> Hedging:
    made = Hedging()
    for each in seconds:
        made.note_first_bytes(each)
    return made


def test_little_was_measured_at_first():
    assert measured(*[0.1] * 7).delay == 0.5


def test_delay_follows_the_median_within_bounds():
    assert measured(*[0.1] * 8).delay == pytest.approx(DELAY_FACTOR * 0.1)
    assert measured(*[0.001] * 8).delay == 0.05
    assert measured(*[7.0] * 32).delay == 2.0


def test_few_measures_make_the_delay_shorter_but_not_longer():
    assert measured(*[0.02] * 8).delay == pytest.approx(DELAY_FACTOR * 0.02)
    assert measured(*[7.0] * 31).delay == 0.5


def test_several_measures_count_like_one_after_the_other():
    made = Hedging()
    for _ in range(2):
        made.note_first_bytes(0.02, 0.03, 0.02, 0.02, 0.05, 0.02)
    assert made.delay == pytest.approx(DELAY_FACTOR * 0.02)


def test_slow_servers_do_not_set_the_delay_unless_most_are_slow():
    assert measured(*[0.02, 3.0, 0.02] * 32).delay == pytest.approx(DELAY_FACTOR * 0.02)


def test_what_was_measured_long_ago_is_forgotten():
    assert measured(*[1.0] * 320, *[0.02] * 64).delay == pytest.approx(DELAY_FACTOR * 0.02)


def test_rivals_are_a_share_of_the_requests():
    made = Hedging()
    at_first = sum(made.take() for _ in range(1000))
    assert at_first == BURST
    asked = 0
    for _ in range(1000):
        made.note_first_bytes(0.01)
        asked += made.take()
    assert asked == pytest.approx(1000 * SHARE, abs=1)


def test_servers_that_were_late_are_not_suspects_for_good():
    now = [0.0]
    made = Hedging(clock=lambda: now[0])
    assert not made.is_late("rawx-1")
    made.note_late("rawx-1")
    assert (made.is_late("rawx-1"), made.is_late("rawx-2")) == (True, False)
    now[0] = LATE_SECONDS
    assert not made.is_late("rawx-1")
