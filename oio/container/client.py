# SPDX-License-Identifier: Apache-2.0
"""Client of the routes of the proxy about containers and, by inheritance, objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from oio.common.answers import JsonMapping, JsonObject, reading_answer
from oio.common.arguments import check_headers
from oio.common.constants import REGION_HEADER
from oio.common.easy_value import boolean_value
from oio.container._data import DataRoutes
from oio.container._description import (
    CHUNK_SYSMETA_PREFIX,
    CONTENT_HEADER_PREFIX,
    SYSMETA_KEYS,
    DescriptionRoutes,
    extract_chunk_qualities,
    extract_content_headers_meta,
)
from oio.container._removal import RemovalRoutes
from oio.container._requests import container_params, property_names

__all__ = [
    "CHUNK_SYSMETA_PREFIX",
    "CONTENT_HEADER_PREFIX",
    "SYSMETA_KEYS",
    "ContainerClient",
    "extract_chunk_qualities",
    "extract_content_headers_meta",
]

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.keywords import ProxyOptions, RequestExtras, RequestOptions

_CREATED = 201
_NO_CONTENT = 204


class ContainerClient(DescriptionRoutes, DataRoutes, RemovalRoutes):
    """Requests about containers and their objects, one method for each route of the proxy.

    Every method names the container by `account` and `reference`, or by its ID `cid` (64 upper-case hex
    digits), and takes the options of a request as keywords: ``headers``, ``reqid``, ``deadline``,
    ``connection_timeout``, ``read_timeout``, ``autocreate``, ``perfdata``, ``force_master``... Refusals
    come out as the subclass of :class:`~oio.common.exceptions.ClientException` that their status calls for.

    :param conf: a dict with at least ``namespace``
    :param kwargs: options of :class:`~oio.common.client.ProxyClient`

    >>> client = ContainerClient({"namespace": "NS"}, endpoint="127.0.0.1:6000")
    >>> client.endpoint
    'http://127.0.0.1:6000/v3.0/NS/container'
    """

    def __init__(self, conf: JsonObject, **kwargs: Unpack[ProxyOptions]) -> None:
        super().__init__(conf, request_prefix="/container", **kwargs)

    def container_create(
        self,
        account: str,
        reference: str,
        properties: dict[str, str] | None = None,
        system: dict[str, str] | None = None,
        region: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> bool:
        """Create a container; an existing one is left as it is.

        :param properties: of the user
        :param system: system properties, such as ``sys.m2.policy.storage``; hardly checked by the service
        :param region: where it must be; services of 7.3 ignore it
        :returns: True when created, False when it existed
        :raises BadRequest: the namespace is in another region
        """
        params = container_params(account, reference, None)
        data = json.dumps({"properties": properties or {}, "system": system or {}})
        more: RequestExtras = {}
        if region is not None:
            options = kwargs.get("options")
            headers = kwargs.get("headers") if options is None else options.headers
            more["headers"] = {**check_headers(headers), REGION_HEADER: region}
        resp, _ = self._send("POST", "/create", kwargs, params, data=data, **more)
        # No response: it exists since an earlier attempt, of ours or of somebody else.
        return resp is not None and resp.status == _CREATED

    def container_create_many(
        self,
        account: str,
        containers: Iterable[str],
        properties: dict[str, str] | None = None,
        system: dict[str, str] | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> list[tuple[str, bool]]:
        """Create several containers; see :meth:`container_create`.

        :returns: for each name, in order, whether it was created
        """

        def create_all(names: list[str]) -> list[tuple[str, bool]]:
            items = [{"name": name, "properties": properties or {}, "system": system or {}} for name in names]
            data = json.dumps({"containers": items})
            resp, body = self._send("POST", "/create_many", kwargs, {"acct": account}, data=data)
            with reading_answer(self.proxy_netloc):
                answers = self._expect(resp, body)["containers"]
                return [(item["name"], item["status"] == _CREATED) for item in answers]

        def create_one(name: str) -> bool:
            return self.container_create(account, name, properties, system, **kwargs)

        return self._in_pieces(list(containers), create_all, create_one)

    def container_delete(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        force: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Destroy a container.

        :param force: also when it holds objects, whose chunks then stay on the rawx services
        :raises Conflict: it is not empty
        """
        params = container_params(account, reference, cid, kwargs)
        if force:
            params["force"] = 1
        self._send("POST", "/destroy", kwargs, params)

    def container_show(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Get the user properties of a container, as ``{"properties": {...}}``."""
        resp, body = self._send("GET", "/show", kwargs, container_params(account, reference, cid, kwargs))
        return self._expect(resp, body)

    def container_get_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: Iterable[str] | None = None,
        cid: str | None = None,
        *,
        urgent: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Get all the properties of a container.

        :param properties: sent, but ignored by the service
        :param urgent: ask before others do; services also tell the figures of the database then, as
            ``stats.page_count``
        :returns: ``{"properties": {...}, "system": {...}}``, text values
        """
        params = container_params(account, reference, cid, kwargs)
        if urgent:
            params["urgent"] = 1
        data = json.dumps(list(properties or ()))
        resp, body = self._send("POST", "/get_properties", kwargs, params, data=data)
        return self._expect(resp, body)

    def container_set_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: dict[str, str] | None = None,
        clear: bool = False,
        cid: str | None = None,
        system: dict[str, str] | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> Any:
        """Set properties of a container; an empty value removes the property.

        :param clear: remove the other user properties first
        :param system: system properties, whose names begin with ``sys.``
        """
        params = container_params(account, reference, cid, kwargs)
        if clear:
            params["flush"] = 1
        data = json.dumps({"properties": properties or {}, "system": system or {}})
        resp, body = self._send("POST", "/set_properties", kwargs, params, data=data)
        if clear and resp.status == _NO_CONTENT:
            self._remove_others(account, reference, cid, properties or {}, kwargs)
        # Services of 2026 send no body.
        return body or {}

    def container_del_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: Iterable[str] | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> Any:
        """Remove user properties of a container.

        :param properties: their names; an empty list stands for **all of them**
        :raises ValueError: there is no list
        """
        params = container_params(account, reference, cid, kwargs)
        names = property_names(properties)
        resp, body = self._send("POST", "/del_properties", kwargs, params, data=json.dumps(names))
        if not names and resp.status == _NO_CONTENT:
            self._remove_others(account, reference, cid, {}, kwargs)
        return body or {}

    def _remove_others(
        self,
        account: str | None,
        reference: str | None,
        cid: str | None,
        kept: Mapping[str, str],
        given: RequestOptions,
    ) -> None:
        """Remove the other user properties, which services of 2026 leave although told to clear them.

        These services are recognised by their answers, which have no body.

        :param kept: properties that stay
        """
        known = self.container_show(account, reference, cid, **given)
        with reading_answer(self.proxy_netloc):
            others = sorted(known["properties"].keys() - kept.keys())
        if others:
            self.container_del_properties(account, reference, others, cid, **given)

    def container_touch(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        recompute: bool = False,
        damaged_objects: int | None = None,
        missing_chunks: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Make the services report the state of a container to its account.

        :param recompute: count its objects and bytes again, and store the two following numbers
        """
        params = container_params(account, reference, cid, kwargs)
        if recompute:
            params.update(recompute=True, damaged_objects=damaged_objects, missing_chunks=missing_chunks)
        self._send("POST", "/touch", kwargs, params)

    def container_flush(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> dict[str, bool]:
        """Delete up to 1000 objects of a container, with all their versions.

        :returns: ``{"truncated": True}`` when some are left
        """
        resp, _ = self._send("POST", "/flush", kwargs, container_params(account, reference, cid, kwargs))
        with reading_answer(self.proxy_netloc):
            return {"truncated": boolean_value(resp.headers.get("x-oio-truncated"), False)}

    def container_dedup(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Merge the contents of a container that are equal.

        :raises ClientException: the services do not know how, which is true of all recent ones
        """
        self._send("POST", "/dedup", kwargs, container_params(account, reference, cid, kwargs))

    def container_purge(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        maxvers: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Drop the oldest versions of the objects of a container.

        :param maxvers: how many are kept; by default what the container says
        """
        params = container_params(account, reference, cid, kwargs)
        params["maxvers"] = maxvers
        self._send("POST", "/purge", kwargs, params)

    def container_freeze(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Refuse changes to the objects of a container from now on."""
        self._set_status("freeze", account, reference, cid, kwargs)

    def container_enable(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Allow changes to the objects of a container again."""
        self._set_status("enable", account, reference, cid, kwargs)

    def _set_status(
        self, action: str, account: str | None, reference: str | None, cid: str | None, kwargs: RequestOptions
    ) -> None:
        params = container_params(account, reference, cid, kwargs) | {"type": "meta2"}
        self._send("POST", f"{self._root}/admin/{action}", kwargs, params)

    def container_snapshot(
        self,
        account: str | None,
        reference: str | None,
        dst_account: str,
        dst_reference: str,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Copy the database of a container; the copy names the same chunks, and is frozen.

        :raises BadRequest: the destination exists
        """
        params = container_params(account, reference, cid, kwargs)
        data = json.dumps({"account": dst_account, "container": dst_reference})
        self._send("POST", "/snapshot", kwargs, params, data=data)

    def container_raw_insert(
        self,
        bean: JsonMapping | Iterable[JsonMapping],
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        force: bool = False,
        frozen: bool = False,
        path: str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Insert rows into the database of a container: one bean, or a list of them.

        :param force: replace those that are there
        :param frozen: also when the container is frozen
        :param path: name of the object that they are about; services of 2026 want it, those of 7.3 ignore it
        :param content_id: ID of this object, likewise
        :raises Conflict: one is there
        """
        beans = [bean] if isinstance(bean, Mapping) else list(bean)
        params = container_params(account, reference, cid, kwargs)
        for name, flag in (("force", force), ("frozen", frozen)):
            if flag:
                params[name] = 1
        params.update(path=path, content=content_id)
        self._send("POST", "/raw_insert", kwargs, params, data=json.dumps(beans))

    def container_raw_update(
        self,
        old: Iterable[JsonObject],
        new: Iterable[JsonObject],
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        frozen: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Replace rows of the database of a container, pairwise.

        :param old: beans of chunks that are there
        :param new: as many beans that take their places
        :param frozen: also when the container is frozen
        :raises NotFound: one of the old ones is not there
        """
        params = container_params(account, reference, cid, kwargs)
        if frozen:
            params["frozen"] = 1
        data = json.dumps({"old": list(old), "new": list(new)})
        self._send("POST", "/raw_update", kwargs, params, data=data)

    def container_raw_delete(
        self,
        account: str | None = None,
        reference: str | None = None,
        data: Iterable[JsonObject] = (),
        cid: str | None = None,
        path: str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Delete rows of the database of a container.

        :param data: beans; those that are not there are no error
        :param path: name of the object that they are about, which other clients tell services of 2026
        :param content_id: ID of this object, likewise
        :raises BadRequest: there is no bean
        """
        params = container_params(account, reference, cid, kwargs)
        params.update(path=path, content=content_id)
        self._send("POST", "/raw_delete", kwargs, params, data=json.dumps(list(data)))
