# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about services: ``conscience/*``, ``local/*`` and ``lb/*``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.calls import Call, done, is_true, ok, parse_integer, typed_field
from oio.sandbox.conscience import SERVICE_TYPES, Service
from oio.sandbox.messages import Response
from oio.sandbox.policies import DATA_SECURITY, SERVICE_POOLS, STORAGE_POLICY
from oio.sandbox.refusals import NOT_FOUND, POLICY_UNSATISFIABLE, Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterable

    from oio.sandbox.proxy import Proxy

_UNSET: Final = -2


def _info(proxy: Proxy, call: Call) -> Response:
    if call.param("what") == "types":
        return ok(list(SERVICE_TYPES))
    options = {
        "flat_bitlength": 17,
        "storage_policy": proxy.policies.default,
        "service_update_policy": "meta2=KEEP|3|1;sqlx=KEEP|1|1|;rdir=KEEP|1|1|",
    }
    return ok(
        {
            "ns": proxy.namespace,
            "chunksize": proxy.chunk_size,
            "options": options,
            "storage_policy": STORAGE_POLICY,
            "service_pools": SERVICE_POOLS,
            "data_security": DATA_SECURITY,
        }
    )


def _list(proxy: Proxy, call: Call) -> Response:
    full = is_true(call.param("full") or "")
    return ok([service.description(full=full) for service in proxy.conscience.services(_kind(call))])


def _local(proxy: Proxy, call: Call) -> Response:
    kind = call.param("type")
    items = []
    for service in proxy.conscience.services(kind):
        item = service.description(full=True) | {"score": _UNSET}
        item["tags"] = {key: value for key, value in service.tags.items() if key != "tag.lock"}
        items.append(item if kind else item | {"ns": proxy.namespace, "type": service.kind})
    return ok(items)


def _kind(call: Call) -> str:
    return call.required("type", "Missing type")


def _resolve(proxy: Proxy, call: Call) -> Response:
    service = proxy.conscience.resolve(_kind(call), call.required("service_id", "Missing service id"))
    return ok({"addr": service.address})


def _score(proxy: Proxy, call: Call) -> Response:
    service = proxy.conscience.find(_kind(call), call.required("service_id", "Missing service id"))
    if service is None:
        raise Refusal(NOT_FOUND, "No such item")
    return ok({"addr": service.address, "score": service.score})


# -- registration


def _register(proxy: Proxy, call: Call) -> Response:
    body = call.json()
    services = [_service(proxy, item) for item in (body if isinstance(body, list) else [body])]
    for service in services:
        proxy.conscience.register(service)
    return done()


def _service(proxy: Proxy, item: object) -> Service:
    """Return the service that a body describes; the score is for the conscience to say."""
    if not isinstance(item, dict):
        raise bad_request("Expected: json object")
    address, kind = (str(typed_field(item, name, str)) for name in ("addr", "type"))
    proxy.conscience.check_type(kind)
    proxy.conscience.check_address(address)
    given = item.get("tags")
    tags = given if isinstance(given, dict) else {}
    kept = {
        key: False if value is None else value
        for key, value in tags.items()
        if key.startswith(("tag.", "stat.")) and key != "tag.service_id"
    }
    service_id = tags.get("tag.service_id")
    return Service(kind, address, service_id if isinstance(service_id, str) else None, tags=kept)


def _lock(proxy: Proxy, call: Call) -> Response:
    body = call.json_object("Expected: json object")
    service = _service(proxy, body)
    score = typed_field(body, "score", int)
    proxy.conscience.lock(service.kind, service.name, int(str(score)))
    return done()


def _unlock(proxy: Proxy, call: Call) -> Response:
    service = _service(proxy, call.json())
    proxy.conscience.unlock(service.kind, service.name)
    return done()


def _deregister(proxy: Proxy, call: Call) -> Response:
    service = _service(proxy, call.json())
    proxy.conscience.deregister(service.kind, service.name)
    return done()


def _flush(proxy: Proxy, call: Call) -> Response:
    proxy.conscience.forget(_kind(call))
    return done()


# -- load balancer


def _choose(proxy: Proxy, call: Call) -> Response:
    # Without a type the real service crashes.
    kind = _kind(call)
    count = parse_integer(call.param("size") or "1")
    if count is None or count < 0:
        raise bad_request("Invalid size")
    chosen, flawed = proxy.conscience.choose(kind, max(count, 1), call.param("slot") or None)
    return ok(_chosen(proxy, chosen), [("x-oio-lb-flawed", "1")] if flawed else [])


def _poll(proxy: Proxy, call: Call) -> Response:
    name, policy = call.param("pool"), call.param("policy")
    if not name and not policy:
        raise bad_request("Missing policy or pool parameter").answered_with(404)
    body = call.json_object("Expected: json object")
    known, avoid = (_identified(proxy, body, key) for key in ("known", "avoid"))
    for key in ("avoid_locations", "known_locations"):
        typed_field(body, key, list, optional=True)
    if name:
        pool = proxy.conscience.pool(name)
    elif str(policy) in proxy.policies:
        pool = proxy.conscience.pool_of(proxy.policies.get(str(policy)))
    else:
        raise Refusal(POLICY_UNSATISFIABLE, f"Invalid storage policy: {policy}")
    places = proxy.conscience.poll(pool, known=known, avoid={service.name for service in avoid})
    return ok(_chosen(proxy, [place.service for place in places]))


def _identified(proxy: Proxy, body: dict[str, object], key: str) -> list[Service]:
    """Return the services of a list of ``NS|type|id``; those that are unknown do not count."""
    names = typed_field(body, key, list, optional=True) or []
    assert isinstance(names, list)
    parts = [str(name).rpartition("|")[2] for name in names]
    found = [proxy.conscience.find("rawx", name) for name in parts]
    return [service for service in found if service is not None]


def _chosen(proxy: Proxy, services: Iterable[Service]) -> list[dict[str, str]]:
    return [
        {"addr": service.address, "id": f"{proxy.namespace}|{service.kind}|{service.name}"}
        for service in services
    ]


def _create_pool(proxy: Proxy, call: Call) -> Response:
    name = call.required("name", "Missing name parameter")
    targets = call.json_object("Expected: json object").get("targets")
    force = call.flag("force")
    proxy.conscience.create_pool(name, targets if isinstance(targets, str) else None, force=force)
    return Response(201)


def _reload(_proxy: Proxy, _call: Call) -> Response:
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
