# SPDX-License-Identifier: Apache-2.0
"""Readers and writers that programs derive from ours, or drive step by step."""

from __future__ import annotations

import pytest

from oio.api.io import ChunkReader
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam, chunks_on

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
