# SPDX-License-Identifier: Apache-2.0
"""What is learnt of services is remembered for a while."""

from __future__ import annotations

import pytest

from oio.common.ttl_cache import SECONDS, Learnt


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.pitfall("W8")
def test_what_was_learnt_is_known_for_its_time() -> None:
    clock = Clock()
    known = Learnt[str](clock=clock)
    assert known.get("a") is None
    known.learn("a", "x")
    clock.now += SECONDS - 1
    assert (known.get("a"), known.get("b")) == ("x", None)
    clock.now += 1
    assert known.get("a") is None


@pytest.mark.pitfall("W8")
def test_what_was_learnt_is_replaced_and_forgotten() -> None:
    known = Learnt[bool](seconds=5)
    known.learn("a", True)
    known.learn("a", False)
    assert known.get("a") is False
    for _ in range(2):
        known.forget("a")
        assert known.get("a") is None
