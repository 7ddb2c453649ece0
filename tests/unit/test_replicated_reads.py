# SPDX-License-Identifier: Apache-2.0
"""Replicated reads against fake chunk servers: the exact bytes, or an exception."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.api.io import ChunkReader, chain, consume, discard_bytes, iters_to_raw_body, make_iter_from_resp
from oio.blob.candidates import Candidates
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk
from oio.common.deadlines import monotonic_time
from oio.common.limits import Limits
from oio.common.options import Options
from oio.common.storage_functions import fetch_stream
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam, chunks_on
from tests.kit.scripted import serving

PLAIN = STORAGE_METHODS.load("plain/nb_copy=3")


def test_body_that_came_with_its_head_is_given_after_the_deadline():
    now = [0.0]

    def be_late(_answer, _chunk):
        now[0] = 2.0

    with serving(lambda peer: peer.read_head() and peer.answer(200, b"data")) as server:
        chunk = Chunk.of({"url": f"http://{server.address}/0A"})
        limits = Limits(deadline=1.0, clock=lambda: now[0])
        reader = Candidates([chunk], {}, Options(limits=limits), check_head=be_late)
        assert list(reader.blocks()) == [b"data"]


class Copies:
    """Chunk servers that hold the same data, each with its own trouble.

    ``troubles[n]`` is: None; an exception, raised when connecting; a status; ("cut", n), the body ends after
    n bytes; ("error", n, exception), it fails there; ("flip", n), byte n of what is served is wrong;
    "whole", ranges are ignored; ("head", headers), added to the response.
    """

    def __init__(self, data, *troubles):
        self.data = data
        self.troubles = dict(zip("abcdef", troubles, strict=False))
        self.calls = []
        self.connections = []

    def chunks(self, **kwargs):
        digest = hashlib.md5(self.data).hexdigest().upper()
        return chunks_on(*self.troubles, size=len(self.data), digest=digest, **kwargs)

    def __call__(self, netloc, _method, _path, headers):
        asked = headers.get("Range")
        self.calls.append((netloc, asked))
        trouble = self.troubles[netloc]
        if isinstance(trouble, BaseException):
            raise trouble
        connection = FakeConnection(self._response(trouble, asked))
        self.connections.append(connection)
        return connection

    def _response(self, trouble, asked):
        if isinstance(trouble, int):
            return FakeResponse(trouble)
        kind = trouble[0] if isinstance(trouble, tuple) else trouble
        if asked is None or kind == "whole":
            return FakeResponse(200, self.data)
        first, last = map(int, asked.removeprefix("bytes=").split("-"))
        last = min(last, len(self.data) - 1)
        body = self.data[first : last + 1]
        headers = {"Content-Length": len(body), "Content-Range": f"bytes {first}-{last}/{len(self.data)}"}
        cut = None
        if kind == "cut":
            body = body[: trouble[1]]
        elif kind == "error":
            body, cut = body[: trouble[1]], trouble[2]
        elif kind == "flip" and body:
            at = trouble[1] % len(body)
            body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        elif kind == "head":
            headers |= trouble[1]
        return FakeResponse(206, body, headers, cut)


def fetch(copies, ranges=None, **kwargs):
    with at_the_seam(copies):
        return b"".join(fetch_stream({0: copies.chunks()}, ranges, PLAIN, **kwargs))


DATA = bytes(range(256)) * 800  # several blocks


def test_a_whole_object_comes_from_the_first_copy():
    copies = Copies(DATA, None, None)
    assert fetch(copies) == DATA
    assert copies.calls == [("a", f"bytes=0-{len(DATA) - 1}")]
    assert copies.connections[0].closed


def test_nothing_is_asked_for_before_the_first_block_is():
    copies = Copies(DATA, None)
    stream = fetch_stream({0: copies.chunks()}, None, PLAIN)
    stream.close()
    assert copies.calls == []


@pytest.mark.pitfall(43)
def test_metachunks_are_read_in_the_order_of_their_numbers():
    copies = Copies(b"0123456789", None)
    with at_the_seam(copies):
        chunks = {pos: copies.chunks() for pos in (10, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8)}
        data = b"".join(fetch_stream(chunks, [(95, 104)], PLAIN))
    assert data == b"5678901234"
    assert copies.calls == [("a", "bytes=5-9"), ("a", "bytes=0-4")]


@pytest.mark.pitfall(1)
def test_every_refused_response_is_closed_before_the_next_copy_is_tried():
    copies = Copies(DATA, 404, 500, 503, None)
    assert fetch(copies) == DATA
    assert [connection.closed > 0 for connection in copies.connections] == [True] * 4


@pytest.mark.pitfall(46)
def test_after_two_cuts_the_third_copy_is_asked_from_the_exact_byte():
    copies = Copies(DATA, ("cut", 70_000), ("cut", 1000), None)
    assert fetch(copies, [(10, 150_000)]) == DATA[10:150_001]
    assert [asked for _, asked in copies.calls] == [
        "bytes=10-150000",
        "bytes=70010-150000",
        "bytes=71010-150000",
    ]


@pytest.mark.pitfall(49, 127)
@pytest.mark.parametrize("length", [0, 1, 65536, len(DATA) - 1])
def test_a_body_that_ends_early_is_completed_by_another_copy(length):
    assert fetch(Copies(DATA, ("cut", length), None)) == DATA


@pytest.mark.pitfall(49, 127)
def test_bodies_that_all_end_early_are_an_error_that_names_every_chunk():
    copies = Copies(DATA, ("cut", 10), ("cut", 20))
    with pytest.raises(exc.ServiceUnavailable) as caught:
        fetch(copies)
    for chunk in copies.chunks():
        assert chunk["url"] in str(caught.value)


@pytest.mark.pitfall(48)
def test_a_server_that_ignores_the_range_is_a_failed_source():
    assert fetch(Copies(DATA, "whole", None), [(5, 9)]) == DATA[5:10]
    with pytest.raises(exc.ServiceUnavailable, match="range"):
        fetch(Copies(DATA, "whole"), [(5, 9)])


@pytest.mark.pitfall(126)
def test_a_flipped_byte_in_a_small_object_is_repaired_from_another_copy():
    assert fetch(Copies(b"small object", ("flip", 3), None)) == b"small object"


@pytest.mark.pitfall(126)
@pytest.mark.parametrize("at", [0, 70_000, len(DATA) - 1])
def test_a_flipped_byte_in_a_large_object_never_passes_for_a_success(at):
    copies = Copies(DATA, ("flip", at), None)
    with pytest.raises(exc.CorruptedChunk) as caught:
        fetch(copies, hold_up_to=len(DATA) - 1)
    assert copies.chunks()[0]["url"] in str(caught.value)


@pytest.mark.pitfall("A14")
@pytest.mark.parametrize("at", [0, 70_000, len(DATA) - 1])
def test_a_flipped_byte_in_what_is_held_is_repaired_from_another_copy(at):
    assert fetch(Copies(DATA, ("flip", at), None), hold_up_to=len(DATA)) == DATA
    assert fetch(Copies(DATA, ("flip", at), ("flip", at), None)) == DATA


def test_the_last_block_is_held_until_the_whole_is_verified():
    copies = Copies(DATA, ("flip", len(DATA) - 1))
    blocks = []
    with at_the_seam(copies), pytest.raises(exc.CorruptedChunk):
        blocks.extend(fetch_stream({0: copies.chunks()}, None, PLAIN, hold_up_to=0))
    got = b"".join(blocks)
    assert len(got) < len(DATA)
    assert got == DATA[: len(got)]


def test_without_verification_bytes_are_still_counted():
    assert len(fetch(Copies(DATA, ("flip", 7)), verify_checksum=False)) == len(DATA)
    with pytest.raises(exc.ServiceUnavailable):
        fetch(Copies(DATA, ("cut", 7)), verify_checksum=False)


@pytest.mark.parametrize(
    "head", [{"x-oio-chunk-meta-chunk-hash": "0" * 31 + "1"}, {"x-oio-chunk-meta-chunk-size": "1"}]
)
def test_a_chunk_that_is_another_one_by_its_own_account_is_a_failed_source(head):
    assert fetch(Copies(DATA, ("head", head), None), [(0, 9)]) == DATA[:10]


@pytest.mark.pitfall(55)
def test_content_is_unrecoverable_only_when_every_copy_is_gone():
    with pytest.raises(exc.UnrecoverableContent):
        fetch(Copies(DATA, 404, 404))
    for other in (503, OSError("refused"), green.ChunkReadTimeout()):
        with pytest.raises(exc.ServiceUnavailable):
            fetch(Copies(DATA, 404, other))


@pytest.mark.pitfall(59, 138)
@pytest.mark.parametrize(
    "trouble",
    [
        green.ConnectionTimeout(),
        ("error", 0, green.ChunkReadTimeout()),
        ("error", 70_000, green.ChunkReadTimeout()),
        ("error", 30_000, ConnectionResetError("reset")),
    ],
)
def test_only_exceptions_of_the_library_come_out_of_a_read(trouble):
    assert fetch(Copies(DATA, trouble, None)) == DATA
    with pytest.raises(exc.OioException):
        fetch(Copies(DATA, trouble, trouble))


@pytest.mark.pitfall(56)
def test_a_server_that_failed_is_asked_last_for_the_next_metachunks():
    copies = Copies(b"0123456789", OSError("down"), None)
    with at_the_seam(copies):
        data = b"".join(fetch_stream({n: copies.chunks() for n in range(3)}, None, PLAIN))
    assert data == b"0123456789" * 3
    assert [netloc for netloc, _ in copies.calls] == ["a", "b", "b", "b"]


@pytest.mark.pitfall(4)
def test_an_abandoned_stream_closes_its_connection():
    copies = Copies(DATA, None)
    with at_the_seam(copies):
        stream = fetch_stream({0: copies.chunks()}, None, PLAIN)
        next(stream)
        stream.close()
    assert copies.connections[0].closed


@pytest.mark.pitfall(64)
def test_a_spent_deadline_ends_the_read_and_names_the_server():
    with pytest.raises(exc.DeadlineReached, match="connecting to a"):
        fetch(Copies(DATA, None), deadline=monotonic_time() - 1)


@given(
    data=st.binary(min_size=1, max_size=500),
    cuts=st.lists(st.integers(0, 500), min_size=0, max_size=4),
    bounds=st.tuples(st.integers(0, 499), st.integers(0, 499)),
)
def test_whatever_is_cut_a_read_is_exact_as_long_as_one_copy_is_good(data, cuts, bounds):
    first, last = sorted(bounds)
    copies = Copies(data, *(("cut", cut) for cut in cuts), None)
    expected = data[first : last + 1]
    assert fetch(copies, [(first, last)]) == expected


# --- the reader itself ---


def reader(copies, buf_size=None, headers=None, **kwargs):
    return ChunkReader(copies.chunks(), buf_size, headers or {}, **kwargs)


def read_with(copies, chunk_reader):
    with at_the_seam(copies):
        return list(chunk_reader.stream())


def test_blocks_have_the_size_that_was_asked_for():
    copies = Copies(DATA, None)
    blocks = read_with(copies, reader(copies, 1000))
    assert {len(block) for block in blocks[:-1]} == {1000}
    assert b"".join(blocks) == DATA


@pytest.mark.pitfall(62)
def test_after_a_failure_blocks_keep_their_boundaries():
    copies = Copies(DATA, ("cut", 65_999), None)
    blocks = read_with(copies, reader(copies, 1000, {"Range": f"bytes=0-{len(DATA) - 1}"}))
    assert {len(block) for block in blocks[:-1]} == {1000}
    assert b"".join(blocks) == DATA
    assert copies.calls[1] == ("b", f"bytes=65000-{len(DATA) - 1}")


def test_aligned_blocks_begin_at_a_multiple_of_their_size():
    copies = Copies(DATA, None)
    blocks = read_with(copies, reader(copies, 512, {"Range": "bytes=10-4095"}, align=True))
    assert b"".join(blocks) == DATA[512:4096]


@pytest.mark.parametrize("cut", [0, 100, 502, 600])
def test_aligned_blocks_stay_aligned_after_two_failures(cut):
    copies = Copies(DATA, ("cut", cut), ("cut", 700), None)
    blocks = read_with(copies, reader(copies, 512, {"Range": "bytes=10-4095"}, align=True))
    assert b"".join(blocks) == DATA[512:4096]


def test_first_of_several_ranges_is_the_one_that_must_come():
    copies = Copies(DATA, "whole")
    with pytest.raises(exc.ClientException, match="range"):
        read_with(copies, reader(copies, headers={"Range": "bytes=0-9,20-29"}))


def test_answer_to_a_range_that_ends_before_it_starts_is_refused():
    copies = Copies(DATA, "whole")
    with pytest.raises(exc.ClientException, match=r"range.*9.*3"):
        read_with(copies, reader(copies, headers={"Range": "bytes=9-3"}))


def test_reader_knows_its_limits():
    chunk_reader = ChunkReader([], None, {}, connection_timeout=1.0, read_timeout=2.0, deadline=3.0)
    limits = chunk_reader.connection_timeout, chunk_reader.read_timeout, chunk_reader.deadline
    assert limits == (1.0, 2.0, 3.0)


def test_headers_and_status_are_there_before_the_data():
    copies = Copies(DATA, ("head", {"X-Test": "1"}))
    with at_the_seam(copies):
        chunk_reader = reader(copies, headers={"Range": "bytes=0-9", "X-oio-req-id": "R"})
        stream = chunk_reader.stream()
        assert chunk_reader.status == 206
        assert chunk_reader.headers["x-test"] == "1"
        assert chunk_reader.reqid == "R"
        stream.close()


@pytest.mark.pitfall(71)
def test_the_callers_headers_are_left_alone():
    copies = Copies(DATA, ("cut", 10), None)
    headers = {"Range": "bytes=0-99"}
    read_with(copies, reader(copies, headers=headers))
    assert headers == {"Range": "bytes=0-99"}


@pytest.mark.pitfall(47)
@pytest.mark.parametrize(
    ("before", "consumed", "after"),
    [
        (None, 10, "bytes=10-"),
        ("bytes=0-99", 64, "bytes=64-99"),
        ("bytes=5-", 10, "bytes=15-"),
        ("bytes=-20", 5, "bytes=-15"),
    ],
)
def test_recovering_asks_for_the_rest(before, consumed, after):
    chunk_reader = ChunkReader([], None, {"Range": before} if before else {})
    chunk_reader.recover(consumed)
    assert chunk_reader.request_headers["Range"] == after


@pytest.mark.parametrize("asked", ["bytes=0-99", "bytes=-100"])
def test_recovering_with_nothing_left_says_so(asked):
    with pytest.raises(exc.EmptyByteRange):
        ChunkReader([], None, {"Range": asked}).recover(100)
    with pytest.raises(exc.UnsatisfiableRange):
        ChunkReader([], None, {"Range": asked}).recover(101)


@pytest.mark.parametrize(
    ("troubles", "expected"),
    [
        ((404, 404), exc.NotFound),
        ((416, 416), exc.UnsatisfiableRange),
        ((404, 500), exc.ServiceUnavailable),
        ((OSError("x"), OSError("x")), exc.ClientException),
    ],
)
def test_when_no_candidate_serves_the_error_is_the_one_they_share(troubles, expected):
    copies = Copies(DATA, *troubles)
    with at_the_seam(copies), pytest.raises(expected):
        reader(copies).get_iter()


@pytest.mark.pitfall("E22")
def test_no_candidates_at_all():
    assert ChunkReader(None, None, {}).recover(5) is None
    with pytest.raises(exc.ServiceUnavailable, match="there is no chunk to read"):
        ChunkReader(None, None, {}).stream()


HUGE = bytes(65 << 20)
"""Is kept on disk."""


@pytest.mark.pitfall("B4")
def test_strict_read_without_a_place_for_temporary_files_is_told(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    with pytest.raises(exc.OioException, match=f"metachunk of {len(HUGE)} bytes .* TMPDIR") as caught:
        fetch(Copies(HUGE, None), [(0, 9)], verify_checksum="strict")
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    assert fetch(Copies(DATA, None), [(0, 9)], verify_checksum="strict") == DATA[:10]


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
from oio.common import exceptions as exc
from tests.unit.test_replicated_reads import HUGE, Copies, fetch
try:
    fetch(Copies(HUGE, None), [(0, 9)], verify_checksum="strict")
except exc.OioException as err:
    assert type(err) is exc.OioException
    print(err)
"""


@pytest.mark.pitfall("B4")
def test_strict_read_that_fills_the_disk_is_told():
    """No file may have more than a mebibyte."""
    found = subprocess.run([sys.executable, "-c", FULL], check=True, capture_output=True, text=True)
    assert "cannot be kept in a temporary file" in found.stdout
    assert found.stderr == ""


class Moments(Copies):
    """Servers whose troubles pass: each answer of one has the next trouble of its list, the others none."""

    def __call__(self, netloc, method, path, headers):
        mine = self.troubles[netloc]
        self.troubles[netloc] = mine.pop(0) if mine else None
        try:
            return super().__call__(netloc, method, path, headers)
        finally:
            self.troubles[netloc] = mine


RESET = ("error", 1000, ConnectionResetError("reset"))


@pytest.mark.pitfall("B9")
def test_each_copy_gets_a_second_try_after_the_others_from_the_exact_byte():
    copies = Moments(DATA, [RESET], [("cut", 500)], [ConnectionRefusedError("refused")])
    assert fetch(copies, [(10, 150_000)]) == DATA[10:150_001]
    assert copies.calls == [
        ("a", "bytes=10-150000"),
        ("b", "bytes=1010-150000"),
        ("c", "bytes=1510-150000"),
        ("a", "bytes=1510-150000"),
    ]


@pytest.mark.pitfall("B9")
def test_no_copy_gets_a_third_try():
    copies = Moments(DATA, [RESET] * 3, [RESET] * 3)
    with pytest.raises(exc.ServiceUnavailable) as caught:
        fetch(copies)
    assert [netloc for netloc, _ in copies.calls] == ["a", "b", "a", "b"]
    assert str(caught.value).count("http://a/") == 2


@pytest.mark.pitfall("B9")
@pytest.mark.parametrize(
    "trouble", [404, 503, "whole", green.ChunkReadTimeout(), ("head", {"x-oio-chunk-meta-chunk-size": "1"})]
)
def test_copies_that_refuse_or_keep_silent_get_no_second_try(trouble):
    copies = Moments(DATA, [trouble], [trouble])
    with pytest.raises((exc.ServiceUnavailable, exc.UnrecoverableContent)):
        fetch(copies, [(5, 9)])
    assert len(copies.calls) == 2


def test_helpers_of_iterators():
    assert [discard_bytes(512, start) for start in (0, 10, 1800)] == [0, 502, 248]
    assert chain(iter([b"", None])) == []
    assert b"".join(iters_to_raw_body(iter([{"iter": iter([b"a", b"b"])}]))) == b"ab"
    assert list(iters_to_raw_body(iter([]))) == []
    rest = iter([1, 2])
    consume(rest)
    assert next(rest, None) is None


def test_a_response_with_several_parts_is_refused():
    response = FakeResponse(206, headers={"Content-Type": "multipart/byteranges; boundary=x"})
    with pytest.raises(ValueError, match="parts"):
        make_iter_from_resp(response)


def test_blocks_grow_while_they_come_quickly_and_no_further_than_a_mib():
    data = bytes(2_000_000)
    response = FakeResponse(200, data)
    with at_the_seam(lambda *_: FakeConnection(response)):
        stream = ChunkReader([{"url": "http://a/AA"}], None, {}).stream()
        sizes = [len(block) for block in stream if block]
    assert sum(sizes) == len(data)
    assert sizes[0] == 65536
    assert max(sizes) == 1048576


def test_a_source_that_is_slow_for_its_time_limit_is_asked_for_little_at_a_time():
    response = FakeResponse(200, bytes(1_000_000))
    with at_the_seam(lambda *_: FakeConnection(response)):
        # A hundredth of this limit is less than any read takes.
        stream = ChunkReader([{"url": "http://a/AA"}], None, {}, read_timeout=1e-7).stream()
        assert {len(block) for block in stream if block} <= {65536, 1_000_000 % 65536}


class Telling(Copies):
    """Chunk servers that tell a checksum, right or wrong."""

    def __init__(self, digest, *troubles):
        super().__init__(DATA, *troubles or (None,))
        self.digest = digest

    def _response(self, trouble, asked):
        found = super()._response(trouble, asked)
        found._headers["x-oio-chunk-meta-chunk-hash"] = self.digest
        return found


RIGHT, WRONG = hashlib.md5(DATA).hexdigest().upper(), "0" * 31 + "1"
WHOLE = {"Range": f"bytes=0-{len(DATA) - 1}"}


def read_verified(copies, size=None, headers=None, verify_checksum=True):
    return b"".join(read_with(copies, reader(copies, size, headers, verify_checksum=verify_checksum)))


@pytest.mark.parametrize("size", [None, 1000])
@pytest.mark.parametrize("headers", [{}, WHOLE])
def test_reader_verifies_the_chunk_that_it_reads_whole(size, headers):
    assert read_verified(Telling(RIGHT), size, headers) == DATA
    # Two copies gave it.
    assert read_verified(Telling(RIGHT, ("cut", len(DATA) // 2), None), size, headers) == DATA
    wrong = Telling(WRONG)
    given: list[bytes] = []
    with at_the_seam(wrong), pytest.raises(exc.CorruptedChunk, match=rf"http://a/0.*not {WRONG}"):
        given.extend(reader(wrong, size, headers, verify_checksum=True).stream())
    # The last block is held back.
    assert sum(map(len, given)) < len(DATA)
    assert wrong.connections[0].closed


@pytest.mark.parametrize(
    ("digest", "headers", "verify"),
    [(WRONG, {"Range": "bytes=1-99"}, True), (WRONG, {}, False), (None, {}, True)],
)
def test_reader_verifies_no_part_and_nothing_without_a_checksum(digest, headers, verify):
    expected = DATA[1:100] if headers else DATA
    assert read_verified(Telling(digest), None, headers, verify) == expected


def test_reader_verifies_nothing_unless_it_is_told_to():
    copies = Telling(WRONG)
    assert b"".join(read_with(copies, reader(copies))) == DATA


def test_verifying_reader_that_is_left_before_its_first_block_leaves_no_connection():
    copies = Telling(RIGHT)
    with at_the_seam(copies):
        reader(copies, verify_checksum=True).stream().close()
    assert copies.connections[0].closed


def test_strict_reader_refuses_a_checksum_that_it_cannot_compute():
    copies = Telling("abc")
    with pytest.raises(exc.ChecksumUnavailable):
        read_verified(copies, verify_checksum="strict")
    assert copies.connections[0].closed
