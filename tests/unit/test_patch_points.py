# SPDX-License-Identifier: Apache-2.0
"""What the tests of applications replace, and how little their fakes know."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import urllib3

from oio.api.io import ChunkReader
from oio.api.object_storage import ObjectStorageApi
from oio.common import exceptions as exc
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam

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


def test_response_with_headers_in_a_dict():
    with at_the_seam(lambda *_args: FakeConnection(Meagre())):
        reader = ChunkReader([CHUNK], None, {})
        assert b"".join(reader.stream()) == b"hello"
    assert reader.headers == {"content-length": 5}


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


@pytest.mark.pitfall(158)
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


@pytest.mark.pitfall(158)
def test_real_answer_that_says_little_is_not_believed(patched_api):
    little = urllib3.HTTPResponse(b"", {"x-oio-content-meta-name": "o"}, 200)
    properties = urllib3.HTTPResponse(b"", {}, 200)
    patched_api.container._direct_request.side_effect = [
        (little, CHUNKS),
        (little, CHUNKS),
        (properties, {"properties": {"k": "v"}}),
    ]
    assert patched_api.object_locate("a", "c", "o") == ({"name": "o", "properties": {"k": "v"}}, CHUNKS)
