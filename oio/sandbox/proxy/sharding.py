# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about shards: their list, and the steps in which operators make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import done, ok, typed_field
from oio.sandbox.http.values import escape
from oio.sandbox.metadata import sharding
from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.shards import Range, ranges
from oio.sandbox.proxy.containers import boolean, page_size, refuse_stages
from oio.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from oio.sandbox.messages import Response
    from oio.sandbox.metadata.container import Container
    from oio.sandbox.proxy.backend import Backend
    from oio.sandbox.proxy.calls import Call

_CLEAN: Final = [("x-oio-truncated", "false")]


def _described(container: Container) -> dict[str, object]:
    system = container.system_properties()
    return {
        "properties": container.user_properties(),
        "system": {key: value for key, value in system.items() if key.startswith("sys.")},
    }


def _show(backend: Backend, call: Call) -> Response:
    limit, marker = page_size(call), call.param("marker") or ""
    with backend.metadata.reading(call.target(), even_disabled=True) as container:
        found = [part for part in ranges(container) if not marker or part.upper > marker or not part.upper]
        described = _described(container)
    page = found[:limit]
    rows = [{"lower": part.lower, "upper": part.upper, "cid": part.cid, "metadata": None} for part in page]
    truncated = len(found) > limit
    headers = [("x-oio-list-marker", escape(page[-1].upper))] if truncated else []
    return ok(described | {"shard_ranges": rows}, [*headers, ("x-oio-list-truncated", boolean(truncated))])


def _find(backend: Backend, call: Call) -> Response:
    if call.param("strategy") != "shard-with-partition":
        raise bad_request("Invalid sharding strategy")
    shares = typed_field(call.json_object(), "partition", list)
    if not all(isinstance(share, (int, float)) for share in shares):
        raise bad_request("Invalid type for field [partition]")
    with backend.metadata.reading(call.target()) as container:
        found = sharding.find(container, shares)
        described = _described(container)
    rows = [{"lower": lower, "upper": upper, "metadata": {"count": n}} for lower, upper, n in found]
    return ok(described | {"shard_ranges": rows})


def _prepare(backend: Backend, call: Call) -> Response:
    indexes = [str(typed_field(item, "index", int)) for item in _items(call)]
    with backend.metadata.writing(call.target(), silent=True) as container:
        refuse_stages(container, "shard")
        known = sharding.prepare(container)
    return ok({"copies": ",".join(reversed(indexes)), "master": backend.metadata.meta2, **known})


def _create(backend: Backend, call: Call) -> Response:
    body = call.json_object()
    lower, upper, parent = (typed_field(body, name, str) for name in ("lower", "upper", "parent"))
    timestamp = str(typed_field(body, "timestamp", int))
    backend.metadata.create_shard(call.target(), Target.by_id(parent), (lower, upper), timestamp)
    return done()


def _lock(backend: Backend, call: Call) -> Response:
    with backend.metadata.writing(call.target(), silent=True) as container:
        sharding.lock(container)
    return done()


def _replace(backend: Backend, call: Call) -> Response:
    fields = ("lower", "upper", "cid")
    wanted = [Range(*(typed_field(item, name, str) for name in fields)) for item in _items(call)]
    with backend.metadata.writing(call.target()) as root:
        sharding.replace(root, wanted)
    return done()


def _clean(backend: Backend, call: Call) -> Response:
    if call.param("local"):
        # It is about a copy of the container, and none is made here.
        return done(_CLEAN)
    with backend.metadata.writing(call.target()) as container:
        sharding.clean(container)
    return done(_CLEAN)


def _items(call: Call) -> list[dict[str, object]]:
    """Return the objects of the list that is the body."""
    body = call.json()
    if not isinstance(body, list) or not body or not all(isinstance(item, dict) for item in body):
        raise bad_request("Body is not a list of objects")
    return body


ROUTES: Final = {
    ("GET", "container/sharding/show"): _show,
    ("GET", "container/sharding/find"): _find,
    ("POST", "container/sharding/prepare"): _prepare,
    ("POST", "container/sharding/create_shard"): _create,
    ("POST", "container/sharding/lock"): _lock,
    ("POST", "container/sharding/replace"): _replace,
    ("POST", "container/sharding/clean"): _clean,
}
