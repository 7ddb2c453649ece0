# SPDX-License-Identifier: Apache-2.0
"""The sandbox, brought to the same state, answers recorded requests as the real services did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.arrange import arrange_services, arrange_state
from tests.wire.recorded import NAMES, load
from tests.wire.replay import Replay
from tests.wire.world import World

#: Captures whose state is what others have left.
PRELUDES = {
    "raw_properties__more_than_100": ["raw_properties__object"],
    "raw_reference__link": ["raw_reference__properties"],
    "raw_account__container_update": ["raw_account__routes"],
    "raw_http__proxy_requests": ["raw_http__proxy_keepalive"],
    "raw_http__account_keepalive": ["raw_http__proxy_keepalive"],
    "raw_rdir__admin": ["raw_rdir__chunks"],
    "raw_rdir__meta2": ["raw_rdir__chunks"],
}

#: Captures that test_rawx_captures.py replays, over sockets.
ELSEWHERE = [name for name in NAMES if name.startswith(("raw_rawx__", "chunk_"))]

#: Exchanges that the sandbox answers otherwise, by their numbers.
_NO_ID = "refused: the real service loses the chunks, 204 (pitfalls row 145)"
_AFTER_IT = "what the object has become after an update that the sandbox refuses"
DIFFERENCES = {
    ("container_purge__ns_default", 1): "/v3.0/config does not have the variables of the real proxy",
    ("raw_account__container_update", 4): "the bucket of that name had been replicated before",
    ("raw_update__sequence", 13): _NO_ID,
    ("raw_update__sequence", 14): _AFTER_IT,
    ("raw_update__sequence", 18): _AFTER_IT,
}

REPLAYED = [name for name in NAMES if name not in ELSEWHERE]


def test_all_captures_are_replayed() -> None:
    assert (len(NAMES), len(REPLAYED), len(ELSEWHERE)) == (369, 344, 25)


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Return an empty namespace for the capture of the test."""
    made = World.make(tmp_path, load(request.getfixturevalue("name")).chunk_size)
    yield made
    made.close()


@pytest.mark.parametrize("name", REPLAYED)
def test_the_sandbox_answers_as_the_real_services(name: str, world: World) -> None:
    exchanges = load(name).exchanges
    replay = Replay(world)
    for prelude in PRELUDES.get(name, []):
        for exchange in load(prelude).exchanges:
            replay.run(exchange, compare=False)
    arrange_services(world, exchanges)
    if not name.startswith("raw_"):
        arrange_state(world, exchanges)
    replay.check(name, exchanges, DIFFERENCES)
