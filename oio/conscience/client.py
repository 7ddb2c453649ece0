# SPDX-License-Identifier: Apache-2.0
"""Clients of the conscience (which services there are) and of its load balancer (which one to use)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from oio.common.answers import expect, reading_answer
from oio.common.client import ProxyClient
from oio.common.utils import monotonic_time

_ADDRESS_LIFETIME = 60.0
"""Seconds for which the address of a service ID is remembered."""


class LbClient(ProxyClient):
    """Requests to the load balancer, one method for each route of the proxy.

    :param conf: a dict with at least ``namespace``
    :param kwargs: options of :class:`~oio.common.client.ProxyClient`
    """

    def __init__(self, conf: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(conf, request_prefix="/lb", **kwargs)

    def next_instances(
        self, pool: str, size: int | None = None, slot: str | None = None, **kwargs: Any
    ) -> list[dict[str, str]]:
        """Choose services of a type.

        :param pool: the type
        :param size: how many different ones, 1 by default
        :param slot: prefer those of this slot
        :returns: ``addr`` and ``id`` of each
        :raises ValueError: there is no type, a question that the real proxy crashes of (pitfalls row 157)
        """
        if not pool:
            raise ValueError(f"pool must be a type of services, not {pool!r}")
        params = {"type": pool, "size": 1 if size is None else size, "slot": slot}
        resp, body = self._request("GET", "/choose", params=params, **kwargs)
        return expect(list, resp, body, self.proxy_netloc)

    def next_instance(self, pool: str, **kwargs: Any) -> dict[str, str]:
        """Choose one service of a type; see :meth:`next_instances`."""
        return self.next_instances(pool, 1, **kwargs)[0]

    def poll(
        self,
        pool: str | None = None,
        avoid: Iterable[str] | None = None,
        known: Iterable[str] | None = None,
        policy: str | None = None,
        avoid_locations: Iterable[int] | None = None,
        known_locations: Iterable[int] | None = None,
        **kwargs: Any,
    ) -> list[dict[str, str]]:
        """Choose the services of a pool, or of a storage policy.

        :param avoid: IDs of services that must not be chosen (``NS|type|address``)
        :param known: IDs of services that are already used, and count as chosen
        :returns: ``addr`` and ``id`` of each, those of `known` not repeated
        :raises ValueError: there is neither a pool nor a policy
        """
        if not (pool or policy):
            raise ValueError(f"pool or policy must be given: {pool!r}, {policy!r}")
        criteria = {
            "avoid": avoid,
            "known": known,
            "avoid_locations": avoid_locations,
            "known_locations": known_locations,
        }
        data = json.dumps({name: list(values) for name, values in criteria.items() if values is not None})
        params = {"pool": pool, "policy": policy}
        resp, body = self._request("POST", "/poll", params=params, data=data, **kwargs)
        return expect(list, resp, body, self.proxy_netloc)

    def create_pool(
        self,
        pool: str,
        targets: Iterable[tuple[int, str, str]],
        force: bool = False,
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Create a pool of services.

        :param targets: for each place, how many services, and the slots to take them from, the preferred
            one first: ``[(1, "rawx-even", "rawx"), (2, "rawx-odd", "rawx")]``
        :param force: replace a pool of this name
        :raises Conflict: there is one
        """
        text = ";".join(",".join(str(field) for field in target) for target in targets)
        params: dict[str, Any] = {"name": pool}
        if force:
            params["force"] = 1
        data = json.dumps({"targets": text, "options": options or {}})
        self._request("POST", "/create_pool", params=params, data=data, **kwargs)


class ConscienceClient(ProxyClient):
    """Requests to the conscience, one method for each route of the proxy.

    A service is described by ``addr``, ``type``, ``ns``, ``score`` (0 to 100) and ``tags``.

    :param conf: a dict with at least ``namespace``
    :param kwargs: options of :class:`~oio.common.client.ProxyClient`

    >>> ConscienceClient({"namespace": "NS"}, endpoint="127.0.0.1:6000").lb.endpoint
    'http://127.0.0.1:6000/v3.0/NS/lb'
    """

    def __init__(self, conf: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(conf, request_prefix="/conscience", **kwargs)
        self.lb = LbClient(conf, **{**kwargs, "pool_manager": self.pool_manager})
        self._addresses: dict[tuple[str, str], tuple[str, float]] = {}

    def next_instances(self, pool: str, size: int | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """Choose services of a type; see :meth:`LbClient.next_instances`."""
        return self.lb.next_instances(pool, size, **kwargs)

    def next_instance(self, pool: str, **kwargs: Any) -> dict[str, str]:
        """Choose one service of a type."""
        return self.lb.next_instance(pool, **kwargs)

    def poll(self, pool: str | None = None, **kwargs: Any) -> list[dict[str, str]]:
        """Choose the services of a pool; see :meth:`LbClient.poll`."""
        return self.lb.poll(pool, **kwargs)

    def all_services(self, type_: str, full: bool = False, **kwargs: Any) -> list[dict[str, Any]]:
        """List the services of a type, each with its ``id``.

        :param full: with their statistics, and as fresh as can be
        :raises NotFound: there is no such type
        """
        params: dict[str, Any] = {"type": type_}
        if full:
            params["full"] = 1
        resp, body = self._request("GET", "/list", params=params, **kwargs)
        services = expect(list, resp, body, self.proxy_netloc)
        return [{**srv, "id": srv["tags"].get("tag.service_id", srv["addr"])} for srv in services]

    def local_services(self, **kwargs: Any) -> list[dict[str, Any]]:
        """List the services that registered through this proxy."""
        url = self.endpoint.rpartition("/")[0] + "/local/list"  # type: ignore[union-attr]
        resp, body = self._direct_request("GET", url, **kwargs)
        return expect(list, resp, body, self.proxy_netloc)

    def service_types(self, **kwargs: Any) -> list[str]:
        """List the types of services of the namespace."""
        resp, body = self._request("GET", "/info", params={"what": "types"}, **kwargs)
        return expect(list, resp, body, self.proxy_netloc)

    def info(self, **kwargs: Any) -> dict[str, Any]:
        """Get the storage policies and the options of the namespace."""
        resp, body = self._request("GET", "/info", **kwargs)
        return expect(dict, resp, body, self.proxy_netloc)

    def get_service_definition(
        self, srv_type: str, srv_id: str, score: int | None = None, tags: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make the description of a service, as the methods below take it."""
        definition: dict[str, Any] = {"ns": self.ns, "type": srv_type, "addr": srv_id, "tags": tags or {}}
        if score is not None:
            definition["score"] = score
        return definition

    def register(
        self, service_definitions: Any, service_definition: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Announce a service, or a list of services; seen by everybody after some seconds.

        :param service_definitions: a description (see :meth:`get_service_definition`), or a list of them;
            or, with a `service_definition`, its type
        """
        if service_definition is not None:
            service_definitions = {**service_definition, "type": service_definitions}
        self._send("register", service_definitions, **kwargs)

    def deregister(self, service_definitions: Any, **kwargs: Any) -> None:
        """Forget a service, or a list of services."""
        self._send("deregister", service_definitions, **kwargs)

    def lock_score(self, infos_srv: Any, **kwargs: Any) -> None:
        """Fix the score of a service, or of a list of services, at what the description says."""
        self._send("lock", infos_srv, **kwargs)

    def unlock_score(self, infos_srv: Any, **kwargs: Any) -> None:
        """Let the conscience compute the score of a service, or of a list of services, again."""
        self._send("unlock", infos_srv, **kwargs)

    def _send(self, action: str, services: Any, **kwargs: Any) -> None:
        described = services if isinstance(services, Mapping) else list(services)
        self._request("POST", f"/{action}", data=json.dumps(described), **kwargs)

    def flush(self, srv_type: str, **kwargs: Any) -> None:
        """Forget all the services of a type."""
        self._request("POST", "/flush", params={"type": srv_type}, **kwargs)

    def resolve(self, srv_type: str, service_id: str, **kwargs: Any) -> dict[str, str]:
        """Get the address of a service, as ``{"addr": "host:port"}``.

        :raises ServiceBusy: the conscience does not know it
        """
        params = {"type": srv_type, "service_id": service_id}
        resp, body = self._request("GET", "/resolve", params=params, **kwargs)
        return expect(dict, resp, body, self.proxy_netloc)

    def resolve_service_id(self, srv_type: str, service_id: str, **kwargs: Any) -> str:
        """Get the address of a service (``host:port``), remembered for a minute."""
        key, now = (srv_type, service_id), monotonic_time()
        address, expiry = self._addresses.get(key, ("", now))
        if expiry <= now:
            with reading_answer(self.proxy_netloc):
                address = self.resolve(srv_type, service_id, **kwargs)["addr"]
            self._addresses[key] = address, now + _ADDRESS_LIFETIME
        return address

    def resolve_url(self, service_type: str, url: str, **kwargs: Any) -> str:
        """Replace the service ID in a URL by the address of the service; one with a port is left as it is.

        :param url: ``http://rawx-1/ABCD``, or the same without a scheme
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.port is None:
            address = self.resolve_service_id(service_type, parts.netloc, **kwargs)
            parts = parts._replace(netloc=address)
        return parts.geturl()
