# SPDX-License-Identifier: Apache-2.0
"""Erasure-coded writes to fake chunk servers: fragments, trailers, quorum."""

from __future__ import annotations

import hashlib
import io as stdio
from unittest.mock import Mock, patch

import pytest

from oio.api.ec import EcChunkWriter, EcMetachunkWriter, ECWriteHandler
from oio.common import exceptions as exc
from oio.common import green
from tests.kit import fakes
from tests.kit.ec_fakes import DATA, EC, encoded
from tests.kit.fakes import FakeResponse, counted_md5, network, stored

SYSMETA = {
    **fakes.SYSMETA,
    "chunk_method": "ec/algo=liberasurecode_rs_vand,k=6,m=3",
    "policy": "EC",
    "chunk_size": 1000,
}


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
    made = counted_md5(monkeypatch)
    write()
    assert len(made) == 10
    made.clear()
    write(chunk_checksum_algo=None)
    assert len(made) == 1


@pytest.mark.parametrize(("algorithm", "made"), [("md5", 10), (None, 1)])
def test_checksums_can_be_counted_where_applications_replace_their_constructor(algorithm, made):
    with patch("hashlib.new", wraps=hashlib.new) as new:
        write(chunk_checksum_algo=algorithm)
    assert [call.args for call in new.call_args_list] == [("md5",)] * made


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


@pytest.mark.parametrize("stored_count", [0, 1, 5])
def test_however_many_chunks_are_lost_the_write_fails(stored_count):
    lost = {f"h{n}": FakeResponse(500) for n in range(stored_count, 9)}
    with pytest.raises(exc.ServiceBusy, match=rf"quorum not reached \({stored_count}/7\)"):
        write(replies=answers(**lost))


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


def write_one(chunk, reply):
    """Write a chunk step by step."""
    with network(h0=reply) as net, green.ContextPool() as pool:
        writer = EcChunkWriter.connect(chunk, SYSMETA, reqid="R", connection_timeout=1, write_timeout=1)
        writer.start(pool)
        for data in (b"abc", b"", b"def"):
            writer.send(data)
        writer.wait()
        return writer, writer.finish(6, "AA"), net


def test_a_single_chunk_is_written_step_by_step():
    chunk = {"url": "http://h0/0A", "pos": "0.0"}
    writer, failed, net = write_one(chunk, stored)
    assert (failed, writer.failed, writer.bytes_transferred) == (None, False, 6)
    assert writer.getresponse().status == 201
    assert writer.chunk is chunk
    assert chunk["maybe_stored"] is True
    assert net.connections["h0"].body == b"abcdef"
    assert net.connections["h0"].trailers == {
        "x-oio-chunk-meta-metachunk-size": "6",
        "x-oio-chunk-meta-metachunk-hash": "AA",
        "x-oio-chunk-meta-chunk-hash": writer.checksum.hexdigest(),
    }
    assert net.calls[0][3]["x-oio-req-id"] == "R"


def test_a_single_chunk_that_cannot_be_sent_is_told_by_finish():
    chunk = {"url": "http://h0/0A", "pos": "0.0"}

    class Broken:
        def send(self, _data):
            raise OSError("reset")

        def close(self):
            pass

    writer = EcChunkWriter(chunk, Broken(), write_timeout=1)
    with green.ContextPool() as pool:
        writer.start(pool)
        writer.send(b"abc")
        writer.wait()
        assert writer.finish(3, "AA") is chunk
    assert (writer.failed, writer.conn, chunk["error"]) == (True, None, "write: reset")
    assert "maybe_stored" not in chunk


def test_a_chunk_without_an_index_is_refused():
    with pytest.raises(ValueError, match="'0' has no index"):
        EcMetachunkWriter(SYSMETA, [{"url": "http://h0/0A", "pos": "0"}], hashlib.md5(), EC)


@pytest.mark.parametrize("begun", [False, True])
def test_a_single_chunk_can_be_given_up_by_its_owner(begun):
    chunk = {"url": "http://h0/0A", "pos": "0.0"}
    with network(h0=stored) as net, green.ContextPool() as pool:
        writer = EcChunkWriter.connect(chunk, SYSMETA)
        writer.start(pool)
        if begun:
            writer.send(b"abc")
            green.eventlet_yield()
        writer.failed = True
        writer.send(b"def")
        writer.wait()
        assert writer.finish(6, "AA") is chunk
    assert (writer.failed, writer.conn, chunk["error"]) == (True, None, "write: given up")
    assert (net.connections["h0"].body, net.connections["h0"].closed) == (b"abc" * begun, 1)


def test_a_chunk_that_is_lost_stays_lost():
    writer = EcChunkWriter({"url": "http://h0/0A", "pos": "0.0"}, Mock())
    writer.failed = False
    assert not writer.failed
    writer.failed = True
    with pytest.raises(ValueError, match="failed: a chunk that is lost stays lost: http://h0/0A"):
        writer.failed = False


def test_what_waits_to_be_sent_can_be_seen():
    writer = EcChunkWriter({"url": "http://h0/0A", "pos": "0.0"}, Mock())
    writer.send(b"abc")
    writer.send(b"")
    assert writer.queue.qsize() == 1


def test_fragments_count_once_in_the_checksum_whoever_adds_them():
    with network(h0=stored) as net, green.ContextPool() as pool:
        writer = EcChunkWriter.connect({"url": "http://h0/0A", "pos": "0.0"}, SYSMETA)
        checksum = writer.checksum
        writer.start(pool)
        for data in (b"abc", b"def"):
            checksum.update(data)
            writer.send(data)
        writer.wait()
        writer.finish(6, "AA")
    expected = hashlib.md5(b"abcdef").hexdigest()
    assert checksum.hexdigest() == writer.checksum.hexdigest() == expected
    assert net.connections["h0"].trailers["x-oio-chunk-meta-chunk-hash"] == expected
    assert (
        EcChunkWriter({"url": "http://h0/0A", "pos": "0.0"}, Mock(), chunk_checksum_algo=None).checksum
        is None
    )
