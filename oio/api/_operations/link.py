# SPDX-License-Identifier: Apache-2.0
"""Copies that share data: chunks get second names on their services, and an object is made of these."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from oio.api import io
from oio.api._operations.download import Location
from oio.api._operations.upload import Upload
from oio.blob.sender import WriteOptions
from oio.common import exceptions as exc
from oio.common import green
from oio.common import limits as _limits
from oio.common.answers import reading_answer
from oio.common.constants import STRLEN_CHUNKID
from oio.common.http_urllib3 import nothing_was_sent
from oio.common.storage_method import STORAGE_METHODS, StorageMethod
from oio.common.utils import compute_chunk_id

__all__ = ["LinkHandler", "MetachunkLinker"]

_LOGGER = logging.getLogger(__name__)

_CONFLICT = 409
_SERVER_ERROR = 500
_KEPT_KEYS = ("url", "real_url", "pos", "size", "hash")

_Chunk = dict[str, Any]


def linkable(meta: Mapping[str, Any]) -> StorageMethod:
    """Tell how the chunks of an object to link to are stored.

    :param meta: its description
    :raises InvalidStorageMethod: they cannot have other names
    """
    with reading_answer():
        storage_method = STORAGE_METHODS.load(meta["chunk_method"])
    if storage_method.backblaze:
        raise exc.InvalidStorageMethod(f"object {meta['name']!r} is stored in Backblaze, which has no links")
    return storage_method


class MetachunkLinker(io.MetachunkWriter):
    """Links the chunks of one metachunk, all at once.

    :param sysmeta: metadata of the object that the links are for, with keys ``container_id content_path
        version policy full_path``
    :param meta_chunk_target: the chunks, dicts with ``url``, ``pos`` and maybe ``real_url``, ``size``,
        ``hash``
    :param storage_method: tells the quorum
    :param blob_client: sends the requests, see :class:`~oio.blob.client.BlobClient`
    :param quorum: overrides that of the storage method
    :param kwargs: options of the requests: ``headers``, ``reqid``, ``deadline``, ``connection_timeout``,
        ``read_timeout``, ``perfdata``...
    """

    def __init__(
        self,
        sysmeta: Mapping[str, Any],
        meta_chunk_target: list[_Chunk],
        storage_method: StorageMethod | None,
        blob_client: Any,
        quorum: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(storage_method=storage_method, quorum=quorum, **kwargs)
        self.meta_chunk_target = meta_chunk_target
        self.blob_client = blob_client
        self._full_path = sysmeta["full_path"]
        self._kwargs = kwargs
        #: One for each chunk, in the same order. Those that fail have an ``error``, those that the service
        #: may hold all the same a true ``maybe_stored``.
        self.links: list[_Chunk] = list(self._named(sysmeta))

    def _named(self, sysmeta: Mapping[str, Any]) -> Iterator[_Chunk]:
        """Describe the links, under the IDs that chunks have where these are predictable."""
        taken = set()
        for target in self.meta_chunk_target:
            chunk_id = compute_chunk_id(
                sysmeta["container_id"],
                sysmeta["content_path"],
                sysmeta["version"],
                target["pos"],
                sysmeta["policy"],
            )
            place = (urlsplit(target["url"]).netloc, chunk_id)
            # Two chunks of one position may have come to the same service.
            yield _link_to(target, _random_id() if place in taken else chunk_id)
            taken.add(place)

    def link(self) -> list[_Chunk]:
        """Make the links.

        :returns: those that were made
        :raises oio.common.exceptions.OioException: too few of them could be made, see
            :meth:`~oio.api.io.MetachunkWriter.quorum_or_fail`; the others are there
        """
        with green.ContextPool(max(1, len(self.links))) as pool:
            pairs = zip(self.meta_chunk_target, self.links, strict=True)
            for thread in [pool.spawn(self._make, target, link) for target, link in pairs]:
                thread.wait()
        made = [link for link in self.links if not link.get("error")]
        try:
            self.quorum_or_fail(made, [link for link in self.links if link.get("error")])
        except exc.OioException as err:
            WriteOptions(**self._kwargs).check_deadline(err)
            raise
        return made

    def _make(self, target: _Chunk, link: _Chunk) -> None:
        """Make one link; what fails is noted in it, and concerns it alone."""
        self._copy(target, link)
        if link.get("error") == f"HTTP {_CONFLICT}":
            # What has this name is not ours: an interrupted call may have left it (pitfalls row 30).
            link.update(_link_to(target, _random_id()))
            self._copy(target, link)
        if link.get("error"):
            _LOGGER.warning(
                "Failed to link chunk %s: %s (reqid=%s)", target["url"], link["error"], self.reqid
            )

    def _copy(self, target: _Chunk, link: _Chunk) -> None:
        # Whatever happens from here on, the service may have it, unless it says no.
        link.update(error=None, maybe_stored=True)
        try:
            self.blob_client.chunk_link(
                target.get("real_url") or target["url"], link["real_url"], self._full_path, **self._kwargs
            )
        except exc.ChunkException as err:
            status = err.args[0] if err.args else None
            link.update(error=err)
            if isinstance(status, int):
                link.update(error=f"HTTP {status}", maybe_stored=status >= _SERVER_ERROR)
        except exc.DeadlineReached as err:
            link.update(error=err, maybe_stored=False)
        except exc.OioException as err:
            link.update(error=err, maybe_stored=not nothing_was_sent(err))
        except _limits.OWN_THREAD_FAILURES as err:
            link.update(error=err)


def _random_id() -> str:
    return secrets.token_hex(STRLEN_CHUNKID // 2).upper()


def _link_to(target: _Chunk, chunk_id: str) -> _Chunk:
    """Describe a link to a chunk: a neighbour of it, that is alike."""
    link = {key: target[key] for key in _KEPT_KEYS if key in target}
    for key in ("url", "real_url"):
        parts = urlsplit(target.get(key) or target["url"])
        link[key] = urlunsplit(parts._replace(path=f"/{chunk_id}"))
    return link


class LinkHandler:
    """Links the chunks of an object.

    :param sysmeta: metadata of the object that the links are for, see :class:`MetachunkLinker`
    :param meta_chunks_target: metachunk position -> its chunks
    :param storage_method: tells the quorum
    :param blob_client: sends the requests
    :param kwargs: options of the requests
    """

    def __init__(
        self,
        sysmeta: Mapping[str, Any],
        meta_chunks_target: Mapping[int, list[_Chunk]],
        storage_method: StorageMethod,
        blob_client: Any,
        **kwargs: Any,
    ) -> None:
        self.sysmeta = sysmeta
        self.meta_chunks_target = meta_chunks_target
        self.storage_method = storage_method
        self.blob_client = blob_client
        self.extra_kwargs = kwargs
        #: Chunks, and the links to them, of the metachunks so far; a link may have failed.
        self.pairs: list[tuple[_Chunk, _Chunk]] = []

    def link(self) -> list[_Chunk]:
        """Link metachunk after metachunk.

        :returns: the links that were made, as chunks to be saved in a container
        :raises oio.common.exceptions.OioException: too few links to one of them could be made
        """
        made = []
        for _, targets in sorted(self.meta_chunks_target.items()):
            linker = MetachunkLinker(
                self.sysmeta, targets, self.storage_method, self.blob_client, **self.extra_kwargs
            )
            self.pairs.extend(zip(targets, linker.links, strict=True))
            made += linker.link()
        return [{key: link[key] for key in _KEPT_KEYS if key in link} for link in made]

    def all_chunks_so_far(self) -> list[_Chunk]:
        """All the links so far, for who must remove them."""
        return [link for _, link in self.pairs]


class Link(Upload):
    """The creation of an object out of links to the chunks of another; parameters are those of Upload."""

    def to(self, target: Location) -> dict[str, Any]:
        """Make the links, and commit the object.

        :param target: what to link to
        :returns: description of the new object
        """
        found = target.meta
        same = {key: found.get(key) for key in ("mime_type", "chunk_method", "hash")}
        size = {"length": str(target.size), "size": str(target.size)}
        meta = self._describe(self._ask_for_chunks().obj_meta, {**same, **size})
        # Not those of the preparation, which are about chunks that nobody will write.
        meta["properties"] = dict(self.properties)
        handler: Any = LinkHandler(
            meta, target.chunks, target.storage_method, self.api.blob_client, **self._writing_options()
        )
        try:
            links = handler.link()
        except BaseException:  # Nobody knows of the links, whatever stopped us.
            self._clean(handler.all_chunks_so_far())
            raise
        self._commit(handler, meta, links, target.size, meta["hash"])
        # Nobody knows of those that failed, but a service may hold them all the same.
        self._clean(link for link in handler.all_chunks_so_far() if link["error"])
        return meta

    def _send(self, meta: dict[str, Any], chunks: list[_Chunk], size: int, checksum: str) -> None:
        # The checksum of an object that was written in parts is not known.
        super()._send(meta, chunks, size, checksum or None)  # type: ignore[arg-type]
