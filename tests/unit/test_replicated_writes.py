# SPDX-License-Identifier: Apache-2.0
"""Replicated uploads against fake chunk servers, put at the seam that applications use."""

from __future__ import annotations

import hashlib
import io as stdio
from types import SimpleNamespace

import pytest

from oio.api import io
from oio.api.replication import FakeChecksum, ReplicatedMetachunkWriter, ReplicatedWriteHandler
from oio.blob.sender import PUT_QUEUE_DEPTH
from oio.common import exceptions as exc
from oio.common import green
from oio.common.deadlines import monotonic_time
from oio.common.generator_io import GeneratorIO
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.fakes import (
    SYSMETA,
    FakeConnection,
    FakeResponse,
    at_the_seam,
    chunks_on,
    counted_md5,
    network,
    stored,
)

THREE = STORAGE_METHODS.load("plain/nb_copy=3")


def write(data=b"some data", hosts=("a", "b", "c"), **kwargs):
    chunks = chunks_on(*hosts)
    checksum = hashlib.md5()
    writer = ReplicatedMetachunkWriter(SYSMETA, chunks, checksum, THREE, **kwargs)
    source = data if hasattr(data, "read") else stdio.BytesIO(data)
    return writer.stream(source, None), chunks, checksum


def test_every_copy_gets_the_data_and_the_metadata():
    with network(a=stored, b=stored, c=stored) as net:
        (size, digest, written), chunks, checksum = write()
    assert (size, digest) == (9, hashlib.md5(b"some data").hexdigest())
    assert checksum.hexdigest() == digest
    assert written == chunks
    for number, (netloc, method, path, headers) in enumerate(net.calls):
        assert (method, path) == ("PUT", f"/{number:064X}")
        assert net.connections[netloc].body == b"some data"
        assert net.connections[netloc].sent.endswith(b"0\r\n\r\n")
        assert headers["transfer-encoding"] == "chunked"
        assert headers["x-oio-chunk-meta-chunk-id"] == f"{number:064X}"
        assert headers["x-oio-chunk-meta-chunk-pos"] == "0"
        assert headers["x-oio-chunk-meta-full-path"] == SYSMETA["full_path"]


@pytest.mark.pitfall(19)
def test_no_trailer_is_announced_since_none_is_sent():
    with network(a=stored, b=stored, c=stored) as net:
        write(chunk_checksum_algo=None)
    assert not any(name.lower() == "trailer" for call in net.calls for name in call[3])


@pytest.mark.pitfall(21, 20)
def test_with_quorum_the_upload_succeeds_and_lists_only_good_chunks_once():
    with network(a=stored, b=OSError("refused"), c=stored):
        (_, _, written), chunks, _ = write()
    assert [chunk["url"] for chunk in written] == [chunks[0]["url"], chunks[2]["url"]]
    assert "refused" in str(chunks[1]["error"])
    assert not chunks[1].get("maybe_stored")


@pytest.mark.pitfall(25, "E23")
@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError("refused"), exc.ServiceBusy),
        (FakeResponse(500), exc.ServiceBusy),
        (FakeResponse(409), exc.Conflict),
        (green.ConnectionTimeout(), exc.OioTimeout),
        (green.ChunkWriteTimeout(), exc.OioTimeout),
        (Exception("anything"), exc.ServiceBusy),
    ],
)
def test_without_quorum_the_error_has_the_class_of_the_failures(failure, expected):
    with network(a=stored, b=failure, c=failure) as net, pytest.raises(expected) as caught:
        write()
    assert "quorum not reached (1/2)" in str(caught.value)
    assert "http://b/" in str(caught.value)
    assert "http://c/" in str(caught.value)
    # Those that succeeded are a group of their own.
    assert "success: ['http://a/" in str(caught.value)
    assert all(connection.closed for connection in net.connections.values())


@pytest.mark.pitfall(26)
def test_a_conflict_explains_more_than_the_timeout_of_another():
    with network(a=stored, b=green.ChunkWriteTimeout(), c=FakeResponse(409)), pytest.raises(exc.Conflict):
        write()


@pytest.mark.pitfall(25)
def test_an_error_of_the_source_explains_more_than_a_conflict():
    writer = io.MetachunkWriter(quorum=2)
    source, conflict = {"url": "u", "error": exc.SourceReadError("disk")}, {"url": "v", "error": "HTTP 409"}
    with pytest.raises(exc.SourceReadError):
        writer.quorum_or_fail([], [conflict, source])


def test_a_writer_that_cannot_know_its_quorum_is_refused():
    with pytest.raises(ValueError, match="quorum"):
        io.MetachunkWriter()


def test_quorum_is_checked_before_anything_is_taken_from_the_source():
    class Untouchable:
        def read(self, _size):
            raise AssertionError("read")

    with network(a=stored, b=OSError("no"), c=OSError("no")), pytest.raises(exc.ServiceBusy):
        write(Untouchable())


@pytest.mark.pitfall(22)
def test_a_chunk_server_that_got_another_size_has_failed():
    short = FakeResponse(201, headers={"x-oio-chunk-meta-chunk-size": "3"})
    with network(a=stored, b=short, c=stored):
        (_, _, written), chunks, _ = write()
    assert len(written) == 2
    assert "size mismatch" in str(chunks[1]["error"])
    assert chunks[1]["maybe_stored"]


@pytest.mark.pitfall(22, 23)
def test_a_chunk_server_that_computed_another_checksum_has_failed():
    wrong = FakeResponse(201, headers={"x-oio-chunk-meta-chunk-hash": "0" * 31 + "1"})
    with network(a=stored, b=wrong, c=stored):
        (_, _, written), chunks, _ = write()
    assert len(written) == 2
    assert "checksum mismatch" in str(chunks[1]["error"])


@pytest.mark.pitfall(23)
def test_a_chunk_server_that_computed_no_checksum_is_trusted():
    with network(a=stored, b=FakeResponse(201), c=stored):
        (_, digest, written), _, _ = write()
    assert [chunk["hash"] for chunk in written] == [digest] * 3


def test_without_a_checksum_of_ours_the_servers_must_agree():
    odd = FakeResponse(201, headers={"x-oio-chunk-meta-chunk-hash": "0" * 31 + "1"})
    with network(a=odd, b=stored, c=stored):
        (_, digest, written), chunks, _ = write(chunk_checksum_algo=None)
    assert digest == hashlib.md5(b"some data").hexdigest()
    assert written == chunks[1:]


@pytest.mark.pitfall(30)
def test_a_chunk_that_existed_already_is_not_ours_to_delete():
    with network(a=stored, b=FakeResponse(409), c=stored):
        _, chunks, _ = write()
    assert [bool(chunk["maybe_stored"]) for chunk in chunks] == [True, False, True]


def test_a_chunk_whose_answer_was_lost_may_be_stored():
    lost = lambda _connection: ConnectionResetError("gone")  # noqa: E731
    with network(a=stored, b=lost, c=stored):
        _, chunks, _ = write()
    assert chunks[1]["error"]
    assert chunks[1]["maybe_stored"]


@pytest.mark.pitfall(8, 39)
@pytest.mark.parametrize("error", [OSError("disk"), ValueError("closed file"), StopIteration()])
def test_a_source_that_raises_is_a_source_error_and_closes_every_connection(error):
    class Broken:
        def read(self, _size):
            raise error

    with network(a=stored, b=stored, c=stored) as net, pytest.raises(exc.SourceReadError) as caught:
        write(Broken())
    assert caught.value.__cause__ is error
    assert all(connection.closed for connection in net.connections.values())
    assert not any(connection.sent for connection in net.connections.values())


@pytest.mark.pitfall(39, 59)
def test_a_source_that_gives_nothing_is_a_timeout_of_the_source():
    class Slow:
        def read(self, _size):
            green.sleep(60)

    with network(a=stored, b=stored, c=stored), pytest.raises(exc.SourceReadTimeout):
        write(Slow(), read_timeout=0.01)


@pytest.mark.pitfall(15, 16)
def test_a_chunk_server_that_takes_nothing_does_not_stop_the_others():
    with network(a=stored, b=stored, c=stored) as net:
        real = net.__call__

        def connect(netloc, method, path, headers):
            connection = real(netloc, method, path, headers)
            if netloc == "b":
                connection.send = lambda _data: green.sleep(60)
            return connection

        io.http_connect = connect
        data = b"x" * 5_000_000
        (size, _, written), chunks, _ = write(data, write_timeout=0.05)
    assert size == len(data)
    assert [chunk["url"] for chunk in written] == [chunks[0]["url"], chunks[2]["url"]]
    assert "timeout" in str(chunks[1]["error"])


@pytest.mark.pitfall(18, 10)
def test_a_failure_at_the_end_of_the_body_concerns_one_chunk_only():
    with network(a=stored, b=stored, c=stored) as net:
        real = net.__call__

        def connect(netloc, method, path, headers):
            connection = real(netloc, method, path, headers)
            if netloc == "c":
                send = connection.send

                def failing(data):
                    if data.endswith(b"0\r\n\r\n"):
                        raise BrokenPipeError("gone")
                    send(data)

                connection.send = failing
            return connection

        io.http_connect = connect
        (_, _, written), chunks, _ = write()
    assert written == chunks[:2]
    assert net.connections["c"].closed


@pytest.mark.pitfall(17)
def test_the_end_of_the_body_comes_after_the_last_block():
    with network(a=stored, b=stored, c=stored) as net:
        write(b"x" * 1_000_000)
    for connection in net.connections.values():
        assert connection.body == b"x" * 1_000_000
        assert connection.sent.count(b"0\r\n\r\n") == 1


def handler(source, prepared, **kwargs):
    return ReplicatedWriteHandler(source, SYSMETA, prepared, THREE, **kwargs)


def two_metachunks():
    first = chunks_on("a", "b", "c")
    second = [{**chunk, "pos": "1"} for chunk in chunks_on("d", "e", "f")]
    return {1: second, 0: first}


ALL = dict.fromkeys("abcdef", stored)


def test_an_object_is_cut_in_metachunks_in_the_order_of_their_positions():
    data = bytes(range(150))
    with network(**ALL) as net:
        chunks, size, digest = handler(stdio.BytesIO(data), two_metachunks()).stream()
    assert size == 150
    assert digest == hashlib.md5(data).hexdigest()
    assert [chunk["pos"] for chunk in chunks] == ["0"] * 3 + ["1"] * 3
    assert [chunk["size"] for chunk in chunks] == [100] * 3 + [50] * 3
    assert chunks[0]["hash"] == hashlib.md5(data[:100]).hexdigest()
    assert chunks[3]["hash"] == hashlib.md5(data[100:]).hexdigest()
    assert net.connections["d"].body == data[100:]


@pytest.mark.parametrize(("size", "metachunks"), [(0, 1), (99, 1), (100, 1), (101, 2), (200, 2)])
@pytest.mark.pitfall(35)
def test_a_metachunk_is_only_begun_when_something_is_left(size, metachunks):
    with network(**ALL) as net:
        chunks, written, _ = handler(stdio.BytesIO(b"x" * size), two_metachunks(), perfdata={}).stream()
    assert written == size
    assert len(chunks) == len(net.calls) == 3 * metachunks


def test_more_data_than_prepared_metachunks_is_an_error_not_a_short_object():
    with network(**ALL), pytest.raises(exc.OioException, match="more than the 200 bytes"):
        handler(stdio.BytesIO(b"x" * 201), two_metachunks()).stream()


@pytest.mark.pitfall(136)
def test_nothing_is_hashed_twice_in_the_first_metachunk(monkeypatch):
    made = counted_md5(monkeypatch)
    with network(**ALL):
        handler(stdio.BytesIO(b"x" * 150), two_metachunks()).stream()
    assert made == ["md5", "md5"]


@pytest.mark.pitfall(38)
def test_the_callers_file_is_left_open():
    source = stdio.BytesIO(b"some data")
    with network(**ALL) as net:
        handler(source, two_metachunks()).stream()
    assert net.connections["a"].body == b"some data"
    assert not source.closed


@pytest.mark.pitfall("A3")
def test_text_is_refused():
    with (
        network(**ALL) as net,
        pytest.raises(TypeError, match="source must be opened in binary mode"),
    ):
        handler(stdio.StringIO("déjà"), two_metachunks()).stream()
    assert not any(connection.sent for connection in net.connections.values())


@pytest.mark.pitfall(64, 27)
def test_a_spent_deadline_says_what_it_was_spent_on():
    class Slow:
        def read(self, _size):
            green.sleep(60)

    late = monotonic_time() + 0.02
    with network(**ALL), pytest.raises(exc.OioException) as caught:
        handler(Slow(), two_metachunks(), deadline=late).stream()
    assert isinstance(caught.value, (exc.DeadlineReached, exc.SourceReadTimeout))


@pytest.mark.parametrize("kind", ["file", "generator"])
def test_source_that_comes_drop_by_drop_ends_with_the_deadline(kind):
    late = monotonic_time() + 0.1
    drops = []

    def drip(_size=1):
        drops.append(b"x")
        while len(drops) == 3 and monotonic_time() < late:
            pass
        return b"x"

    source = SimpleNamespace(read=drip) if kind == "file" else GeneratorIO(iter(drip, None))
    with (
        network(a=stored, b=stored, c=stored),
        pytest.raises(exc.DeadlineReached, match="reading from the source"),
    ):
        handler(source, {"0": chunks_on("a", "b", "c")}, deadline=late).stream()
    assert len(drops) == 3


def test_timeouts_come_from_the_caller_or_from_the_deadline_or_by_default(monkeypatch):
    source = stdio.BytesIO()
    assert handler(source, {}).read_timeout == io.CLIENT_TIMEOUT
    assert handler(source, {}).write_timeout == io.CHUNK_TIMEOUT
    assert handler(source, {}, read_timeout=3.0).read_timeout == 3.0
    soon = monotonic_time() + 5
    assert 0 < handler(source, {}, deadline=soon).write_timeout <= 5
    with pytest.raises(exc.DeadlineReached):
        _ = handler(source, {}, deadline=soon - 10).read_timeout


def test_the_performance_data_tell_the_time_spent_with_each_chunk_server():
    perfdata = {}
    with network(a=stored, b=stored, c=stored):
        _, chunks, _ = write(perfdata=perfdata)
    figures = perfdata["rawx"]
    for chunk in chunks:
        for phase in ("connect", "upload", "upload_finish"):
            assert figures[f"{phase}.{chunk['url']}"] >= 0
    assert figures["overall"] > 0


def test_a_fake_checksum_says_what_it_was_told():
    checksum = FakeChecksum("6bf6")
    checksum.update(b"data")
    assert checksum.hexdigest() == "6bf6"


@pytest.mark.pitfall(8)
def test_upload_that_is_killed_while_it_connects_closes_what_it_has_opened():
    opened = FakeConnection(stored)
    asked = []

    def connect(netloc, *_args):
        asked.append(netloc)
        return green.sleep(3600) if netloc == "b" else opened

    with at_the_seam(connect):
        upload = green.greenthread.spawn(write)
        while len(asked) < 3:
            green.sleep(0)
        upload.kill()
        with pytest.raises(green.greenthread.greenlet.GreenletExit):
            upload.wait()
    assert opened.closed == 2


def test_server_that_answers_before_the_writer_runs_again_is_believed():
    # The end of the body waits while the queue is full, and its answer is there before the writer is woken.
    data = b"x" * (PUT_QUEUE_DEPTH * 32768 + 100)
    with network(a=stored, b=stored, c=stored):
        (size, _, written), _, _ = write(data, chunk_buffer_min=32768, chunk_buffer_max=32768)
    assert (size, len(written)) == (len(data), 3)
