# SPDX-License-Identifier: Apache-2.0
"""Emptying of containers, and the removal of old versions: many requests for one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import filterfalse, groupby
from typing import TYPE_CHECKING

from oio.api._operations.bulk import in_bulk
from oio.api._operations.leftovers import Leftovers
from oio.api._operations.paging import listed_versions, object_page
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.constants import M2_PROP_VERSIONING_POLICY

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import ListedObject
    from oio.common.options import Options

_UNVERSIONED = (0, 1)

_Key = tuple[str, int]
"""Name and version of an object."""


def _key(row: ListedObject) -> _Key:
    return row["name"], row["version"]


# --- all objects -------------------------------------------------------------------------------------


def flush(services: Services, account: str | None, container: str | None, options: Options) -> None:
    """Delete all the versions of all the objects of a container, and the delete markers.

    :raises OioException: nothing of what is listed could be deleted
    """
    # A replica that is late would show again what was deleted (pitfall 109).
    options = replace(options, force_master=True)
    named = repr(container or options.cid)
    gone: set[_Key] = set()
    while True:
        page = object_page(services.container, account, container, options.renewed(), versions=True)
        rows = page["objects"]
        if not rows and not page["truncated"]:
            return
        if rows and gone.issuperset(map(_key, rows)):
            raise exc.OioException(f"what was deleted of container {named} is still there")
        deletion = _PageDeletion(services, account, container, options)
        deletion.delete(rows, page["system"])
        if not deletion.progress:
            refusal = deletion.refusal
            raise exc.OioException(
                f"nothing of {len(rows)} versions in container {named} could be deleted"
                + (f": {refusal}" if refusal else "")
            ) from refusal
        gone = deletion.gone


class _PageDeletion:
    """Deletion of the versions that a page of a listing has.

    Objects of one version are deleted by name, many at once, unless the container keeps versions, where this
    only hides them; others are deleted version by version. When the namespace keeps versions, the next page
    shows them again, with their delete markers.
    """

    def __init__(
        self, services: Services, account: str | None, container: str | None, options: Options
    ) -> None:
        self._client = services.container
        self._account = account
        self._container = container
        self._options = options
        self._leftovers = Leftovers(services, account, container, options)
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
            return versions[row["name"]] == 1 and not row["deleted"] and not versioned

        single = list(filter(is_single, rows))
        self._leftovers.look_at_listed(rows)
        try:
            with self._leftovers.swept():
                self._delete_by_name(single)
                # The oldest ones first: none must appear in the place of a newer one.
                for row in reversed(list(filterfalse(is_single, rows))):
                    self._delete_version(row)
                if single and not self.progress:
                    # Answers about many do not say why.
                    self._delete_version(single[0])
        finally:
            for name in versions:
                _forget(self._account, self._container, name, self._options)

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
            self._account, self._container, name, version=version, options=self._options.renewed()
        )


def flush_fast(services: Services, account: str | None, container: str | None, options: Options) -> None:
    """Make the service delete all the objects of a container.

    :raises OioException: the container is the same after a request as before
    """
    client = services.container
    reading = replace(options, force_master=True)
    leftovers = Leftovers(services, account, container, reading)
    if services.b2.has_credentials(options):
        leftovers.look_at_listed(listed_versions(client, account, container, reading))
    before = None
    with leftovers.swept():
        while client.container_flush(account, container, options=options.renewed())["truncated"]:
            page = object_page(client, account, container, reading.renewed(), limit=1, versions=True)
            now = page["objects"], page["system"]
            if now == before:
                raise exc.OioException(
                    f"container {container or options.cid!r} did not change after a flush request"
                )
            before = now


# --- old versions ------------------------------------------------------------------------------------


def _max_versions(system: Mapping[str, str]) -> int | None:
    """How many versions a container keeps, if it says so in numbers."""
    try:
        return int(system[M2_PROP_VERSIONING_POLICY])
    except (KeyError, ValueError):
        return None


def versions_to_keep(services: Services, account: str | None, container: str | None, options: Options) -> int:
    """How many versions of an object are kept: the number of the container, else that of the namespace."""
    known = services.container.container_get_properties(account, container, options=options)
    kept = _max_versions(known["system"])
    if kept is not None:
        return kept
    proxy = services.proxy
    _, config = proxy._send("GET", "/config", {"options": options.renewed()})
    with reading_answer(proxy.proxy_netloc):
        return int(config["meta2.max_versions"])


def purge(
    services: Services, account: str | None, container: str | None, kept: int, options: Options
) -> None:
    """Delete the versions of each object but the newest ones; delete markers are left, and do not count.

    :param kept: number of versions
    """
    options = replace(options, force_master=True)
    listed = listed_versions(services.container, account, container, options)
    for _, versions in groupby(listed, lambda row: row["name"]):
        exceeding = [row for row in versions if not row["deleted"]][kept:]
        leftovers = Leftovers(services, account, container, options)
        leftovers.look_at_listed(exceeding)
        with leftovers.swept():
            for row in reversed(exceeding):
                _drop(services, account, container, row, options)


def _drop(
    services: Services, account: str | None, container: str | None, row: ListedObject, options: Options
) -> None:
    name, version = _key(row)
    try:
        services.container.content_delete(
            account, container, name, version=version, options=options.renewed()
        )
    except exc.NotFound:
        services.logger.debug("Version %s of %r was deleted meanwhile", version, name)
    finally:
        _forget(account, container, name, options)


def _forget(account: str | None, container: str | None, name: str, options: Options) -> None:
    forget_object(account, container, name, options.cid, options.cache)
