# SPDX-License-Identifier: Apache-2.0
"""Writer of one chunk on its own, outside an upload."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from oio.blob.quorum import check_quorum
from oio.blob.sender import END_OF_BODY, ChunkSender, frame
from oio.common import exceptions as exc
from oio.common import green
from oio.common.checksums import algorithm_of, new_checksum
from oio.common.easy_value import int_value
from oio.common.generator_io import GeneratorIO
from oio.common.perfdata import add_duration
from oio.common.sources import Source

BUFFER_SIZE = 65535
"""Bytes of each read of the source."""


def write_chunk(sender: ChunkSender, data: Any, algorithms: Collection[str] = ()) -> tuple[int, str]:
    """Send the data of one chunk.

    :param data: iterable of blocks of bytes, or file
    :param algorithms: of the checksum that the server may answer with; none to trust its checksum
    :returns: number of bytes, and their checksum
    :raises ChecksumRefused: the server computes another checksum; the chunk is there
    :raises OioException: the data are not stored, or others are
    :raises BaseException: what the source raises, see :class:`~oio.common.sources.Source`
    """
    options, begin = sender.options, time.monotonic()
    readable = data if hasattr(data, "read") else GeneratorIO(data)
    source = Source(readable, options.limits.reading_source, argument="data")
    try:
        # Leaving the pool kills the green thread if it still runs; only then is the connection closed.
        with green.ContextPool(1) as pool:
            sender.thread = pool.spawn(sender.run)
            # Before the first byte is taken from the source.
            sender.ready.get()
            checksums = _transfer(source, sender, algorithms)
            sender.thread.wait()
        checksum = sender.expected_hash = _comparable(checksums, sender)
        if not sender.has_stored():
            sender.refuse_hash()
    finally:
        sender.close()
        add_duration(options.perfdata, "rawx", "overall", begin)
    if sender.error is not None:
        try:
            check_quorum(1, [], [(sender.chunk.url, sender.error)], options.reqid)
        except exc.OioException as err:
            options.limits.raise_if_late(err, options.reqid)
            raise
    return sender.sent, checksum or (sender.received_hash or "").lower()


def _comparable(checksums: dict[str, str], sender: ChunkSender) -> str:
    """Checksum of ours to compare with that of the server; empty when none was wanted."""
    received = algorithm_of(sender.received_hash)
    if sender.error is None and received is not None and checksums and received not in checksums:
        raise exc.ChecksumRefused(
            f"chunk_checksum_algo must be {received!r} or None, not {'/'.join(checksums)!r}: this is what "
            f"chunk server {sender.chunk.netloc} computes",
            reqid=sender.options.reqid,
        )
    return checksums.get(received or "") or next(iter(checksums.values()), "")


def _transfer(source: Source, sender: ChunkSender, algorithms: Collection[str]) -> dict[str, str]:
    """Give the data to a sender, until their end or its failure.

    :returns: their checksums, by algorithm
    """
    size = int_value(sender.options.buffer_max, BUFFER_SIZE)
    checksums = {algorithm: new_checksum(algorithm) for algorithm in algorithms}
    while sender.error is None:
        block = source.read(size)
        if not block:
            break
        for checksum in checksums.values():
            checksum.update(block)
        sender.put(frame(block), len(block))
    sender.put(END_OF_BODY, 0, is_last=True)
    return {algorithm: checksum.hexdigest() for algorithm, checksum in checksums.items()}
