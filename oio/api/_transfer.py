# SPDX-License-Identifier: Apache-2.0
"""Reads the data of a replicated object: each metachunk from one of its copies, counted and verified."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Generator, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from oio.api._reader import ChunkReader
from oio.common import exceptions as exc
from oio.common.constants import CHUNK_HEADERS
from oio.common.deadlines import hard_deadline
from oio.common.ranges import Range, get_meta_ranges
from oio.common.storage_method import StorageMethod

_LOGGER = logging.getLogger(__name__)

_MD5_DIGITS = 32


def fetch_stream(
    chunks: Mapping[int, list[dict[str, Any]]],
    ranges: Iterable[Range] | None,
    storage_method: StorageMethod,  # noqa: ARG001 - what all strategies are given
    headers: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Generator[bytes, None, None]:
    """Read a replicated object. Nothing is asked for before the first ``next()``.

    :param chunks: metachunk position -> its copies, in order of preference; each has ``url``, ``size`` and
        ``hash`` of the metachunk
    :param ranges: (first, last) bytes of the object, inclusive; None for all of it
    :param headers: of the requests to the chunk servers
    :param kwargs: ``connection_timeout``, ``read_timeout`` (seconds), ``deadline`` (monotonic seconds),
        ``verify_checksum`` (True): False skips the verification of the metachunks that are read whole
    :returns: a generator of blocks; closing it closes the connection
    :raises oio.common.exceptions.UnrecoverableContent: when no copy of a metachunk exists any more
    :raises oio.common.exceptions.CorruptedChunk: when what was read of a metachunk is not what was stored
    :raises oio.common.exceptions.ServiceUnavailable: when no copy of a metachunk can be read for now
    :raises oio.common.exceptions.DeadlineReached:
    """
    readers = _MetachunkReader(dict(headers or {}), kwargs)
    for meta_range in get_meta_ranges(ranges or [(None, None)], chunks):
        for pos, (start, end) in sorted(meta_range.items()):
            try:
                yield from readers.read(chunks[pos], start, end)
            except exc.NotFound as err:
                text = f"Cannot download position {pos}: {err}"
                raise exc.UnrecoverableContent(text, reqid=err.reqid) from err
            except (exc.ClientException, exc.ServiceUnavailable) as err:
                text = f"Error while downloading position {pos}: {err}"
                raise exc.ServiceUnavailable(text, reqid=err.reqid) from err


class _MetachunkReader:
    """Reads metachunks of one object, and remembers which chunk servers have failed."""

    def __init__(self, headers: dict[str, Any], options: dict[str, Any]) -> None:
        self._headers = headers
        self._verify = options.get("verify_checksum", True)
        self._options: dict[str, Any] = {
            "connection_timeout": options.get("connection_timeout"),
            "read_timeout": options.get("read_timeout"),
            "deadline": hard_deadline(options),
            "ssl_context": options.get("ssl_context"),
            "check_head": _check_head,
        }
        self._suspects: set[str] = set()

    def _in_order(self, copies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        # Those whose server has just failed come last (pitfalls row 56).
        return sorted(
            copies, key=lambda chunk: _netloc(chunk.get("real_url") or chunk["url"]) in self._suspects
        )

    def read(self, copies: list[dict[str, Any]], start: int, end: int) -> Generator[bytes, None, None]:
        """The bytes of a metachunk from ``start`` to ``end``, inclusive."""
        whole = start == 0 and end == copies[0]["size"] - 1
        # The checksums of 7.3.0 are MD5 ones; others say nothing to us.
        expected = str(copies[0].get("hash") or "").lower()
        verify = self._verify and whole and len(expected) == _MD5_DIGITS and expected.strip("0") != ""
        candidates = iter(self._in_order(copies))
        corrupted: list[str] = []
        while True:
            headers = {**self._headers, "Range": f"bytes={start}-{end}"}
            reader = ChunkReader(candidates, None, headers, **self._options)
            held: bytes | None = None
            given = size = 0
            digest = hashlib.new("md5") if verify else None
            try:
                with contextlib.closing(reader.stream()) as blocks:
                    for block in blocks:
                        size += len(block)
                        if digest is not None:
                            digest.update(block)
                        if held is not None:
                            given += len(held)
                            yield held
                        # The last block waits for the verification of the whole.
                        held = block
            except (exc.ClientException, exc.ServiceUnavailable) as err:
                if not corrupted:
                    raise
                raise self._corruption(corrupted, reader) from err
            finally:
                self._suspects.update(_netloc(url) for url, status, _ in reader.errors if not status)
            if size != end - start + 1:
                raise exc.ServiceUnavailable(
                    f"{size} bytes were read of {reader.served}, not {end - start + 1}"
                )
            if digest is None or digest.hexdigest() == expected:
                if held is not None:
                    yield held
                return
            corrupted += reader.served
            if given:
                raise self._corruption(corrupted, reader)
            _LOGGER.warning(
                "Corrupted chunk, trying another copy: %s (reqid=%s)", reader.served, reader.reqid
            )

    @staticmethod
    def _corruption(corrupted: list[str], reader: ChunkReader) -> exc.CorruptedChunk:
        reasons = "; ".join(f"{url}: {reason}" for url, _, reason in reader.errors)
        text = f"Data read from {', '.join(corrupted)} do not match their checksum"
        return exc.CorruptedChunk(f"{text}; {reasons}" if reasons else text, reqid=reader.reqid)


def _check_head(response: Any, chunk: Mapping[str, Any]) -> str | None:
    """Why a copy is not the one that the object has, as far as the head of the response tells."""
    for key, expected in (("chunk_hash", chunk.get("hash")), ("chunk_size", chunk.get("size"))):
        found = response.getheader(CHUNK_HEADERS[key])
        if found and expected is not None and str(found).lower() != str(expected).lower():
            return f"its {key} is {found}, not {expected}"
    return None


def _netloc(url: str) -> str:
    return urlsplit(url).netloc
