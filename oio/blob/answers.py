# SPDX-License-Identifier: Apache-2.0
"""Answers of chunk servers: the range that they carry, the checks of their headers, and their closing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

from oio.blob.connect import CANDIDATES, ChunkAnswer, connect, reraise_foreign
from oio.blob.events import note_failure
from oio.common import exceptions as exc
from oio.common import green
from oio.common.checksums import differ
from oio.common.chunks import Chunk
from oio.common.constants import CHECKHASH_HEADER, CHUNK_HEADERS
from oio.common.http import parse_content_range

if TYPE_CHECKING:
    from oio.common.options import Options

_LOGGER = logging.getLogger(__name__)

_DIFFERENT = 412

#: Part of a response: first and last byte, length of the chunk, headers, and the response.
Part: TypeAlias = "tuple[int, int | None, int | None, Iterable[tuple[str, str]], ChunkAnswer]"


def close_source(source: object, logger: logging.Logger | None = None) -> None:
    """Close the connection of a response; failures of its server are logged."""
    close_connection(getattr(source, "conn", None), source, logger or _LOGGER)


def close_connection(conn: object, source: object, logger: logging.Logger) -> None:
    """Close the connection of a response; failures of its server are logged."""
    try:
        close = getattr(conn, "close", None)
        if close is not None:
            close()
    except CANDIDATES as err:  # Closing must never hide why we close.
        reraise_foreign(err, conn)
        logger.debug("Failed to close %r: %s", source, err)


def discard_bytes(buf_size: int, start: int) -> int:
    """Bytes to drop at the start of a read, so that it gives full records only.

    >>> discard_bytes(512, 10), discard_bytes(512, 1800)
    (502, 248)
    """
    return (buf_size - start % buf_size) % buf_size


def make_iter_from_resp(resp: ChunkAnswer) -> Iterator[Part]:
    """Make an iterator over the parts of a response.

    :returns: an iterator of one tuple: (start, end, length, headers, body_file), where ``end`` is inclusive
        and ``length`` is that of the whole chunk; the last two are None when the response does not tell
    :raises ValueError: when the response has several parts, or a wrong ``Content-Range``
    """
    return iter([(*served_range(resp), resp.getheaders(), resp)])


def served_range(resp: ChunkAnswer) -> tuple[int, int | None, int | None]:
    """First and last byte of a response, and length of the whole chunk; None for what it does not tell."""
    if resp.status != 206:
        length = resp.getheader("Content-Length")
        size = None if length is None else int(length)
        return 0, None if size is None else size - 1, size
    if (resp.getheader("Content-Type") or "").lstrip().startswith("multipart/byteranges"):
        raise ValueError("The response has several parts")
    value = resp.getheader("Content-Range") or ""
    unit, _, rest = value.partition(" ")
    span, _, length = rest.partition("/")
    start, _, end = span.partition("-")
    if unit == "bytes" and start.isdecimal() and end.isdecimal() and length.isdecimal():
        return int(start), int(end), int(length)
    # With more blanks, or wrong.
    return parse_content_range(value)


def mismatch(response: ChunkAnswer, expected: Mapping[str, object]) -> str | None:
    """Difference between the chunk of a response and the expected one, as far as both tell; None without one.

    :param expected: keys of :data:`~oio.common.constants.CHUNK_HEADERS`, and values
    """
    for key, right in expected.items():
        found = response.getheader(CHUNK_HEADERS[key])
        if found and right is not None and str(found) != str(right) and differ(str(found), str(right)):
            return f"its {key} is {found}, not {right}"
    return None


def check_copy(response: ChunkAnswer, chunk: Chunk) -> str | None:
    """Difference between the chunk of a response and a copy of its metachunk; None without one."""
    return mismatch(response, {"chunk_hash": chunk.hash, "chunk_size": chunk.size})


def verify_file(chunk: Chunk, checksum: str | None, headers: Mapping[str, object], options: Options) -> None:
    """Let a chunk server read the file of a chunk, and compare the data with their checksum.

    :param checksum: of the data; None for the one that the server has stored with them
    :param headers: of the request; a range among them has no effect
    :raises CorruptedChunk: the data differ
    :raises ClientException: the server refuses, or does not have the chunk
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
        note_failure(conn, err)
        raise
    finally:
        conn.close()
    if response.status == _DIFFERENT:
        raise exc.CorruptedChunk(f"{netloc} says that the data do not match their checksum")
    if not 200 <= response.status < 300:
        raise exc.from_status(response.status, getattr(response, "reason", "") or "no reason")
