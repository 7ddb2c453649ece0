# SPDX-License-Identifier: Apache-2.0
"""Emptying of containers, and the removal of old versions: many requests for one call."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import filterfalse, groupby
from typing import TYPE_CHECKING

from oio.api._operations.bulk import in_bulk
from oio.api._operations.orphan_files import OrphanFiles
from oio.api._operations.paging import listed_versions, object_page, version_page
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.cache import del_cached_object_metadata, forget_object, is_plain
from oio.common.constants import M2_PROP_SHARDS, M2_PROP_VERSIONING_POLICY
from oio.common.easy_value import int_value

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import ListedObject
    from oio.common.options import Options

_UNVERSIONED = (0, 1)
_ENABLED = "0"
"""Status of a container that is not frozen, nor disabled."""

_Key = tuple[str, int]
"""Name and version of an object."""


def _key(row: ListedObject) -> _Key:
    return row["name"], row["version"]


def _is_divided(system: Mapping[str, str]) -> bool:
    """Tell from its properties whether a container is divided among shards."""
    with reading_answer():
        return bool(int_value(system.get(M2_PROP_SHARDS), 0))


def _from_master(options: Options, system: Mapping[str, str]) -> Options:
    """Make options that read a container from the master of its database, unless that would do harm.

    A replica that is late would show again what was deleted (pitfall 109). But when a frozen container is
    divided among others, reading from masters through it freezes them for good.

    :param system: properties of the container
    """
    if _is_divided(system) and system.get("sys.status") not in {None, _ENABLED}:
        return options
    return replace(options, force_master=True)


def master_of(services: Services, account: str | None, container: str | None, options: Options) -> Options:
    """Make such options for a container whose properties are not known yet."""
    return replace(options, force_master=reading_of(services, account, container, options)[0])


def reading_of(
    services: Services, account: str | None, container: str | None, options: Options
) -> tuple[bool | None, bool]:
    """Tell how to read a container whose properties are not known yet.

    :returns: option ``force_master`` to read it with, and whether it is divided among shards
    """
    known = services.container.container_get_properties(account, container, options=options)
    with reading_answer():
        system = known["system"]
    return _from_master(options, system).force_master, _is_divided(system)


# --- all objects -------------------------------------------------------------------------------------


def flush(
    services: Services,
    account: str | None,
    container: str | None,
    options: Options,
    *,
    bypass_governance: bool = False,
) -> None:
    """Delete all the versions of all the objects of a container, and the delete markers.

    :param bypass_governance: also those that have to be retained
    :raises OioException: nothing of what is listed could be deleted
    """
    named = repr(container or options.cid)
    gone: set[_Key] = set()
    decided = False
    while True:
        page = version_page(services.container, account, container, None, options.renewed())
        rows = page["objects"]
        if not decided:
            # The first page is from any replica: it tells whether the master may be asked.
            options, decided = _from_master(options, page["system"]), True
            if not rows:
                continue
        if not rows and not page["truncated"]:
            return
        if rows and gone.issuperset(map(_key, rows)):
            raise exc.OioException(f"what was deleted of container {named} is still there")
        deletion = _PageDeletion(services, account, container, options, bypass_governance)
        deletion.delete(rows, page["system"])
        if not deletion.progress:
            refusal = deletion.refusal
            raise exc.OioException(
                f"nothing of {len(rows)} versions in container {named} could be deleted"
                + (f": {refusal}" if refusal else "")
            ) from refusal
        gone = deletion.gone


class _PageDeletion:
    """Deletion of the versions on one page of a listing.

    Objects of one version are deleted by name, many at once, unless the container keeps versions, where this
    only hides them; others are deleted version by version. When the namespace keeps versions, the next page
    shows them again, with their delete markers.

    :param bypass_governance: delete those that have to be retained, too, which is not done by name
    """

    def __init__(
        self,
        services: Services,
        account: str | None,
        container: str | None,
        options: Options,
        bypass_governance: bool,
    ) -> None:
        self._client = services.container
        self._account = account
        self._container = container
        self._options = options
        self._bypasses = bypass_governance
        self._orphans = OrphanFiles(services, account, container, options)
        self.progress = False
        #: The versions that the service says are deleted.
        self.gone: set[_Key] = set()
        #: Why the last version that is left could not be deleted.
        self.refusal: exc.ClientException | None = None

    def delete(self, rows: list[ListedObject], system: Mapping[str, str]) -> None:
        """Delete versions.

        :param system: properties of the container
        """
        versions = Counter(row["name"] for row in rows)
        versioned = _max_versions(system) not in (None, *_UNVERSIONED)

        def is_single(row: ListedObject) -> bool:
            by_version = row["deleted"] or versioned or self._bypasses
            return versions[row["name"]] == 1 and not by_version

        single = list(filter(is_single, rows))
        self._orphans.track_listed(rows)
        try:
            with self._orphans:
                self._delete_by_name(single)
                # The oldest ones first: none must appear in the place of a newer one.
                for row in reversed(list(filterfalse(is_single, rows))):
                    self._delete_version(row)
                if single and not self.progress:
                    # Answers about many do not say why.
                    self._delete_version(single[0])
        finally:
            cid, cache = self._options.cid, self._options.cache
            for name in versions:
                forget_object(self._account, self._container, name, cid, cache)

    def _delete_by_name(self, rows: list[ListedObject]) -> None:
        if rows:
            ask = partial(self._client.content_delete_many, self._account, self._container)
            results = in_bulk([row["name"] for row in rows], ask, self._options)
            self.gone |= {_key(row) for row, (_, deleted) in zip(rows, results, strict=True) if deleted}
            self.progress = bool(self.gone)

    def _delete_version(self, row: ListedObject) -> None:
        try:
            try:
                self._send(row["name"], row["version"])
                self.gone.add(_key(row))
            except exc.BadRequest:
                # Versions are no longer kept: the service only deletes them in their order.
                self._send(row["name"], None)
            self.progress = True
        except exc.NotFound:
            self.gone.add(_key(row))
            self.progress = True
        except exc.ClientException as err:
            self.refusal = err

    def _send(self, name: str, version: int | None) -> None:
        self._client.content_delete(
            self._account,
            self._container,
            name,
            version=version,
            bypass_governance=self._bypasses,
            options=self._options.renewed(),
        )


def flush_fast(
    services: Services,
    account: str | None,
    container: str | None,
    options: Options,
    *,
    bypass_governance: bool = False,
) -> None:
    """Make the service delete all the objects of a container; what is in its shards is deleted by name.

    :param bypass_governance: delete version by version what has to be retained
    :raises OioException: the container is the same after a request as before
    """
    client = services.container
    # No harm to divided containers: their flushes are never truncated, so that nothing is listed with it.
    reading = replace(options, force_master=True)
    orphans = OrphanFiles(services, account, container, reading)
    if orphans.has_credentials:
        listing = master_of(services, account, container, options)
        orphans.track_listed(listed_versions(client, account, container, listing))
    before = None
    # Nobody knows whether services of today take a bypass in this request, so it is made without.
    refusals = (exc.Forbidden,) if bypass_governance else ()
    with orphans, contextlib.suppress(*refusals):
        while client.container_flush(account, container, options=options.renewed())["truncated"]:
            page = object_page(client, account, container, reading.renewed(), limit=1, versions=True)
            now = page["objects"], page["system"]
            if now == before:
                raise exc.OioException(
                    f"container {container or options.cid!r} did not change after a flush request"
                )
            before = now
    # The service says that all is deleted, even when it has not looked into the shards.
    left = object_page(client, account, container, options.renewed(), limit=1, versions=True)
    if left["objects"] or left["truncated"]:
        flush(services, account, container, options, bypass_governance=bypass_governance)


@contextlib.contextmanager
def forgetting_objects(
    services: Services, account: str | None, container: str | None, options: Options
) -> Iterator[None]:
    """Remove all the objects of a container from the cache, once they are deleted together.

    Only a plain dictionary can be searched for them. For another cache they are listed before.
    """
    cache = options.cache
    names: set[str] = set()
    if cache is not None and not is_plain(cache):
        try:
            reading = master_of(services, account, container, options)
            names.update(
                row["name"] for row in listed_versions(services.container, account, container, reading)
            )
        except exc.OioException as err:
            services.logger.info("Not all the objects of %r are known: %s", container or options.cid, err)
    try:
        yield
    finally:
        for name in names:
            del_cached_object_metadata(account, container, name, cid=options.cid, cache=cache)


# --- old versions ------------------------------------------------------------------------------------


def _max_versions(system: Mapping[str, str]) -> int | None:
    """Number of versions that a container keeps, None if it tells no number."""
    try:
        return int(system[M2_PROP_VERSIONING_POLICY])
    except (KeyError, ValueError):
        return None


def _versions_to_keep(services: Services, system: Mapping[str, str], options: Options) -> int:
    """Number of versions of an object that are kept: that of the container, else that of the namespace."""
    kept = _max_versions(system)
    if kept is not None:
        return kept
    proxy = services.proxy_client
    _, config = proxy._send("GET", "/config", {"options": options.renewed()})
    with reading_answer(proxy.proxy_netloc):
        return int(config["meta2.max_versions"])


def purge(
    services: Services, account: str | None, container: str | None, kept: int | None, options: Options
) -> None:
    """Delete all but the newest versions of each object; delete markers stay, and do not count.

    :param kept: number of versions, at least 1; None for that of the container, else of the namespace
    """
    if kept is not None and kept < 0:
        return
    known = services.container.container_get_properties(account, container, options=options)
    system = known["system"]
    if kept is None:
        kept = _versions_to_keep(services, system, options)
        if kept < 0:
            return
    kept = max(kept, 1)
    options = _from_master(options, system)
    listed = listed_versions(services.container, account, container, options)
    for _, versions in groupby(listed, lambda row: row["name"]):
        exceeding = [row for row in versions if not row["deleted"]][kept:]
        orphans = OrphanFiles(services, account, container, options)
        orphans.track_listed(exceeding)
        with orphans:
            for name, version in map(_key, reversed(exceeding)):
                try:
                    services.container.content_delete(
                        account, container, name, version=version, options=options.renewed()
                    )
                except exc.NotFound:
                    services.logger.debug("Version %s of %r was deleted meanwhile", version, name)
                finally:
                    forget_object(account, container, name, options.cid, options.cache)
