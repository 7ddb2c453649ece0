# SPDX-License-Identifier: Apache-2.0
"""Leftovers: files that stay in Backblaze when the versions of objects that name them are changed.

Chunk servers learn from the namespace which chunks to drop. Only the client takes care of Backblaze: where it
has credentials, it deletes the files that no version of an object names any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from oio.api._data.strategies import Strategy, keeps_files, strategy_for
from oio.api._operations.bulk import in_parallel
from oio.common import exceptions as exc
from oio.common.chunks import Chunk
from oio.common.storage_method import STORAGE_METHODS

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import ListedObject
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options

_PARALLEL = 8
_UNKNOWN = "No credentials for Backblaze: what it has of %s may stay there"


class Leftovers:
    """The files of some versions of objects, of which some may be left when the versions are changed.

    :param services: to use
    :param options: of the call
    """

    def __init__(
        self, services: Services, account: str | None, container: str | None, options: Options
    ) -> None:
        self._services = services
        self._target = account, container
        # A deleted container must not come back empty; a replica that is late would name deleted chunks.
        self._options = replace(options, autocreate=None, force_master=True)
        self._has_credentials = services.b2.has_credentials(options)
        self._noted: list[tuple[JsonMapping, list[Chunk], Strategy]] = []

    def look_at(
        self, name: str | None, version: int | str | None = None, content_id: str | None = None
    ) -> None:
        """Note the files of a version of an object, if there are some.

        Without credentials, nothing is asked for: nobody uses Backblaze then.

        :param version: the latest by default
        :param content_id: in the place of the name
        :raises ConfigurationException: there are credentials, but not for its bucket
        """
        if not self._has_credentials:
            return
        try:
            meta, located = self._locate(name, version, self._options.renewed(), content_id)
        except (exc.NotFound, exc.ContentDrained):
            return
        self.note(meta, located)

    def look_at_all(self, versions: Iterable[tuple[str, int | str | None]]) -> None:
        """Note the files of several versions, given by names and versions."""
        in_parallel(lambda version: self.look_at(*version), list(versions), _PARALLEL)

    def look_at_listed(self, rows: Iterable[ListedObject]) -> None:
        """Note the files of the versions of a listing, which tells those that have some."""
        stored = [row for row in rows if keeps_files(row.get("chunk_method"))]
        if stored and not self._has_credentials:
            self._services.logger.warning(_UNKNOWN, [row["name"] for row in stored])
            return
        self.look_at_all((row["name"], row["version"]) for row in stored)

    def note(self, meta: JsonMapping, located: Iterable[JsonMapping]) -> None:
        """Note the files of a version, if it has some.

        :param meta: its description
        :param located: its chunks
        :raises ConfigurationException: there are credentials, but not for its bucket
        """
        chunk_method = meta.get("chunk_method")
        if not chunk_method:
            raise exc.OioProtocolError("answer has no chunk method of the object")
        if not keeps_files(chunk_method):
            return
        try:
            STORAGE_METHODS.load(chunk_method)
        except exc.InvalidStorageMethod as err:
            self._services.logger.warning("Unknown where the data of %r are: %s", meta["name"], err)
            return
        if not self._has_credentials:
            self._services.logger.warning(_UNKNOWN, [meta["name"]])
            return
        account, container = self._target
        cid = self._options.cid_of(account, container)
        strategy = strategy_for(chunk_method, self._services, cid, self._options)
        self._noted.append((meta, [Chunk.of(chunk) for chunk in located], strategy))

    @contextlib.contextmanager
    def swept(self) -> Iterator[None]:
        """Delete, after a change, the files that were noted and that their versions do not name any more."""
        try:
            yield
        except exc.OioException:
            # The change may have been made: the versions that are left tell.
            self.sweep()
            raise
        self.sweep()

    def sweep(self) -> None:
        """Delete the noted files that no version names any more, best effort: failures are logged."""
        noted, self._noted = self._noted, []
        if noted:
            in_parallel(lambda known: self._sweep_one(*known), noted, _PARALLEL)

    def _sweep_one(self, meta: JsonMapping, chunks: list[Chunk], strategy: Strategy) -> None:
        try:
            _, kept = self._locate(meta["name"], meta["version"], self._options.for_cleaning())
        except (exc.NotFound, exc.ContentDrained):
            kept = []
        except exc.OioException as err:
            self._services.logger.warning("Files of %r may stay in Backblaze: %s", meta["name"], err)
            return
        named = {chunk["url"] for chunk in kept}
        doomed = [chunk for chunk in chunks if chunk.url not in named]
        if doomed:
            strategy.delete(doomed, self._options)

    def _locate(
        self, name: str | None, version: int | str | None, options: Options, content_id: str | None = None
    ) -> tuple[JsonObject, list[ChunkDict]]:
        account, container = self._target
        return self._services.container.content_locate(
            account, container, name, content=content_id, version=version, properties=False, options=options
        )
