# SPDX-License-Identifier: Apache-2.0
"""Looks at the chunks of an object, one HEAD request each: are they there, and what are they?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from oio.api._facade.call import ApiBase
from oio.api._operations.leftovers import head_file
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.common.storage_method import STORAGE_METHODS
from oio.common.utils import hard_deadline

_PARALLEL_HEADS = 8


def _position(chunk: dict[str, Any]) -> tuple[int, int]:
    metachunk, _, num = str(chunk["pos"]).partition(".")
    return int(metachunk), int(num or 0)


_Head = Callable[[dict[str, Any], bool], dict[str, Any]]


def _head_of(api: ApiBase, meta: dict[str, Any], cid: str, options: dict[str, Any]) -> _Head:
    """Get what asks for the head of a chunk of an object, given whether its owner is to be told."""
    with reading_answer():
        storage_method = STORAGE_METHODS.load(meta["chunk_method"])
    if storage_method.backblaze:
        info = api._buckets.info(storage_method, options)
        return lambda chunk, _: head_file(chunk, info, cid, options)

    def head(chunk: dict[str, Any], xattr: bool) -> dict[str, Any]:
        url = chunk.get("real_url") or chunk["url"]
        return api.blob_client.chunk_head(url, xattr=xattr, **options)

    return head


def count_missing(chunk_method: str, chunks: Iterable[dict[str, Any]]) -> int:
    """Count the chunks that the metachunks of an object should have, and are not known."""
    # Backblaze takes care of its copies itself.
    expected = getattr(STORAGE_METHODS.load(chunk_method), "expected_chunks", 1)
    known = Counter(_position(chunk)[0] for chunk in chunks)
    return sum(max(expected - count, 0) for count in known.values())


def describe_chunks(
    api: ApiBase, meta: dict[str, Any], chunks: Iterable[dict[str, Any]], cid: str, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Add to each chunk, in the order of their positions, what its rawx knows of it, or an ``error``."""
    options = dict(options)
    if hard_deadline(options) is None:
        # The read timeout is that of each request; the caller may take its time between two.
        options.pop("deadline", None)
    head = _head_of(api, meta, cid, options)
    for chunk in sorted(chunks, key=_position):
        try:
            known = head(chunk, True)
        except exc.OioException as err:
            yield {**chunk, "error": str(err)}
        else:
            yield {**chunk, **{key: known.get(key) for key in ("chunk_size", "chunk_hash", "full_path")}}


def is_readable(
    api: ApiBase,
    meta: dict[str, Any],
    chunks: list[dict[str, Any]],
    cid: str,
    every: bool,
    options: dict[str, Any],
) -> bool:
    """Tell whether each metachunk has enough chunks to be read, or `every` one of them.

    :raises OioException: the result depends on a rawx that does not answer
    """
    with reading_answer():
        # Backblaze takes care of its copies itself.
        min_chunks = getattr(STORAGE_METHODS.load(meta["chunk_method"]), "min_chunks_to_read", 1)
    head = _head_of(api, meta, cid, options)

    def problem(chunk: dict[str, Any]) -> exc.OioException | None:
        try:
            head(chunk, False)
        except exc.OioException as err:
            return err
        return None

    green.adopt_thread()
    with green.ContextPool(_PARALLEL_HEADS) as pool:
        threads = [pool.spawn(problem, chunk) for chunk in chunks]
        problems = [thread.wait() for thread in threads]
    metachunks: dict[int, list[exc.OioException | None]] = {}
    for chunk, error in zip(chunks, problems, strict=True):
        metachunks.setdefault(_position(chunk)[0], []).append(error)
    unknown = None
    for errors in metachunks.values():
        needed = len(errors) if every else min_chunks
        if sum(not isinstance(error, exc.NotFound) for error in errors) < needed:
            return False
        if errors.count(None) < needed:
            unknown = next(error for error in errors if error and not isinstance(error, exc.NotFound))
    if unknown is not None:
        raise unknown
    return True
