# SPDX-License-Identifier: Apache-2.0
"""Storage strategies: one class for each kind of chunk method."""

from __future__ import annotations

import abc
import pkgutil
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.chunks import Chunk
from oio.common.storage_method import STORAGE_METHODS, StorageMethod

if TYPE_CHECKING:
    from logging import Logger

    from oio.api._data.inspection import Expected, Findings
    from oio.api._data.layout import Metachunk
    from oio.api._data.links import MetachunkLinker
    from oio.api._data.metachunks import MetachunkWriter
    from oio.api._data.read import MetachunkSource
    from oio.b2.clients import B2Clients
    from oio.blob.client import BlobClient
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.checksums import Checksum
    from oio.common.options import Options

_CLASSES = {
    "repli": "oio.api._data.copies:CopiesStrategy",
    "ec": "oio.api._data.ec.strategy:ErasureStrategy",
    "backblaze": "oio.api._data.bucket:BucketStrategy",
}
"""Loaded at first use: some depend on libraries that may be absent (pitfall 83)."""
_KEEPING_FILES = ("backblaze",)
"""Types of chunk methods whose data outlive the object in the services: the client must remove them."""

OwnerCheck: TypeAlias = "Callable[[Chunk, Options], bool]"
"""Tells whether a chunk may be deleted; raises NotFound when there is none, KeyError or ValueError when its
server does not tell whose it is, OwnerUnknown when the proxy does not."""


class OwnerUnknown(exc.OioException):
    """The proxy does not tell whether an object names a chunk; its failure is the cause."""


class Stores(Protocol):
    """The clients that strategies use."""

    @property
    def logger(self) -> Logger:
        """Logger of failures that raise no exception."""

    @property
    def blob_client(self) -> BlobClient:
        """Client of the chunk servers."""

    @property
    def _b2_clients(self) -> B2Clients:
        """Clients of Backblaze."""


class Strategy(abc.ABC):
    """How the data of the objects of one chunk method, in one container, are written, read and removed.

    :param method: the chunk method
    :param stores: clients to use
    :param cid: ID of the container
    :param options: of the call
    :raises ConfigurationException: there are no credentials for the data
    """

    def __init__(self, method: StorageMethod, stores: Stores, cid: str, options: Options) -> None:
        self.method = method
        self.stores = stores
        self.cid = cid

    @staticmethod
    @abc.abstractmethod
    def family(method: Any) -> tuple[object, ...]:
        """Properties of a chunk method that all chunks of one object must share."""

    def metachunk_size(self, chunk_size: int) -> int:
        """Bytes of a full metachunk, given those of a full chunk."""
        return chunk_size

    @abc.abstractmethod
    def writer(
        self, meta: JsonObject, chunks: list[Chunk], checksum: Checksum, first: bool, options: Options
    ) -> MetachunkWriter:
        """Make the writer of one metachunk.

        :param meta: description of the object
        :param chunks: that the services have prepared; others may be written in their places
        :param checksum: of the object (MD5); the data are added to it
        :param first: nothing went into the checksum before
        """

    def connections(
        self, chunks: list[Chunk], using: list[Chunk], options: Options
    ) -> list[Callable[[], object]]:
        """Functions that make the connections which the writer of a metachunk needs, each in a green thread.

        :param using: chunks that are being written, whose connections it can use
        """
        return []

    @abc.abstractmethod
    def source(self, metachunk: Metachunk, suspects: set[str], options: Options) -> MetachunkSource:
        """Make the source of the bytes of one metachunk.

        :param suspects: addresses of servers that have just failed; others are added to it
        """

    @abc.abstractmethod
    def head(self, chunk: Chunk, xattr: bool, options: Options) -> JsonObject:
        """Ask for the description of a chunk.

        :param xattr: False to know only whether it exists
        :returns: ``chunk_size``, and maybe ``chunk_hash`` and ``full_path``
        :raises NotFound: it does not exist
        """

    def check(self, chunk: Chunk, options: Options) -> None:
        """Check that a chunk is there and, as far as that can be told without reading it, whole.

        :raises NotFound: it does not exist
        :raises ClientPreconditionFailed: it is not whole; or CorruptedChunk
        """
        self.head(chunk, False, options)

    @abc.abstractmethod
    def examine(self, chunk: Chunk, expected: Expected, deep: bool, options: Options) -> Findings:
        """Compare a chunk with what should be there.

        :param expected: of its metachunk
        :param deep: let its server read it all, and compare it with its checksum
        :returns: its damage; empty when it is sound
        :raises DeadlineReached: no time is left
        """

    def mend(
        self, place: Chunk, sources: list[Chunk], expected: Expected, owner: JsonMapping, options: Options
    ) -> None:
        """Store a chunk again, made of others of its metachunk.

        :param place: URL and position of the new chunk; nothing may be there
        :param sources: chunks to make it of, the best ones first; `place` may be among them
        :param expected: of its metachunk
        :param owner: description of the object, with ``full_path``
        :raises Conflict: there is a chunk in this place
        :raises OioException: it may be there, or a part of it
        """
        raise exc.UnrecoverableContent(f"there is no other copy of {place.url} to make it of")

    @abc.abstractmethod
    def delete(
        self,
        chunks: Iterable[Chunk],
        options: Options,
        late: Container[str] = (),
        is_ours: OwnerCheck | None = None,
    ) -> list[Chunk]:
        """Delete chunks, best effort: a failure is logged, and hides no other exception (pitfall 31).

        :param options: of the call; the time for cleaning is added to its deadline
        :param late: URLs of those that a server may still be about to store
        :param is_ours: looks at each chunk just before its deletion, where it may be that of another call
        :returns: those that are left and that nobody else will delete
        """

    def linker(
        self, meta: JsonMapping, chunks: Iterable[Chunk], options: Options, *, renames: bool
    ) -> MetachunkLinker:
        """Make the linker of the chunks of one metachunk, for an object with this description.

        :param renames: whether the services keep other IDs of chunks than the computed ones
        :raises InvalidStorageMethod: such chunks cannot be linked
        """
        raise exc.InvalidStorageMethod(f"chunk method {self.method.type!r} has no links")


_LOADED: dict[str, type[Strategy]] = {}


def load_class(method: StorageMethod) -> type[Strategy]:
    """Get the strategy of a kind of chunk method.

    :raises InvalidStorageMethod: there is none, or it depends on a library that is absent
    """
    found = _LOADED.get(method.name)
    if found is None:
        try:
            found = _LOADED[method.name] = pkgutil.resolve_name(_CLASSES[method.name])
        except (LookupError, ImportError, AttributeError) as err:
            raise exc.InvalidStorageMethod(
                f"objects of chunk method {method.type!r} cannot be read nor written: {err}"
            ) from err
    return found


def strategy_for(chunk_method: str, stores: Stores, cid: str, options: Options) -> Strategy:
    """Make the strategy of an object.

    :raises InvalidStorageMethod: its chunk method is not known
    """
    method = STORAGE_METHODS[chunk_method]
    return load_class(method)(method, stores, cid, options)


def keeps_files(chunk_method: object) -> bool:
    """Tell whether the data of an object stay when the services forget it.

    >>> keeps_files("backblaze/account_id=A,bucket_name=B"), keeps_files("plain"), keeps_files(None)
    (True, False, False)
    """
    return str(chunk_method or "").partition("/")[0] in _KEEPING_FILES


def check_linkable(meta: JsonMapping) -> None:
    """Refuse an object whose chunks cannot have second names.

    :param meta: its description
    :raises InvalidStorageMethod: its chunks are files of Backblaze, or of a kind that is not known
    """
    with reading_answer():
        STORAGE_METHODS.load(meta["chunk_method"])
        if keeps_files(meta["chunk_method"]):
            raise exc.InvalidStorageMethod(
                f"object {meta['name']!r} is stored in Backblaze, which has no links"
            )
