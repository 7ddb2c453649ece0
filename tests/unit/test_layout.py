# SPDX-License-Identifier: Apache-2.0
"""Layout of an object: which chunks are looked at for which range."""

from __future__ import annotations

import logging

import pytest

from oio.api._data.layout import lay_out
from oio.common import exceptions as exc
from oio.container._description import check_chunks
from tests.kit.signals import raising, strike

LOGGER = logging.getLogger("tests.layout")
META = {"name": "song", "chunk_method": "plain/nb_copy=2", "length": "25"}


def located(*sizes: int) -> list[dict[str, object]]:
    """Two copies of metachunks of some sizes, the last ones first."""
    return [
        {
            "url": f"http://rawx-{copy}/{position}",
            "pos": str(position),
            "size": size,
            "hash": f"{position:032X}",
        }
        for position, size in reversed(list(enumerate(sizes)))
        for copy in (1, 2)
    ]


@pytest.mark.parametrize(
    ("ranges", "looked_at"),
    [
        ([], [0, 1, 2]),
        ([(0, 9)], [0]),
        ([(9, 10)], [0, 1]),
        ([(20, 20)], [2]),
        ([(None, 5)], [2]),
        ([(0, 0), (24, 24)], [0, 2]),
        ([(24, 24), (10, 10)], [1, 2]),
        ([(0, 0), (99, 100)], [0]),
    ],
)
def test_range_needs_the_chunks_of_the_metachunks_that_hold_it(ranges, looked_at):
    layout = lay_out(META, located(10, 10, 5), ranges, LOGGER)
    assert [metachunk.position for metachunk in layout.metachunks] == looked_at
    assert [metachunk.start for metachunk in layout.metachunks] == [position * 10 for position in looked_at]
    assert {piece[0].position for pieces in layout.pieces() for piece in pieces} == set(looked_at)


def test_size_that_chunks_disagree_on_is_that_of_most_wherever_the_range_is():
    chunks = located(10, 10, 5)
    odd = {**chunks[-1], "url": "http://rawx-3/0", "size": 99}
    layout = lay_out(META, [odd, *chunks], [(20, 24)], LOGGER)
    assert [metachunk.start for metachunk in layout.metachunks] == [0, 20]


def test_object_with_a_hole_beside_the_range_is_not_read():
    chunks = [chunk for chunk in located(10, 10, 5) if chunk["pos"] != "1"]
    with pytest.raises(exc.UnrecoverableContent):
        lay_out(META, chunks, [(0, 1)], LOGGER)


@pytest.mark.parametrize("ranges", [[], [(0, 9)]])
def test_object_with_a_metachunk_of_fewer_bytes_than_none_is_not_read(ranges):
    with pytest.raises(exc.OioProtocolError, match="metachunk 0 has -5 bytes"):
        lay_out({**META, "length": "10"}, located(-5, 15), ranges, LOGGER)


@pytest.mark.parametrize("key", ["url", "real_url", "hash"])
@pytest.mark.parametrize("value", [0, False, [], {}])
def test_chunk_that_is_described_by_what_is_no_text_is_refused(key, value):
    described = {"url": "http://127.0.0.1:1/AB", "pos": "0", "hash": "00", key: value}
    with pytest.raises(TypeError):
        check_chunks([described])


def test_signal_handler_that_strikes_while_a_description_is_read_is_not_taken_for_a_wrong_one():
    class Struck(dict[str, object]):
        def __getitem__(self, key: str) -> object:
            strike()
            return super().__getitem__(key)

    error = ValueError("of the host")
    with raising(error), pytest.raises(ValueError, match="of the host") as caught:
        lay_out(Struck(META), located(10, 15), [], LOGGER)
    assert caught.value is error
