# SPDX-License-Identifier: Apache-2.0
"""Record of an object under repair: which chunks the services name, and its changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from oio.api._data.servers import delete_chunks
from oio.api._operations.commit import is_definitive
from oio.api._operations.emptying import reading_of
from oio.api._operations.health import Group, record_of
from oio.blob.connect import reraise_foreign
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.chunks import Chunk
from oio.common.retry import ONCE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from oio.api._data.strategies import Strategy
    from oio.api._operations.services import Services
    from oio.common.answers import JsonMapping
    from oio.common.options import Options

GONE = "the object was deleted or changed meanwhile"


class Record:
    """What the services have recorded of one version of an object.

    :param names: account and name of its container, None when only its ID is known
    :param meta: description of the object
    :param frozen: change it in a frozen container, too
    :param options: of the call
    """

    def __init__(
        self,
        services: Services,
        names: tuple[str | None, str | None],
        strategy: Strategy,
        meta: JsonMapping,
        frozen: bool,
        options: Options,
    ) -> None:
        self._services = services
        self._names = names
        self._cid, self._method = strategy.cid, strategy.method
        with reading_answer():
            self._name, self._version, self._id = meta["name"], meta["version"], meta["id"]
        self._frozen = frozen
        self._options = options
        #: Names of the container, or the ID of its shard, that has the rows of the object.
        self._rows = names
        self._shard: str | None = None
        self._asks_master: bool | None = None

    def find(self) -> None:
        """Find where it is. To be called before all else."""
        # A late replica would not know what another repair has just named.
        self._asks_master, divided = reading_of(self._services, *self._names, self._options.renewed())
        if divided:
            self._shard = self._services.container.content_shard(
                *self._names, self._name, version=self._version, options=self._options.renewed()
            )
            self._rows = self._names if self._shard is None else (None, None)

    def named(self, options: Options) -> Mapping[str, Chunk] | None:
        """Chunks of the version of the object, by URL; None when it does not exist any more."""
        try:
            meta, located = self._services.container.content_locate(
                *self._names,
                self._name,
                version=self._version,
                properties=False,
                options=replace(options, force_master=self._asks_master),
            )
        except (exc.NotFound, exc.ContentDrained):
            return None
        with reading_answer():
            if meta["id"] != self._id:
                return None
            return {chunk.url: chunk for chunk in map(Chunk.of, located)}

    def name_chunk(self, group: Group, old: Chunk | None, new: Chunk, *, doomed: bool = False) -> None:
        """Let the services name a new chunk in the place of an old one, or one more.

        :param doomed: delete the old one once it is certain that only the new one is named
        :raises OioException: they do not, or may not; the new chunk is removed if nothing can name it
        """
        try:
            self._change(group, old, new)
        except exc.OioException as err:
            # Another repair may have chosen the same place for the same chunk.
            try:
                is_named = _is_named(group, new, self.named(self._options.for_cleaning()) or {})
            except exc.OioException as unknown:
                reraise_foreign(unknown)
                is_named = None
            if not is_named:
                if new is not old:
                    if is_named is False and is_definitive(err):
                        self.remove(new)
                    else:
                        self._warn_of([new], err)
                raise
        # The change is done: the rest is cleaning.
        replaced = [old] if old is not None and doomed else []
        try:
            named = self.named(self._options.for_cleaning())
        except exc.OioException as err:
            self._warn_of(replaced, err)
            raise
        if old is None:
            try:
                self._check_absent(group, new, named)
            except exc.OioException:
                # The service names it whatever the object holds.
                row, options = new.stored(group.expected.size, group.digest), self._options.for_cleaning()
                self._services.container.container_raw_delete(
                    *self._rows, [row.row(self._id)], self._shard, self._name, self._id, options=options
                )
                self.remove(new)
                raise
        if named is None:
            self.remove(*replaced, *([] if new is old else [new]))
            raise exc.NotFound(404, None, GONE)
        if not _is_named(group, new, named):
            text = f"the object does not name the new chunk {new.url}: it has changed"
            changed = exc.Conflict(409, None, text)
            self._warn_of(replaced, changed)
            raise changed
        self.remove(*(chunk for chunk in replaced if chunk.url not in named))

    def _warn_of(self, chunks: list[Chunk], err: exc.OioException) -> None:
        text = "Chunk %s may be left: it is not known whether object %r names it: %s"
        for chunk in chunks:
            self._services.logger.warning(text, chunk.url, self._name, err)

    def _change(self, group: Group, old: Chunk | None, new: Chunk) -> None:
        # A second request would be refused because of the first.
        options = replace(self._options.renewed(), retry=ONCE)
        row = new.stored(group.expected.size, group.digest).row(self._id)
        client, frozen = self._services.container, self._frozen
        if old is not None:
            before = old.row(self._id)
            client.container_raw_update(
                [before], [row], *self._rows, cid=self._shard, frozen=frozen, options=options
            )
            return
        self._check_absent(group, new, self.named(options))
        client.container_raw_insert(
            [row],
            *self._rows,
            cid=self._shard,
            frozen=frozen,
            path=self._name,
            content_id=self._id,
            options=options,
        )

    def _check_absent(self, group: Group, new: Chunk, named: Mapping[str, Chunk] | None) -> None:
        """Refuse to name one chunk more, unless the object lacks it.

        :param named: chunks of the object as it is now
        :raises NotFound: the metachunk is gone, or cut: truncations keep the version and the content ID
        :raises Conflict: another repair has added the chunk
        """
        method = self._method
        others = [
            chunk
            for chunk in (named or {}).values()
            if chunk.position == group.position and chunk.url != new.url
        ]
        if not any(record_of(chunk) in group.agreed for chunk in others):
            raise exc.NotFound(404, None, GONE)
        same = [chunk for chunk in others if chunk.index == new.index]
        if len(same) >= (1 if method.ec else method.expected_chunks):
            raise exc.Conflict(409, None, "the chunk was added meanwhile")

    def check_free(self, group: Group, place: Chunk) -> None:
        """Refuse a new place whose server has got another chunk of the metachunk meanwhile.

        :raises ServiceBusy: another repair has chosen the same server
        """
        known = {chunk.url for chunk in group.chunks}
        if place.url in known:
            return
        named = self.named(self._options.renewed()) or {}
        others = [named[url] for url in named.keys() - known - {place.url}]
        if (group.position, place.host) in [(chunk.position, chunk.host) for chunk in others]:
            raise exc.ServiceBusy(503, None, f"another repair has chosen server {place.host} meanwhile")

    def discard(self, place: Chunk) -> None:
        """Delete what a failure may have left, best effort, unless the object names it.

        Where IDs are computed, a repair at the same time may have stored its own chunk there, and named it.
        """

        def is_unnamed(chunk: Chunk, options: Options) -> bool:
            return chunk.url not in (self.named(options) or {})

        services, cid = self._services, self._cid
        delete_chunks(services, [place], cid, self._options, {place.url}, is_unnamed)

    def remove(self, *chunks: Chunk) -> None:
        """Delete chunks, best effort."""
        delete_chunks(self._services, chunks, self._cid, self._options)


def _is_named(group: Group, chunk: Chunk, named: Mapping[str, Chunk]) -> bool:
    """Tell whether a chunk is among those that are named, as it should be."""
    there = named.get(chunk.url)
    return there is not None and record_of(there)[0] == group.digest
