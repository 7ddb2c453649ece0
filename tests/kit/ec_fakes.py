# SPDX-License-Identifier: Apache-2.0
"""Fake chunk servers with erasure-coded chunks, for the seam ``oio.api.io.http_connect``."""

from __future__ import annotations

import hashlib

from oio.api.ec import ECRebuildHandler
from oio.common.storage_functions import fetch_stream_ec
from oio.common.storage_method import ECStorageMethod
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam

SEGMENT = 1000


def method(k=6, m=3, algo="liberasurecode_rs_vand", segment=SEGMENT):
    return ECStorageMethod("ec", segment, algo, k, m)


EC = method()
DATA = bytes(range(256)) * 20
"""Five segments and a bit."""


def encoded(storage_method, data, checked=True):
    """The content of each chunk.

    :param checked: whether fragments have checksums; those of other clients have none
    """
    size = storage_method.ec_segment_size
    driver = storage_method.driver if checked else storage_method.unchecked_driver
    segments = [driver.encode(data[at : at + size]) for at in range(0, len(data), size)]
    count = storage_method.ec_nb_data + storage_method.ec_nb_parity
    return [b"".join(segment[index] for segment in segments) for index in range(count)]


class Chunks:
    """Chunk servers ``h0`` to ``h8``; ``troubles`` maps an index to the trouble of its server.

    A trouble is a status, an exception, or a tuple: ``("flip", at)`` changes a byte, ``("truncate", at)``
    loses the rest of the chunk, ``("cut", at)`` and ``("error", at, exception)`` end the answer.
    """

    def __init__(self, storage_method, data, troubles=(), told_hashes=True, checked=True):
        self.storage_method = storage_method
        self.data = data
        self.bodies = encoded(storage_method, data, checked)
        self.troubles = dict(troubles)
        self.told_hashes = told_hashes
        self.calls = []
        self.connections = []

    def __repr__(self):
        """Description for reports of failing examples."""
        made = self.storage_method
        return (
            f"<{made.ec_type} {made.ec_nb_data}+{made.ec_nb_parity}, segments of {made.ec_segment_size}, "
            f"{len(self.data)} bytes, {self.troubles}>"
        )

    def chunks(self):
        digest = hashlib.md5(self.data).hexdigest().upper()
        return [
            {
                "url": f"http://h{n}/{n:064X}",
                "pos": f"0.{n}",
                "num": n,
                "size": len(self.data),
                "hash": digest,
            }
            for n in range(len(self.bodies))
        ]

    def __call__(self, netloc, _method, _path, headers):
        n = int(netloc[1:])
        self.calls.append((n, headers.get("Range")))
        trouble = self.troubles.get(n)
        if isinstance(trouble, BaseException):
            raise trouble
        response = (
            FakeResponse(trouble)
            if isinstance(trouble, int)
            else self._serve(n, trouble, headers.get("Range"))
        )
        self.connections.append(FakeConnection(response))
        return self.connections[-1]

    def _serve(self, n, trouble, asked):
        whole = body = self.bodies[n]
        kind = trouble[0] if trouble else None
        digest = hashlib.md5(whole).hexdigest().upper()
        stored = {"x-oio-chunk-meta-chunk-size": len(whole)}
        if self.told_hashes:
            stored["x-oio-chunk-meta-chunk-hash"] = digest
        if kind == "flip":
            at = trouble[1] % len(body)
            body = whole = body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :]
        if kind == "truncate":
            body = whole = body[: trouble[1]]
        first, last = 0, len(whole) - 1
        if asked:
            first, last = map(int, asked.removeprefix("bytes=").split("-"))
            if first >= len(whole):
                return FakeResponse(416)
            last = min(last, len(whole) - 1)
            body = body[first : last + 1]
        headers = {**stored, "Content-Length": len(body)}
        if asked:
            headers["Content-Range"] = f"bytes {first}-{last}/{len(whole)}"
        error = None
        if kind in {"cut", "error"}:
            body = body[: trouble[1]]
            error = trouble[2] if kind == "error" else None
        return FakeResponse(206 if asked else 200, body, headers, error)


def fetch(chunks, ranges=None, **kwargs):
    with at_the_seam(chunks):
        return b"".join(fetch_stream_ec({0: chunks.chunks()}, ranges, chunks.storage_method, **kwargs))


def rebuild(chunks, missing, **kwargs):
    located = [chunk for chunk in chunks.chunks() if chunk["num"] != missing]
    for chunk in located:
        chunk.update(kwargs)
    with at_the_seam(chunks):
        size, fragments = ECRebuildHandler(located, missing, chunks.storage_method).rebuild()
        content = b"".join(fragments)
    assert len(content) == size
    return content
