# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy that choose places for new chunks: ``content/prepare`` and ``content/spare``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import ok, typed_field
from oio.sandbox.http.values import escape, parse_integer
from oio.sandbox.metadata.contents import Content, new_content_id
from oio.sandbox.proxy.calls import Call
from oio.sandbox.proxy.descriptions import content_headers
from oio.sandbox.refusals import NO_SUCH_POLICY, Refusal, bad_request

if TYPE_CHECKING:
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
    """Return the headers of an object to come, its chunks and their qualities; no container is looked at."""
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
    chunks: Chunks = []
    properties: dict[str, str] = {}
    # The highest position comes first.
    for index in reversed(range(first, first + -(-max(size, 1) // backend.chunk_size))):
        made, quality = _metachunk(backend, policy, index)
        chunks += made
        properties |= quality
    return [("x-oio-ns-chunk-size", str(backend.chunk_size)), *content_headers(content)], chunks, properties


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


def _metachunk(backend: Backend, policy: Policy, index: int) -> tuple[Chunks, dict[str, str]]:
    """Return the chunks of one metachunk, the highest position first, and the quality of each."""
    if policy.kind == "backblaze":
        url = f"b2/{_chunk_id()}"
        return [_chunk(url, url, str(index), backend.chunk_size, _BEST)], {}
    chunks: Chunks = []
    qualities: dict[str, str] = {}
    places = backend.conscience.poll(backend.conscience.pool_of(policy))
    for fragment, place in reversed(list(enumerate(places))):
        chunk_id = _chunk_id()
        url = f"http://{place.service.name}/{chunk_id}"
        real_url = f"http://{place.service.address}/{chunk_id}"
        pos = f"{index}.{fragment}" if policy.kind == "ec" else str(index)
        chunks.append(_chunk(url, real_url, pos, backend.chunk_size, place.service.score))
        qualities[QUALITY + url] = _quality(place)
    return chunks, qualities


def _chunk(url: str, real_url: str, pos: str, size: int, score: int) -> dict[str, object]:
    return {"url": url, "real_url": real_url, "pos": pos, "size": size, "hash": _NO_HASH, "score": score}


def _chunk_id() -> str:
    return os.urandom(32).hex().upper()


def _quality(place: Place) -> str:
    """Return the quality of a placement, all services being equally near."""
    distances = {"expected_dist": 1, "final_dist": 1, "warn_dist": 0}
    slots = {"expected_slot": place.expected_slot, "final_slot": place.final_slot}
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
        url = f"http://{place.service.name}/{_chunk_id()}"
        chunks.append({"id": url, "pos": "", "hash": "", "size": 0})
        properties.append({"alias": "", "version": 0, "key": QUALITY + url, "value": _quality(place)})
    return ok({"aliases": [], "headers": [], "chunks": chunks, "properties": properties})


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
        hosts.append(str(typed_field(item, "url", str)).partition("://")[2].partition("/")[0])
    return hosts


PLACEMENT_ROUTES: Final = {
    ("POST", "content/prepare"): _prepare,
    ("POST", "content/prepare2"): _prepare2,
    ("POST", "content/spare"): _spare,
}
