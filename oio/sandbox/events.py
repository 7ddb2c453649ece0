# SPDX-License-Identifier: Apache-2.0
"""Events between the services of a namespace: changes of containers and chunks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from oio.sandbox.account.store import AccountStore
from oio.sandbox.metadata.container import ContainerState
from oio.sandbox.metadata.directory import Target
from oio.sandbox.rawx.chunks import ChunkStore
from oio.sandbox.rawx.service import FullPath
from oio.sandbox.rdir.store import ChunkEntry, ContainerRecord, ReverseDirectory
from oio.sandbox.storage.files import NotStored


@dataclass(frozen=True)
class Events:
    """Events of containers and chunks, and the services that receive them.

    :param namespace: name of the namespace.
    :param meta2: volume of the containers.
    :param accounts: receives the counters of containers.
    :param reverse: receives chunks and containers that come and go.
    :param stores: the chunks of each rawx, by its address.
    """

    namespace: str
    meta2: str
    accounts: AccountStore
    reverse: ReverseDirectory
    stores: dict[str, ChunkStore]

    def container_changed(self, state: ContainerState) -> None:
        """Report that a container was created, changed or destroyed."""
        self.accounts.report(state)
        parts = (self.namespace, state.account, state.name)
        url = "/".join(quote(part, safe="") for part in parts)
        if state.dtime:
            self.reverse.container_destroyed(self.meta2, url)
        else:
            record = ContainerRecord(
                url, Target.named(state.account, state.name).cid, state.mtime // 1_000_000
            )
            self.reverse.container_there(self.meta2, record)

    def chunks_unowned(self, urls: Iterable[str]) -> None:
        """Delete chunks that no object has any more.

        They are deleted on disk, even those of a rawx that is down: in a cluster, events wait for it.
        """
        for url in urls:
            parts = urlsplit(url)
            store, chunk_id = self.stores.get(parts.netloc), parts.path.lstrip("/").upper()
            if store is not None:
                with contextlib.suppress(NotStored):
                    store.delete(chunk_id)
                self.reverse.chunk_deleted(parts.netloc, chunk_id)

    def of_volume(self, address: str) -> VolumeEvents:
        """Return the events of one rawx."""
        return VolumeEvents(self.reverse, address)


@dataclass(frozen=True)
class VolumeEvents:
    """Events of the chunks of one rawx."""

    reverse: ReverseDirectory
    volume: str

    def stored(self, chunk: FullPath, chunk_id: str) -> None:
        """Report a new chunk."""
        entry = ChunkEntry(
            chunk.cid, chunk.content_id, chunk_id, int(time.time()), chunk.path, int(chunk.version)
        )
        self.reverse.chunk_stored(self.volume, entry)

    def deleted(self, chunk_id: str) -> None:
        """Report that a chunk was deleted."""
        self.reverse.chunk_deleted(self.volume, chunk_id)
