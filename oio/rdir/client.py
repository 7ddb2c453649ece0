# SPDX-License-Identifier: Apache-2.0
"""Clients of the rdir services: reverse directories, which know what each volume holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from oio.common import exceptions as exc
from oio.common.answers import JsonObject, expect, reading_answer
from oio.common.options import Options
from oio.common.utils import cid_from_name
from oio.rdir._placement import Placement
from oio.rdir._volume import RDIR_ACCT, VolumeRoutes, check_progress, entry_of, linked_rdir, without_none

__all__ = ["RDIR_ACCT", "RdirClient", "RdirDispatcher", "linked_rdir"]

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.http_api import Answer
    from oio.common.keywords import AssignOptions, ProxyOptions, RequestOptions
    from oio.conscience.client import ConscienceClient

    Assignments: TypeAlias = tuple[list[JsonObject], list[JsonObject]]
    """Volumes, each with its ``rdir``, and rdir services, each with its number of ``volumes``."""

_ALREADY_LINKED = 455


class RdirClient(VolumeRoutes):
    """Requests to the rdir services, one method for each of their routes.

    Each volume (a rawx or a meta2 service, named by its ID) has its entries on one rdir service, which the
    directory tells. Every method raises :class:`~oio.common.exceptions.VolumeException` when there is none,
    and takes the options of a request as keywords: ``headers``, ``reqid``, ``deadline``,
    ``connection_timeout``, ``read_timeout``...

    :param conf: a dict with at least ``namespace``
    :param endpoint: URL or ``host:port`` of the proxy
    :param kwargs: options of :class:`~oio.common.http_api.HttpApi`

    >>> with RdirClient({"namespace": "NS"}, endpoint="127.0.0.1:6000") as rdir:
    ...     rdir.directory.endpoint
    'http://127.0.0.1:6000/v3.0/NS/reference'
    """

    # --- containers of a meta2 service

    def meta2_index_create(self, volume_id: str, **kwargs: Unpack[RequestOptions]) -> Answer:
        """Create the list of the containers of a volume; an existing one is left as it is.

        :returns: the response, and its body
        """
        return self._ask(volume_id, "POST", "meta2/create", kwargs)

    def meta2_index_push(
        self,
        volume_id: str,
        container_url: str,
        container_id: str,
        mtime: float | None = None,
        **kwargs: Any,
    ) -> Answer:
        """Tell that a volume holds a container.

        :param container_url: namespace, account and name of the container, joined by ``/``
        :param mtime: time of the last change of the container (whole seconds are sent), 0 by default
        :param kwargs: options of the request; all others are fields of the entry
        :returns: the response, and its body
        """
        given, fields = entry_of(kwargs, mtime)
        container = {"container_url": container_url, "container_id": container_id} | fields
        return self._ask(volume_id, "POST", "meta2/push", given, json=container)

    def meta2_index_delete(
        self,
        volume_id: str,
        container_path: str | None = None,
        container_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Tell that a volume does not hold a container any more. One of the two is enough.

        :param container_path: namespace, account and name of the container, joined by ``/``
        :param container_id: without the path, the list is searched for it
        :raises ValueError: there is neither
        """
        options = Options.of(kwargs).identified()
        if container_path is None:
            if container_id is None:
                raise ValueError("container_path or container_id is required")
            listed = self.meta2_index_fetch_all(volume_id, options=options)
            with reading_answer():
                same = (item for item in listed if item["container_id"].upper() == container_id.upper())
                container_path = next((item["container_url"] for item in same), None)
            if container_path is None:
                return
        if container_id is None:
            _, account, name = container_path.split("/", 2)
            container_id = cid_from_name(account, name)
        container = {"container_url": container_path, "container_id": container_id}
        self._ask(volume_id, "POST", "meta2/delete", {"options": options}, json=container)

    def meta2_index_fetch(
        self,
        volume_id: str,
        prefix: str | None = None,
        marker: str | None = None,
        limit: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """List the containers of a volume, in the order of their URLs.

        :param prefix: only those whose URL begins so
        :param marker: only those after this URL
        :param limit: size of the page; a small one is not honoured
        :returns: ``records``, dicts with ``container_id``, ``container_url``, ``mtime`` and ``extra_data``,
            and ``truncated``
        """
        criteria = without_none({"prefix": prefix, "marker": marker, "limit": limit})
        return expect(dict, *self._read(volume_id, "POST", "meta2/fetch", kwargs, json=criteria))

    def meta2_index_fetch_all(
        self,
        volume_id: str,
        prefix: str | None = None,
        *,
        limit: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> Iterator[JsonObject]:
        """Iterate over all the containers of a volume; see :meth:`meta2_index_fetch`."""
        options = Options.of(kwargs).identified()
        marker: str | None = None
        while True:
            page = self.meta2_index_fetch(volume_id, prefix, marker, limit, options=options)
            with reading_answer():
                records, truncated = page["records"], page["truncated"]
                following = records[-1]["container_url"] if truncated else None
            yield from records
            if not truncated:
                return
            check_progress(marker, following)
            marker = following


class RdirDispatcher:
    """Gives each volume its rdir service.

    :param conf: a dict with at least ``namespace``
    :param rdir_client: client of the rdir services, which stays open; by default one of its own
    :param kwargs: options of :class:`RdirClient`

    >>> dispatcher = RdirDispatcher({"namespace": "OPENIO"}, endpoint=api.container.proxy_netloc)
    >>> services = dispatcher.assign_all_rawx()
    >>> all(service["rdir"]["addr"] for service in services)
    True
    >>> dispatcher.close()
    """

    def __init__(
        self, conf: JsonObject, rdir_client: RdirClient | None = None, **kwargs: Unpack[ProxyOptions]
    ) -> None:
        self._owned: RdirClient | None = None
        known = rdir_client
        if known is None or not hasattr(known, "directory"):
            # A mock that an application's test makes of the class has no attributes of instances.
            known = self._owned = RdirClient(conf, **kwargs)
        self.rdir = known if rdir_client is None else rdir_client
        self.directory = known.directory
        #: Client of the conscience, also known as ``conscience``.
        self.cs = known.conscience

    @property
    def conscience(self) -> ConscienceClient:
        """Client of the conscience."""
        return self.cs

    def close(self) -> None:
        """Close the idle connections, unless they are those of the caller."""
        if self._owned is not None:
            self._owned.close()

    def __enter__(self) -> RdirDispatcher:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def get_assignments(self, service_type: str, **kwargs: Unpack[RequestOptions]) -> Assignments:
        """Tell which rdir service each volume has.

        :param service_type: ``rawx`` or ``meta2``
        :returns: the services of this type, each with the description of its ``rdir`` (``addr``, ``id``,
            ``tags``...), if it has one; and the rdir services, each with ``volumes`` (how many of the former
            it has)
        """
        options = Options.of(kwargs).identified()
        services = self.cs.all_services(service_type, options=options)
        links = [linked_rdir(self.directory, service["id"], options=options) for service in services]
        rdirs = [rdir | {"volumes": 0} for rdir in self.cs.all_services("rdir", options=options)]
        for service, host in zip(services, links, strict=True):
            if host is not None:
                service["rdir"] = _rdir_at(host, rdirs)
                service["rdir"]["volumes"] += 1
        return services, rdirs

    def assign_services(
        self,
        service_type: str,
        max_per_rdir: int | None = None,
        min_dist: int | None = None,
        service_id: str | None = None,
        reassign: bool = False,
        *,
        dry_run: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> list[JsonObject]:
        """Give an rdir service to each volume that has none.

        It is one on another host, if there is one, so that no failure takes both; and the one that has the
        fewest volumes. A volume that cannot get one does not prevent the others.

        :param service_type: ``rawx`` or ``meta2``
        :param max_per_rdir: how many volumes of this type an rdir service has at most
        :param min_dist: how many of the last parts of the locations of both differ at least: 1 is another
            place, 2 another host
        :param service_id: ID of the only volume to do this for
        :param reassign: choose again for the volumes that have one, too. What it knows of a volume that gets
            another one stays behind.
        :param dry_run: change nothing: only tell which ones they would get
        :returns: the services of this type, see :meth:`get_assignments`
        :raises VolumeException: a volume needs an rdir service, and none is up, or none suits
        :raises OioException: at the end, what failed for a volume; of several failures of one class, an
            exception of this class
        """
        options = Options.of(kwargs).identified()
        services, rdirs = self.get_assignments(service_type, options=options)
        if service_id is not None and service_id not in {service["id"] for service in services}:
            raise exc.VolumeException(f"there is no {service_type} service {service_id!r}")
        placement = Placement(rdirs, max_per_rdir, min_dist)
        failures: dict[str, exc.OioException] = {}
        for service in services:
            if service_id in {None, service["id"]} and (reassign or "rdir" not in service):
                try:
                    self._assign(service, placement, rdirs, options, dry_run=dry_run)
                    if not dry_run:
                        self.rdir.create(service["id"], service_type, options=options)
                except exc.OioException as err:
                    failures[service["id"]] = err
        _raise_all(failures)
        return services

    def _assign(
        self,
        service: JsonObject,
        placement: Placement,
        rdirs: list[JsonObject],
        options: Options,
        *,
        dry_run: bool,
    ) -> None:
        """Choose the rdir service of a volume, and link it."""
        current = service.get("rdir")
        if current is not None:
            current["volumes"] -= 1
        try:
            chosen = placement.choose(service, current)
            if current is None or chosen["id"] != current["id"]:
                host = chosen["id"]
                if not dry_run:
                    host = self._link(service["id"], host, current is not None, options)
                current = service["rdir"] = _rdir_at(host, rdirs)
        finally:
            if current is not None:
                current["volumes"] += 1

    def _link(self, volume: str, rdir: str, again: bool, options: Options) -> str:
        """Link a volume to an rdir service, unless somebody else has just linked it; tell to which.

        :param again: it is linked, and gets another one
        """
        link = {"seq": 1, "type": "rdir", "host": rdir, "args": ""}
        try:
            self.directory.force(
                RDIR_ACCT, volume, "rdir", link, autocreate=True, replace=again, options=options
            )
        except exc.Forbidden as err:
            if err.status != _ALREADY_LINKED:
                raise
            return linked_rdir(self.directory, volume, options=options) or rdir
        self.rdir.forget(volume)
        return rdir

    def assign_all_rawx(
        self, max_per_rdir: int | None = None, **kwargs: Unpack[AssignOptions]
    ) -> list[JsonObject]:
        """Give an rdir service to each rawx service that has none; see :meth:`assign_services`."""
        return self.assign_services("rawx", max_per_rdir, **kwargs)

    def assign_all_meta2(
        self, max_per_rdir: int | None = None, **kwargs: Unpack[AssignOptions]
    ) -> list[JsonObject]:
        """Give an rdir service to each meta2 service that has none; see :meth:`assign_services`."""
        return self.assign_services("meta2", max_per_rdir, **kwargs)


def _rdir_at(host: str, rdirs: list[JsonObject]) -> JsonObject:
    """Find an rdir service by its ID or its address.

    Of one that has left the namespace, no more is known than that.
    """
    found = (rdir for rdir in rdirs if host in {rdir["id"], rdir["addr"]})
    return next(found, {"addr": host, "id": host, "tags": {}, "volumes": 0})


def _raise_all(failures: dict[str, exc.OioException]) -> None:
    """Raise the failure of a volume, or an exception that stands for the failures of several."""
    if len(failures) == 1:
        raise failures.popitem()[1]
    if failures:
        kinds = {type(err) for err in failures.values()}
        kind = kinds.pop() if len(kinds) == 1 else exc.OioException
        text = f"{len(failures)} volumes failed ({', '.join(failures)}), the first one because of"
        exc.reraise(kind, next(iter(failures.values())), text)
