# SPDX-License-Identifier: Apache-2.0
"""Orphan files: those that stay in Backblaze when the versions of objects that name them are changed.

Chunk servers learn from the namespace which chunks to drop. Only the client takes care of Backblaze: where it
has credentials, it deletes the files that no version of an object names any more. Those that it cannot
delete, and those of versions that were replaced unseen, it remembers for the next change of the object.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

from oio.api._data.strategies import Strategy, keeps_files, strategy_for
from oio.api._operations.bulk import in_parallel
from oio.b2.credentials import DEFAULT_KEY_FILE
from oio.b2.written_files import WrittenFile, WrittenFiles
from oio.common import exceptions as exc
from oio.common.chunks import Chunk
from oio.common.storage_method import STORAGE_METHODS

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import ListedObject
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.chunks import ChunkDict
    from oio.common.options import Options

Look: TypeAlias = "tuple[str | None, int | str | None] | tuple[str | None, int | str | None, str | None]"
"""Name of an object, version, and content ID in the place of the name: what to look at."""

_PARALLEL = 8
_UNKNOWN = "No credentials for Backblaze: what it has of %s may stay there"


def has_credentials(options: Options) -> bool:
    """Tell whether there is a file of credentials of Backblaze; without one, no object is there."""
    # Most hosts have none: ``os.access`` says so without the exception that ``exists`` has to catch.
    return bool(options.key_file) or os.access(DEFAULT_KEY_FILE, os.F_OK)


class OrphanFiles:
    """The files of some versions of objects, of which some become orphans when the versions are changed.

    The change is made in its ``with`` block. After it, those of the noted files are deleted that no version
    names any more.

    :param services: to use
    :param options: of the call
    """

    _committed: str | None = None
    """Version of the object that was committed."""

    def __init__(
        self, services: Services, account: str | None, container: str | None, options: Options
    ) -> None:
        self._services = services
        self._target = account, container
        #: Without them, there is nothing to look at.
        self.has_credentials = has_credentials(options)
        if self.has_credentials:
            # A deleted container must not come back empty; a replica that is late would name deleted chunks.
            options = options.changed(autocreate=None, force_master=True)
        self._options = options
        self._noted: list[WrittenFile] = []
        self._names: set[str] = set()

    @property
    def _written(self) -> WrittenFiles:
        return self._services._b2_clients.written

    @property
    def _cid(self) -> str:
        return self._options.cid_of(*self._target)

    def track(
        self, name: str | None, version: int | str | None = None, content_id: str | None = None
    ) -> None:
        """Note the files of a version of an object, if it has some.

        Without credentials, nothing is asked: nobody uses Backblaze then.

        :param version: the latest by default
        :param content_id: in the place of the name
        :raises ConfigurationException: there are credentials, but not for its bucket
        """
        if not self.has_credentials:
            return
        if name:
            self._names.add(name)
        try:
            meta, located = self._locate(name, version, self._options.renewed(), content_id)
        except (exc.NotFound, exc.ContentDrained):
            return
        self.note(meta, located)

    def track_all(self, versions: Iterable[Look]) -> None:
        """Note the files of several versions, as :meth:`track` does; of each once."""
        if self.has_credentials:
            in_parallel(lambda version: self.track(*version), dict.fromkeys(versions), _PARALLEL)

    def track_listed(self, rows: Iterable[ListedObject]) -> None:
        """Note the files of those versions of a listing that have some."""
        stored = [row for row in rows if keeps_files(row.get("chunk_method"))]
        if stored and not self.has_credentials:
            self._services.logger.warning(_UNKNOWN, [row["name"] for row in stored])
            return
        self.track_all((row["name"], row["version"]) for row in stored)

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
        if not self.has_credentials:
            self._services.logger.warning(_UNKNOWN, [meta["name"]])
            return
        self._names.add(meta["name"])
        self._strategy(chunk_method)
        name, version = meta["name"], meta["version"]
        self._noted += [WrittenFile(name, version, chunk_method, chunk["url"]) for chunk in located]

    def committed(self, name: str, meta: JsonMapping, located: Iterable[JsonMapping]) -> None:
        """Remember the files of a version that was committed: another writer may replace it unseen.

        :param name: of the object
        :param meta: description of the version
        :param located: its new chunks
        """
        self._names.add(name)
        version, chunk_method = meta["version"], meta["chunk_method"]
        self._committed = version
        if keeps_files(chunk_method):
            files = [WrittenFile(name, version, chunk_method, chunk["url"]) for chunk in located]
            self._written.add(self._cid, files)

    def __enter__(self) -> OrphanFiles:
        return self

    def __exit__(self, _kind: object, err: BaseException | None, _trace: object) -> None:
        # A change that has failed may have been made: the versions that are left tell.
        if err is None or isinstance(err, exc.OioException):
            self.sweep()

    def sweep(self) -> None:
        """Delete files that no version names any more, best effort: failures are logged.

        They are those that were noted, and what this client has written of the same objects before.
        """
        noted, self._noted = self._noted, []
        names, self._names = self._names, set()
        if not self.has_credentials or not (noted or self._written.files):
            return
        for name in names:
            known = self._written.of(self._cid, name)
            noted += [file for file in known if file.version != self._committed]
        versions: dict[tuple[str, str, str], dict[str, WrittenFile]] = defaultdict(dict)
        for file in noted:
            versions[file.name, file.version, file.chunk_method][file.url] = file
        if versions:
            in_parallel(lambda files: self._sweep_one(list(files.values())), versions.values(), _PARALLEL)

    def _sweep_one(self, files: list[WrittenFile]) -> None:
        """Delete the files that their version does not name; remember those to look at again."""
        name, version = files[0].name, files[0].version
        try:
            kept = self._urls_of(name, version)
            doomed = [file for file in files if file.url not in kept]
            left = self._delete(files[0].chunk_method, doomed)
        except exc.OioException as err:
            self._services.logger.warning("Files of %r may stay in Backblaze: %s", name, err)
            self._written.add(self._cid, files)
            return
        self._written.add(self._cid, left)
        self._written.forget(self._cid, [file for file in doomed if file not in left])
        if self._committed is not None and int(version) < int(self._committed):
            # The container keeps versions: who removes this one will see it.
            self._written.forget(self._cid, [file for file in files if file.url in kept])

    def _urls_of(self, name: str, version: str) -> set[str]:
        """Chunks of a version; none when it is gone."""
        try:
            _, located = self._locate(name, version, self._options.for_cleaning())
        except (exc.NotFound, exc.ContentDrained):
            return set()
        return {chunk["url"] for chunk in located}

    def _delete(self, chunk_method: str, files: list[WrittenFile]) -> list[WrittenFile]:
        """Delete files; returns those that are left."""
        if not files:
            return []
        by_url = {file.url: file for file in files}
        chunks = [Chunk(file.url, file.url) for file in files]
        left = self._strategy(chunk_method).delete(chunks, self._options)
        return [by_url[chunk.url] for chunk in left]

    def _strategy(self, chunk_method: str) -> Strategy:
        """Strategy of an object.

        :raises ConfigurationException: there are credentials, but not for its bucket
        """
        return strategy_for(chunk_method, self._services, self._cid, self._options)

    def _locate(
        self, name: str | None, version: int | str | None, options: Options, content_id: str | None = None
    ) -> tuple[JsonObject, list[ChunkDict]]:
        account, container = self._target
        return self._services.container.content_locate(
            account, container, name, content=content_id, version=version, properties=False, options=options
        )
