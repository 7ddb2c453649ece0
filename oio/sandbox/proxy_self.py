# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy that need no namespace: its own state and configuration, and forwarding to services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.calls import Call, done, encode, ok
from oio.sandbox.messages import Response
from oio.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.sandbox.proxy import Proxy

_CONNECTION_REFUSED: Final = 2
_COUNTERS: Final = ("Content-Type", "text/x-java-properties")
_CACHE: Final = {"count": 0, "max": 4194304, "ttl": 0}


def default_variables(max_versions: int) -> dict[str, object]:
    """Return the configuration of a new proxy."""
    return {
        "core.lb.generate_random_chunk_ids": True,
        "meta2.max_versions": max_versions,
        "proxy.cache.enabled": True,
    }


def _status(proxy: Proxy, _call: Call) -> Response:
    kinds = [service.kind for service in proxy.conscience.services()]
    lines = [f"gauge services.{kind} {kinds.count(kind)}" for kind in sorted(set(kinds))]
    return Response(200, [_COUNTERS], "".join(f"{line}\n" for line in lines).encode())


def _get_config(proxy: Proxy, _call: Call) -> Response:
    return ok(proxy.variables)


def _set_config(proxy: Proxy, call: Call) -> Response:
    asked = call.json_object()
    known = {name: name in proxy.variables for name in asked}
    proxy.variables.update({name: value for name, value in asked.items() if known[name]})
    return ok(known)


def _cache_status(_proxy: Proxy, _call: Call) -> Response:
    return ok({"csm0": _CACHE, "meta1": _CACHE})


def _cache_show(proxy: Proxy, _call: Call) -> Response:
    return ok([{"addr": service.address, "id": service.name} for service in proxy.conscience.services()])


def _cache_flush(_proxy: Proxy, _call: Call) -> Response:
    return done()


def _forward(answer: str) -> Callable[[Proxy, Call], Response]:
    def forward(proxy: Proxy, call: Call) -> Response:
        name = call.param("id")
        if not name:
            raise bad_request("Missing SRVID")
        if not any(name in {service.address, service.service_id} for service in proxy.conscience.services()):
            # Unlike other answers of that status, without Retry-After.
            refusal = {"status": _CONNECTION_REFUSED, "message": f"{name}: Connection refused"}
            return Response(503, (), encode(refusal))
        return Response(200, (), answer.encode())

    return forward


ROUTES: Final = {
    ("GET", "status"): _status,
    ("GET", "config"): _get_config,
    ("POST", "config"): _set_config,
    ("GET", "cache/status"): _cache_status,
    ("GET", "cache/show"): _cache_show,
    ("POST", "cache/flush/local"): _cache_flush,
    ("POST", "cache/flush/high"): _cache_flush,
    ("POST", "cache/flush/low"): _cache_flush,
    ("GET", "forward/ping"): _forward("OK\r\n"),
    ("GET", "forward/version"): _forward("sandbox"),
}
