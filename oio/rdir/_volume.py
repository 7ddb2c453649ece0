# SPDX-License-Identifier: Apache-2.0
"""Routes of the rdir services about volumes and their chunks, as methods of the client."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from oio.common import exceptions as exc
from oio.common.answers import JsonObject, expect, reading_answer
from oio.common.constants import LIST_MARKER_HEADER, LIST_TRUNCATED_HEADER
from oio.common.easy_value import boolean_value
from oio.common.http_api import HttpApi
from oio.common.keywords import RequestOptions
from oio.common.options import Options
from oio.common.retry import ONCE, Attempts
from oio.conscience.client import ConscienceClient
from oio.directory.client import DirectoryClient

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.http_api import Answer
    from oio.common.keywords import ProxyOptions, ServiceOptions

RDIR_ACCT = "_RDIR"
"""Account of the references that link each volume to its rdir service."""

_PAGE_SIZE = 1000
_MAX_ATTEMPTS = 3

Chunk: TypeAlias = "tuple[str, str, str, JsonObject]"
"""IDs of container, content and chunk, and what else is known: ``mtime`` (seconds)."""


class VolumeRoutes(HttpApi):
    """Requests about volumes and their chunks; see :class:`~oio.rdir.client.RdirClient`."""

    def __init__(
        self,
        conf: JsonObject,
        endpoint: str | None = None,
        logger: logging.Logger | None = None,
        request_attempts: int | str | None = None,
        **kwargs: Unpack[ServiceOptions],
    ) -> None:
        super().__init__(service_type="rdir", **kwargs)
        self.logger = logging.getLogger(__name__) if logger is None else logger
        shared: ProxyOptions = {
            **kwargs,
            "endpoint": endpoint,
            "logger": logger,
            "request_attempts": request_attempts,
            "pool_manager": self._connections,
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
                raise exc.VolumeException(f"No rdir assigned to volume {volume}", reqid=options.reqid)
            found = self._endpoints[volume] = self.conscience.resolve_url("rdir", host, options=options)
        return found

    def forget(self, volume: str) -> None:
        """Forget where the rdir service of a volume is: it has got another one."""
        self._endpoints.pop(volume, None)

    def _ask(
        self,
        volume: str,
        method: str,
        route: str,
        given: RequestOptions,
        params: JsonObject | None = None,
        json: JsonObject | None = None,
    ) -> Answer:
        """Send a request about a volume; after a network error, the next one looks for its service again."""
        options = Options.of(given).identified()
        url = f"{self._find(volume, options).rstrip('/')}/v1/rdir/{route}"
        query = dict(params or {}, vol=volume)
        try:
            # One attempt: before another one, the service may have to be found again.
            return self._send(method, url, {"options": replace(options, retry=ONCE)}, query, json=json)
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
        attempts = Attempts(replace(options.retry or self._retry, attempts=max_attempts), options.limits)
        return attempts.run(
            lambda: self._ask(volume, method, route, {"options": options}, params, json),
            lambda err: self.logger.warning(
                "Attempt %d at the rdir of %s failed: %s", attempts.failed, volume, err
            ),
        )

    # --- chunks of a rawx service

    def create(self, volume_id: str, service_type: str = "rawx", **kwargs: Unpack[RequestOptions]) -> None:
        """Create the list of what a volume holds; an existing one is left as it is.

        :param service_type: ``rawx`` for a list of chunks, ``meta2`` for one of containers
        """
        routes = {"rawx": "create", "meta2": "meta2/create"}
        if service_type not in routes:
            raise ValueError(f"service_type must be 'rawx' or 'meta2', not {service_type!r}")
        self._ask(volume_id, "POST", routes[service_type], kwargs)

    def chunk_push(
        self,
        volume_id: str,
        container_id: str,
        content_id: str,
        chunk_id: str,
        mtime: float | None = None,
        path: str = "",
        version: int | str = 0,
        **kwargs: Any,
    ) -> None:
        """Tell that a volume holds a chunk; its list is created when there is none.

        :param mtime: time of the last change of the chunk (whole seconds are sent), 0 by default
        :param path: name of the object, which services of 2026 keep, so that its chunks are found by it
        :param version: of the object, likewise
        :param kwargs: options of the request; all others are fields of the entry
        """
        given, fields = entry_of(kwargs, mtime or 0)
        # Services of 2026 refuse an entry that lacks one of these.
        fields.update(path=path, version=int(version))
        chunk = _chunk(container_id, content_id, chunk_id) | fields
        self._ask(volume_id, "POST", "push", given, {"create": 1}, chunk)

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
        shuffle: bool = False,
        full_urls: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> Iterator[Chunk]:
        """Iterate over the chunks of a volume, in the order of their IDs.

        :param limit: size of each page
        :param rebuild: only the chunks that were there at the incident (see :meth:`admin_incident_set`)
        :param container_id: only the chunks of this container
        :param max_attempts: how often each page is asked for in all, when the service is out of reach or busy
        :param start_after: only the chunks after this one: the three IDs joined by ``|``; services of 2026
            go by those of container and chunk, which are enough for them
        :param shuffle: give the chunks of each page in any order
        :param full_urls: give the URLs of the chunks instead of their IDs
        :returns: an iterator over the IDs of container, content and chunk, and a dict with ``mtime``, from
            services of 2026 also ``path`` and ``version``
        :raises NotFound: the volume has no list, see :meth:`create`
        """
        given: RequestOptions = {"options": Options.of(kwargs).identified()}
        criteria = without_none({"limit": limit, "rebuild": rebuild or None, "container_id": container_id})
        doubtful = _is_long(start_after)
        while True:
            page = criteria if start_after is None else dict(criteria, start_after=start_after)
            resp, body = self._read(volume, "POST", "fetch", given, json=page, max_attempts=max_attempts)
            with reading_answer():
                chunks = [_described(*item) for item in expect(list, resp, body)]
                if doubtful and not (body and _is_long(body[0][0])):
                    # The keys of this service may be spelt otherwise: the page may not follow the marker.
                    doubtful, start_after = False, self._marker(volume, start_after, given, max_attempts)
                    continue
                # Services older than 7.3 do not tell: their last page is an empty one.
                truncated = boolean_value(resp.headers.get(LIST_TRUNCATED_HEADER), bool(body))
                following = (resp.headers.get(LIST_MARKER_HEADER) or body[-1][0]) if truncated else None
            if shuffle:
                random.shuffle(chunks)
            for cid, content_id, chunk_id, info in chunks:
                if container_id is None or container_id.upper() == cid.upper():
                    yield cid, content_id, f"http://{volume}/{chunk_id}" if full_urls else chunk_id, info
            if not truncated:
                return
            check_progress(start_after, following)
            start_after = following

    def _marker(
        self, volume: str, marker: str | None, given: RequestOptions, max_attempts: int
    ) -> str | None:
        """Spell a marker of three IDs as the service of a volume spells its keys, which may have two."""
        if marker is None or not _is_long(marker):
            return marker
        _, body = self._read(volume, "POST", "fetch", given, json={"limit": 1}, max_attempts=max_attempts)
        with reading_answer():
            if not body or _is_long(body[0][0]):
                return marker
        container_id, _, chunk_id = marker.split("|")
        return f"{container_id}|{chunk_id}"

    def status(
        self,
        volume: str,
        max: int = _PAGE_SIZE,
        prefix: str | None = None,
        marker: str | None = None,
        max_attempts: int = _MAX_ATTEMPTS,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Count the chunks of a volume.

        :param max: number of chunks that the service counts for one request; there are as many requests as
            need be
        :param prefix: count only the chunks of the containers whose ID begins so
        :param marker: count only the chunks after this one, see `start_after` of :meth:`chunk_fetch`
        :param max_attempts: how often each page is asked for in all, when the service is out of reach or busy
        :returns: ``{"chunk": {"total": 3}, "container": {"ABCD...": {"total": 3}}}``; after an incident,
            ``to_rebuild`` is beside each ``total``
        """
        given: RequestOptions = {"options": Options.of(kwargs).identified()}
        counts: JsonObject = {"chunk": {"total": 0}, "container": {}}
        marker = self._marker(volume, marker, given, max_attempts)
        while True:
            params = {"max": max, "prefix": prefix, "marker": marker}
            resp, body = self._read(volume, "GET", "status", given, params, max_attempts=max_attempts)
            with reading_answer():
                page = expect(dict, resp, body)
                _add(counts, {name: page[name] for name in counts})
                if not boolean_value(resp.headers.get(LIST_TRUNCATED_HEADER), False):
                    return counts
                following = resp.headers[LIST_MARKER_HEADER]
            check_progress(marker, following)
            marker = following

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
        """Declare that all that a volume held at a date (seconds) is lost."""
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
        wishes = {name: True for name, flag in flags.items() if flag}
        # Services of 7.3 read the query; those of 2026 were recorded with a body of two fields at least.
        query = dict.fromkeys(wishes, 1)
        body = {"all": False, "before_incident": False, **wishes} if wishes else None
        return expect(dict, *self._ask(volume, "POST", "admin/clear", kwargs, query, body))


def linked_rdir(directory: DirectoryClient, volume: str, **kwargs: Unpack[RequestOptions]) -> str | None:
    """Get the ID of the rdir service that a volume is linked to, None when there is none."""
    try:
        known = directory.list(RDIR_ACCT, volume, service_type="rdir", **kwargs)
    except exc.NotFound:
        return None
    # A mock that an application's test makes of the class has no attributes of instances.
    with reading_answer(getattr(directory, "proxy_netloc", None)):
        return next((str(link["host"]) for link in known["srv"] if link["type"] == "rdir"), None)


def without_none(criteria: JsonObject) -> JsonObject:
    """Criteria without those that are None."""
    return {name: value for name, value in criteria.items() if value is not None}


def check_progress(marker: str | None, following: str | None) -> None:
    """Refuse a page that ends where the one before has ended, as the next ones would.

    :raises OioProtocolError: it does
    """
    if following == marker:
        raise exc.OioProtocolError(f"the list of a volume does not go on after {marker!r}")


def entry_of(given: JsonObject, mtime: float | None) -> tuple[RequestOptions, JsonObject]:
    """Separate the options of a request from the fields of an entry."""
    names = RequestOptions.__optional_keys__
    fields = {name: value for name, value in given.items() if name not in names}
    if mtime is not None:
        fields["mtime"] = int(mtime)
    return cast("RequestOptions", {name: given[name] for name in given.keys() & names}), fields


def _chunk(container_id: str, content_id: str, chunk_id: str) -> JsonObject:
    return {"container_id": container_id, "content_id": content_id, "chunk_id": chunk_id}


def _is_long(key: str | None) -> bool:
    """Tell whether a key has three IDs, those of container, content and chunk; services of 2026 have two."""
    return key is not None and key.count("|") == 2


def _described(key: str, info: JsonObject) -> Chunk:
    container_id, *content_id, chunk_id = key.split("|")
    if not content_id:
        # Services of 2026 have it beside the key.
        info = dict(info)
        content_id = [info.pop("content_id")]
    (known,) = content_id
    return container_id, known, chunk_id, info


def _add(total: JsonObject, part: JsonObject) -> None:
    """Add numbers to those in the same places."""
    for name, value in part.items():
        if isinstance(value, dict):
            _add(total.setdefault(name, {}), value)
        else:
            total[name] = total.get(name, 0) + value
