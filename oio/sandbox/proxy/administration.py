# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about itself: status, configuration, caches, and forwarding to services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import done, encode, ok
from oio.sandbox.messages import Response
from oio.sandbox.proxy.calls import Call
from oio.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.sandbox.proxy.backend import Backend

_CONNECTION_REFUSED: Final = 2
_COUNTERS: Final = ("Content-Type", "text/x-java-properties")
_CACHE: Final = {"count": 0, "max": 4194304, "ttl": 0}


def _status(backend: Backend, _call: Call) -> Response:
    kinds = [service.kind for service in backend.conscience.services()]
    lines = [f"gauge services.{kind} {kinds.count(kind)}" for kind in sorted(set(kinds))]
    return Response(200, [_COUNTERS], "".join(f"{line}\n" for line in lines).encode())


def _get_config(backend: Backend, _call: Call) -> Response:
    return ok(backend.variables)


def _set_config(backend: Backend, call: Call) -> Response:
    asked = call.json_object()
    known = {name: name in backend.variables for name in asked}
    backend.variables.update({name: value for name, value in asked.items() if known[name]})
    return ok(known)


def _cache_status(_backend: Backend, _call: Call) -> Response:
    return ok({"csm0": _CACHE, "meta1": _CACHE})


def _cache_show(backend: Backend, _call: Call) -> Response:
    return ok([{"addr": service.address, "id": service.name} for service in backend.conscience.services()])


def _forward(answer: Callable[[Backend, Call], Response]) -> Callable[[Backend, Call], Response]:
    """Return a handler that answers for the service that the request names."""

    def forward(backend: Backend, call: Call) -> Response:
        name = call.param("id")
        if not name:
            raise bad_request("Missing SRVID")
        if not any(
            name in {service.address, service.service_id} for service in backend.conscience.services()
        ):
            # Unlike other answers of that status, without Retry-After.
            refusal = {"status": _CONNECTION_REFUSED, "message": f"{name}: Connection refused"}
            return Response(503, (), encode(refusal))
        return answer(backend, call)

    return forward


def _ping(_backend: Backend, _call: Call) -> Response:
    return Response(200, (), b"OK\r\n")


def _version(_backend: Backend, _call: Call) -> Response:
    return Response(200, (), b"sandbox")


def _maintain(_backend: Backend, _call: Call) -> Response:
    return done()


ROUTES: Final = {
    ("GET", "status"): _status,
    ("GET", "config"): _get_config,
    ("POST", "config"): _set_config,
    ("GET", "cache/status"): _cache_status,
    ("GET", "cache/show"): _cache_show,
    ("POST", "cache/flush/local"): _maintain,
    ("POST", "cache/flush/high"): _maintain,
    ("POST", "cache/flush/low"): _maintain,
    ("GET", "forward/ping"): _forward(_ping),
    ("GET", "forward/version"): _forward(_version),
    ("GET", "forward/config"): _forward(_get_config),
    ("GET", "forward/info"): _forward(_status),
    ("GET", "forward/stats"): _forward(_status),
    ("POST", "forward/reload"): _forward(_maintain),
    ("POST", "forward/flush"): _forward(_maintain),
    ("POST", "forward/lean-glib"): _forward(_maintain),
    ("POST", "forward/lean-sqlx"): _forward(_maintain),
    ("POST", "forward/balance-masters"): _forward(_maintain),
}
