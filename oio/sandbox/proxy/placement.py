# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy that choose places for new chunks: ``content/prepare`` and ``content/spare``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import ok, typed_field
from oio.sandbox.http.values import escape, parse_integer
from oio.sandbox.metadata.contents import Content, new_content_id
from oio.sandbox.metadata.layout import Owner
from oio.sandbox.proxy.calls import Call
from oio.sandbox.proxy.descriptions import content_headers
from oio.sandbox.refusals import NO_SUCH_POLICY, Refusal, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.sandbox.messages import Response
    from oio.sandbox.metadata.policies import Policy
    from oio.sandbox.proxy.backend import Backend
    from oio.sandbox.proxy.registry import Place

#: Prefix of the properties for the quality of the placement of chunks.
QUALITY: Final = "__OIO_CHUNK__"

_NO_HASH: Final = "0" * 32
#: Score of chunks that no service of the namespace holds.
_BEST: Final = 100

Chunks = list[dict[str, object]]


def _prepare2(backend: Backend, call: Call) -> Response:
    headers, chunks, properties = _prepared(backend, call)
    return ok({"chunks": chunks, "properties": properties}, headers)


def _prepare(backend: Backend, call: Call) -> Response:
    headers, chunks, properties = _prepared(backend, call)
    quality = [(f"x-oio-content-meta-{key}", escape(value)) for key, value in properties.items()]
    return ok(chunks, [*headers, *quality])


def _prepared(backend: Backend, call: Call) -> tuple[list[tuple[str, str]], Chunks, dict[str, str]]:
    """Return the headers of a new object, its chunks and their qualities, without a look at any container."""
    body = call.json()
    name = call.required("path", "Missing path")
    version = call.integer("version")
    asked = body if isinstance(body, dict) else {}
    size, first = _size(asked), _position(asked)
    policy = _policy(backend, asked.get("policy"))
    now = backend.metadata.clock.now()
    content = Content(
        name=name,
        version=now if version is None else version,
        id=call.content_id() or new_content_id(),
        deleted=False,
        ctime=now // 1_000_000,
        mtime=now // 1_000_000,
        size=size,
        hash="",
        policy=policy.name,
        chunk_method=policy.chunk_method,
        mime_type="application/octet-stream",
    )
    ids = _ids(backend, call, content)
    chunks: Chunks = []
    properties: dict[str, str] = {}
    # The highest position comes first.
    for index in reversed(range(first, first + _metachunks(backend, policy, size))):
        made, quality = _metachunk(backend, policy, index, ids)
        chunks += made
        properties |= quality
    return [("x-oio-ns-chunk-size", str(backend.chunk_size)), *content_headers(content)], chunks, properties


def _metachunks(backend: Backend, policy: Policy, size: int) -> int:
    """Return the number of metachunks for data of a size, one at least."""
    # For EC, 7.3 gives chunks for more metachunks than are needed.
    filled = policy.required if backend.release.later_fields else 1
    return -(-max(size, 1) // (backend.chunk_size * filled))


def _size(asked: dict[str, object]) -> int:
    value = asked.get("size")
    if value is None:
        raise bad_request("Missing size estimation")
    size = _number(value)
    if size is None:
        raise bad_request("Invalid size format")
    if size < 0:
        raise bad_request("Invalid size")
    return size


def _position(asked: dict[str, object]) -> int:
    index = _number(asked.get("position", 0))
    if index is None or index < 0:
        raise bad_request("Invalid position")
    return index


def _number(value: object) -> int | None:
    """Return an integer given as such or as text."""
    if isinstance(value, str):
        return parse_integer(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _policy(backend: Backend, name: object) -> Policy:
    if name is None:
        name = backend.policies.default
    if not isinstance(name, str):
        raise bad_request("Invalid policy")
    # An empty name is not the default policy, but none at all.
    name = name or "NONE"
    if name not in backend.policies:
        raise Refusal(NO_SUCH_POLICY, "Unexpected storage policy")
    return backend.policies.get(name)


def _ids(backend: Backend, call: Call, content: Content) -> Callable[[str], str]:
    """Return the function from positions to chunk IDs."""
    if not backend.release.computed_ids:
        return _random_id
    owner = Owner(call.target().cid, content.name, content.version, content.policy or "")
    return owner.chunk_id


def _metachunk(
    backend: Backend, policy: Policy, index: int, ids: Callable[[str], str]
) -> tuple[Chunks, dict[str, str]]:
    """Return the chunks of one metachunk, the highest position first, and the quality of each."""
    if policy.kind == "backblaze":
        url = f"b2/{_random_id(str(index))}"
        return [_chunk(url, url, str(index), backend.chunk_size, _BEST)], {}
    chunks: Chunks = []
    qualities: dict[str, str] = {}
    places = backend.conscience.poll(backend.conscience.pool_of(policy))
    for fragment, place in reversed(list(enumerate(places))):
        pos = f"{index}.{fragment}" if policy.kind == "ec" else str(index)
        chunk_id = ids(pos)
        url = f"http://{place.service.name}/{chunk_id}"
        real_url = f"http://{place.service.address}/{chunk_id}"
        chunks.append(_chunk(url, real_url, pos, backend.chunk_size, place.service.score))
        qualities[QUALITY + url] = _quality(backend, place)
    return chunks, qualities


def _chunk(url: str, real_url: str, pos: str, size: int, score: int) -> dict[str, object]:
    return {"url": url, "real_url": real_url, "pos": pos, "size": size, "hash": _NO_HASH, "score": score}


def _random_id(_pos: str) -> str:
    return os.urandom(32).hex().upper()


def _quality(backend: Backend, place: Place) -> str:
    """Return the quality of a placement, all services being equally near."""
    distances = {"expected_dist": 1, "final_dist": 1, "warn_dist": 0}
    slots = {"expected_slot": place.expected_slot, "final_slot": place.final_slot}
    if backend.release.later_fields:
        slots |= {"cur_items": "1.1.1.1", "strict_location_constraint": "1.1.1.1"}
        slots |= {"fair_location_constraint": "0.0.0.0"}
    return json.dumps(distances | slots, separators=(",", ":"))


def _spare(backend: Backend, call: Call) -> Response:
    body = call.json()
    if not isinstance(body, dict):
        raise bad_request("Body is not a valid JSON object")
    notin, broken = (_hosts(body, name) for name in ("notin", "broken"))
    name = call.param("stgpol")
    if name is None:
        raise bad_request("'stgpol' field not a string")
    policy = _policy(backend, name)
    found = (backend.conscience.find("rawx", host) for host in notin)
    held = [service for service in found if service is not None]
    places = backend.conscience.poll(
        backend.conscience.pool_of(policy), known=held, avoid=notin, rather_not=broken
    )
    chunks, properties = [], []
    for place in places:
        url = f"http://{place.service.name}/{_spare_id(backend, call, policy)}"
        chunks.append({"id": url, "pos": "", "hash": "", "size": 0})
        quality = _quality(backend, place)
        properties.append({"alias": "", "version": 0, "key": QUALITY + url, "value": quality})
    beans: dict[str, object] = {"aliases": [], "headers": [], "chunks": chunks, "properties": properties}
    return ok(beans | ({"shard_ranges": []} if backend.release.shards else {}))


def _spare_id(backend: Backend, call: Call, policy: Policy) -> str:
    """Return the ID of a chunk that replaces another one; a computed ID stays the same."""
    name, version, pos = call.param("path"), call.integer("version"), call.param("position")
    if not backend.release.computed_ids or name is None or version is None or pos is None:
        return _random_id("")
    return Owner(call.target().cid, name, version, policy.name).chunk_id(pos)


def _hosts(body: dict[str, object], name: str) -> list[str]:
    """Return the services that hold the chunks of one list of a request."""
    if name not in body:
        raise bad_request(f"'{name}' field missing")
    items = body[name] or []
    if not isinstance(items, list):
        raise bad_request(f"Invalid type for field [{name}]")
    hosts = []
    for item in items:
        if not isinstance(item, dict):
            raise bad_request("Not an object")
        hosts.append(typed_field(item, "url", str).partition("://")[2].partition("/")[0])
    return hosts


PLACEMENT_ROUTES: Final = {
    ("POST", "content/prepare"): _prepare,
    ("POST", "content/prepare2"): _prepare2,
    ("POST", "content/spare"): _spare,
}
