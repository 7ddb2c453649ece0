# SPDX-License-Identifier: Apache-2.0
"""Chunks rebuilt from fake chunk servers, whatever these do."""

from __future__ import annotations

import pytest

from oio.api.ec import ECRebuildHandler
from oio.common import exceptions as exc
from oio.common import green
from tests.kit.ec_fakes import DATA, EC, Chunks, fetch, method, rebuild
from tests.kit.fakes import at_the_seam


@pytest.mark.parametrize("missing", range(9))
def test_a_lost_chunk_is_rebuilt_bit_for_bit(missing):
    chunks = Chunks(EC, DATA, {missing: 404})
    assert rebuild(chunks, missing) == chunks.bodies[missing]


@pytest.mark.pitfall(112, 113)
@pytest.mark.parametrize(
    "trouble",
    [404, OSError("refused"), ("cut", 300), ("truncate", 300), ("flip", 4), ("flip", 90), ("flip", 1000)],
)
def test_bad_sources_are_replaced_while_k_are_left(trouble):
    chunks = Chunks(EC, DATA, {1: trouble, 5: trouble})
    assert rebuild(chunks, 0) == chunks.bodies[0]


def test_with_fewer_than_k_sources_a_chunk_cannot_be_rebuilt():
    with pytest.raises(exc.UnrecoverableContent):
        rebuild(Chunks(EC, DATA, dict.fromkeys((1, 2, 3), 404)), 0)


def test_the_chunk_of_an_empty_metachunk_is_empty():
    chunks = Chunks(EC, b"")
    chunks.bodies = [b""] * 9
    assert rebuild(chunks, 0) == b""


@pytest.mark.pitfall(114)
@pytest.mark.parametrize(
    "trouble",
    [
        green.ConnectionTimeout(),
        green.Timeout(),
        ("error", 0, green.ChunkReadTimeout()),
        ("error", 300, green.ChunkReadTimeout()),
        ("error", 300, green.Timeout()),
        ("cut", 300),
        ("cut", 0),
        503,
    ],
)
def test_whatever_a_source_does_the_others_make_up_for_it(trouble):
    chunks = Chunks(EC, DATA, {1: trouble, 5: trouble})
    assert rebuild(chunks, 0) == chunks.bodies[0]
    with pytest.raises(exc.UnrecoverableContent, match=r"rebuild chunk 0 \([0-5]/6\)") as caught:
        rebuild(Chunks(EC, DATA, dict.fromkeys((1, 2, 3), trouble)), 0)
    for chunk in chunks.chunks()[1:4]:
        assert chunk["url"] in str(caught.value)
    assert fetch(chunks) == DATA


@pytest.mark.pitfall(112)
def test_the_size_that_most_sources_have_is_the_right_one():
    chunks = Chunks(EC, DATA)
    other = Chunks(EC, DATA[:3000])
    chunks.bodies[1], chunks.bodies[4] = other.bodies[1], other.bodies[4]
    located = [{"url": chunk["url"], "pos": chunk["pos"]} for chunk in chunks.chunks()[1:]]
    with at_the_seam(chunks):
        size, fragments = ECRebuildHandler(located, 0, EC).rebuild()
    assert (size, b"".join(fragments)) == (len(chunks.bodies[0]), chunks.bodies[0])


class Untold(Chunks):
    """Chunk servers that tell nothing of their chunks."""

    def _serve(self, n, trouble, asked):
        response = super()._serve(n, trouble, asked)
        response.getheader = lambda _name, default=None: default
        return response


@pytest.mark.parametrize("trouble", [None, 404])
def test_size_of_the_metachunk_tells_that_of_chunks_whose_servers_do_not(trouble):
    chunks = Untold(EC, DATA, {1: trouble, 5: trouble})
    assert rebuild(chunks, 0) == chunks.bodies[0]


def test_chunks_of_unknown_size_cannot_be_rebuilt():
    with pytest.raises(exc.UnrecoverableContent, match="no server tells the size of its chunk"):
        rebuild(Untold(EC, DATA), 0, size=None)


@pytest.mark.parametrize("missing", [-1, 9])
def test_only_a_chunk_that_the_metachunk_has_can_be_rebuilt(missing):
    with pytest.raises(ValueError, match=f"missing: {missing}"):
        ECRebuildHandler(Chunks(EC, DATA).chunks(), missing, EC)


def test_between_sources_of_two_sizes_the_metachunk_decides_or_the_larger_is_right():
    two = method(1, 2)
    for told in (True, False):
        chunks = Chunks(two, DATA)
        chunks.bodies[2] = chunks.bodies[2][:500]
        located = chunks.chunks()[1:]
        if not told:
            located = [{"url": chunk["url"], "pos": chunk["pos"]} for chunk in located]
        with at_the_seam(chunks):
            _, fragments = ECRebuildHandler(located, 0, two).rebuild()
        assert b"".join(fragments) == chunks.bodies[0]
