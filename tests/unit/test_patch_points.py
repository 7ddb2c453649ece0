# SPDX-License-Identifier: Apache-2.0
"""What the tests of applications replace in the readers of chunks, and how little their fakes know."""

from __future__ import annotations

import pytest

from oio.api.io import ChunkReader
from oio.common import exceptions as exc
from tests.unit.fakes import FakeConnection, FakeResponse, at_the_seam

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
