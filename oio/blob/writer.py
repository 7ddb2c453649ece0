# SPDX-License-Identifier: Apache-2.0
"""Writer of one chunk on its own, outside an upload."""

from __future__ import annotations

import hashlib
import io
import time
from typing import Any

from oio.blob.quorum import check_quorum
from oio.blob.sender import END_OF_BODY, ChunkSender, frame
from oio.common import exceptions as exc
from oio.common import green
from oio.common.easy_value import int_value
from oio.common.generator_io import GeneratorIO
from oio.common.perfdata import add_duration
from oio.common.sources import reading_source

BUFFER_SIZE = 65535
"""Bytes that are read from the source at once."""


def write_chunk(sender: ChunkSender, data: Any) -> tuple[int, str]:
    """Send the data of one chunk.

    :param data: iterable of blocks of bytes, or file
    :returns: number of bytes, and their checksum
    :raises OioException: they are not stored, or not only they
    """
    options, begin = sender.options, time.monotonic()
    source = data if hasattr(data, "read") else io.BufferedReader(GeneratorIO(data))
    try:
        # Leaving the pool kills the green thread if it still runs; only then is the connection closed.
        with green.ContextPool(1) as pool:
            sender.thread = pool.spawn(sender.run)
            # Before the first byte is taken from the source.
            sender.ready.wait()
            checksum = _transfer(source, sender)
            sender.thread.wait()
        sender.check_hash(checksum)
    finally:
        sender.close()
        add_duration(options.perfdata, "rawx", "overall", begin)
    if sender.error is not None:
        try:
            check_quorum(1, 0, [(sender.chunk.url, sender.error)], options.reqid)
        except exc.OioException as err:
            options.limits.blame(err, options.reqid)
            raise
    return sender.sent, checksum or (sender.received_hash or "").lower()


def _transfer(source: Any, sender: ChunkSender) -> str:
    """Give the data to a sender, until their end or its failure.

    :returns: their checksum, empty when the server computes it alone
    """
    options = sender.options
    algorithm, size = options.checksum_algo, int_value(options.buffer_max, BUFFER_SIZE)
    checksum = None if algorithm is None else hashlib.new(algorithm, usedforsecurity=False)
    while sender.error is None:
        with reading_source(options.limits.reading_source()):
            block = source.read(size)
        if not block:
            break
        if checksum is not None:
            checksum.update(block)
        sender.put(frame(block), len(block))
    sender.put(END_OF_BODY, 0, is_last=True)
    return "" if checksum is None else checksum.hexdigest()
