# SPDX-License-Identifier: Apache-2.0
"""Damage to chunks on the disks of a namespace, without the knowledge of its services."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from oio.api.types import Damage
from oio.sandbox import Namespace
from tests.kit.store import lose, spoil

Chunk = dict[str, Any]


def chunks_of(api: Any, *target: Any, **kwargs: Any) -> list[Chunk]:
    """The chunks of an object, in the order of their positions."""
    _, chunks = api.object_locate(*target, **kwargs)
    return sorted(chunks, key=lambda chunk: (*map(int, chunk["pos"].split(".")), chunk["url"]))


def _file(namespace: Namespace, chunk: Chunk) -> tuple[Any, str]:
    place, chunk_id = chunk["url"].removeprefix("http://").split("/")
    return next(rawx.store for rawx in namespace.rawx if rawx.address == place), chunk_id


def described_otherwise(namespace: Namespace, chunk: Chunk, **changes: Any) -> None:
    """Change the attributes of a chunk, but not its data."""
    store, chunk_id = _file(namespace, chunk)
    note = json.loads(store.path(chunk_id, ".json").read_bytes())
    store.rewrite_note(chunk_id, json.dumps({**note, **changes}).encode())


def flip(namespace: Namespace, chunk: Chunk) -> None:
    """Change a bit of a chunk."""
    spoil(namespace, chunk["url"], lambda data: data[:-1] + bytes([data[-1] ^ 1]))


def cut(namespace: Namespace, chunk: Chunk) -> None:
    """Cut the last byte of a chunk."""
    spoil(namespace, chunk["url"], lambda data: data[:-1])


def grow(namespace: Namespace, chunk: Chunk) -> None:
    """Add a byte to a chunk."""
    spoil(namespace, chunk["url"], lambda data: data + b"!")


def remove(namespace: Namespace, chunk: Chunk) -> None:
    """Delete a chunk."""
    lose(namespace, chunk["url"])


def swap(namespace: Namespace, chunk: Chunk) -> None:
    """Replace a chunk by one of another object, with its attributes."""
    store, chunk_id = _file(namespace, chunk)
    note = json.loads(store.path(chunk_id, ".json").read_bytes())
    store.delete(chunk_id)
    data = b"of somebody else"
    note |= {"fullpath": "other/box/name/1/AB", "size": len(data), "hash": "5A19C3D6F6D0B1F9A09E1A4F4C9BD7E7"}
    store.path(chunk_id).write_bytes(data)
    store.path(chunk_id, ".json").write_text(json.dumps(note))


def replace(namespace: Namespace, chunk: Chunk, other: Chunk, **changes: Any) -> None:
    """Replace a chunk by another one.

    :param changes: changes of the attributes
    """
    source, source_id = _file(namespace, other)
    note = json.loads(source.path(source_id, ".json").read_bytes())
    data = source.path(source_id).read_bytes()
    store, chunk_id = _file(namespace, chunk)
    store.delete(chunk_id)
    store.path(chunk_id).write_bytes(data)
    store.path(chunk_id, ".json").write_text(json.dumps({**note, **changes}))


def adopt(namespace: Namespace, chunk: Chunk) -> None:
    """Make the attributes of a chunk name another object."""
    described_otherwise(namespace, chunk, fullpath="other/box/name/1/AB")


def forget(namespace: Namespace, chunk: Chunk) -> None:
    """Delete the attributes of a chunk."""
    store, chunk_id = _file(namespace, chunk)
    store.path(chunk_id, ".json").unlink()


Inflict = Callable[[Namespace, Chunk], None]

#: Each way to damage a chunk, and the damage that must be found.
KINDS: dict[str, tuple[Inflict, set[Damage]]] = {
    "missing": (remove, {Damage.MISSING}),
    "flipped": (flip, {Damage.WRONG_CHECKSUM}),
    "cut": (cut, {Damage.WRONG_SIZE}),
    "swapped": (swap, {Damage.WRONG_OWNER, Damage.WRONG_SIZE}),
    "adopted": (adopt, {Damage.WRONG_OWNER}),
    "forgotten": (forget, {Damage.UNREADABLE}),
}


def all_of(namespace: Namespace) -> Iterator[str]:
    """``host:port/ID`` of all chunks on the disks."""
    for rawx in namespace.rawx:
        yield from (f"{rawx.address}/{chunk}" for chunk in rawx.chunks())
