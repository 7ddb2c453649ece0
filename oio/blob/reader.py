# SPDX-License-Identifier: Apache-2.0
"""Published reader of one chunk: blocks of any size, and parts of answers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar

from oio.blob.candidates import Candidates
from oio.blob.connect import ChunkAnswer, close_source, served_range
from oio.common import exceptions as exc
from oio.common.answers import JsonObject
from oio.common.arguments import check_framing, check_headers
from oio.common.checksums import checksum_like
from oio.common.chunks import Chunk, ChunkDict
from oio.common.constants import CHUNK_HEADERS
from oio.common.options import Options
from oio.common.utils import lower_dict_keys, warn_unverified

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Part of a response: first and last byte, length of the chunk, headers, and the response.
Part: TypeAlias = "tuple[int, int | None, int | None, Iterable[tuple[str, str]], ChunkAnswer]"


class ChunkReader(Candidates):
    """Reader of a chunk.

    The candidates are tried in turn until one answers. When one fails half-way, the next is asked for the
    rest, from the exact byte. Those that the network has cut off get a second try after the others.

    :param chunk_iter: the candidates, dicts with ``url`` and maybe ``real_url``; when it is an iterator, it
        may be shared by several readers, so that each candidate is used once; None for no candidate
    :param buf_size: bytes of each block given out (the last is shorter); None for blocks as they come
    :param headers: of the requests; ``Range`` is followed as the reading goes
    :param connection_timeout: seconds to connect to each candidate
    :param read_timeout: seconds for the head of an answer, and for each block
    :param align: start at a multiple of ``buf_size``, and drop what comes before
    :param _kwargs: ``deadline`` (monotonic seconds, of the whole reading), ``ssl_context``, ``check_head``
        (given a response and its chunk, returns the reason to refuse them, or None), ``exact`` (True; False
        accepts a range that ends elsewhere than asked, when the caller counts the bytes), ``read_size``
        (bytes to read at once; by default more and more while they come quickly), ``perfdata``,
        ``verify_checksum``: true compares a chunk that is read whole with the checksum that its server tells,
        before the last block (false). One that cannot be computed here is an error with ``"strict"`` only
    """

    _verifies = False

    def __init__(
        self,
        chunk_iter: Iterable[Chunk | ChunkDict] | None,
        buf_size: int | None,
        headers: Mapping[str, object] | None,
        connection_timeout: float | None = None,
        read_timeout: float | None = None,
        align: bool = False,
        **_kwargs: Any,
    ) -> None:
        options = Options.of(_kwargs, connection_timeout=connection_timeout, read_timeout=read_timeout)
        copy = dict(check_headers(headers))
        check_framing(copy)
        super().__init__(
            chunk_iter,
            copy,
            options,
            check_head=_kwargs.get("check_head"),
            exact=_kwargs.get("exact", True),
            read_size=_kwargs.get("read_size"),
        )
        self.buf_size, self.align = buf_size, align
        self._verifies = "verify_checksum" in _kwargs and bool(options.verify_checksum)
        logger = _kwargs.get("logger")
        self.logger = _LOGGER if logger is None else logger

    @classmethod
    def with_options(
        cls,
        chunk: Chunk,
        headers: dict[str, Any],
        options: Options,
        *,
        exact: bool = True,
        read_size: int | None = None,
    ) -> ChunkReader:
        """Make a reader of one chunk within the limits of a call; see `Candidates`."""
        reader = cls.__new__(cls)
        Candidates.__init__(reader, [chunk], headers, options, exact=exact, read_size=read_size)
        return reader

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the last answer that could be used, with lower-case names."""
        # Fakes return a dict, or pairs.
        return {} if self._response is None else lower_dict_keys(dict(self._response.getheaders()))

    @property
    def connection_timeout(self) -> float | None:
        """Seconds to connect to each candidate; None for the default."""
        return self._options.limits.connection

    @property
    def read_timeout(self) -> float | None:
        """Seconds for the head of an answer, and for each block; None for the default."""
        return self._options.limits.read

    @property
    def deadline(self) -> float | None:
        """End of the whole reading (monotonic seconds); None without one."""
        return self._options.limits.deadline

    # --- ranges ---

    def _skip(self) -> int:
        asked = self._asked_range() if self.align and self.buf_size else None
        return discard_bytes(self.buf_size, asked[0]) if asked and self.buf_size else 0

    # --- data ---

    @staticmethod
    def get_next_part(parts_iter: Iterator[Part]) -> Part | None:
        """Get the next part of the body; there is one only."""
        return next(parts_iter, None)

    def get_iter(self) -> Generator[JsonObject, None, None]:
        """Connect to the first candidate that answers.

        :returns: a generator of one part, a dict with ``start``, ``end`` (inclusive), ``length``, ``headers``
            and ``iter``, a generator of the data. Closing it closes the connection.
        :raises oio.common.exceptions.ClientException: the subclass of the status that all candidates gave
        :raises oio.common.exceptions.ServiceUnavailable: when no candidate answers, for several reasons
        :raises oio.common.exceptions.DeadlineReached: no time is left
        """
        return _started(self._iter_parts(*self._find_source()))

    def __iter__(self) -> Iterator[JsonObject]:
        return self.get_iter()

    def _iter_parts(self, source: ChunkAnswer, chunk: Chunk) -> Generator[JsonObject, None, None]:
        with contextlib.ExitStack() as closing:
            closing.callback(close_source, source, self.logger)
            yield {}
            parts_iter = make_iter_from_resp(source)
            found = self.get_next_part(parts_iter)
            if found is None:
                return
            start, end, length, headers, part = found
            data = self.iter_from_resp(source, parts_iter, part, chunk)
            closing.callback(data.close)
            yield {"start": start, "end": end, "length": length, "iter": data, "headers": headers}
            # Parts may be collected before they are read: the data close their source, whichever it is then.
            closing.pop_all()

    def iter_from_resp(
        self, source: ChunkAnswer, parts_iter: Iterator[Part], part: object, chunk: Chunk | ChunkDict
    ) -> Generator[bytes, None, None]:
        """Give the data of a part, from ``source`` and, when it fails, from the next candidates.

        :raises oio.common.exceptions.OioException: when no candidate is left
        """
        chunk = Chunk.of(chunk)
        blocks = self.blocks(source, chunk)
        # One that has not begun closes nothing when it is closed.
        next(blocks)
        if self.buf_size:
            blocks = _started(_aligned(blocks, self.buf_size, self._skip()))
        stored = self._checksum_to_verify(source)
        return _started(_verified(blocks, stored, chunk.url)) if stored else blocks

    def _checksum_to_verify(self, source: ChunkAnswer) -> str | None:
        """Checksum of the data of an answer, if they are to be compared with it, and it is known.

        :raises ChecksumUnavailable: it cannot be computed, and the caller is strict
        """
        if not self._verifies:
            return None
        start, end, length = served_range(source)
        is_whole = start == 0 and (end is None or end + 1 == length)
        stored = str(source.getheader(CHUNK_HEADERS["chunk_hash"]) or "") if is_whole else None
        if stored:
            try:
                checksum_like(stored)
            except exc.ChecksumUnavailable as err:
                if self._options.verify_checksum == "strict":
                    raise
                warn_unverified(err)
                return None
        return stored

    def stream(self) -> Generator[bytes, None, None]:
        """Get a generator of the data.

        The headers are known when this returns, even if no data are read. Closing the generator closes the
        connection.
        """
        # The steps that a subclass may replace are those of the parts.
        parts = list(self.get_iter())
        data: Generator[bytes, None, None] = parts[0]["iter"] if parts else (b"" for _ in ())
        return data


def _aligned(blocks: Generator[bytes, None, None], size: int, skip: int) -> Generator[bytes, None, None]:
    """Blocks of `size` bytes, but for the last one, without the first `skip` bytes."""
    buffer = bytearray()
    try:
        yield b""
        for block in blocks:
            if not block:
                buffer.clear()
            buffer += block[skip:]
            skip = max(0, skip - len(block))
            while len(buffer) >= size:
                yield bytes(buffer[:size])
                del buffer[:size]
        if buffer:
            yield bytes(buffer)
    finally:
        blocks.close()


def _verified(blocks: Generator[bytes, None, None], stored: str, url: str) -> Generator[bytes, None, None]:
    """Hold the last block back until all of them are compared with a checksum.

    :param stored: the checksum
    :param url: of the chunk
    :raises CorruptedChunk: they differ
    """
    last = b""
    try:
        yield b""
        checksum = checksum_like(stored)
        for block in blocks:
            checksum.update(block)
            if last:
                yield last
            last = block
        if checksum.hexdigest() != stored.lower():
            raise exc.CorruptedChunk(
                f"{url}: the checksum of its data is {checksum.hexdigest()}, not {stored}"
            )
        if last:
            yield last
    finally:
        blocks.close()


def _started(generator: Generator[_T, None, None]) -> Generator[_T, None, None]:
    """Begin a generator, whose first item is empty: before that, closing it would close nothing."""
    next(generator)
    return generator


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
    :raises ValueError: when the response has several parts, an encoding, or a wrong ``Content-Range``
    """
    return iter([(*served_range(resp), resp.getheaders(), resp)])
