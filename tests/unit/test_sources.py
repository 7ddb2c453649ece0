# SPDX-License-Identifier: Apache-2.0
"""Sources of uploads, whatever writes them."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import time
from types import SimpleNamespace

import pytest

from oio.api.backblaze import BackblazeChunkWriteHandler, BackblazeWriteHandler
from oio.api.ec import EcMetachunkWriter, ECWriteHandler
from oio.api.io import IOBaseWrapper
from oio.api.replication import ReplicatedMetachunkWriter, ReplicatedWriteHandler
from oio.blob.client import BlobClient
from oio.common import exceptions as exc
from oio.common import green
from oio.common.deadlines import monotonic_time
from oio.common.limits import Limits
from oio.common.sources import Portion, Source
from oio.common.storage_method import STORAGE_METHODS
from oio.common.utils import GeneratorIO
from tests.kit import fakes, sources
from tests.kit.b2_service import BUCKET, KEY, KEY_ID
from tests.kit.chunkdata import DESCRIPTION
from tests.kit.ec_fakes import EC
from tests.kit.fakes import network, stored

DATA = bytes(range(250)) * 4
REPLICATED = {**fakes.SYSMETA, "chunk_size": 700}
CODED = {**REPLICATED, "chunk_method": "ec/algo=liberasurecode_rs_vand,k=6,m=3", "policy": "EC"}
THREE = STORAGE_METHODS.load("plain/nb_copy=3")
BACKBLAZE = STORAGE_METHODS.load(f"backblaze/account_id={KEY_ID},bucket_name={BUCKET}")


def copies(pos=0):
    return [{"url": f"http://h{n}/{n:064X}", "pos": str(pos)} for n in range(3)]


def fragments(pos=0):
    return [{"url": f"http://h{n}/{n:064X}", "pos": f"{pos}.{n}", "num": n} for n in range(9)]


def files(pos=0):
    return [{"url": f"b2/{pos:064X}", "pos": str(pos)}]


def write_copies(source, info, **options):
    return ReplicatedMetachunkWriter(REPLICATED, copies(), hashlib.md5(), THREE, **options).stream(source)[0]


def write_fragments(source, info, **options):
    return EcMetachunkWriter(CODED, fragments(), hashlib.md5(), EC, **options).stream(source, -1)[0]


def write_file(source, info, **options):
    meta = {"container_id": "C0"}
    return BackblazeChunkWriteHandler(meta, files(), hashlib.md5(), BACKBLAZE, info, **options).stream(
        source
    )[0]


def write_replicated(source, info, **options):
    prepared = {pos: copies(pos) for pos in range(2)}
    return ReplicatedWriteHandler(source, REPLICATED, prepared, THREE, **options).stream()[1]


def write_coded(source, info, **options):
    prepared = {pos: fragments(pos) for pos in range(2)}
    return ECWriteHandler(source, CODED, prepared, EC, **options).stream()[1]


def write_files(source, info, **options):
    meta = {**REPLICATED, "container_id": "C0"}
    return BackblazeWriteHandler(source, meta, {0: files()}, BACKBLAZE, info, **options).stream()[1]


def put_chunk(source, info, **options):
    with BlobClient() as client:
        return client.chunk_put("http://h0:1/0A", DESCRIPTION, source, **options)[0]


def put_file(source, info, **options):
    client = info["client"].with_timeouts(read_timeout=options.get("read_timeout"))
    return client.put(BUCKET, "one", source)["contentLength"]


FACES = {
    face.__name__: face
    for face in (
        write_copies,
        write_fragments,
        write_file,
        write_replicated,
        write_coded,
        write_files,
        put_chunk,
        put_file,
    )
}


@pytest.fixture(params=FACES)
def face(request):
    return FACES[request.param]


@pytest.fixture
def info(client, service):
    return {
        "client": client,
        "bucket_name": BUCKET,
        "backblaze.account_id": KEY_ID,
        "backblaze.application_key": KEY,
    }


@pytest.fixture
def write(face, info):
    """Writes a source by way of a published face."""
    answers = {f"h{n}": stored for n in range(9)} | {"h0:1": stored}

    def run(source, **options):
        with network(**answers) as net:
            run.net = net
            return face(source, info, **options)

    return run


@pytest.fixture
def refuses(write, service):
    """Nothing is stored of a source."""

    def run(source, error, match=None, **options):
        with pytest.raises(error, match=match) as caught:
            write(source, **options)
        assert not any(b"0\r\n\r\n" in connection.sent for connection in write.net.connections.values())
        assert all(connection.closed for connection in write.net.connections.values())
        assert service.files == []
        return caught.value

    return run


# --- all faces --------------------------------------------------------------------------------------------


@pytest.mark.pitfall("A1")
def test_file_that_has_nothing_yet_is_waited_for(write):
    blocks = [DATA[begin : begin + 300] for begin in range(0, len(DATA), 300)]
    assert write(sources.Listed(None, *[item for block in blocks for item in (block, None, None)])) == len(
        DATA
    )
    with sources.Late(blocks) as pipe:
        assert write(pipe) == len(DATA)


@pytest.mark.pitfall("A1")
def test_file_that_never_has_anything_has_failed(refuses):
    assert isinstance(
        refuses(SimpleNamespace(read=lambda _size: None), exc.SourceReadError, read_timeout=0.1),
        exc.SourceReadTimeout,
    )
    with sources.Silent(watched=True) as pipe:
        refuses(pipe, exc.SourceReadError, read_timeout=0.1)


@pytest.mark.pitfall("A2")
def test_file_that_dies_of_its_own_bug_has_failed(refuses):
    refuses(sources.buffered(sources.dying([b"a", b"b", b"c"])), exc.SourceReadError, "StopIteration")
    refuses(sources.Listed(DATA, StopIteration()), exc.SourceReadError, "StopIteration")


@pytest.mark.pitfall("A3")
def test_text_is_refused_whatever_writes_it(refuses):
    refuses(sources.Listed(b"bytes", "text"), TypeError, "(source|data) must be opened in binary mode")


@pytest.mark.pitfall("B5")
@pytest.mark.parametrize("error", [KeyError("mine"), exc.NotFound(404, None, "mine"), exc.OioTimeout("mine")])
def test_exception_of_the_file_comes_out_as_it_is(refuses, error):
    for begin in ((), (DATA[:600],), (DATA,)):
        assert refuses(sources.Listed(*begin, error), type(error)) is error


@pytest.mark.pitfall("B5")
def test_trouble_of_the_file_is_an_error_of_the_source(refuses):
    for error in (OSError("torn"), ValueError("torn"), ConnectionResetError("torn")):
        assert refuses(sources.Listed(DATA, error), exc.SourceReadError, "torn").__cause__ is error
    for limit in (green.ChunkReadTimeout(1), green.Timeout(1)):
        limit.cancel()
        assert refuses(sources.Listed(DATA, limit), exc.SourceReadTimeout).__cause__ is limit


@pytest.mark.pitfall("B7")
def test_file_is_not_read_after_its_first_end(write):
    for data in (b"", DATA[:700], DATA):
        source = sources.Listed(*[data] * bool(data))
        assert write(source) == len(data)
        assert (source.ended, source.asked_after_end) == (True, 0)


# --- a source by itself -----------------------------------------------------------------------------------


def source_of(wrapped, read=None, **options):
    return Source(wrapped, Limits(read=read).reading_source, **options)


@pytest.mark.pitfall("A1")
def test_slow_blocks_have_a_limit_each():
    """A pipe that gives a little within each limit may take longer than one limit in all."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    given = []

    def read(size):
        try:
            return os.read(reading, size)
        except BlockingIOError:
            if len(given) == 4:
                os.close(writing)
                given.append(b"")
                return None
            given.append(b"x")
            green.sleep(0.7)
            os.write(writing, b"x")
            return None

    with open(reading, "rb") as file:
        source = source_of(SimpleNamespace(read=read, fileno=file.fileno), read=2.0)
        assert source.read(1000) == b"xxxx"


@pytest.mark.pitfall("A1")
def test_other_green_threads_run_while_a_source_has_nothing():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=0) as file, open(writing, "wb", buffering=0) as other:
        source = source_of(file, read=30)
        with green.ContextPool(1) as pool:
            pool.spawn(lambda: (other.write(b"late"), other.close()))
            assert source.read(10) == b"late"


@pytest.mark.pitfall("A1")
@pytest.mark.parametrize("fileno", [lambda: -1, lambda: "no", lambda: 1 << 30, None])
def test_descriptor_that_is_none_is_not_needed(fileno):
    found = [None, b"data", None, b""]
    source = source_of(SimpleNamespace(read=lambda _size: found.pop(0), fileno=fileno))
    assert source.read(10) == b"data"


@pytest.mark.pitfall("A1")
def test_descriptor_that_is_always_ready_does_not_keep_the_thread_busy():
    """A regular file is ready for ever; so is a pipe with data that nobody reads."""
    reading, writing = os.pipe()
    os.write(writing, b"never read")
    asked = []
    with open(reading, "rb") as file, open(writing, "wb"):
        source = source_of(SimpleNamespace(read=asked.append, fileno=file.fileno), read=0.3)
        with pytest.raises(exc.SourceReadError):
            source.read(10)
    assert len(asked) < 50


@pytest.mark.pitfall("A1")
def test_waiting_ends_with_the_deadline():
    source = Source(
        SimpleNamespace(read=lambda _size: None), Limits(deadline=monotonic_time() + 0.1).reading_source
    )
    with pytest.raises((exc.SourceReadError, exc.DeadlineReached)):
        source.read(10)


@pytest.mark.pitfall("A1")
def test_waiting_without_any_limit_ends_with_patience():
    source = Source(GeneratorIO(itertools.repeat(None)), lambda: None, patience=0.1)
    begin = time.monotonic()
    with pytest.raises(exc.SourceReadError, match="source has given nothing for"):
        source.read(10)
    assert time.monotonic() > begin


@pytest.mark.pitfall("A1")
def test_wrapper_tells_that_there_is_nothing_yet():
    wrapper = IOBaseWrapper(sources.Listed(None, b"data", None))
    assert [wrapper.read(2), wrapper.read(2), wrapper.read(2)] == [None, b"da", b"ta"]
    assert wrapper.readinto(bytearray(1)) is None


@pytest.mark.pitfall("A3")
def test_wrapper_refuses_text():
    with pytest.raises(TypeError, match="must be opened in binary mode"):
        IOBaseWrapper(io.StringIO("text")).read(1)


@pytest.mark.pitfall("A5")
@pytest.mark.parametrize("size", [-2, 1.5, True, "1"])
@pytest.mark.parametrize(
    ("writer", "meta", "chunks", "method"),
    [(ReplicatedMetachunkWriter, REPLICATED, copies, THREE), (EcMetachunkWriter, CODED, fragments, EC)],
)
def test_metachunk_of_a_size_that_is_none_is_refused(writer, meta, chunks, method, size):
    with network() as net, pytest.raises((TypeError, ValueError), match="size must be"):
        writer(meta, chunks(), hashlib.md5(), method).stream(io.BytesIO(DATA), size)
    assert net.calls == []


@pytest.mark.pitfall("A5")
def test_metachunk_of_unknown_size_takes_everything():
    with network(**{f"h{n}": stored for n in range(9)}):
        assert write_copies(io.BytesIO(DATA), None) == len(DATA)
        writer = ReplicatedMetachunkWriter(REPLICATED, copies(), hashlib.md5(), THREE)
        assert writer.stream(io.BytesIO(DATA), -1)[0] == len(DATA)


@pytest.mark.pitfall("B7")
def test_memory_that_grows_after_its_end_is_not_read_again():
    file = io.BytesIO(b"data")
    source = source_of(file)
    assert source.read(10) == b"data"
    file.write(b"more")
    file.seek(4)
    assert source.read(10) == b""
    assert source.is_exhausted()


@pytest.mark.parametrize("error", [exc.SourceReadError, exc.SourceReadTimeout, exc.OioTimeout])
def test_source_that_gives_nothing_in_time_is_a_timeout_and_an_error_of_the_source(error):
    with pytest.raises(error):
        source_of(SimpleNamespace(read=lambda _size: green.sleep(30)), read=0.05).read(1)


@pytest.mark.parametrize("size", [None, 999, 1000, 1001])
def test_portion_gives_and_hashes_its_bytes_once(size):
    digests = hashlib.md5(), hashlib.sha1()
    portion = Portion(source_of(io.BytesIO(DATA)), size, digests)
    assert not portion.is_exhausted()
    blocks = list(iter(lambda: portion.read(300), b""))
    expected = DATA[:size]
    assert (b"".join(blocks), portion.taken, portion.is_exhausted()) == (expected, len(expected), True)
    assert {len(block) for block in blocks[:-1]} == {300}
    assert [digest.digest() for digest in digests] == [
        hashlib.md5(expected).digest(),
        hashlib.sha1(expected).digest(),
    ]


def test_look_for_the_end_of_a_portion_takes_nothing():
    digest = hashlib.md5()
    portion = Portion(source_of(GeneratorIO(iter([b"ab", b"cd"]))), 3, [digest])
    assert not portion.is_exhausted()
    assert (portion.taken, digest.hexdigest()) == (0, hashlib.md5().hexdigest())
    assert (portion.read(10), portion.read(10), portion.source.read(10)) == (b"abc", b"", b"d")
