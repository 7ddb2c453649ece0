# SPDX-License-Identifier: Apache-2.0
"""Reads the data of an object, metachunk after metachunk: counted, and verified."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import IO, Any, Protocol
from urllib.parse import urlsplit

from oio.blob.reader import ChunkReader, mismatch
from oio.common import exceptions as exc
from oio.common.constants import CHUNK_HEADERS
from oio.common.deadlines import hard_deadline
from oio.common.ranges import Range, get_meta_ranges
from oio.common.storage_method import StorageMethod

_LOGGER = logging.getLogger(__name__)

_MD5_DIGITS = 32
#: Bytes of a metachunk that wait in memory for the rest of it, when nothing may be given before.
_KEPT_IN_MEMORY = 64 << 20
_BLOCK_SIZE = 262144
#: How often a metachunk is read again to find out which chunk is wrong, when no checksum tells.
_MAX_GUESSES = 100
_Chunk = dict[str, Any]


class MetachunkSource(Protocol):
    """Where the bytes of one metachunk come from."""

    #: URL of each chunk that gave data since the last opening.
    used: list[str]

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        """The bytes from ``start`` to ``end``, inclusive."""

    def find_damaged(self) -> list[str]:
        """URL of the chunks that made the bytes wrong: those that can be told, else all that were used."""

    def exclude_damaged(self) -> bool:
        """Leave out what may be wrong of that which was used; False when nothing else can be tried."""


def fetch_stream(
    chunks: Mapping[int, list[_Chunk]],
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
    :param kwargs: ``connection_timeout``, ``read_timeout`` (seconds), ``deadline`` (monotonic seconds);
        ``verify_checksum``: True verifies the metachunks that are read whole; ``"strict"`` gives nothing of a
        metachunk before all of it is verified, also for ranges; False verifies nothing, but still counts
    :returns: a generator of blocks; closing it closes the connections
    :raises oio.common.exceptions.UnrecoverableContent: when too few chunks of a metachunk exist any more
    :raises oio.common.exceptions.CorruptedChunk: when what was read of a metachunk is not what was stored
    :raises oio.common.exceptions.ServiceUnavailable: when a metachunk cannot be read for now
    :raises oio.common.exceptions.DeadlineReached:
    """
    suspects: set[str] = set()

    def source(copies: list[_Chunk]) -> MetachunkSource:
        return _Copies(copies, suspects, dict(headers or {}), kwargs)

    return fetch_metachunks(chunks, ranges, source, kwargs.get("verify_checksum", True))


def fetch_stream_ec(
    chunks: Mapping[int, list[_Chunk]],
    ranges: Iterable[Range] | None,
    storage_method: StorageMethod,
    headers: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Generator[bytes, None, None]:
    """Read an erasure-coded object; arguments and results are those of :func:`fetch_stream`."""
    suspects: set[str] = set()

    def source(fragments: list[_Chunk]) -> MetachunkSource:
        return _Fragments(storage_method, fragments, suspects, dict(headers or {}), kwargs)

    return fetch_metachunks(chunks, ranges, source, kwargs.get("verify_checksum", True))


def fetch_metachunks(
    chunks: Mapping[int, list[_Chunk]],
    ranges: Iterable[Range] | None,
    source_of: Callable[[list[_Chunk]], MetachunkSource],
    verify: Any,
) -> Generator[bytes, None, None]:
    """Read an object, whatever its kind.

    :param source_of: gives what the bytes of a metachunk come from, given its chunks
    :param verify: ``verify_checksum``, see :func:`fetch_stream`
    """
    for meta_range in get_meta_ranges(ranges or [(None, None)], chunks):
        for pos, (start, end) in sorted(meta_range.items()):
            try:
                yield from _read(source_of(chunks[pos]), chunks[pos][0], start, end, verify)
            except exc.NotFound as err:
                text = f"Cannot download position {pos}: {err}"
                raise exc.UnrecoverableContent(text, reqid=err.reqid) from err
            except (exc.ClientException, exc.ServiceUnavailable) as err:
                text = f"Error while downloading position {pos}: {err}"
                raise exc.ServiceUnavailable(text, reqid=err.reqid) from err


def _read(
    source: MetachunkSource, chunk: _Chunk, start: int, end: int, verify: Any
) -> Generator[bytes, None, None]:
    """Read a closed range of a metachunk; its last block waits until the whole is verified."""
    whole = (0, int(chunk["size"]) - 1)
    # The checksums of 7.3.0 are MD5 ones; others say nothing to us.
    expected = str(chunk.get("hash") or "").lower()
    verify = verify and len(expected) == _MD5_DIGITS and expected.strip("0") and verify
    strict = verify == "strict"
    first, last = whole if strict else (start, end)
    verify = verify and (first, last) == whole
    corrupted: list[str] = []
    while True:
        digest = hashlib.new("md5") if verify else None
        size = given = 0
        kept: _AllBlocks | _LastBlock = _AllBlocks() if strict else _LastBlock()
        with contextlib.closing(kept) as held:
            try:
                with contextlib.closing(source.open(first, last)) as blocks:
                    for block in blocks:
                        size += len(block)
                        if digest is not None:
                            digest.update(block)
                        if ready := held.exchange(block):
                            given += len(ready)
                            yield ready
            except (exc.ClientException, exc.ServiceUnavailable) as err:
                if not corrupted:
                    raise
                # A guess at what is damaged may leave too few chunks, and the next one enough.
                if not given and source.exclude_damaged():
                    continue
                raise _corruption(corrupted, err) from err
            if size != last - first + 1:
                raise exc.ServiceUnavailable(
                    f"{size} bytes were read of {source.used}, not {last - first + 1}"
                )
            if digest is None or digest.hexdigest() == expected:
                yield from _cut(held.rest(), first + given, start, end)
                return
        corrupted += source.find_damaged()
        if given or not source.exclude_damaged():
            raise _corruption(corrupted)
        _LOGGER.warning("Corrupted metachunk, reading it again without trust in %s", corrupted)


class _LastBlock:
    """Keeps the last block that was read until what it belongs to is verified."""

    def __init__(self) -> None:
        self._block = b""

    def exchange(self, block: bytes) -> bytes:
        """Keep a block; get the one that need not wait any more."""
        ready, self._block = self._block, block
        return ready

    def rest(self) -> Iterator[bytes]:
        yield self._block

    def close(self) -> None:
        self._block = b""


class _AllBlocks:
    """Keeps all blocks until they are verified: on disk when they are many, as a metachunk may be large."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115

    def exchange(self, block: bytes) -> bytes:
        self._file.write(block)
        return b""

    def rest(self) -> Iterator[bytes]:
        self._file.seek(0)
        while block := self._file.read(_BLOCK_SIZE):
            yield block

    def close(self) -> None:
        self._file.close()


def _cut(blocks: Iterable[bytes], offset: int, start: int, end: int) -> Iterator[bytes]:
    """What of blocks that begin at ``offset`` is between ``start`` and ``end``, inclusive."""
    for block in blocks:
        part = block[max(start - offset, 0) : max(end - offset + 1, 0)]
        offset += len(block)
        if part:
            yield part


def _corruption(urls: list[str], cause: Exception | None = None) -> exc.CorruptedChunk:
    text = f"Data read from {', '.join(dict.fromkeys(urls))} do not match their checksum"
    return exc.CorruptedChunk(f"{text}; {cause}" if cause else text)


class _Copies:
    """The copies of a replicated metachunk."""

    def __init__(
        self, copies: list[_Chunk], suspects: set[str], headers: dict[str, Any], options: dict[str, Any]
    ) -> None:
        # Those whose server has just failed come last (pitfalls row 56).
        self._copies = sorted(copies, key=lambda chunk: _netloc(chunk) in suspects)
        self._suspects = suspects
        self._headers = headers
        self._options: dict[str, Any] = {
            "connection_timeout": options.get("connection_timeout"),
            "read_timeout": options.get("read_timeout"),
            "deadline": hard_deadline(options),
            "ssl_context": options.get("ssl_context"),
            "perfdata": options.get("perfdata"),
            "check_head": _check_copy,
        }
        self.used: list[str] = []

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        headers = {**self._headers, "Range": f"bytes={start}-{end}"}
        reader = ChunkReader(self._copies, None, headers, **self._options)
        try:
            with contextlib.closing(reader.stream()) as blocks:
                yield from blocks
        finally:
            self.used = reader.served
            failed = {url for url, status, _ in reader.errors if not status}
            self._suspects.update(_netloc(chunk) for chunk in self._copies if chunk["url"] in failed)

    def find_damaged(self) -> list[str]:
        return self.used

    def exclude_damaged(self) -> bool:
        if not self.used:
            return False
        # When several gave a part, any of them may be wrong: each attempt leaves out one at least.
        first, others = self.used[0], self.used[1:]
        self._copies = [chunk for chunk in self._copies if chunk["url"] != first]
        self._copies.sort(key=lambda chunk: chunk["url"] in others)
        return bool(self._copies)


class _Fragments:
    """The chunks of an erasure-coded metachunk."""

    def __init__(
        self,
        storage_method: StorageMethod,
        chunks: list[_Chunk],
        suspects: set[str],
        headers: dict[str, Any],
        options: dict[str, Any],
    ) -> None:
        self._storage_method = storage_method
        self._chunks = chunks
        self._suspects = suspects
        self._headers = headers
        self._options = {key: value for key, value in options.items() if key != "headers"}
        #: Chunks that differ from their own checksum, those that do not, and those left out on suspicion.
        self._damaged: set[str] = set()
        self._sound: set[str] = set()
        self._guess: set[str] = set()
        self._guesses: Iterator[set[str]] | None = None
        self.used: list[str] = []

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        from oio.api.ec import ECChunkDownloadHandler  # PyECLib is only needed here.

        self.used = []
        handler = ECChunkDownloadHandler(
            self._storage_method, self._candidates(), start, end, self._headers, **self._options
        )
        stream = handler.get_stream()
        team = stream.readers
        assert team is not None
        self.used = team.used
        try:
            for part in stream:
                yield from part["iter"]
        finally:
            stream.close()
            failed = {url for url, status, _ in team.errors if not status}
            self._suspects.update(_netloc(chunk) for chunk in self._chunks if chunk["url"] in failed)

    def _candidates(self) -> list[_Chunk]:
        """The chunks that may be read; those whose server has just failed come last (pitfalls row 56)."""
        excluded = self._damaged | self._guess
        return [
            {**chunk, "score": 0} if _netloc(chunk) in self._suspects else chunk
            for chunk in self._chunks
            if chunk["url"] not in excluded
        ]

    def find_damaged(self) -> list[str]:
        unknown = [chunk for chunk in self._chunks if chunk["url"] in set(self.used) - self._sound]
        found = []
        for chunk in unknown:
            try:
                sound = self._is_sound(chunk)
            except exc.DeadlineReached:
                break
            (self._sound if sound else self._damaged).add(chunk["url"])
            found += [] if sound else [chunk["url"]]
        if found:
            self._guess, self._guesses = set(), None
        return found or list(self.used)

    def exclude_damaged(self) -> bool:
        if not self._damaged.isdisjoint(self.used):
            return bool(self._candidates())
        if self._guesses is None:
            if not self.used:
                return False
            self._guesses = itertools.islice(self._suspicions(), _MAX_GUESSES)
        self._guess = next(self._guesses, set())
        return bool(self._guess)

    def _suspicions(self) -> Iterator[set[str]]:
        """Sets of chunks to leave out, the smallest first, such that others than before are read."""
        min_chunks = self._storage_method.min_chunks_to_read
        left = list(self.used)
        left += [chunk["url"] for chunk in self._chunks if chunk["url"] not in self._damaged.union(self.used)]
        tried = {frozenset(self.used)}
        for size in range(1, len(left) - min_chunks + 1):
            for suspects in map(set, itertools.combinations(left, size)):
                team = frozenset([url for url in left if url not in suspects][:min_chunks])
                if team not in tried:
                    tried.add(team)
                    yield suspects

    def _is_sound(self, chunk: _Chunk) -> bool:
        options: dict[str, Any] = {
            key: self._options.get(key) for key in ("connection_timeout", "read_timeout", "ssl_context")
        }
        reader = ChunkReader([chunk], None, self._headers, deadline=hard_deadline(self._options), **options)
        digest = hashlib.new("md5")
        try:
            with contextlib.closing(reader.stream()) as blocks:
                for block in blocks:
                    digest.update(block)
        except exc.DeadlineReached:
            raise
        except exc.OioException as err:
            _LOGGER.warning("Failed to verify %s: %s", chunk["url"], err)
            return False
        stored = reader.headers.get(CHUNK_HEADERS["chunk_hash"])
        return not stored or stored.lower() == digest.hexdigest()


def _check_copy(response: Any, chunk: Mapping[str, Any]) -> str | None:
    return mismatch(response, {"chunk_hash": chunk.get("hash"), "chunk_size": chunk.get("size")})


def _netloc(chunk: _Chunk) -> str:
    url: str = chunk.get("real_url") or chunk["url"]
    return urlsplit(url).netloc
