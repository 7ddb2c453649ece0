# SPDX-License-Identifier: Apache-2.0
"""Verification of the files of chunks, by the servers that have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from oio.blob.connect import connect
from oio.blob.watched import blame
from oio.common import exceptions as exc
from oio.common import green
from oio.common.constants import CHECKHASH_HEADER, CHUNK_HEADERS

if TYPE_CHECKING:
    from oio.common.chunks import Chunk
    from oio.common.options import Options

_DIFFERENT = 412


def verify_file(chunk: Chunk, checksum: str | None, headers: Mapping[str, object], options: Options) -> None:
    """Let a chunk server read the file of a chunk, and compare it with its checksum.

    :param checksum: of the data; None for the one that the server has stored with them
    :param headers: of the request; a range among them has no effect
    :raises CorruptedChunk: the data differ
    :raises ClientException: the server refuses, or does not have it
    :raises oio.common.exceptions.DeadlineReached: no time is left
    """
    netloc = chunk.netloc
    wanted = {**headers, CHECKHASH_HEADER: True}
    if checksum:
        wanted[CHUNK_HEADERS["chunk_hash"]] = checksum
    with green.ConnectionTimeout(options.limits.connecting(netloc)):
        conn = connect(chunk, "HEAD", wanted, options)
    try:
        with green.ChunkReadTimeout(options.limits.reading(netloc)):
            response = conn.getresponse()
    except BaseException as err:
        blame(conn, err)
        raise
    finally:
        conn.close()
    if response.status == _DIFFERENT:
        raise exc.CorruptedChunk(f"{netloc} says that the data do not match their checksum")
    if not 200 <= response.status < 300:
        raise exc.from_status(response.status, getattr(response, "reason", "") or "no reason")
