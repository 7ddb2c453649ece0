# SPDX-License-Identifier: Apache-2.0
"""Objects that are written step by step, with the chunk methods of other clients."""

from __future__ import annotations

import hashlib
from typing import Any

from oio.common.fullpath import encode_fullpath
from tests.kit.facade import ACCOUNT, CONTAINER


def write_by_hand(api: Any, data: bytes, method: str, oca: str) -> None:
    """Store an object of one chunk.

    :param method: its chunk method
    :param oca: algorithm of its checksum
    """
    meta, chunks = api.container.content_prepare(ACCOUNT, CONTAINER, "o", size=1, stgpol="SINGLE")
    (chunk,) = chunks
    described = {
        "full_path": encode_fullpath(ACCOUNT, CONTAINER, "o", meta["version"], meta["id"]),
        "chunk_pos": "0",
        "policy": "SINGLE",
        "chunk_method": method,
    }
    _, digest = api.blob_client.chunk_put(chunk["url"], described, [data])
    api.container.content_create(
        ACCOUNT,
        CONTAINER,
        "o",
        size=len(data),
        checksum=hashlib.new(oca, data).hexdigest(),
        data={"chunks": [chunk | {"size": len(data), "hash": digest}], "properties": {}},
        content_id=meta["id"],
        version=meta["version"],
        stgpol="SINGLE",
        chunk_method=method,
        autocreate=True,
    )
