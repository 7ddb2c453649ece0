# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about objects: ``content/*``, except the choice of chunks."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import done, ok, optional_field, typed_field
from oio.sandbox.http.values import is_hexadecimal, is_true, parse_integer
from oio.sandbox.metadata import contents, versions
from oio.sandbox.metadata.container import FROZEN
from oio.sandbox.metadata.layout import Chunk, check_metachunks, check_object, metachunk_sizes
from oio.sandbox.metadata.shards import ShardFrozen
from oio.sandbox.proxy.calls import Call, text_properties
from oio.sandbox.proxy.containers import create_container, max_versions_asked, refuse_stages
from oio.sandbox.proxy.descriptions import content_headers, described_chunk
from oio.sandbox.proxy.placement import PLACEMENT_ROUTES, QUALITY
from oio.sandbox.refusals import (
    CONTENT_BROKEN,
    CONTENT_DELETED,
    NO_CONTAINER,
    NO_REFERENCE,
    READ_ONLY,
    TOO_LARGE,
    Refusal,
    bad_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from oio.sandbox.messages import Response
    from oio.sandbox.metadata.container import Container
    from oio.sandbox.metadata.contents import Content
    from oio.sandbox.proxy.backend import Backend

_HASH_BYTES: Final = (16, 20, 32, 64)
_BULK: Final = 100
_BULK_LATER: Final = 250


@contextmanager
def _reading(backend: Backend, call: Call) -> Iterator[Container]:
    """Open the container, or the shard of it, that holds the object of a request."""
    with backend.metadata.reading(call.target(), call.param("path")) as container:
        call.shard = container.shard
        yield container


@contextmanager
def _writing(
    backend: Backend, call: Call, *, name: str | None = None, even: Sequence[int] = ()
) -> Iterator[Container]:
    """As :func:`_reading`, to change the object of a request, or the one of ``name``."""
    try:
        with backend.metadata.writing(call.target(), name or call.param("path"), even=even) as container:
            call.shard = container.shard
            container.bypasses_governance = is_true(call.param("bypass_governance") or "")
            yield container
    except ShardFrozen as refusal:
        call.shard = refusal.shard
        raise


# -- reading


def _locate(backend: Backend, call: Call) -> Response:
    if backend.release.shards and is_true(call.header("x-oio-force-master") or ""):
        backend.metadata.freeze_shard(call.target(), call.param("path") or "")
    with _reading(backend, call) as container:
        content = _find(container, call)
        if content.deleted and not call.has("deleted"):
            raise Refusal(CONTENT_DELETED, "Alias deleted")
        contents.refuse_drained(content)
        chunks = [] if content.deleted else contents.chunks_of(container, content)
        shown = is_true(call.param("properties") or "", default=True)
        properties = contents.properties_of(container, content) if shown else {}
        target_policy = contents.target_policy(container, content)
    return ok(
        [described_chunk(backend.conscience, chunk) for chunk in chunks],
        content_headers(content, properties, target_policy),
    )


def _find(container: Container, call: Call) -> Content:
    return contents.find(container, call.param("path"), call.integer("version"), call.content_id())


def _get_properties(backend: Backend, call: Call) -> Response:
    with _reading(backend, call) as container:
        content = _find(container, call)
        headers = content_headers(content, target_policy=contents.target_policy(container, content))
        return ok({"properties": contents.properties_of(container, content)}, headers)


def _touch(backend: Backend, call: Call) -> Response:
    with _writing(backend, call, even=[FROZEN]) as container:
        _find(container, call)
    return done()


# -- creating


def _create(backend: Backend, call: Call) -> Response:
    call.path()
    body = call.json()
    if not isinstance(body, dict | list):
        raise bad_request("Invalid JSON body")
    asked = body if isinstance(body, dict) else {"chunks": body}
    new = _new_content(call, asked)
    try:
        _store(backend, call, new)
    except Refusal as refusal:
        if refusal.status not in {NO_REFERENCE, NO_CONTAINER} or not call.flag("autocreate"):
            raise
        _create_container(backend, call, asked.get("container_properties"))
        _store(backend, call, new)
    return done()


def _new_content(call: Call, body: dict[str, object]) -> contents.NewContent:
    size = _announced_size(call)
    if "chunks" not in body:
        raise bad_request("No [chunks] field")
    chunks = _chunks(body["chunks"])
    version_text, version = call.content_header("version"), None
    if version_text is not None:
        version = parse_integer(version_text)
        if version is None:
            raise bad_request("Header: negative content version")
    properties = text_properties(body["properties"]) if "properties" in body else {}
    return contents.NewContent(
        name=call.path(),
        size=size,
        hash=_hash(call.content_header("hash")),
        policy=call.content_header("policy") or "",
        chunk_method=call.content_header("chunk-method") or "plain",
        mime_type=call.content_header("mime-type") or "application/octet-stream",
        chunks=chunks,
        version=version,
        query_version=call.integer("version"),
        id=_content_id(call),
        # Qualities of chunk placement are no properties of the object.
        properties={k: v for k, v in properties.items() if k and v and not k.startswith(QUALITY)},
    )


def _announced_size(call: Call) -> int:
    text = call.content_header("size") or call.content_header("length")
    size = parse_integer(text or "")
    if size is None or size < 0:
        raise bad_request("Header: missing content size")
    return size


def _hash(text: str | None) -> str:
    if text is None:
        return ""
    if re.search(r"[^0-9a-fA-F]", text):
        raise bad_request(f"JSON: invalid hash: not hexa: '{text}'")
    if len(text) not in {2 * size for size in _HASH_BYTES}:
        raise bad_request("JSON: invalid hash: invalid length")
    return text.upper()


def _content_id(call: Call) -> str | None:
    """Return the content ID of the headers; a too long one counts as none."""
    text = call.content_header("id")
    if not text:
        return None
    if not is_hexadecimal(text):
        raise bad_request("Invalid content ID (not hexa)")
    return text.upper() if len(text) <= 64 else None


def _chunks(value: object) -> list[Chunk]:
    if not isinstance(value, list):
        raise bad_request("JSON: Not an array")
    if not value:
        raise bad_request("JSON: Empty array")
    return [_chunk(item) for item in value]


def _chunk(item: object) -> Chunk:
    if not isinstance(item, dict):
        raise bad_request("JSON: expected object")
    url, pos, digest = (typed_field(item, name, str) for name in ("url", "pos", "hash"))
    return Chunk(url, pos, typed_field(item, "size", int), _hash(digest))


def _create_container(backend: Backend, call: Call, asked: object) -> None:
    """Create the container of an object, with the properties of the request unless they are invalid."""
    properties: dict[str, str] = {}
    system: dict[str, str] = {}
    if isinstance(asked, dict):
        try:
            properties, system = (text_properties(asked.get(key) or {}) for key in ("properties", "system"))
        except Refusal:
            properties, system = {}, {}
    create_container(backend, call.target(), properties, system)


def _store(backend: Backend, call: Call, new: contents.NewContent) -> None:
    with _writing(backend, call) as container:
        if backend.release.locks and call.flag("restore_drained"):
            refuse_stages(container, "restore")
        policy = backend.policies.get(new.policy)
        # Data of another size are for contents.change_policy to refuse.
        check_object(policy, new.chunks, 0 if call.flag("change_policy") else new.size)
        _force_versioning(container, call)
        if call.flag("append"):
            contents.append(container, new)
        elif call.flag("change_policy"):
            contents.change_policy(container, new)
        elif call.flag("force"):
            contents.force(container, new)
        else:
            contents.create(container, new, versioned=_simulated_versioning(call))


def _force_versioning(container: Container, call: Call) -> None:
    text = call.header("x-oio-force-versioning")
    if text:
        container.set("sys.m2.policy.version", text)


def _simulated_versioning(call: Call) -> bool | None:
    return True if is_true(call.header("x-oio-simulate-versioning") or "") else None


# -- changing


def _update(backend: Backend, call: Call) -> Response:
    chunks = _chunks(call.json() or [])
    size, content_id = _announced_size(call), _content_id(call)
    with _writing(backend, call) as container:
        policy = backend.policies.get(call.content_header("policy") or "")
        check_metachunks(policy, chunks)
        if sum(metachunk_sizes(chunks).values()) < size:
            raise Refusal(CONTENT_BROKEN, "Content broken and irreparable")
        content = contents.find(container, None if content_id else call.param("path"), content_id=content_id)
        contents.refuse_drained(content)
        if content_id is None:
            # The real service loses the chunks (pitfalls row 145).
            raise bad_request("Invalid URL (missing content ID)")
        contents.update(container, content, chunks)
    return done()


def _truncate(backend: Backend, call: Call) -> Response:
    text = call.param("size")
    size = parse_integer(text or "")
    if size is None:
        raise bad_request(f"Missing/invalid size parameter: {text}")
    if size < 0:
        raise bad_request("Negative truncate size!")
    with _writing(backend, call) as container:
        contents.truncate(container, _find(container, call), size)
    return done()


def _drain(backend: Backend, call: Call) -> Response:
    with _writing(backend, call) as container:
        versions.drain(container, _find(container, call))
    return done()


def _purge(backend: Backend, call: Call) -> Response:
    name, kept = call.path(), max_versions_asked(call)
    with _writing(backend, call) as container:
        versions.purge(container, name, kept)
        container.bump()
    return done()


def _set_properties(backend: Backend, call: Call) -> Response:
    if call.has("content"):
        raise bad_request("Content. not allowed in the URL")
    body = call.json()
    if not isinstance(body, dict | None):
        raise bad_request("Object argument expected, got array")
    if body is not None and "properties" not in body:
        raise bad_request('No "properties" field')
    properties = {} if body is None else text_properties(body["properties"])
    with _writing(backend, call) as container:
        contents.set_properties(container, _find(container, call), properties, flush=call.has("flush"))
    return done()


def _del_properties(backend: Backend, call: Call) -> Response:
    names = call.json()
    if not isinstance(names, list):
        raise bad_request("Array argument expected")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise bad_request(f"Invalid string at {index}")
    with _writing(backend, call) as container:
        contents.delete_properties(container, _find(container, call), names)
    return done()


# -- deleting


def _delete(backend: Backend, call: Call) -> Response:
    _check_deletable(backend, call)
    with _writing(backend, call) as container:
        _force_versioning(container, call)
        deleted = versions.delete(
            container,
            call.param("path"),
            call.integer("version"),
            call.content_id(),
            marker=call.flag("delete_marker"),
            versioned=_simulated_versioning(call),
        )
    if not backend.release.version_markers:
        return done()
    headers = [("x-oio-version-id", str(deleted.version))]
    return done([*headers, *([("x-oio-delete-marker", "true")] if deleted.marker else [])])


def _transition(backend: Backend, call: Call) -> Response:
    body = call.json_object()
    policy = backend.policies.get(typed_field(body, "policy", str))
    internal = bool(optional_field(body, "internal_transition", bool))
    with _writing(backend, call) as container:
        content = _find(container, call)
        contents.begin_transition(container, content, policy.name, internal=internal)
    return done()


def _check_deletable(backend: Backend, call: Call) -> None:
    if backend.worm and not call.by_administrator:
        raise Refusal(READ_ONLY, "Nothing is deleted from a WORM namespace")


def _delete_many(backend: Backend, call: Call) -> Response:
    items = call.json_object().get("contents")
    if not isinstance(items, list):
        raise bad_request("Invalid array of contents")
    if not items:
        raise bad_request("At least one element is needed")
    if len(items) > (_BULK_LATER if backend.release.version_markers else _BULK):
        raise Refusal(TOO_LARGE, "Payload Too Large")
    named = [(_item_name(item), _item_version(backend, item)) for item in items]
    return ok({"contents": [_delete_one(backend, call, name, version) for name, version in named]})


def _item_name(item: object) -> str:
    if not isinstance(item, dict):
        raise bad_request("Invalid content description")
    name = item.get("name")
    if not isinstance(name, str):
        raise bad_request("Invalid content name")
    return name


def _item_version(backend: Backend, item: object) -> str | None:
    if not backend.release.version_markers or not isinstance(item, dict) or item.get("version") is None:
        return None
    return str(item["version"])


def _delete_one(backend: Backend, call: Call, name: str, version: str | None) -> dict[str, object]:
    status, message = 204, "ok"
    try:
        if not name:
            raise bad_request("Missing path and content")
        _check_deletable(backend, call)
        number = None if version is None else parse_integer(version)
        if version is not None and number is None:
            raise bad_request("Invalid content version")
        with _writing(backend, call, name=name) as container:
            _force_versioning(container, call)
            versions.delete(container, name, number, versioned=_simulated_versioning(call))
    except Refusal as refusal:
        status, message = refusal.status, refusal.message
    given = {} if version is None else {"version": version}
    return {"name": name, **given, "status": status, "message": message}


def _named(handler: Callable[[Backend, Call], Response]) -> Callable[[Backend, Call], Response]:
    """Check that the request names an object, before its container is looked up."""

    def checked(backend: Backend, call: Call) -> Response:
        call.integer("version")
        if not call.param("path") and call.content_id() is None:
            raise bad_request("Missing path and content")
        return handler(backend, call)

    return checked


ROUTES: Final = {
    **PLACEMENT_ROUTES,
    ("GET", "content/locate"): _named(_locate),
    ("GET", "content/show"): _named(_locate),
    ("POST", "content/get_properties"): _named(_get_properties),
    ("POST", "content/set_properties"): _named(_set_properties),
    ("POST", "content/del_properties"): _named(_del_properties),
    ("POST", "content/touch"): _named(_touch),
    ("POST", "content/create"): _create,
    ("POST", "content/update"): _update,
    ("POST", "content/truncate"): _truncate,
    ("POST", "content/drain"): _named(_drain),
    ("POST", "content/purge"): _purge,
    ("POST", "content/delete"): _named(_delete),
    ("POST", "content/transition"): _named(_transition),
    ("POST", "content/delete_many"): _delete_many,
}
