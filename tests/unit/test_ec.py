# SPDX-License-Identifier: Apache-2.0
"""Erasure-coded reads from fake chunk servers: the exact bytes from any k fragments, or an exception."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter

import pytest

from oio.api.ec import (
    ECChunkDownloadHandler,
    ec_encode,
    meta_chunk_range_to_segment_range,
    segment_range_to_fragment_range,
)
from oio.common import exceptions as exc
from oio.common import green
from oio.common.deadlines import monotonic_time
from oio.common.storage_functions import fetch_stream_ec
from tests.kit.ec_fakes import DATA, EC, SEGMENT, Chunks, fetch, method, rebuild
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam


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
        fetch(Chunks(EC, DATA, dict.fromkeys(range(4), ("cut", at % 248))))


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
        fetch(Chunks(EC, DATA, {2: ("flip", at)}, checked=False), hold_up_to=0)
    assert "http://h2/" in str(caught.value)


@pytest.mark.pitfall("A14")
@pytest.mark.parametrize("at", [100, 600, 1100])
def test_damaged_data_that_are_held_are_repaired(at):
    assert fetch(Chunks(EC, DATA, {2: ("flip", at), 4: ("flip", at)}, checked=False)) == DATA


@pytest.mark.pitfall("A13")
@pytest.mark.parametrize("ranges", [None, [(0, 9)], [(1500, 3200)], [(2000, 2999)]])
@pytest.mark.parametrize("algo", ["liberasurecode_rs_vand", "isa_l_rs_vand", "isa_l_rs_cauchy"])
def test_damaged_fragments_are_found_by_their_own_checksums(ranges, algo):
    """Whatever was given already: only the segments that are read are verified, each by itself."""
    chunks = Chunks(method(algo=algo), DATA, {n: ("flip", 81 + n + 247 * n) for n in (0, 2, 4)})
    start, end = (ranges or [(0, len(DATA) - 1)])[0]
    assert fetch(chunks, ranges, hold_up_to=0) == DATA[start : end + 1]


@pytest.mark.pitfall("A13")
def test_more_damaged_fragments_than_the_redundancy_are_told():
    chunks = Chunks(EC, DATA, dict.fromkeys((0, 2, 4), ("flip", 100)) | {5: 404})
    with pytest.raises(exc.CorruptedChunk) as caught:
        fetch(chunks, [(0, 9)])
    assert all(f"http://h{n}/" in str(caught.value) for n in (0, 2, 4, 5))
    chunks = Chunks(EC, DATA, dict.fromkeys((0, 2, 4), ("flip", 100)) | {5: 503})
    with pytest.raises(exc.ServiceUnavailable):
        fetch(chunks, [(0, 9)])


@pytest.mark.pitfall("A13")
def test_server_verifies_once_the_chunks_whose_fragments_have_no_checksums():
    asked = Counter()

    class Verifying(Chunks):
        def __call__(self, netloc, verb, path, headers):
            if verb != "HEAD":
                return super().__call__(netloc, verb, path, headers)
            assert str(headers["x-oio-check-hash"]) == "True"
            asked[netloc] += 1
            return FakeConnection(FakeResponse(412 if netloc in {"h0", "h4"} else 200))

    damaged = {0: ("flip", 100), 4: ("flip", 2500)}
    wanted = [(0, 9), (20, 29)]
    options = {"verify_checksum": "server"}
    assert fetch(Verifying(EC, DATA, damaged, checked=False), wanted, **options) == DATA[:10] + DATA[20:30]
    assert asked == Counter({f"h{n}": 1 for n in range(8)}) | Counter({"h0": 1, "h4": 1})
    asked.clear()
    assert fetch(Verifying(EC, DATA, damaged), wanted, **options) == DATA[:10] + DATA[20:30]
    assert fetch(Verifying(EC, DATA, {}, checked=False), None, **options) == DATA
    assert not asked


@pytest.mark.pitfall("B9")
def test_each_chunk_gets_a_second_try_after_the_spares():
    class Moments(Chunks):
        def __call__(self, netloc, verb, path, headers):
            connection = super().__call__(netloc, verb, path, headers)
            self.troubles.pop(int(netloc[1:]), None)
            return connection

    reset = ("error", 500, ConnectionResetError("reset"))
    chunks = Moments(EC, DATA, {n: reset if n % 2 else ("cut", 300) for n in range(9)})
    assert fetch(chunks) == DATA
    assert max(Counter(n for n, _ in chunks.calls).values()) == 2
    chunks = Chunks(EC, DATA, dict.fromkeys(range(4), ("error", 10, ConnectionResetError("reset"))))
    with pytest.raises(exc.ServiceUnavailable):
        fetch(chunks)
    assert Counter(n for n, _ in chunks.calls)[0] == 2


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


@pytest.mark.pitfall(52)
@pytest.mark.parametrize("lost", list(itertools.combinations(range(8), 2)))
def test_fragments_that_cannot_be_decoded_are_helped_by_others(lost):
    xor = method(5, 5, "flat_xor_hd_3")
    chunks = Chunks(xor, DATA, dict.fromkeys(lost, 404))
    assert fetch(chunks) == DATA
    for missing in lost:
        assert rebuild(chunks, missing) == chunks.bodies[missing]


@pytest.mark.pitfall(52)
def test_fragments_that_cannot_be_decoded_at_all_are_an_error_that_tells_why():
    xor = method(5, 5, "flat_xor_hd_3")
    undecodable = 0
    for lost in itertools.combinations(range(10), 4):
        chunks = Chunks(xor, DATA, dict.fromkeys(lost, 404))
        try:
            assert fetch(chunks) == DATA
        except exc.UnrecoverableContent as err:
            undecodable += 1
            found = str(err)
    assert undecodable > 50
    assert "decode" in found


@pytest.mark.pitfall(54)
def test_chunks_that_were_exchanged_are_told_by_their_fragments():
    chunks = Chunks(EC, DATA)
    chunks.bodies[0], chunks.bodies[7] = chunks.bodies[7], chunks.bodies[0]
    chunks.bodies[2], chunks.bodies[3] = chunks.bodies[3], chunks.bodies[2]
    assert fetch(chunks) == DATA


@pytest.mark.pitfall(54)
def test_many_chunks_of_one_index_count_once():
    chunks = Chunks(EC, DATA)
    chunks.bodies = [chunks.bodies[0]] * 5 + chunks.bodies[5:]
    with pytest.raises(exc.ServiceUnavailable, match=r"\(5/6\).*was there already"):
        fetch(chunks)
    chunks = Chunks(EC, DATA)
    located = [{**chunk, "num": max(chunk["num"], 4)} for chunk in chunks.chunks()]
    with at_the_seam(chunks), pytest.raises(exc.ServiceUnavailable, match="5/6"):
        list(fetch_stream_ec({0: located}, None, EC))


def test_the_position_tells_the_index_of_a_chunk_without_one():
    chunks = Chunks(EC, DATA)
    located = [{key: value for key, value in chunk.items() if key != "num"} for chunk in chunks.chunks()]
    with at_the_seam(chunks):
        assert b"".join(fetch_stream_ec({0: located}, None, EC)) == DATA
        with pytest.raises(ValueError, match="'0' has no index"):
            ECChunkDownloadHandler(EC, [{"url": "http://h0/0", "pos": "0", "size": 1}], 0, 0, {}).get_stream()
        with pytest.raises(ValueError, match="no chunk"):
            ECChunkDownloadHandler(EC, [], 0, 1, {}).get_stream()


def paced(chunks, size, pause=0.0):
    """Chunk servers that give ``size`` bytes at once, with pauses (seconds)."""

    def connect(*args):
        connection = chunks(*args)
        read = connection.response.read

        def read_some(asked):
            green.sleep(pause)
            return read(min(asked, size))

        connection.response.read = read_some
        return connection

    return connect


@pytest.mark.pitfall(62)
@pytest.mark.parametrize("size", [1, 7, 79, 80, 81, 247, 249, 100_000])
def test_the_size_of_the_blocks_that_come_does_not_matter(size):
    chunks = Chunks(EC, DATA, {1: 404, 4: 404})
    with at_the_seam(paced(chunks, size)):
        assert b"".join(fetch_stream_ec({0: chunks.chunks()}, None, EC)) == DATA


@pytest.mark.pitfall(45)
def test_a_stream_that_is_at_its_end_stays_there():
    chunks = Chunks(EC, DATA)
    with at_the_seam(chunks):
        stream = fetch_stream_ec({0: chunks.chunks()}, None, EC)
        assert b"".join(stream) == DATA
        assert [next(stream, None), next(stream, None)] == [None, None]
        encoder = ec_encode(EC, 9)
        encoder.send(None)
        assert encoder.send(b"") == [b""] * 9
        with pytest.raises(StopIteration):
            encoder.send(b"")


def test_one_os_thread_after_another_may_read_a_stream():
    chunks = Chunks(EC, DATA, {1: ("cut", 300)})
    blocks = []
    with at_the_seam(chunks):
        stream = fetch_stream_ec({0: chunks.chunks()}, None, EC)
        while True:
            thread = threading.Thread(target=lambda: blocks.append(next(stream, None)))
            thread.start()
            thread.join()
            if blocks[-1] is None:
                break
    assert b"".join(blocks[:-1]) == DATA
    assert all(connection.closed for connection in chunks.connections)


def test_a_deadline_in_the_middle_ends_the_read():
    chunks = Chunks(EC, DATA)
    with at_the_seam(paced(chunks, 100, pause=0.02)):
        stream = fetch_stream_ec({0: chunks.chunks()}, None, EC, deadline=monotonic_time() + 0.15)
        with pytest.raises(exc.DeadlineReached):
            list(stream)
    assert all(connection.closed for connection in chunks.connections)


def test_a_time_limit_of_the_host_passes_untouched():
    limit = green.Timeout(0.05)

    def stall(*_args):
        green.sleep(10)

    with at_the_seam(stall), pytest.raises(green.Timeout) as caught:
        list(fetch_stream_ec({0: Chunks(EC, DATA).chunks()}, None, EC))
    assert caught.value is limit
