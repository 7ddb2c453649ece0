# SPDX-License-Identifier: Apache-2.0
"""Whatever is lost or damaged of an erasure-coded metachunk: the exact bytes, or an exception."""

from __future__ import annotations

import hashlib
import io as stdio
import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oio.api.ec import ECRebuildHandler, ECWriteHandler, ec_encode
from oio.common import exceptions as exc
from oio.common import green
from tests.kit.ec_fakes import Chunks, encoded, fetch, method
from tests.kit.fakes import at_the_seam, network, stored

ALGORITHMS = ["liberasurecode_rs_vand", "isa_l_rs_vand", "isa_l_rs_cauchy", "isa_l_rs_vand_inv"]
PLACES = st.integers(0, 3000)
LOST = st.one_of(
    st.sampled_from([404, 416, 503]),
    st.builds(OSError, st.just("refused")),
    st.builds(green.ConnectionTimeout),
    st.tuples(st.just("cut"), PLACES),
    st.tuples(st.just("error"), PLACES, st.sampled_from([OSError("reset"), green.ChunkReadTimeout()])),
    st.tuples(st.just("truncate"), PLACES),
)
FLIPPED = st.tuples(st.just("flip"), PLACES)

some = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def metachunks(draw, max_faulty, max_parity=4, trouble=LOST):
    """Chunks of which some are lost or damaged; ``max_faulty`` tells how many may be, given the method."""
    k, m = draw(st.integers(1, 7)), draw(st.integers(1, max_parity))
    storage_method = method(k, m, draw(st.sampled_from(ALGORITHMS)), draw(st.sampled_from([1, 64, 100, 999])))
    size = draw(st.integers(1, 3 * storage_method.ec_segment_size + 1))
    content = draw(st.randoms(use_true_random=False)).randbytes(size)
    faulty = draw(st.lists(st.integers(0, k + m - 1), unique=True, max_size=max_faulty(storage_method)))
    return Chunks(storage_method, content, {index: draw(trouble) for index in faulty})


def repairable(storage_method):
    return storage_method.ec_nb_parity


def any_number(storage_method):
    return storage_method.expected_chunks


@st.composite
def ranges_of(draw, size):
    """A range of bytes, in a form that the reader takes, and its closed form."""
    start = draw(st.integers(0, size - 1))
    end = draw(st.integers(start, size - 1))
    return draw(
        st.sampled_from(
            [
                ((start, end), (start, end)),
                ((start, None), (start, size - 1)),
                ((start, end + size), (start, size - 1)),
                ((None, size - start), (start, size - 1)),
                ((None, None), (0, size - 1)),
            ]
        )
    )


def outcome(chunks, ranges, **kwargs):
    """What a read gives, and the exception that it raises instead."""
    try:
        return fetch(chunks, ranges, **kwargs), None
    except exc.OioException as err:
        return b"", err


@settings(some, max_examples=200)
@given(st.data())
def test_what_is_lost_within_the_redundancy_is_not_missed(data):
    chunks = data.draw(metachunks(repairable))
    asked, (start, end) = data.draw(ranges_of(len(chunks.data)))
    assert fetch(chunks, [asked]) == chunks.data[start : end + 1]
    assert all(connection.closed for connection in chunks.connections)


@settings(some, max_examples=150)
@given(st.data())
def test_strict_reads_are_exact_whatever_is_lost_or_damaged_within_the_redundancy(data):
    chunks = data.draw(metachunks(repairable, max_parity=3, trouble=LOST | FLIPPED))
    # Without checksums of the chunks, the damaged ones are found by trial.
    chunks.told_hashes = data.draw(st.booleans())
    asked, (start, end) = data.draw(ranges_of(len(chunks.data)))
    assert fetch(chunks, [asked], verify_checksum="strict") == chunks.data[start : end + 1]
    assert all(connection.closed for connection in chunks.connections)


@settings(some, max_examples=150)
@given(st.data())
def test_whatever_happens_a_read_is_exact_or_raises(data):
    chunks = data.draw(metachunks(any_number, trouble=LOST | FLIPPED))
    chunks.told_hashes = data.draw(st.booleans())
    asked, (start, end) = data.draw(ranges_of(len(chunks.data)))
    strict = data.draw(st.sampled_from([True, "strict"]))
    damaged = any(isinstance(trouble, tuple) and trouble[0] == "flip" for trouble in chunks.troubles.values())
    got, error = outcome(chunks, [asked], verify_checksum=strict)
    if error is not None:
        assert len(chunks.troubles) > repairable(chunks.storage_method) or (damaged and strict != "strict")
    else:
        assert len(got) == end - start + 1
        # Nothing tells damage to a part of a metachunk, unless all of it is read.
        assert got == chunks.data[start : end + 1] or (damaged and strict != "strict")


@settings(some, max_examples=75)
@given(st.data())
def test_damage_to_what_is_read_whole_is_repaired_or_told(data):
    chunks = data.draw(metachunks(any_number, trouble=FLIPPED))
    got, error = outcome(chunks, None)
    if isinstance(error, exc.CorruptedChunk):
        guilty = [chunk["url"] for chunk in chunks.chunks() if chunk["num"] in chunks.troubles]
        assert any(url in str(error) for url in guilty)
    elif error is not None:
        # Damage to the headers of fragments tells at once.
        assert isinstance(error, exc.ServiceUnavailable)
        assert len(chunks.troubles) > repairable(chunks.storage_method)
    else:
        assert got == chunks.data


@settings(some, max_examples=100)
@given(st.data())
def test_a_chunk_is_rebuilt_bit_for_bit_from_what_is_left(data):
    def but_one(storage_method):
        return repairable(storage_method) - 1

    chunks = data.draw(metachunks(but_one, trouble=LOST | FLIPPED))
    missing = data.draw(st.integers(0, chunks.storage_method.expected_chunks - 1))
    others = [chunk for chunk in chunks.chunks() if chunk["num"] != missing]
    if data.draw(st.booleans()):
        others = [{"url": chunk["url"], "pos": chunk["pos"]} for chunk in others]
    with at_the_seam(chunks):
        size, fragments = ECRebuildHandler(others, missing, chunks.storage_method).rebuild()
    rebuilt = b"".join(fragments)
    assert rebuilt == chunks.bodies[missing]
    assert size == len(rebuilt)
    assert all(connection.closed for connection in chunks.connections)


@settings(some, max_examples=75)
@given(st.data())
def test_blocks_of_any_size_give_the_same_fragments(data):
    chunks = data.draw(metachunks(lambda _method: 0))
    count = len(chunks.bodies)
    sizes = data.draw(st.lists(st.integers(1, 1500), min_size=1))
    encoder = ec_encode(chunks.storage_method, count)
    encoder.send(None)
    got = [b""] * count
    source = stdio.BytesIO(chunks.data)
    for size in itertools.cycle(sizes):
        block = source.read(size)
        result = encoder.send(block)
        if result is not None:
            got = [before + part for before, part in zip(got, result, strict=True)]
        if not block:
            break
    assert got == chunks.bodies


@settings(some, max_examples=50)
@given(st.data())
def test_what_is_written_are_the_fragments_whatever_the_source(data):
    chunks = data.draw(metachunks(lambda _method: 0))
    count, size = len(chunks.bodies), len(chunks.data)
    chunk_size = data.draw(st.integers(1, 1000))
    sysmeta = {
        "id": "AB",
        "version": "1",
        "content_path": "o",
        "chunk_method": "ec/x",
        "policy": "EC",
        "container_id": "C",
        "full_path": "a/c/o/1/AB",
        "chunk_size": chunk_size,
    }
    prepared = {
        pos: [{"url": f"http://h{n}-{pos}/{n:064X}", "pos": f"{pos}.{n}"} for n in range(count)]
        for pos in range(size + 1)
    }
    answers = {chunk["url"].split("/")[2]: stored for metachunk in prepared.values() for chunk in metachunk}
    handler_options = {"chunk_buffer_max": data.draw(st.integers(1, 3000)), "chunk_buffer_min": 1}
    with network(**answers) as net:
        handler = ECWriteHandler(
            stdio.BytesIO(chunks.data), sysmeta, prepared, chunks.storage_method, **handler_options
        )
        written, transferred, checksum = handler.stream()
    assert (transferred, checksum) == (size, hashlib.md5(chunks.data).hexdigest())
    offset = 0
    for pos, group in itertools.groupby(written, key=lambda chunk: chunk["pos"].partition(".")[0]):
        length = {chunk["size"] for chunk in group}.pop()
        part = chunks.data[offset : offset + length]
        bodies = encoded(chunks.storage_method, part)
        for n in range(count):
            connection = net.connections[f"h{n}-{pos}"]
            assert connection.body == bodies[n]
            assert connection.trailers["x-oio-chunk-meta-metachunk-hash"] == hashlib.md5(part).hexdigest()
        offset += length
    assert offset == size
