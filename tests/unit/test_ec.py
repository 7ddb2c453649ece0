# SPDX-License-Identifier: Apache-2.0
"""Erasure coding against fake chunk servers: the exact bytes from any k fragments, or an exception."""

from __future__ import annotations

import contextlib
import hashlib
import io as stdio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.api.ec import (
    ECChunkDownloadHandler,
    EcMetachunkWriter,
    ECRebuildHandler,
    ECWriteHandler,
    ec_encode,
    meta_chunk_range_to_segment_range,
    segment_range_to_fragment_range,
)
from oio.common import exceptions as exc
from oio.common import green
from oio.common.storage_functions import fetch_stream_ec
from tests.unit.ec_fakes import EC, SEGMENT, Chunks, encoded, fetch, method
from tests.unit.fakes import FakeResponse, at_the_seam, network, stored

SYSMETA = {
    "id": "20BF2194FD420500CD4729AE0B5CBC07",
    "version": "1554086800000000",
    "content_path": "obj",
    "chunk_method": "ec/algo=liberasurecode_rs_vand,k=6,m=3",
    "policy": "EC",
    "container_id": "7B6C" * 16,
    "full_path": "acct/ref/obj/1554086800000000/20BF2194FD420500CD4729AE0B5CBC07",
    "chunk_size": 1000,
}


DATA = bytes(range(256)) * 20  # five segments and a bit


@pytest.mark.parametrize(
    ("segment", "fragment", "meta", "segments", "fragments"),
    [
        (256, 120, (100, 600), (0, 767), (0, 359)),
        (512, 200, (100, 600), (0, 1023), (0, 399)),
        (256, 120, (300, None), (256, None), (120, None)),
        (256, 120, (255, 256), (0, 511), (0, 239)),
        (256, 120, (None, 100), (None, 512), (None, 240)),
        (512, 200, (None, 1000), (None, 1536), (None, 600)),
        (1048576, 174844, (1, 4), (0, 1048575), (0, 174843)),
        (1048576, 174844, (1048575, 1048576), (0, 2097151), (0, 349687)),
        (1048576, 174844, (0, 3145727), (0, 3145727), (0, 524531)),
    ],
)
@pytest.mark.pitfall(44)
def test_ranges_of_metachunks_become_ranges_of_fragments(segment, fragment, meta, segments, fragments):
    assert meta_chunk_range_to_segment_range(*meta, segment) == segments
    assert segment_range_to_fragment_range(*segments, segment, fragment) == fragments


@given(st.binary(max_size=3500), st.lists(st.integers(1, 1500), min_size=1))
def test_blocks_of_any_size_give_the_same_fragments(data, sizes):
    encoder = ec_encode(EC, 9)
    encoder.send(None)
    got = [b""] * 9
    position = 0
    for size in itertools.cycle(sizes):
        block = data[position : position + size]
        position += size
        result = encoder.send(block)
        if result is not None:
            got = [before + part for before, part in zip(got, result, strict=True)]
        if not block:
            break
    assert got == (encoded(EC, data) if data else [b""] * 9)


# --- writing ---


def prepared():
    return [{"url": f"http://h{n}/{n:064X}", "pos": f"0.{n}", "num": n} for n in range(8, -1, -1)]


def answers(**others):
    return {**{f"h{n}": stored for n in range(9)}, **others}


def write(data=DATA, replies=None, **kwargs):
    checksum = hashlib.md5()
    chunks = prepared()
    with network(**(replies or answers())) as net:
        writer = EcMetachunkWriter(SYSMETA, chunks, checksum, EC, **kwargs)
        result = writer.stream(stdio.BytesIO(data), len(data) + 1)
    return result, chunks, net


@pytest.mark.parametrize("algo", ["md5", None])
@pytest.mark.pitfall(19)
def test_each_chunk_gets_its_fragments_and_the_trailers_that_were_announced(algo):
    (size, digest, chunks), _, net = write(chunk_checksum_algo=algo)
    assert (size, digest) == (len(DATA), hashlib.md5(DATA).hexdigest())
    assert len(chunks) == 9
    bodies = encoded(EC, DATA)
    for n in range(9):
        body, trailers = net.connections[f"h{n}"].body, net.connections[f"h{n}"].trailers
        assert body == bodies[n]
        expected = {
            "x-oio-chunk-meta-metachunk-size": str(len(DATA)),
            "x-oio-chunk-meta-metachunk-hash": digest,
        }
        if algo:
            expected["x-oio-chunk-meta-chunk-hash"] = hashlib.md5(body).hexdigest()
        assert trailers == expected
    for _, _, _, headers in net.calls:
        assert headers["Trailer"].split(", ") == list(expected)
    assert {(chunk["size"], chunk["hash"]) for chunk in chunks} == {(len(DATA), digest)}


def test_checksums_are_made_once_for_each_chunk_and_once_for_the_metachunk(monkeypatch):
    made = []
    real = hashlib.new
    monkeypatch.setattr(hashlib, "new", lambda *args: made.append(args) or real(*args))
    write()
    assert len(made) == 10
    made.clear()
    write(chunk_checksum_algo=None)
    assert len(made) == 1


@pytest.mark.pitfall(20, 21)
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (OSError("refused"), "connect: refused"),
        (green.ConnectionTimeout(), "connect: Connection timeout"),
        (FakeResponse(500), "resp: HTTP 500"),
        (green.ChunkWriteTimeout(), "resp: Chunk write timeout"),
        (FakeResponse(201, headers={"x-oio-chunk-meta-chunk-size": "1"}), "chunk size mismatch"),
        (FakeResponse(201, headers={"x-oio-chunk-meta-chunk-hash": "0" * 31 + "1"}), "checksum mismatch"),
    ],
)
def test_with_quorum_failed_chunks_come_last_with_their_error(failure, error):
    def reply(_connection):
        return failure

    reply = failure if error.startswith("connect") else reply
    (_, _, chunks), _, _ = write(replies=answers(h2=reply, h7=reply))
    assert [bool(chunk.get("error")) for chunk in chunks] == [False] * 7 + [True] * 2
    assert {chunk["num"] for chunk in chunks[-2:]} == {2, 7}
    assert all(str(chunk["error"]).startswith(error) for chunk in chunks[-2:])
    assert len({chunk["url"] for chunk in chunks}) == 9


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError("refused"), exc.ServiceBusy),
        (FakeResponse(500), exc.ServiceBusy),
        (FakeResponse(409), exc.Conflict),
        (green.ConnectionTimeout(), exc.OioTimeout),
    ],
)
def test_below_k_plus_1_chunks_the_write_fails(failure, expected):
    with pytest.raises(expected, match=r"quorum not reached \(6/7\)"):
        write(replies=answers(h0=failure, h4=failure, h8=failure))


@pytest.mark.pitfall(24)
@pytest.mark.parametrize(
    ("chunk_size", "expected"), [(100, 600), (1000, 6000), (1100, 6000), (166, 996), (167, 1000)]
)
def test_a_metachunk_is_made_of_whole_segments_and_is_never_empty(chunk_size, expected):
    handler = ECWriteHandler(stdio.BytesIO(), {**SYSMETA, "chunk_size": chunk_size}, {}, EC)
    assert handler._metachunk_size() == expected


def test_an_empty_object_has_empty_chunks_with_trailers():
    (size, digest, chunks), _, net = write(b"")
    assert (size, len(chunks)) == (0, 9)
    body, trailers = net.connections["h3"].body, net.connections["h3"].trailers
    assert body == b""
    assert trailers["x-oio-chunk-meta-chunk-hash"] == digest == hashlib.md5().hexdigest()


# --- reading ---


@pytest.mark.pitfall(134)
def test_the_data_fragments_are_asked_first_and_nothing_is_decoded(monkeypatch):
    chunks = Chunks(EC, DATA)
    monkeypatch.setattr(EC.driver, "decode", lambda *_a, **_k: pytest.fail("decoded"))
    assert fetch(chunks) == DATA
    assert sorted(n for n, _ in chunks.calls) == list(range(6))


@pytest.mark.parametrize("lost", list(itertools.combinations(range(9), 3)))
def test_any_three_chunks_may_be_lost(lost):
    assert fetch(Chunks(EC, DATA, dict.fromkeys(lost, 404))) == DATA


@pytest.mark.pitfall(50, 55)
def test_with_too_few_fragments_the_read_raises_and_names_every_chunk():
    chunks = Chunks(EC, DATA, dict.fromkeys(range(4), OSError("refused")))
    with pytest.raises(exc.ServiceUnavailable, match=r"Not enough valid sources to read \(5/6\)") as caught:
        fetch(chunks)
    for chunk in chunks.chunks()[:4]:
        assert chunk["url"] in str(caught.value)
    with pytest.raises(exc.UnrecoverableContent):
        fetch(Chunks(EC, DATA, dict.fromkeys(range(9), 404)))


@pytest.mark.pitfall(50, 127, 137)
@pytest.mark.parametrize("at", [0, 1, 79, 200, 300, 700])
def test_a_fragment_source_that_ends_early_is_replaced_from_the_exact_fragment(at):
    chunks = Chunks(EC, DATA, {1: ("cut", at), 7: ("cut", at), 4: ("error", at, green.ChunkReadTimeout())})
    assert fetch(chunks) == DATA
    with pytest.raises(exc.OioException):
        fetch(Chunks(EC, DATA, dict.fromkeys(range(4), ("cut", at))))


@pytest.mark.pitfall(53, 137)
@pytest.mark.parametrize("at", [0, 4, 12, 54, 59, 67])
def test_a_fragment_with_a_damaged_header_is_replaced(at):
    troubles = {0: ("flip", at), 3: ("flip", at + 248), 8: ("flip", at)}
    assert fetch(Chunks(EC, DATA, troubles)) == DATA


@pytest.mark.pitfall(126)
def test_damaged_data_are_found_and_read_without_when_nothing_was_given_yet():
    small = DATA[:900]
    for damaged in itertools.combinations(range(6), 2):
        assert fetch(Chunks(EC, small, dict.fromkeys(damaged, ("flip", 100)))) == small


@pytest.mark.pitfall(126)
@pytest.mark.parametrize("at", [100, 600, 1100])
def test_damaged_data_never_pass_for_a_success(at):
    with pytest.raises(exc.CorruptedChunk) as caught:
        fetch(Chunks(EC, DATA, {2: ("flip", at)}))
    assert "http://h2/" in str(caught.value)


@pytest.mark.parametrize("ranges", [None, [(0, 9)], [(1500, 3200)], [(len(DATA) - 1, None)]])
def test_strict_reads_repair_what_can_be_repaired(ranges):
    chunks = Chunks(EC, DATA, {2: ("flip", 600), 5: ("flip", 100), 7: 404})
    start, end = (ranges or [(0, None)])[0]
    expected = DATA[start : None if end is None else end + 1]
    assert fetch(chunks, ranges, verify_checksum="strict") == expected


@pytest.mark.pitfall(54)
def test_duplicates_of_one_position_are_spares_of_each_other():
    chunks = Chunks(EC, DATA, {0: ("cut", 300), 6: 404, 7: 404, 8: 404})
    twin = {**chunks.chunks()[0], "url": "http://h9/0"}
    chunks.bodies.append(chunks.bodies[0])
    located = [*chunks.chunks()[:9], twin]
    with at_the_seam(chunks):
        assert b"".join(fetch_stream_ec({0: located}, None, EC)) == DATA


def test_a_chunk_of_another_backend_is_replaced_not_decoded():
    chunks = Chunks(EC, DATA)
    other = Chunks(method(algo="isa_l_rs_vand"), DATA)
    chunks.bodies[2] = other.bodies[2].ljust(len(chunks.bodies[2]), b"\0")
    assert fetch(chunks) == DATA


@pytest.mark.pitfall(44, 123)
@pytest.mark.parametrize("start", [0, 1, 999, 1000, 1001, 4999, 5000, 5119])
@pytest.mark.parametrize("length", [1, 2, 999, 1000, 1001, 5120])
def test_a_range_gives_its_bytes_and_fetches_only_the_segments_that_it_touches(start, length):
    chunks = Chunks(EC, DATA)
    end = min(start + length, len(DATA)) - 1
    assert fetch(chunks, [(start, end)]) == DATA[start : end + 1]
    first, last = start // SEGMENT, end // SEGMENT
    size = EC.ec_fragment_size
    assert {asked for _, asked in chunks.calls} == {f"bytes={first * size}-{(last + 1) * size - 1}"}


@pytest.mark.pitfall(123)
@pytest.mark.parametrize("suffix", [1, 119, 120, 121, 1000, 1119, 1120, 1121, 5119, 5120, 9999])
def test_a_suffix_gives_the_last_bytes(suffix):
    assert fetch(Chunks(EC, DATA), [(None, suffix)]) == DATA[-suffix:]


def parts(handler):
    with contextlib.closing(handler.get_stream()) as stream:
        return [(part["start"], part["end"], b"".join(part["iter"])) for part in stream]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [((1, 4), (1, 4)), ((None, None), (0, 5119)), ((-10, None), (5110, 5119)), ((None, 7), (5113, 5119))],
)
def test_the_download_handler_gives_parts_of_the_metachunk(bounds, expected):
    chunks = Chunks(EC, DATA)
    with at_the_seam(chunks):
        handler = ECChunkDownloadHandler(EC, chunks.chunks(), *bounds, {})
        assert parts(handler) == [(*expected, DATA[expected[0] : expected[1] + 1])]
    assert all(connection.closed for connection in chunks.connections)


def test_a_range_outside_of_the_metachunk_has_no_part():
    chunks = Chunks(EC, DATA)
    with at_the_seam(chunks):
        assert parts(ECChunkDownloadHandler(EC, chunks.chunks(), 6000, 7000, {})) == []
    assert chunks.calls == []


@pytest.mark.pitfall(3, 5)
def test_an_abandoned_stream_closes_every_connection():
    chunks = Chunks(EC, DATA)
    with at_the_seam(chunks):
        stream = fetch_stream_ec({0: chunks.chunks()}, None, EC)
        next(stream)
        stream.close()
    assert all(connection.closed for connection in chunks.connections)


# --- rebuilding ---


def rebuild(chunks, missing, **kwargs):
    located = [chunk for chunk in chunks.chunks() if chunk["num"] != missing]
    for chunk in located:
        chunk.update(kwargs)
    with at_the_seam(chunks):
        size, fragments = ECRebuildHandler(located, missing, chunks.storage_method).rebuild()
        content = b"".join(fragments)
    assert len(content) == size
    return content


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
