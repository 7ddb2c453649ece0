# SPDX-License-Identifier: Apache-2.0
"""Clients of the conscience (which services there are) and of the load balancer (which one to use)."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from oio.common.answers import JsonMapping, JsonObject, expect, reading_answer
from oio.common.client import ProxyClient
from oio.common.utils import monotonic_time

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Unpack

    from oio.common.keywords import ProxyOptions, RequestOptions, SharedOptions

    Described: TypeAlias = JsonMapping | Iterable[JsonMapping]
    """A service, or several."""

_ADDRESS_LIFETIME = 60.0
"""Seconds for which the address of a service ID is remembered."""


class LbClient(ProxyClient):
    """Requests to the load balancer, one method for each route of the proxy.

    :param conf: a dict with at least ``namespace``
    :param kwargs: options of :class:`~oio.common.client.ProxyClient`
    """

    def __init__(self, conf: JsonObject, **kwargs: Unpack[ProxyOptions]) -> None:
        super().__init__(conf, request_prefix="/lb", **kwargs)

    def next_instances(
        self, pool: str, size: int | None = None, slot: str | None = None, **kwargs: Unpack[RequestOptions]
    ) -> list[dict[str, str]]:
        """Choose services of a type.

        :param pool: the type
        :param size: how many different ones, 1 by default
        :param slot: prefer those of this slot
        :returns: ``addr`` and ``id`` of each
        :raises ValueError: there is no type, which crashes the real proxy (pitfall 157)
        """
        if not pool:
            raise ValueError("pool is required (a type of services)")
        params = {"type": pool, "size": 1 if size is None else size, "slot": slot}
        resp, body = self._send("GET", "/choose", kwargs, params)
        return expect(list, resp, body, self.proxy_netloc)

    def next_instance(self, pool: str, **kwargs: Unpack[RequestOptions]) -> dict[str, str]:
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
        **kwargs: Unpack[RequestOptions],
    ) -> list[dict[str, str]]:
        """Choose the services of a pool, or of a storage policy.

        :param avoid: IDs of services that must not be chosen (``NS|type|address``)
        :param known: IDs of services that are already used, and count as chosen
        :returns: ``addr`` and ``id`` of each, those of `known` not repeated
        :raises ValueError: there is neither a pool nor a policy
        """
        if not (pool or policy):
            raise ValueError("pool or policy is required")
        criteria = {
            "avoid": avoid,
            "known": known,
            "avoid_locations": avoid_locations,
            "known_locations": known_locations,
        }
        data = json.dumps({name: list(values) for name, values in criteria.items() if values is not None})
        params = {"pool": pool, "policy": policy}
        resp, body = self._send("POST", "/poll", kwargs, params, data)
        return expect(list, resp, body, self.proxy_netloc)

    def create_pool(
        self,
        pool: str,
        targets: Iterable[tuple[int, str, str]],
        force: bool = False,
        options: JsonObject | None = None,
        **kwargs: Unpack[SharedOptions],
    ) -> None:
        """Create a pool of services.

        :param targets: for each place, how many services, and the slots to take them from, the preferred
            one first: ``[(1, "rawx-even", "rawx"), (2, "rawx-odd", "rawx")]``
        :param force: replace a pool of this name
        :raises Conflict: there is one
        """
        text = ";".join(",".join(str(field) for field in target) for target in targets)
        params: dict[str, object] = {"name": pool}
        if force:
            params["force"] = 1
        data = json.dumps({"targets": text, "options": options or {}})
        self._send("POST", "/create_pool", {}, params, data, **kwargs)


class ConscienceClient(ProxyClient):
    """Requests to the conscience, one method for each route of the proxy.

    A service is described by ``addr``, ``type``, ``ns``, ``score`` (0 to 100) and ``tags``.

    :param conf: a dict with at least ``namespace``
    :param kwargs: options of :class:`~oio.common.client.ProxyClient`

    >>> ConscienceClient({"namespace": "NS"}, endpoint="127.0.0.1:6000").lb.endpoint
    'http://127.0.0.1:6000/v3.0/NS/lb'
    """

    def __init__(self, conf: JsonObject, **kwargs: Unpack[ProxyOptions]) -> None:
        super().__init__(conf, request_prefix="/conscience", **kwargs)
        kwargs["pool_manager"] = self._connections
        self.lb = LbClient(conf, **kwargs)
        self._addresses: dict[tuple[str, str], tuple[str, float]] = {}

    def next_instances(
        self, pool: str, size: int | None = None, **kwargs: Unpack[RequestOptions]
    ) -> list[dict[str, str]]:
        """Choose services of a type; see :meth:`LbClient.next_instances`."""
        return self.lb.next_instances(pool, size, **kwargs)

    def next_instance(self, pool: str, **kwargs: Unpack[RequestOptions]) -> dict[str, str]:
        """Choose one service of a type."""
        return self.lb.next_instance(pool, **kwargs)

    def poll(self, pool: str | None = None, **kwargs: Unpack[RequestOptions]) -> list[dict[str, str]]:
        """Choose the services of a pool; see :meth:`LbClient.poll`."""
        return self.lb.poll(pool, **kwargs)

    def all_services(
        self, type_: str, full: bool = False, **kwargs: Unpack[RequestOptions]
    ) -> list[JsonObject]:
        """List the services of a type, each with its ``id``.

        :param full: with their statistics, and as fresh as can be
        :raises NotFound: there is no such type
        """
        params: dict[str, object] = {"type": type_}
        if full:
            params["full"] = 1
        resp, body = self._send("GET", "/list", kwargs, params)
        services = expect(list, resp, body, self.proxy_netloc)
        with reading_answer(self.proxy_netloc):
            return [srv | {"id": srv["tags"].get("tag.service_id", srv["addr"])} for srv in services]

    def local_services(self, **kwargs: Unpack[RequestOptions]) -> list[JsonObject]:
        """List the services that registered through this proxy."""
        url = f"{self._root}/local/list"
        resp, body = self._send("GET", url, kwargs)
        return expect(list, resp, body, self.proxy_netloc)

    def service_types(self, **kwargs: Unpack[RequestOptions]) -> list[str]:
        """List the types of services of the namespace."""
        resp, body = self._send("GET", "/info", kwargs, {"what": "types"})
        return expect(list, resp, body, self.proxy_netloc)

    def info(self, **kwargs: Unpack[RequestOptions]) -> JsonObject:
        """Get the storage policies and the options of the namespace."""
        resp, body = self._send("GET", "/info", kwargs)
        return expect(dict, resp, body, self.proxy_netloc)

    def get_service_definition(
        self, srv_type: str, srv_id: str, score: int | None = None, tags: JsonObject | None = None
    ) -> JsonObject:
        """Make the description of a service, as the methods below take it."""
        definition: JsonObject = {"ns": self.ns, "type": srv_type, "addr": srv_id, "tags": tags or {}}
        if score is not None:
            definition["score"] = score
        return definition

    def register(
        self,
        service_definitions: Described,
        service_definition: JsonObject | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Announce a service, or a list of services; seen by everybody after some seconds.

        :param service_definitions: a description (see :meth:`get_service_definition`), or a list of them;
            or, with a `service_definition`, its type
        """
        if service_definition is not None:
            service_definitions = dict(service_definition, type=service_definitions)
        self._tell("register", service_definitions, kwargs)

    def deregister(self, service_definitions: Described, **kwargs: Unpack[RequestOptions]) -> None:
        """Forget a service, or a list of services."""
        self._tell("deregister", service_definitions, kwargs)

    def lock_score(self, infos_srv: Described, **kwargs: Unpack[RequestOptions]) -> None:
        """Fix the score of a service, or of a list of services, at what the description says."""
        self._tell("lock", infos_srv, kwargs)

    def unlock_score(self, infos_srv: Described, **kwargs: Unpack[RequestOptions]) -> None:
        """Let the conscience compute the score of a service, or of a list of services, again."""
        self._tell("unlock", infos_srv, kwargs)

    def _tell(self, action: str, services: Described, given: RequestOptions) -> None:
        described = services if isinstance(services, Mapping) else list(services)
        self._send("POST", f"/{action}", given, data=json.dumps(described))

    def flush(self, srv_type: str, **kwargs: Unpack[RequestOptions]) -> None:
        """Forget all the services of a type."""
        self._send("POST", "/flush", kwargs, {"type": srv_type})

    def resolve(self, srv_type: str, service_id: str, **kwargs: Unpack[RequestOptions]) -> dict[str, str]:
        """Get the address of a service, as ``{"addr": "host:port"}``.

        :raises ServiceBusy: the conscience does not know it
        """
        params = {"type": srv_type, "service_id": service_id}
        resp, body = self._send("GET", "/resolve", kwargs, params)
        return expect(dict, resp, body, self.proxy_netloc)

    def resolve_service_id(
        self, service_type: str, service_id: str, check_format: bool = True, **kwargs: Unpack[RequestOptions]
    ) -> str:
        """Get the address of a service (``host:port``), remembered for a minute.

        :param check_format: give back an ID that is an address (``ip:port``), and ask nothing
        """
        if check_format and _is_address(service_id):
            return service_id
        key, now = (service_type, service_id), monotonic_time()
        address, expiry = self._addresses.get(key, ("", now))
        if expiry <= now:
            with reading_answer(self.proxy_netloc):
                address = self.resolve(service_type, service_id, **kwargs)["addr"]
            self._addresses[key] = address, now + _ADDRESS_LIFETIME
        return address

    def resolve_url(self, service_type: str, url: str, **kwargs: Unpack[RequestOptions]) -> str:
        """Replace the service ID in a URL by the address of the service; one with a port is left as it is.

        :param url: ``http://rawx-1/ABCD``, or the same without a scheme
        """
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.port is None:
            address = self.resolve_service_id(service_type, parts.netloc, **kwargs)
            parts = parts._replace(netloc=address)
        return parts.geturl()


def _is_address(service_id: str) -> bool:
    """Tell an ``ip:port`` from other service IDs."""
    host, _, port = service_id.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return port.isdecimal()
