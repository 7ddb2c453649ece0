# SPDX-License-Identifier: Apache-2.0
"""Reader of metachunks: it counts, verifies, and reads again without the chunks that are wrong."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import IO, Protocol

from oio.api._data.layout import Metachunk
from oio.common import exceptions as exc

_LOGGER = logging.getLogger(__name__)

#: Bytes of a metachunk that wait in memory for the rest of it, when nothing may be given before.
_KEPT_IN_MEMORY = 64 << 20
_BLOCK_SIZE = 262144


class MetachunkSource(Protocol):
    """Where the bytes of one metachunk come from."""

    #: URL of each chunk that gave data since the last opening.
    used: list[str]

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        """The bytes from ``start`` to ``end``, inclusive."""

    def find_damaged(self) -> list[str]:
        """URL of the chunks that made the bytes wrong, or of all that were used when that cannot be told."""

    def exclude_damaged(self) -> bool:
        """Leave out chunks that may be wrong; False when no other set of them can be tried."""


def read_pieces(
    pieces: Iterable[tuple[Metachunk, int, int]],
    source_of: Callable[[Metachunk], MetachunkSource],
    verify: bool | str,
) -> Generator[bytes, None, None]:
    """Read parts of metachunks, one after the other.

    :param pieces: metachunk, first and last byte in it
    :param source_of: gives the source of the bytes of a metachunk
    :param verify: True verifies the metachunks that are read whole; ``"strict"`` gives nothing of a metachunk
        before all of it is verified, also for ranges; False verifies nothing, but still counts
    :returns: a generator of blocks; closing it closes the connections
    :raises oio.common.exceptions.UnrecoverableContent: too few chunks of a metachunk exist any more
    :raises oio.common.exceptions.CorruptedChunk: the data of a metachunk are not those that were stored
    :raises oio.common.exceptions.ServiceUnavailable: a metachunk cannot be read for now
    :raises oio.common.exceptions.DeadlineReached: no time is left
    """
    for metachunk, start, end in pieces:
        try:
            yield from _Reading(metachunk, source_of(metachunk), verify).blocks(start, end)
        except exc.NotFound as err:
            text = f"Cannot download position {metachunk.position}: {err}"
            raise exc.UnrecoverableContent(text, reqid=err.reqid) from err
        except (exc.ClientException, exc.ServiceUnavailable) as err:
            text = f"Error while downloading position {metachunk.position}: {err}"
            raise exc.ServiceUnavailable(text, reqid=err.reqid) from err


class _Reading:
    """Reading of a closed range of a metachunk; its last block waits until the whole is verified."""

    def __init__(self, metachunk: Metachunk, source: MetachunkSource, verify: bool | str) -> None:
        self._source = source
        self._size = metachunk.size
        # The checksums of 7.3.0 are MD5; others cannot be compared.
        self._expected = metachunk.chunks[0].md5
        self._verify = bool(verify) and self._expected is not None
        self._strict = self._verify and verify == "strict"
        self._corrupted: list[str] = []

    def blocks(self, start: int, end: int) -> Generator[bytes, None, None]:
        if not self._strict:
            yield from self._plain(start, end, self._verify and end - start + 1 == self._size)
            return
        with contextlib.closing(_Spool()) as spool:
            for _ in self._plain(0, self._size - 1, True, spool):
                pass
            yield from spool.cut(start, end)

    def _plain(
        self, first: int, last: int, verify: bool, spool: _Spool | None = None
    ) -> Generator[bytes, None, None]:
        """Read a range; with a spool, into it, and give nothing."""
        source = self._source
        while True:
            digest = hashlib.new("md5", usedforsecurity=False) if verify else None
            left, given, held = last - first + 1, False, b""
            if spool is not None:
                spool.clear()
            try:
                with contextlib.closing(source.open(first, last)) as blocks:
                    for block in blocks:
                        left -= len(block)
                        if digest is not None:
                            digest.update(block)
                        if spool is not None:
                            spool.write(block)
                            continue
                        if held:
                            given = True
                            yield held
                        held = block
            except (exc.ClientException, exc.ServiceUnavailable) as err:
                self._try_again(err, given)
                continue
            if left:
                size = last - first + 1
                raise exc.ServiceUnavailable(f"{size - left} bytes were read of {source.used}, not {size}")
            if digest is None or digest.hexdigest() == self._expected:
                if held:
                    yield held
                return
            self._corrupted += source.find_damaged()
            if given or not source.exclude_damaged():
                raise self._corruption()
            _LOGGER.warning("Corrupted metachunk, reading it again without trust in %s", self._corrupted)

    def _try_again(self, err: exc.OioException, given: bool) -> None:
        """Prepare another attempt, after a guess at the damaged chunks has left too few of them.

        :param given: some bytes were given already
        :raises OioException: the failure, when no guess was made; or CorruptedChunk
        """
        if not self._corrupted:
            raise err
        if given or not self._source.exclude_damaged():
            raise self._corruption(err) from err

    def _corruption(self, cause: Exception | None = None) -> exc.CorruptedChunk:
        urls = ", ".join(dict.fromkeys(self._corrupted))
        text = f"Data read from {urls} do not match their checksum"
        return exc.CorruptedChunk(f"{text}; {cause}" if cause else text)


class _Spool:
    """Bytes of a metachunk that wait until they are verified: on disk when they are many."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_KEPT_IN_MEMORY)  # noqa: SIM115

    def write(self, block: bytes) -> None:
        self._file.write(block)

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def cut(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``end``, inclusive."""
        self._file.seek(start)
        left = end - start + 1
        while left and (block := self._file.read(min(left, _BLOCK_SIZE))):
            left -= len(block)
            yield block

    def close(self) -> None:
        self._file.close()
