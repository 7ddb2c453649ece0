# SPDX-License-Identifier: Apache-2.0
"""Any answer of a chunk server: as many bytes as were asked for, or an exception of ours."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given

from oio import ObjectStorageApi
from oio.blob.client import BlobClient
from oio.blob.reader import ChunkReader
from oio.common import exceptions as exc
from oio.common.http_urllib3 import SafePoolManager
from tests.kit.fuzzing import examples, mimic, spoilt

ID = "98B49080163A694E4BA9D246FFCD12C752C74376524F64A3282B33F3B8AB571C"


def test_a_range_of_a_chunk_has_its_length_or_an_exception_of_ours_comes() -> None:
    with mimic("chunk_get__range") as server, ObjectStorageApi("OPENIO", endpoint=server.url):
        right = server.replies["rawx GET"]
        first, last = (
            int(bound) for bound in dict(right.headers)["Content-Range"][6:].split("/")[0].split("-")
        )

        @examples(250)
        @given(spoilt(right))
        def try_one(reply: Any) -> None:
            server.others = {"rawx GET": reply}
            chunks = [{"url": f"{server.url}/{ID}"}] * 2
            headers = {"Range": f"bytes={first}-{last}"}
            reader = ChunkReader(iter(chunks), None, headers, 1.0, 1.0, deadline=time.monotonic() + 1.0)
            try:
                data = b"".join(reader.stream())
            except exc.OioException:
                return
            assert len(data) == last - first + 1

        try_one()


@pytest.mark.parametrize(
    ("capture", "subject", "call"),
    [
        ("chunk_head__ok", "rawx HEAD", lambda blob, url, **limits: blob.chunk_head(url, **limits)),
        ("chunk_get__ok", "rawx GET", lambda blob, url, **limits: b"".join(blob.chunk_get(url, **limits)[1])),
        ("chunk_delete__ok", "rawx DELETE", lambda blob, url, **limits: blob.chunk_delete(url, **limits)),
    ],
)
def test_any_answer_about_a_chunk_is_a_result_or_an_exception_of_ours(
    capture: str, subject: str, call: Any
) -> None:
    with mimic(capture) as server:
        pool = SafePoolManager()
        blob: Any = BlobClient({"namespace": "OPENIO"}, connection_pool=pool, endpoint=server.url)

        @examples(100)
        @given(spoilt(server.replies[subject]))
        def try_one(reply: Any) -> None:
            server.others = {subject: reply}
            try:
                call(blob, f"{server.url}/{ID}", deadline=time.monotonic() + 1.0)
            except exc.OioException as err:
                str(err)

        try_one()
        pool.clear()
