# SPDX-License-Identifier: Apache-2.0
"""What the tests of applications replace, and how little their fakes know."""

from __future__ import annotations

import hashlib
import io
from types import SimpleNamespace
from unittest.mock import Mock, patch

import pytest
import urllib3

from oio.api._data.source import Source
from oio.api.io import ChunkReader, IOBaseWrapper, MetachunkPreparer
from oio.api.object_storage import ObjectStorageApi
from oio.api.replication import ReplicatedMetachunkWriter
from oio.common import exceptions as exc
from oio.common import green
from oio.common.limits import Limits
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.fakes import SYSMETA, FakeConnection, FakeResponse, at_the_seam, chunks_on, network, stored

CHUNK = {"url": "http://rawx:6010/0A"}


class Meagre:
    """A response with no more than what readers may count on."""

    def __init__(self, status: int = 200, body: bytes = b"hello"):
        self.status = status
        self._response = FakeResponse(status, body)
        self.getheader = self._response.getheader
        self.read = self._response.read

    def getheaders(self):
        return dict(self._response.getheaders())


@pytest.mark.parametrize("response", [Meagre, lambda: FakeResponse(200, b"hello")])
def test_source_given_by_the_host(response):
    reader = ChunkReader([], None, {})
    reader._get_source = lambda: (response(), CHUNK)
    assert b"".join(reader.stream()) == b"hello"


def test_exception_of_the_host_in_the_search_for_another_source_comes_out_as_it_is():
    class Cut(FakeResponse):
        def read(self, _size):
            raise OSError("cut")

    raised = exc.OioException("by a signal handler of the host")
    sources = iter([(Cut(200, b"hello"), CHUNK)])

    def search():
        for found in sources:
            return found
        raise raised

    reader = ChunkReader([], None, {})
    reader._get_source = search
    with pytest.raises(exc.OioException) as info:
        list(reader.stream())
    assert (info.value, info.value.__cause__) == (raised, None)


def test_response_with_headers_in_a_dict():
    with at_the_seam(lambda *_args: FakeConnection(Meagre())):
        reader = ChunkReader([CHUNK], None, {})
        assert b"".join(reader.stream()) == b"hello"
    assert reader.headers == {"content-length": 5}


@pytest.mark.parametrize("response", [Meagre, lambda: FakeResponse(200, b"hello")])
def test_parts_that_are_collected_first_have_their_data(response):
    connection = FakeConnection(response())
    reader = ChunkReader([CHUNK], None, {})
    reader._get_source = lambda: (connection.response, CHUNK)
    connection.response.conn = connection
    (part,) = list(reader.get_iter())
    assert connection.closed == 0
    assert b"".join(part["iter"]) == b"hello"
    assert connection.closed


def test_parts_that_are_closed_have_no_data_left():
    connection = FakeConnection(FakeResponse(200, b"hello"))
    with at_the_seam(lambda *_args: connection):
        parts = ChunkReader([CHUNK], None, {}).get_iter()
        part = next(parts)
        parts.close()
    assert connection.closed
    assert list(part["iter"]) == []


def test_refusal_without_a_reason():
    with at_the_seam(lambda *_args: FakeConnection(Meagre(404))), pytest.raises(exc.NotFound):
        ChunkReader([CHUNK], None, {}).stream()


@pytest.fixture
def patched_api():
    """An API whose container client gets the answers that a test of an application makes up."""
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1") as api:
        api.container._direct_request = Mock()
        yield api


CHUNKS = [{"url": "http://rawx:6010/0A", "pos": "0", "size": 3, "hash": "AB"}]
LOCATED = {"x-oio-content-meta-Name": "o", "X-Oio-Content-Meta-Color": "blue"}


@pytest.mark.pitfall(158, "E21")
@pytest.mark.parametrize("kind", [SimpleNamespace, Mock])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [({}, {"properties": {}}), (LOCATED, {"name": "o", "properties": {"Color": "blue"}})],
)
def test_answer_that_is_made_up_is_believed_though_it_says_little(patched_api, kind, headers, expected):
    patched_api.container._direct_request.return_value = kind(status=200, headers=headers), CHUNKS
    assert patched_api.object_locate("a", "c", "o") == (expected, CHUNKS)
    patched_api.container._direct_request.assert_called_once()
    patched_api.container._direct_request.return_value = kind(status=200, headers=headers), {"properties": {}}
    expected = {**expected, "properties": {}}
    assert patched_api.object_get_properties("a", "c", "o") == expected


@pytest.mark.pitfall(158, "A8")
def test_real_answer_that_says_little_is_refused(patched_api):
    little = urllib3.HTTPResponse(b"", {"x-oio-content-meta-name": "o"}, 200)
    patched_api.container._direct_request.side_effect = [(little, CHUNKS), (little, CHUNKS)]
    with pytest.raises(exc.OioProtocolError, match="no chunk_method, ctime"):
        patched_api.object_locate("a", "c", "o")


class HalfMade(ObjectStorageApi):
    """An API of an application's tests, whose constructor makes nothing but what the tests look at."""

    def __init__(self, **defaults):
        self.namespace = "NS"
        self.logger = Mock()
        self.account, self.container, self._blob_client = Mock(), Mock(), Mock()
        self._global_kwargs = defaults


def test_api_that_is_half_made_can_be_called_and_closed():
    with HalfMade() as api:
        api.container.container_create.return_value = True
        api.account.account_create.return_value = True
        assert api.container_create("a", "c") is True
        assert api.account_create("a") is True


def test_defaults_that_change_are_those_of_the_next_call():
    api = HalfMade(read_timeout=5.0)
    api.container_create("a", "c")
    api._global_kwargs["read_timeout"] = 7.0
    api.container_create("a", "c")
    first, second = (call.kwargs["options"].limits.read for call in api.container.container_create.mock_calls)
    assert (first, second) == (5.0, 7.0)


def test_defaults_of_a_subclass_may_have_headers():
    api = HalfMade(headers={"x": "y"}, reqid="R")
    api.container_create("a", "c")
    (call,) = api.container.container_create.mock_calls
    assert call.kwargs["options"].headers == {"x": "y", "x-oio-req-id": "R"}


@pytest.mark.parametrize("given", [{"data": b"hello"}, {"file_or_path": io.BytesIO(b"hello")}])
def test_creation_without_its_upload(given):
    def create(account, container, name, source, sysmeta, **_options):
        assert (account, container, name, source.read()) == ("a", "c", "o", b"hello")
        assert sysmeta == {"mime_type": "text/x", "etag": "E"}
        return [], 5, "digest", {"id": "ID"}

    api = HalfMade()
    api._object_create = Mock(side_effect=create)
    made = api.object_create_ext("a", "c", obj_name="o", mime_type="text/x", etag="E", **given)
    assert made == ([], 5, "digest", {"id": "ID"})
    api._object_create = Mock(side_effect=exc.NotFound(404))
    with pytest.raises(exc.NoSuchContainer):
        api.object_create("a", "c", obj_name="o", **given)


@pytest.mark.parametrize(("algorithm", "made"), [("md5", 1), (None, 0)])
def test_checksums_of_copies_can_be_counted(algorithm, made):
    method = STORAGE_METHODS.load("plain/nb_copy=3")
    with patch("hashlib.new", wraps=hashlib.new) as new, network(a=stored, b=stored, c=stored):
        chunks, checksum = chunks_on("a", "b", "c"), hashlib.md5(usedforsecurity=False)
        writer = ReplicatedMetachunkWriter(SYSMETA, chunks, checksum, method, chunk_checksum_algo=algorithm)
        writer.stream(io.BytesIO(b"hello"), 5)
    assert new.call_count == made


def prepared(**kwargs):
    meta = {"id": "ID", "version": "1", "chunk_method": "plain"}
    return MetachunkPreparer(Mock(content_prepare=Mock(return_value=(meta, CHUNKS))), "a", "c", "o", **kwargs)


def test_preparer_hands_its_keywords_on_as_they_came():
    preparer = prepared(meta_pos=2, reqid="R", read_timeout=5.0, wish="kept")
    asked = {"size": 1, "stgpol": None, "reqid": "R", "read_timeout": 5.0, "wish": "kept"}
    prepare = preparer.container_client.content_prepare
    prepare.assert_called_once_with("a", "c", "o", position=2, **asked)
    metachunks = preparer()
    first, second = next(metachunks), next(metachunks)
    assert first is preparer.first_body
    assert [chunk["pos"] for chunk in first + second] == ["2", "3"]
    assert preparer.all_chunks_so_far() == first + second
    later = dict(prepare.call_args.kwargs)
    assert later.pop("deadline") > 0
    assert later == {**asked, "position": 3, "content_id": "ID", "version": "1"}


def test_each_call_of_a_preparer_gives_the_metachunks_from_the_first_one_on():
    preparer = prepared()
    first, second = preparer(), preparer()
    given = [next(first), next(first), next(second), next(first), next(second)]
    assert [chunks[0]["pos"] for chunks in given] == ["0", "1", "0", "2", "1"]


def test_preparer_asks_nothing_of_the_description():
    client = Mock(content_prepare=Mock(return_value=({}, CHUNKS)))
    metachunks = MetachunkPreparer(client, "a", "c", "o")()
    assert [chunk["pos"] for chunk in next(metachunks) + next(metachunks)] == ["0", "1"]
    assert client.content_prepare.call_args.kwargs == {"size": 1, "position": 1, "stgpol": None}


@pytest.mark.parametrize("missing", ["id", "version", "policy", "chunk_method"])
def test_upload_stores_nothing_when_the_description_lacks_what_the_commit_needs(missing):
    meta = {"id": "ID", "version": "1", "policy": "SINGLE", "chunk_method": "plain"}
    api = HalfMade()
    api.container.content_prepare.return_value = {**meta, missing: None}, CHUNKS
    asked = []
    with at_the_seam(lambda *args: asked.append(args)), pytest.raises(exc.OioProtocolError, match=missing):
        api.object_create("a", "c", obj_name="o", data=b"data")
    assert asked == []
    api.container.content_create.assert_not_called()


def test_deadline_of_the_caller_is_that_of_every_metachunk():
    preparer = prepared(deadline=1e9, read_timeout=5.0)
    metachunks = preparer()
    consumed = next(metachunks), next(metachunks)
    assert len(consumed) == 2
    assert preparer.container_client.content_prepare.call_args.kwargs["deadline"] == 1e9


@pytest.mark.parametrize("given", [3, [1, 2]])
def test_source_that_gives_no_data_is_refused(given):
    with pytest.raises(TypeError):
        IOBaseWrapper(SimpleNamespace(read=lambda _size: given)).read(10)
    with pytest.raises(exc.SourceReadError, match="TypeError"):
        Source(SimpleNamespace(read=lambda _size: given), Limits()).read(10)


def test_closed_source_is_refused():
    closed = io.BytesIO(b"data")
    source = Source(closed, Limits())
    closed.close()
    for use in (lambda: source.read(1), source.is_exhausted):
        with pytest.raises(exc.SourceReadError, match="closed"):
            use()


@pytest.mark.parametrize("where", ["connect", "getresponse", "read"])
def test_time_limit_that_a_fake_raises_is_a_failure_of_its_server(where):
    raised = green.Timeout(60)

    def fail(*_args):
        raise raised

    failing = FakeConnection(FakeResponse(200, b"hello"))
    if where == "getresponse":
        failing.getresponse = fail
    elif where == "read":
        failing.response.read = fail
    answers = iter([fail if where == "connect" else lambda: failing, lambda: FakeConnection(Meagre())])
    with at_the_seam(lambda *_args: next(answers)()):
        assert b"".join(ChunkReader([CHUNK, CHUNK], None, {}).stream()) == b"hello"
    # It does not strike later.
    assert not raised.pending


@pytest.mark.parametrize("where", ["connect", "getresponse", "read"])
def test_time_limit_of_the_host_is_no_failure_of_a_fake(where):
    def wait(*_args):
        green.sleep(60)

    connection = FakeConnection(FakeResponse(200, b"hello"))
    if where == "getresponse":
        connection.getresponse = wait
    elif where == "read":
        connection.response.read = wait
    seam = at_the_seam(wait if where == "connect" else lambda *_args: connection)
    with pytest.raises(green.Timeout) as caught, seam, green.Timeout(0.01) as limit:
        b"".join(ChunkReader([CHUNK, CHUNK], None, {}).stream())
    assert caught.value is limit
