# SPDX-License-Identifier: Apache-2.0
"""Readers and writers that programs derive from ours, or drive step by step."""

from __future__ import annotations

import contextlib
import hashlib
import io as streams
import tempfile
from unittest.mock import Mock

import pytest

from oio.api.ec import EcMetachunkWriter
from oio.api.io import ChunkReader, MetachunkLinker, MetachunkWriter, WriteHandler
from oio.api.replication import ReplicatedMetachunkWriter, ReplicatedWriteHandler
from oio.blob.client import BlobClient
from oio.common import exceptions as exc
from oio.common.generator_io import GeneratorIO
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.ec_fakes import EC
from tests.kit.fakes import SYSMETA, FakeConnection, FakeResponse, at_the_seam, chunks_on, network, stored

PLAIN = STORAGE_METHODS.load("plain/nb_copy=3")
BODY = bytes(range(100))


def served(_netloc, _method, _path, headers):
    """Serve the rest of 100 bytes, but only 60 from the first one on: then the connection is lost."""
    first, _, last = headers.get("Range", "bytes=0-99").removeprefix("bytes=").partition("-")
    data = BODY[int(first) : int(last or 99) + 1]
    cut = OSError("cut") if first == "0" else None
    told = {"Content-Length": len(data), "Content-Range": f"bytes {first}-{last or 99}/100"}
    return FakeConnection(
        FakeResponse(206 if "Range" in headers else 200, data[:60] if cut else data, told, cut)
    )


def streamed(reader):
    return b"".join(reader.stream())


def in_parts(reader):
    return b"".join(b"".join(part["iter"]) for part in reader.get_iter())


class Inverting(ChunkReader):
    def iter_from_resp(self, source, parts_iter, part, chunk):
        assert (part.status, chunk.url) == (source.status, chunks_on("a")[0]["url"])
        for block in super().iter_from_resp(source, parts_iter, part, chunk):
            yield bytes(255 - byte for byte in block)


@pytest.mark.parametrize("read", [streamed, in_parts])
def test_reader_may_change_the_data_of_its_parts(read):
    with at_the_seam(served):
        data = read(Inverting(chunks_on("a"), None, {"Range": "bytes=1-99"}))
    assert data == bytes(255 - byte for byte in BODY[1:])


class Watching(ChunkReader):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.steps = []

    def get_next_part(self, parts_iter):
        part = super().get_next_part(parts_iter)
        self.steps.append(("part", *part[:3]))
        return part

    def fill_ranges(self, start, end, length):
        self.steps.append(("range", start, end, length))
        super().fill_ranges(start, end, length)

    def recover(self, nb_bytes):
        self.steps.append(("recover", nb_bytes))
        super().recover(nb_bytes)


@pytest.mark.parametrize("read", [streamed, in_parts])
def test_reader_may_watch_its_steps(read):
    with at_the_seam(served):
        reader = Watching(chunks_on("a", "b"), None, {"Range": "bytes=0-99"})
        assert read(reader) == BODY
    assert reader.steps == [
        ("part", 0, 99, 100),
        ("range", 0, 99, 100),
        ("recover", 60),
        ("range", 60, 99, 100),
    ]


def test_reader_without_parts_has_no_data_and_leaves_no_connection():
    class Empty(ChunkReader):
        def get_next_part(self, parts_iter):
            return None

    connection = served("a", "GET", "/", {})
    with at_the_seam(lambda *_args: connection):
        assert list(Empty(chunks_on("a"), None, {}).stream()) == []
    assert connection.closed


def test_reader_needs_no_headers():
    with at_the_seam(served):
        assert streamed(ChunkReader(chunks_on("a", "b"), None, None)) == BODY


# --- writing -----------------------------------------------------------------------------------------


class Trickling:
    """An object with no more than a ``read``, which gives less than it is asked for, or more."""

    def __init__(self, data):
        self.blocks = [data[at : at + 7] for at in range(0, len(data), 7)]

    def read(self, _size):
        return self.blocks.pop(0) if self.blocks else b""


def regular_file(data):
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the test closes it
    file.write(data)
    file.seek(0)
    return file


SOURCES = [streams.BytesIO, Trickling, regular_file, lambda data: GeneratorIO(iter([data[:9], data[9:]]))]


@pytest.fixture(params=SOURCES, ids=["memory", "trickling", "file", "generator"])
def source(request):
    """A source of 100 bytes."""
    made = request.param(BODY)
    yield made
    if hasattr(made, "close"):
        made.close()


def handler(source, **kwargs):
    return WriteHandler(source, SYSMETA, {}, PLAIN, **kwargs)


def test_subclass_may_look_ahead_in_the_source(source):
    ours = handler(source).source
    assert ours.peek()[:1] == BODY[:1]
    assert ours.peek(20)[:20] == ours.peek(20)[:20] == BODY[:20]
    assert (ours.read(30), ours.peek()[:1], ours.read(0)) == (BODY[:30], BODY[30:31], b"")
    assert ours.peek(1000) == ours.read() == BODY[30:]
    assert (ours.peek(), ours.read(), ours.read(5), ours.peek(5)) == (b"", b"", b"", b"")


def test_bytes_that_were_looked_at_are_written(source):
    with network(a=stored, b=stored, c=stored) as net:
        ours = ReplicatedWriteHandler(source, SYSMETA, {0: chunks_on("a", "b", "c")}, PLAIN)
        assert len(ours.source.peek(50)) >= 50
        assert ours.stream()[1:] == (100, hashlib.md5(BODY).hexdigest())
    assert {connection.body for connection in net.connections.values()} == {BODY}


def test_look_into_a_source_that_fails_is_an_error_of_the_source():
    closed = streams.BytesIO(BODY)
    closed.close()
    for broken in (closed, Mock(read=Mock(side_effect=OSError("disk")))):
        with pytest.raises(exc.SourceReadError):
            handler(broken).source.peek()


def test_look_into_a_source_that_is_silent_ends_in_time():
    silent = Mock(spec=["read"], read=Mock(return_value=None))
    with pytest.raises(exc.SourceReadTimeout):
        handler(silent, read_timeout=0.01).source.peek()


@pytest.mark.parametrize("wrong", [None, b"data", object()])
def test_source_that_cannot_be_read_is_refused_at_once(wrong):
    with pytest.raises(TypeError, match=f"source must be a file, not {type(wrong).__name__}"):
        handler(wrong)


class OwnLoop(WriteHandler):
    """A write loop of the program's own, over the published writers of metachunks."""

    writer: type[ReplicatedMetachunkWriter] | type[EcMetachunkWriter]

    def stream(self):
        checksum, stored, total = hashlib.md5(), [], 0
        for chunks in self.chunk_prep():
            writer = self.writer(
                self.sysmeta,
                chunks,
                checksum,
                self.storage_method,
                connection_timeout=self.connection_timeout,
                write_timeout=self.write_timeout,
                read_timeout=self.read_timeout,
                headers=self.headers,
            )
            size, _, written = writer.stream(self.source, 40)
            stored += written
            total += size
            if size < 40 or not self.source.peek():
                break
        return stored, total, checksum.hexdigest()


@pytest.mark.parametrize(("size", "metachunks"), [(100, [40, 40, 20]), (80, [40, 40]), (0, [0])])
@pytest.mark.parametrize(("writer", "method"), [(ReplicatedMetachunkWriter, PLAIN), (EcMetachunkWriter, EC)])
@pytest.mark.parametrize("make", SOURCES)
def test_program_may_have_its_own_write_loop(make, writer, method, size, metachunks):
    OwnLoop.writer = writer
    count = method.expected_chunks
    hosts = [f"h{index}" for index in range(count)]
    prepared = {
        pos: [
            {"url": f"http://{host}/{pos}{index}", "pos": f"{pos}.{index}" if method.ec else str(pos)}
            for index, host in enumerate(hosts)
        ]
        for pos in range(4)
    }
    source = make(BODY[:size])
    with contextlib.ExitStack() as closing:
        closing.callback(getattr(source, "close", int))
        closing.enter_context(network(**dict.fromkeys(hosts, stored)))
        chunks, total, checksum = OwnLoop(source, SYSMETA, prepared, method).stream()
    assert (total, checksum) == (size, hashlib.md5(BODY[:size]).hexdigest())
    assert [chunk["size"] for chunk in chunks] == [n for n in metachunks for _ in range(count)]


class Strict(MetachunkWriter):
    """Demands all chunks."""

    def quorum_or_fail(self, successes, failures):
        super().quorum_or_fail(successes, failures)
        if failures:
            raise exc.ServiceBusy(message=f"{len(successes)} stored, {[c['url'] for c in failures]} lost")


@pytest.mark.parametrize(("writer", "method"), [(ReplicatedMetachunkWriter, PLAIN), (EcMetachunkWriter, EC)])
def test_writer_may_demand_more_than_the_quorum(writer, method):
    class Own(Strict, writer):
        pass

    count = method.expected_chunks
    for last in (stored, FakeResponse(500)):
        chunks = [{"url": f"http://h{n}/{n}", "pos": f"0.{n}" if method.ec else "0"} for n in range(count)]
        answers = {**{f"h{n}": stored for n in range(count)}, f"h{count - 1}": last}
        ours = Own(SYSMETA, chunks, hashlib.md5(), method)
        with network(**answers):
            if last is stored:
                assert len(ours.stream(streams.BytesIO(BODY), 100)[2]) == count
            else:
                with pytest.raises(exc.ServiceBusy, match=f"{count - 1} stored, .*{chunks[-1]['url']}"):
                    ours.stream(streams.BytesIO(BODY), 100)


def test_linker_may_demand_more_than_the_quorum():
    class Own(Strict, MetachunkLinker):
        pass

    targets = chunks_on("a", "b", "c")
    client = Mock(spec=BlobClient)
    client.chunk_link.side_effect = [(None, "http://a/A"), (None, "http://b/B"), exc.ServiceUnavailable(503)]
    with pytest.raises(exc.ServiceBusy, match="2 stored"):
        Own(SYSMETA, targets, PLAIN, client).link()


def test_options_of_a_call_can_be_handed_to_a_writer():
    given = {
        "read_timeout": 3,
        "chunk_buffer_min": 10,
        "reqid": "R",
        "obj_name": "o",
        "mime_type": "text/css",
    }
    kept = MetachunkWriter.filter_kwargs(given)
    assert kept == {"read_timeout": 3, "chunk_buffer_min": 10, "reqid": "R"}
    writer = ReplicatedMetachunkWriter(SYSMETA, [], hashlib.md5(), PLAIN, **kept)
    assert (writer.reqid, writer.buffer_size(), writer.filter_kwargs(given)) == ("R", 10, kept)


@pytest.mark.parametrize("wrong", [None, [chunks_on("a")]])
def test_metachunks_that_cannot_be_asked_for_are_refused_at_once(wrong):
    with pytest.raises(
        TypeError, match=f"chunk_preparer must be a function or a dict, not {type(wrong).__name__}"
    ):
        WriteHandler(streams.BytesIO(), SYSMETA, wrong, PLAIN)


def test_metachunk_of_fewer_chunks_than_the_quorum_is_told():
    writer = ReplicatedMetachunkWriter(SYSMETA, chunks_on("a"), hashlib.md5(), PLAIN)
    with network(a=stored), pytest.raises(exc.ServiceBusy, match=r"\(1/2\): there are no other chunks"):
        writer.stream(streams.BytesIO(BODY), 100)
