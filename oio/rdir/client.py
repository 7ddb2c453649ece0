# SPDX-License-Identifier: Apache-2.0
"""Clients of the rdir services: reverse directories, which know what each volume holds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from oio.common import exceptions as exc
from oio.common.answers import JsonObject, expect, reading_answer
from oio.common.easy_value import boolean_value
from oio.common.http_api import HttpApi
from oio.common.options import Options
from oio.common.retry import Attempts, Retry
from oio.conscience.client import ConscienceClient
from oio.directory.client import DirectoryClient

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.http_api import Answer
    from oio.common.keywords import ProxyOptions, RequestOptions, ServiceOptions

    Assignments: TypeAlias = tuple[list[JsonObject], list[JsonObject]]
    """Volumes, each with its ``rdir``, and rdir services, each with its number of ``volumes``."""

RDIR_ACCT = "_RDIR"
"""Account of the references that link each volume to its rdir service."""

_PAGE_SIZE = 1000
_MAX_ATTEMPTS = 3
_ALREADY_LINKED = 455
#: A long listing should not fail because of one page.
_READS = Retry(on=(exc.OioNetworkException, exc.ServiceBusy))

Chunk: TypeAlias = "tuple[str, str, str, JsonObject]"
"""IDs of container, content and chunk, and what else is known: ``mtime`` (seconds)."""


class RdirClient(HttpApi):
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

    def __init__(
        self,
        conf: JsonObject,
        endpoint: str | None = None,
        logger: logging.Logger | None = None,
        request_attempts: int | str | None = 1,
        **kwargs: Unpack[ServiceOptions],
    ) -> None:
        super().__init__(service_type="rdir", **kwargs)
        self.logger = logger or logging.getLogger(__name__)
        shared: ProxyOptions = {
            **kwargs,
            "endpoint": endpoint,
            "logger": logger,
            "request_attempts": request_attempts,
            "pool_manager": self.pool_manager,
        }
        self.directory = DirectoryClient(conf, **shared)
        self.conscience = ConscienceClient(conf, **shared)
        self._endpoints: dict[str, str] = {}

    def _find(self, volume: str, options: Options) -> str:
        """Get the URL of the rdir service of a volume."""
        found = self._endpoints.get(volume)
        if found is None:
            host = linked_rdir(self.directory, volume, options=options)
            if host is None:
                raise exc.VolumeException(f"volume {volume!r} has no rdir service", reqid=options.reqid)
            found = self._endpoints[volume] = self.conscience.resolve_url("rdir", host, options=options)
        return found

    def _ask(
        self,
        volume: str,
        method: str,
        route: str,
        given: RequestOptions,
        params: JsonObject | None = None,
        json: JsonObject | None = None,
    ) -> Answer:
        """Send a request about a volume; the one after a network error asks again where its service is."""
        options = Options.of(given).identified()
        url = f"{self._find(volume, options).rstrip('/')}/v1/rdir/{route}"
        query = dict(params or {}, vol=volume)
        try:
            # The number of attempts of the caller is for the requests to the directory.
            return self._send(method, url, {"options": replace(options, retry=None)}, query, json=json)
        except exc.OioNetworkException:
            self._endpoints.pop(volume, None)
            raise

    def _read(
        self,
        volume: str,
        method: str,
        route: str,
        given: RequestOptions,
        params: JsonObject | None = None,
        json: JsonObject | None = None,
        max_attempts: int = _MAX_ATTEMPTS,
    ) -> Answer:
        """Send a request that changes nothing, again when it fails."""
        options = Options.of(given).identified()
        attempts = Attempts(_READS.at_least(max_attempts), options.limits)
        while True:
            try:
                return self._ask(volume, method, route, {"options": options}, params, json)
            except exc.OioException as err:
                if not attempts.again(err):
                    raise
                self.logger.warning("Attempt %d at the rdir of %s failed: %s", attempts.failed, volume, err)

    # --- chunks of a rawx service

    def create(self, volume_id: str, **kwargs: Unpack[RequestOptions]) -> None:
        """Create the list of the chunks of a volume; an existing one is left as it is."""
        self._ask(volume_id, "POST", "create", kwargs)

    def chunk_push(
        self,
        volume_id: str,
        container_id: str,
        content_id: str,
        chunk_id: str,
        mtime: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Tell that a volume holds a chunk; its list is created when there is none.

        :param mtime: time of the last change of the chunk (seconds), 0 by default
        """
        chunk = _chunk(container_id, content_id, chunk_id)
        if mtime is not None:
            chunk["mtime"] = mtime
        self._ask(volume_id, "POST", "push", kwargs, {"create": 1}, chunk)

    def chunk_delete(
        self,
        volume_id: str,
        container_id: str,
        content_id: str,
        chunk_id: str,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Tell that a volume does not hold a chunk any more."""
        chunk = _chunk(container_id, content_id, chunk_id)
        self._ask(volume_id, "DELETE", "delete", kwargs, json=chunk)

    def chunk_fetch(
        self,
        volume: str,
        limit: int = _PAGE_SIZE,
        rebuild: bool = False,
        container_id: str | None = None,
        max_attempts: int = _MAX_ATTEMPTS,
        start_after: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> Iterator[Chunk]:
        """Iterate over the chunks of a volume, in the order of their IDs.

        :param limit: size of each page
        :param rebuild: only the chunks that were there at the incident (see :meth:`admin_incident_set`)
        :param container_id: only the chunks of this container
        :param max_attempts: how often each page is asked for in all, when the service is out of reach or busy
        :param start_after: only the chunks after this one: the three IDs joined by ``|``
        :returns: an iterator over the IDs of container, content and chunk, and a dict with ``mtime``
        :raises NotFound: the volume has no list, see :meth:`create`
        """
        given: RequestOptions = {"options": Options.of(kwargs).identified()}
        criteria = _given({"limit": limit, "rebuild": rebuild or None, "container_id": container_id})
        while True:
            page = criteria if start_after is None else dict(criteria, start_after=start_after)
            resp, body = self._read(volume, "POST", "fetch", given, json=page, max_attempts=max_attempts)
            with reading_answer():
                chunks = [_described(*item) for item in expect(list, resp, body)]
                # Old services say nothing: all was given when nothing is left to give.
                truncated = boolean_value(resp.headers.get("x-oio-list-truncated"), bool(body))
                start_after = body[-1][0] if truncated else None
            yield from chunks
            if not truncated:
                return

    def status(
        self,
        volume: str,
        page_size: int = _PAGE_SIZE,
        prefix: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Count the chunks of a volume.

        :param page_size: number of chunks that the service counts for one request; there are as many
            requests as need be
        :param prefix: count only the chunks of the containers whose ID begins so
        :returns: ``{"chunk": {"total": 3}, "container": {"ABCD...": {"total": 3}}}``; after an incident,
            ``to_rebuild`` is beside each ``total``, and ``{"rebuild": {"incident_date": 1234}}`` is there
        """
        given: RequestOptions = {"options": Options.of(kwargs).identified()}
        counts: JsonObject = {"chunk": {"total": 0}, "container": {}}
        marker = None
        while True:
            params = {"max": page_size, "prefix": prefix, "marker": marker}
            resp, body = self._read(volume, "GET", "status", given, params)
            with reading_answer():
                page = expect(dict, resp, body)
                if "rebuild" in page:
                    counts["rebuild"] = page.pop("rebuild")
                _add(counts, page)
                if not boolean_value(resp.headers.get("x-oio-list-truncated"), False):
                    return counts
                marker = resp.headers["x-oio-list-marker"]

    # --- administration of a volume

    def admin_show(self, volume: str, **kwargs: Unpack[RequestOptions]) -> JsonObject:
        """Get the state of a volume: ``{"lock": who}`` when it is locked."""
        return expect(dict, *self._read(volume, "GET", "admin/show", kwargs))

    def admin_lock(self, volume: str, who: str, **kwargs: Unpack[RequestOptions]) -> None:
        """Lock a volume, so that one rebuilder at a time works on it.

        :param who: name of the rebuilder
        :raises Forbidden: it is locked
        """
        self._ask(volume, "POST", "admin/lock", kwargs, json={"who": who})

    def admin_unlock(self, volume: str, **kwargs: Unpack[RequestOptions]) -> None:
        """Unlock a volume, whatever the name that it was locked with."""
        self._ask(volume, "POST", "admin/unlock", kwargs)

    def admin_incident_get(self, volume: str, **kwargs: Unpack[RequestOptions]) -> int:
        """Get the date of the last incident (seconds), 0 when there is none."""
        resp, body = self._read(volume, "GET", "admin/incident", kwargs)
        with reading_answer():
            return int(expect(dict, resp, body)["date"])

    def admin_incident_set(self, volume: str, date: int, **kwargs: Unpack[RequestOptions]) -> None:
        """Tell that all that was on a volume at a date (seconds) is lost."""
        self._ask(volume, "POST", "admin/incident", kwargs, json={"date": int(date)})

    def admin_clear(
        self,
        volume: str,
        clear_all: bool = False,
        before_incident: bool = False,
        repair: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> dict[str, int]:
        """Forget chunks of a volume.

        :param clear_all: all of them
        :param before_incident: those that were there at the incident
        :param repair: mend the entries that are broken
        :returns: numbers of chunks: ``removed``, ``repaired`` and ``errors``
        """
        flags = {"all": clear_all, "before_incident": before_incident, "repair": repair}
        params = {name: 1 for name, flag in flags.items() if flag}
        return expect(dict, *self._ask(volume, "POST", "admin/clear", kwargs, params))

    # --- containers of a meta2 service

    def meta2_index_create(self, volume_id: str, **kwargs: Unpack[RequestOptions]) -> None:
        """Create the list of the containers of a volume; an existing one is left as it is."""
        self._ask(volume_id, "POST", "meta2/create", kwargs)

    def meta2_index_push(
        self,
        volume_id: str,
        container_url: str,
        container_id: str,
        mtime: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Tell that a volume holds a container.

        :param container_url: namespace, account and name of the container, joined by ``/``
        :param mtime: time of the last change of the container (seconds), 0 by default
        """
        container: JsonObject = {"container_url": container_url, "container_id": container_id}
        if mtime is not None:
            container["mtime"] = mtime
        self._ask(volume_id, "POST", "meta2/push", kwargs, json=container)

    def meta2_index_delete(
        self, volume_id: str, container_url: str, container_id: str, **kwargs: Unpack[RequestOptions]
    ) -> None:
        """Tell that a volume does not hold a container any more; see :meth:`meta2_index_push`."""
        container = {"container_url": container_url, "container_id": container_id}
        self._ask(volume_id, "POST", "meta2/delete", kwargs, json=container)

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
        criteria = _given({"prefix": prefix, "marker": marker, "limit": limit})
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
        marker = None
        while True:
            page = self.meta2_index_fetch(volume_id, prefix, marker, limit, options=options)
            with reading_answer():
                records, truncated = page["records"], page["truncated"]
                marker = records[-1]["container_url"] if truncated else None
            yield from records
            if not truncated:
                return


class RdirDispatcher:
    """Gives each volume its rdir service.

    :param conf: a dict with at least ``namespace``
    :param kwargs: options of :class:`RdirClient`

    >>> dispatcher = RdirDispatcher({"namespace": "OPENIO"}, endpoint=api.container.proxy_netloc)
    >>> rawx, rdirs = dispatcher.assign_all_rawx()
    >>> all(service["rdir"] for service in rawx)
    True
    >>> dispatcher.close()
    """

    def __init__(self, conf: JsonObject, **kwargs: Unpack[ProxyOptions]) -> None:
        self.rdir = RdirClient(conf, **kwargs)
        self.directory = self.rdir.directory
        self.conscience = self.rdir.conscience

    def close(self) -> None:
        """Close the idle connections, unless their pool was given by the caller."""
        self.rdir.close()

    def __enter__(self) -> RdirDispatcher:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def get_assignments(self, service_type: str, **kwargs: Unpack[RequestOptions]) -> Assignments:
        """Tell which rdir service each volume has.

        :param service_type: ``rawx`` or ``meta2``
        :returns: the services of this type, each with ``rdir`` (ID of its rdir service, or None), and the
            rdir services, each with ``volumes`` (how many of the former it has)
        """
        options = Options.of(kwargs).identified()
        services = self.conscience.all_services(service_type, options=options)
        for service in services:
            service["rdir"] = linked_rdir(self.directory, service["id"], options=options)
        volumes = Counter(service["rdir"] for service in services)
        rdirs = self.conscience.all_services("rdir", options=options)
        return services, [dict(rdir, volumes=volumes[rdir["id"]]) for rdir in rdirs]

    def assign_services(self, service_type: str, **kwargs: Unpack[RequestOptions]) -> Assignments:
        """Give an rdir service to each volume that has none.

        It is one on another host, if there is one, so that no failure takes both; and the one that has the
        fewest volumes.

        :param service_type: ``rawx`` or ``meta2``
        :returns: see :meth:`get_assignments`
        :raises VolumeException: a volume needs an rdir service, and none is up
        """
        options = Options.of(kwargs).identified()
        services, rdirs = self.get_assignments(service_type, options=options)
        candidates = [rdir for rdir in rdirs if rdir["score"] > 0]
        create = self.rdir.meta2_index_create if service_type == "meta2" else self.rdir.create
        for service in services:
            if service["rdir"] is not None:
                continue
            if not candidates:
                raise exc.VolumeException(f"no rdir service is up, volume {service['id']!r} needs one")
            chosen = min(candidates, key=lambda rdir: (_host(rdir) == _host(service), rdir["volumes"]))
            service["rdir"] = self._link(service["id"], chosen["id"], options)
            for rdir in rdirs:
                rdir["volumes"] += rdir["id"] == service["rdir"]
            create(service["id"], options=options)
        return services, rdirs

    def _link(self, volume: str, rdir: str, options: Options) -> str | None:
        """Link a volume to an rdir service, unless somebody else has just linked it; tell to which."""
        link = {"seq": 1, "type": "rdir", "host": rdir, "args": ""}
        try:
            self.directory.force(RDIR_ACCT, volume, "rdir", link, autocreate=True, options=options)
        except exc.Forbidden as err:
            if err.status != _ALREADY_LINKED:
                raise
            return linked_rdir(self.directory, volume, options=options)
        return rdir

    def assign_all_rawx(self, **kwargs: Unpack[RequestOptions]) -> Assignments:
        """Give an rdir service to each rawx service that has none; see :meth:`assign_services`."""
        return self.assign_services("rawx", **kwargs)

    def assign_all_meta2(self, **kwargs: Unpack[RequestOptions]) -> Assignments:
        """Give an rdir service to each meta2 service that has none; see :meth:`assign_services`."""
        return self.assign_services("meta2", **kwargs)


def linked_rdir(directory: DirectoryClient, volume: str, **kwargs: Unpack[RequestOptions]) -> str | None:
    """Get the ID of the rdir service that a volume is linked to, None when there is none."""
    try:
        known = directory.list(RDIR_ACCT, volume, service_type="rdir", **kwargs)
    except exc.NotFound:
        return None
    with reading_answer(directory.proxy_netloc):
        return next((str(link["host"]) for link in known["srv"] if link["type"] == "rdir"), None)


def _given(criteria: JsonObject) -> JsonObject:
    """Criteria without those that are None."""
    return {name: value for name, value in criteria.items() if value is not None}


def _chunk(container_id: str, content_id: str, chunk_id: str) -> JsonObject:
    return {"container_id": container_id, "content_id": content_id, "chunk_id": chunk_id}


def _described(key: str, info: JsonObject) -> Chunk:
    container_id, content_id, chunk_id = key.split("|")
    return container_id, content_id, chunk_id, info


def _add(total: JsonObject, part: JsonObject) -> None:
    """Add numbers to those in the same places."""
    for name, value in part.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value


def _host(service: JsonObject) -> str:
    """Get where a service is: all of its location but the last part, which is its own."""
    location = str(service["tags"].get("tag.loc", ""))
    return location.rpartition(".")[0] or str(service["addr"]).rpartition(":")[0]
