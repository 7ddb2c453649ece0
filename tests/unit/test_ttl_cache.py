# SPDX-License-Identifier: Apache-2.0
"""Values of a TTL cache expire, and are replaced and discarded."""

from __future__ import annotations

import pytest

from oio.common.ttl_cache import DEFAULT_SECONDS, TTLCache


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.pitfall("W8")
def test_value_is_kept_for_its_time() -> None:
    clock = Clock()
    cache = TTLCache[str](clock=clock)
    assert cache.get("a") is None
    cache.set("a", "x")
    clock.now += DEFAULT_SECONDS - 1
    assert (cache.get("a"), cache.get("b")) == ("x", None)
    clock.now += 1
    assert cache.get("a") is None


@pytest.mark.pitfall("W8")
def test_value_is_replaced_and_discarded() -> None:
    cache = TTLCache[bool](seconds=5)
    cache.set("a", True)
    cache.set("a", False)
    assert cache.get("a") is False
    for _ in range(2):
        cache.discard("a")
        assert cache.get("a") is None
