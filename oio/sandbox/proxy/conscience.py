# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about services: ``conscience/*``, ``local/*`` and ``lb/*``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from oio.sandbox.http.calls import done, ok, optional_field, typed_field
from oio.sandbox.http.values import is_true, parse_integer
from oio.sandbox.messages import Response
from oio.sandbox.metadata.policies import SERVICE_POOLS, SERVICE_UPDATE_POLICY, STORAGE_POLICY
from oio.sandbox.proxy.calls import Call
from oio.sandbox.proxy.registry import LATER_SERVICE_TYPES, SERVICE_TYPES, Service
from oio.sandbox.refusals import NOT_FOUND, POLICY_UNSATISFIABLE, Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oio.sandbox.proxy.backend import Backend

_UNSET: Final = -2
_FAILED: Final = 500
#: The policy that the 2026 release does not have, and its data security.
_GONE: Final = "BACKBLAZE"


def _info(backend: Backend, call: Call) -> Response:
    later = backend.release.later_fields
    if call.param("what") == "types":
        return ok(list(LATER_SERVICE_TYPES if later else SERVICE_TYPES))
    options = {
        **({} if later else {"flat_bitlength": 17}),
        "storage_policy": backend.policies.default,
        "service_update_policy": SERVICE_UPDATE_POLICY,
    }
    return ok(
        {
            "ns": backend.namespace,
            "chunksize": backend.chunk_size,
            "options": options,
            "storage_policy": {
                name: text for name, text in STORAGE_POLICY.items() if not (later and name == _GONE)
            },
            "service_pools": SERVICE_POOLS,
            "data_security": {
                name: text
                for name, text in backend.policies.data_security.items()
                if not (later and name == _GONE)
            },
        }
    )


def _list(backend: Backend, call: Call) -> Response:
    full, later = is_true(call.param("full") or ""), backend.release.later_fields
    found = backend.conscience.services(_kind(call))
    if later and call.has("cs"):
        raise Refusal(_FAILED, "Conscience error: client creation")
    return ok([service.description(full=full, scores=later) for service in found])


def _local(backend: Backend, call: Call) -> Response:
    kind = call.param("type")
    items = []
    for service in backend.conscience.services(kind):
        item = service.description(full=True) | {"score": _UNSET}
        item["tags"] = {key: value for key, value in service.tags.items() if key != "tag.lock"}
        items.append(item if kind else item | {"ns": backend.namespace, "type": service.kind})
    return ok(items)


def _kind(call: Call) -> str:
    return call.required("type", "Missing type")


def _resolve(backend: Backend, call: Call) -> Response:
    service = backend.conscience.resolve(_kind(call), call.required("service_id", "Missing service id"))
    return ok({"addr": service.address})


def _score(backend: Backend, call: Call) -> Response:
    service = backend.conscience.find(_kind(call), call.required("service_id", "Missing service id"))
    if service is None:
        raise Refusal(NOT_FOUND, "No such item")
    return ok({"addr": service.address, "score": service.score})


# -- registration


def _register(backend: Backend, call: Call) -> Response:
    for service in [_service(backend, item) for item in _items(call)]:
        backend.conscience.register(service)
    return done()


def _items(call: Call) -> list[dict[str, object]]:
    """Return the services that a body describes: one, or an array of them."""
    body = call.json()
    items: list[Any] = body if isinstance(body, list) else [body]
    if not all(isinstance(item, dict) for item in items):
        raise bad_request("Expected: json object")
    return items


def _service(backend: Backend, item: dict[str, object]) -> Service:
    """Return the service that an item describes; a score in it is ignored."""
    address, kind = (typed_field(item, name, str) for name in ("addr", "type"))
    backend.conscience.check_type(kind)
    backend.conscience.check_address(address)
    given = item.get("tags")
    tags = given if isinstance(given, dict) else {}
    kept = {
        key: False if value is None else value
        for key, value in tags.items()
        if key.startswith(("tag.", "stat.")) and key != "tag.service_id"
    }
    service_id = tags.get("tag.service_id")
    return Service(kind, address, service_id if isinstance(service_id, str) else None, tags=kept)


def _lock(backend: Backend, call: Call) -> Response:
    services = [(_service(backend, item), typed_field(item, "score", int)) for item in _items(call)]
    for service, score in services:
        backend.conscience.lock(service.kind, service.name, score)
    return done()


def _unlock(backend: Backend, call: Call) -> Response:
    for service in [_service(backend, item) for item in _items(call)]:
        backend.conscience.unlock(service.kind, service.name)
    return done()


def _deregister(backend: Backend, call: Call) -> Response:
    for service in [_service(backend, item) for item in _items(call)]:
        backend.conscience.deregister(service.kind, service.name)
    return done()


def _flush(backend: Backend, call: Call) -> Response:
    backend.conscience.forget(_kind(call))
    return done()


# -- load balancer


def _choose(backend: Backend, call: Call) -> Response:
    # Without a type the real service crashes.
    kind = _kind(call)
    count = parse_integer(call.param("size") or "1")
    if count is None or count < 0:
        raise bad_request("Invalid size")
    chosen, flawed = backend.conscience.choose(kind, max(count, 1), call.param("slot") or None)
    return ok(_chosen(backend, chosen), [("x-oio-lb-flawed", "1")] if flawed else [])


def _poll(backend: Backend, call: Call) -> Response:
    name, policy = call.param("pool"), call.param("policy")
    if not name and not policy:
        raise bad_request("Missing policy or pool parameter").answered_with(404)
    body = call.json_object("Expected: json object")
    known, avoid = (_identified(backend, body, key) for key in ("known", "avoid"))
    for key in ("avoid_locations", "known_locations"):
        optional_field(body, key, list)
    if name:
        pool = backend.conscience.pool(name)
    elif str(policy) in backend.policies:
        pool = backend.conscience.pool_of(backend.policies.get(str(policy)))
    else:
        raise Refusal(POLICY_UNSATISFIABLE, f"Invalid storage policy: {policy}")
    places = backend.conscience.poll(pool, known=known, avoid={service.name for service in avoid})
    return ok(_chosen(backend, [place.service for place in places]))


def _identified(backend: Backend, body: dict[str, object], key: str) -> list[Service]:
    """Return the services of a list of ``NS|type|id``; those that are unknown do not count."""
    names = optional_field(body, key, list) or []
    parts = [tuple(str(name).split("|")[1:]) for name in names]
    return [srv for srv in backend.conscience.services() if (srv.kind, srv.name) in parts]


def _chosen(backend: Backend, services: Iterable[Service]) -> list[dict[str, str]]:
    return [
        {"addr": service.address, "id": f"{backend.namespace}|{service.kind}|{service.name}"}
        for service in services
    ]


def _create_pool(backend: Backend, call: Call) -> Response:
    name = call.required("name", "Missing name parameter")
    targets = call.json_object("Expected: json object").get("targets")
    force = call.flag("force")
    backend.conscience.create_pool(name, targets if isinstance(targets, str) else None, force=force)
    return Response(201)


def _reload(_backend: Backend, _call: Call) -> Response:
    return done()


ROUTES: Final = {
    ("GET", "conscience/info"): _info,
    ("GET", "conscience/list"): _list,
    ("GET", "local/list"): _local,
    ("GET", "conscience/resolve"): _resolve,
    ("GET", "conscience/score"): _score,
    ("POST", "conscience/register"): _register,
    ("POST", "conscience/lock"): _lock,
    ("POST", "conscience/unlock"): _unlock,
    ("POST", "conscience/deregister"): _deregister,
    ("POST", "conscience/flush"): _flush,
    ("GET", "lb/choose"): _choose,
    ("POST", "lb/poll"): _poll,
    ("POST", "lb/create_pool"): _create_pool,
    ("POST", "lb/reload"): _reload,
}
