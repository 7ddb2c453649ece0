# SPDX-License-Identifier: Apache-2.0
"""Chunks of one volume, and their attributes.

A real rawx keeps them in extended attributes. Many file systems have none for users, and all links to a
file share them, whereas each link to a chunk (COPY) has attributes of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from oio.sandbox.storage.files import FileStore, Writing


class ChunkDamaged(Exception):
    """The chunk has lost its attributes."""


@dataclass(frozen=True)
class Attributes:
    """Attributes of a chunk; hashes are upper-case hexadecimal digits."""

    fullpath: str
    position: str
    chunk_method: str
    policy: str
    hash: str
    size: int
    metachunk_hash: str | None = None
    metachunk_size: int | None = None
    #: Free attributes, by their names in lower case.
    extra: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, note: bytes | None) -> Attributes | None:
        """Read the attributes of a file; None when they are missing or damaged."""
        try:
            return cls(**json.loads(note or b""))
        except (ValueError, TypeError):
            return None

    def written(self) -> bytes:
        """Return the attributes as they are in a file."""
        return json.dumps(vars(self)).encode()


@dataclass(frozen=True)
class Chunk:
    """A finished chunk, open for reading; ``length`` is that of its file, ``mtime`` seconds since 1970."""

    attributes: Attributes
    file: BinaryIO
    length: int
    mtime: float

    def __enter__(self) -> Chunk:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


class ChunkStore(FileStore):
    """The chunks of one volume, by their IDs.

    :param volume: directory, made when it is missing.

    >>> import tempfile
    >>> store = ChunkStore(Path(tempfile.mkdtemp()))
    >>> store.names()
    []
    """

    def __init__(self, volume: Path) -> None:
        super().__init__(volume, digits=3, algorithm="md5")

    def commit(self, upload: Writing, attributes: Attributes) -> None:
        """Publish a chunk that has been written, durably."""
        upload.finish(attributes.written())
        upload.keep()

    def describe(self, chunk_id: str, extra: Mapping[str, str]) -> None:
        """Add free attributes to a chunk.

        :raises NotStored: there is none.
        :raises ChunkDamaged: it has no attributes.
        """
        with self.open(chunk_id) as chunk:
            attributes = chunk.attributes
        if extra:
            changed = replace(attributes, extra={**attributes.extra, **extra})
            self.rewrite_note(chunk_id, changed.written())

    def open(self, chunk_id: str) -> Chunk:
        """Open a chunk for reading.

        :raises NotStored: there is none.
        :raises ChunkDamaged: it has no attributes.
        """
        stored = self.open_file(chunk_id)
        attributes = Attributes.read(stored.note)
        if attributes is None:
            stored.file.close()
            raise ChunkDamaged(chunk_id)
        status = os.fstat(stored.file.fileno())
        return Chunk(attributes, stored.file, status.st_size, status.st_mtime)

    def link(self, source: str, target: str, fullpath: str) -> None:
        """Make ``target`` a chunk with the data of ``source``, owned by ``fullpath``.

        :raises NotStored: there is no ``source``.
        :raises NameTaken: there is a ``target`` already.
        """
        with self.open(source) as chunk:
            attributes = replace(chunk.attributes, fullpath=fullpath)
        self.link_file(source, target, attributes.written())
