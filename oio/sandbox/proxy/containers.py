# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about containers: ``container/*`` and the status changes of ``admin/*``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import done, ok, optional_field, typed_field
from oio.sandbox.http.values import escape, is_hexadecimal, is_true, parse_integer
from oio.sandbox.messages import Response
from oio.sandbox.metadata import contents, shards, versions
from oio.sandbox.metadata.container import DISABLED, FROZEN
from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.listing import Query, list_objects
from oio.sandbox.proxy.calls import Call, text_properties
from oio.sandbox.proxy.descriptions import (
    container_headers,
    described_chunk,
    listed_object,
    listing_headers,
)
from oio.sandbox.refusals import (
    CONTAINER_DRAINING,
    CONTAINER_EXISTS,
    CONTAINER_FLUSHING,
    NO_CONTAINER,
    NO_CONTENT,
    NO_REFERENCE,
    NO_SUCH_POLICY,
    NOT_FOUND,
    TOO_LARGE,
    Refusal,
    bad_request,
)
from oio.sandbox.storage.listing import Page

if TYPE_CHECKING:
    from oio.sandbox.metadata.container import Container
    from oio.sandbox.metadata.contents import Content
    from oio.sandbox.proxy.backend import Backend

_DEFAULT_PAGE: Final = 1000
_LARGEST_PAGE: Final = 10000
_BULK: Final = 100
_POLICY: Final = "sys.m2.policy.storage"
#: System properties that hold a number.
_NUMBERS: Final = ("sys.m2.quota", "sys.m2.policy.version", "sys.m2.keep_deleted_delay")
#: Actions on the service of a container, which change nothing here.
_HARMLESS: Final = ("status", "ping", "has", "info", "drop_cache", "sync", "leave", "debug")
_ANY_STATUS: Final = (FROZEN, DISABLED)


# -- creation and destruction


def _create(backend: Backend, call: Call) -> Response:
    properties, system = _wanted_properties(call.json_object())
    region = call.header("x-oio-region")
    if backend.release.regions and region and region.lower() != backend.region.lower():
        raise bad_request(f"Request addressed to region {region}, but we are in {backend.region}")
    created = create_container(backend, call.target(), properties, system)
    return Response(201, served_by(backend)) if created else done(served_by(backend))


def served_by(backend: Backend) -> list[tuple[str, str]]:
    """Return the header that names the service behind the proxy, where it is sent."""
    return [("x-backend-service-id", backend.metadata.meta2)] if backend.release.later_fields else []


def create_container(
    backend: Backend, target: Target, properties: dict[str, str], system: dict[str, str]
) -> bool:
    """Create a container; a policy that does not exist leaves its reference behind."""
    _check_system(backend, system)
    policy = system.get(_POLICY)
    if policy and policy not in backend.policies:
        backend.metadata.leave_half_made(target)
        raise Refusal(NO_SUCH_POLICY, "Invalid policy: not found")
    return backend.metadata.create(target, properties, system)


def _check_system(backend: Backend, system: dict[str, str]) -> None:
    """In a strict namespace, refuse malformed numbers, which real services store."""
    if not backend.metadata.strict:
        return
    for name in _NUMBERS:
        if system.get(name) and parse_integer(system[name]) is None:
            raise bad_request(f"Invalid property '{name}', not a number")


def _wanted_properties(body: dict[str, object]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the user and system properties of a body, either of which may be missing."""
    user, system = (text_properties(body[key]) if body.get(key) else {} for key in ("properties", "system"))
    return user, system


def _create_many(backend: Backend, call: Call) -> Response:
    items = call.json_object().get("containers")
    account = call.param("acct")
    if not account:
        raise bad_request("Missing account or namespace")
    if not isinstance(items, list):
        raise bad_request("Invalid array of containers")
    if len(items) > _BULK:
        raise Refusal(TOO_LARGE, f"More than {_BULK} requested")
    return ok({"containers": [_create_one(backend, account, item) for item in items]})


def _create_one(backend: Backend, account: str, item: object) -> dict[str, object]:
    if not isinstance(item, dict):
        raise bad_request("Invalid content description")
    name = item.get("name")
    if not isinstance(name, str):
        raise bad_request("Invalid payload")
    # A malformed item fails the whole request, though those before it are made.
    properties, system = _wanted_properties(item)
    status, message = 201, "ok"
    try:
        if not name:
            raise bad_request("Directory error: Incomplete URL")
        if not create_container(backend, Target.named(account, name), properties, system):
            raise Refusal(CONTAINER_EXISTS, "container already initiated")
    except Refusal as refusal:
        status, message = refusal.status, refusal.message
    return {"name": name, "status": status, "message": message}


def _destroy(backend: Backend, call: Call) -> Response:
    backend.metadata.destroy(call.target(), force=call.flag("force"))
    return done(served_by(backend))


def _flush(backend: Backend, call: Call) -> Response:
    with backend.metadata.writing(call.target(), even=[FROZEN]) as container:
        truncated = versions.flush(container, backend.flush_limit)
    return done([("x-oio-truncated", boolean(truncated))])


def _drain(backend: Backend, call: Call) -> Response:
    limit = call.integer("limit") or backend.flush_limit
    with backend.metadata.writing(call.target()) as container:
        truncated = versions.drain_all(container, limit)
    return done([("x-oio-truncated", boolean(truncated))])


def _purge(backend: Backend, call: Call) -> Response:
    kept = max_versions_asked(call)
    with backend.metadata.writing(call.target()) as container:
        versions.purge(container, max_versions=kept)
    return done()


def max_versions_asked(call: Call) -> int | None:
    """Return the number of versions that a purge has to leave, None when the container says."""
    text = call.param("maxvers")
    if text is None:
        return None
    number = parse_integer(text)
    if number is None:
        raise bad_request(f"Invalid maxvers parameter: {text}")
    return number


def _snapshot(backend: Backend, call: Call) -> Response:
    body = call.json()
    if not isinstance(body, dict):
        raise bad_request("Not an object")
    account, name = (typed_field(body, key, str) for key in ("account", "container"))
    if not account or not name:
        raise bad_request("Incomplete URL")
    optional_field(body, "seq_num", int)
    backend.metadata.snapshot(call.target(), Target.named(account, name))
    return done()


def _touch(backend: Backend, call: Call) -> Response:
    numbers = {}
    recompute = call.flag("recompute")
    for name in ("damaged_objects", "missing_chunks") if recompute else ():
        text = call.param(name) or "0"
        numbers[name] = parse_integer(text)
        if numbers[name] is None:
            raise bad_request(f"Invalid {name.replace('_', ' ')} parameter: {text}")
    try:
        with backend.metadata.writing(call.target(), even=_ANY_STATUS) as container:
            if recompute:
                container.recount(numbers["damaged_objects"] or 0, numbers["missing_chunks"] or 0)
    except Refusal as refusal:
        if refusal.status in {NO_REFERENCE, NO_CONTAINER}:
            raise refusal.answered_with(403) from refusal
        raise
    return done()


def _dedup(backend: Backend, call: Call) -> Response:
    if backend.release.later_fields:
        with backend.metadata.reading(call.target(), even_disabled=True):
            pass
    raise Refusal(NOT_FOUND, "No handler found", 500)


# -- properties


def _show(backend: Backend, call: Call) -> Response:
    with backend.metadata.reading(call.target(), even_disabled=True) as container:
        return ok(
            {"properties": container.user_properties()},
            container_headers(container.system_properties()),
        )


def _get_properties(backend: Backend, call: Call) -> Response:
    with backend.metadata.reading(call.target(), even_disabled=True) as container:
        system = container.system_properties()
        if call.flag("urgent"):
            # Properties that a shard has inherited win.
            system = container.statistics() | system
        return ok({"properties": container.user_properties(), "system": system})


def _set_properties(backend: Backend, call: Call) -> Response:
    properties, system = _wanted_properties(call.json_object())
    if not properties and not system:
        raise bad_request("No properties found in JSON object")
    if not all(key.startswith("sys.") for key in system):
        raise bad_request("Invalid property name")
    _check_system(backend, system)
    if backend.metadata.strict and system.get(_POLICY):
        backend.policies.get(system[_POLICY])
    with backend.metadata.writing(call.target(), even=_ANY_STATUS) as container:
        # The 2026 service ignores "flush".
        flush = call.flag("flush") and not backend.release.later_fields
        container.set_user_properties(properties, flush=flush)
        container.update(system)
    return _changed(backend)


def _changed(backend: Backend) -> Response:
    return done() if backend.release.later_fields else ok({})


def _del_properties(backend: Backend, call: Call) -> Response:
    names = call.json()
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise bad_request("Bad names")
    with backend.metadata.writing(call.target(), even=_ANY_STATUS) as container:
        container.remove_user_properties(names or container.user_properties())
    return _changed(backend)


# -- listing


def _list(backend: Backend, call: Call) -> Response:
    query = Query(
        limit=page_size(call),
        marker=call.param("marker") or "",
        end_marker=call.param("end_marker") or call.param("marker_end") or "",
        prefix=call.param("prefix") or "",
        delimiter=_delimiter(backend, call),
        versions=call.has("all"),
        deleted=call.has("deleted"),
        version_marker=_version_marker(backend, call),
    )
    selection = _selection(call)
    with backend.metadata.reading(call.target()) as container:
        if selection:
            page: Page[Content] = Page([*_selected(container, call, *selection)])
        else:
            seen: list[Container] = []
            page = list_objects(container, query, call.expired, seen)
            call.shard = seen[-1].shard if seen else None
        system = container.system_properties()
        headers = listing_headers(container.properties())
        body = {
            "prefixes": page.folders,
            "properties": container.user_properties(),
            "system": {key: value for key, value in system.items() if key.startswith("sys.")},
            "objects": [_listed(backend, call, container, content) for content in page.rows],
        }
    if page.marker is not None:
        headers.append(("x-oio-list-marker", escape(page.marker)))
        if backend.release.version_markers and query.versions and page.last is not None:
            headers.append(("x-oio-list-version-marker", str(page.last.version)))
    headers.append(("x-oio-list-truncated", boolean(page.truncated)))
    return ok(body, headers)


def _listed(backend: Backend, call: Call, root: Container, content: Content) -> dict[str, object]:
    container = shards.part_of(root, content.name)
    shown = is_true(call.param("properties") or "")
    properties = contents.properties_of(container, content) if shown else {}
    later = backend.release.later_fields
    item = listed_object(content, properties, twice=not later)
    if later and is_true(call.param("chunks") or ""):
        item["chunks"] = [
            described_chunk(backend.conscience, it) for it in contents.chunks_of(container, content)
        ]
    return item


def _delimiter(backend: Backend, call: Call) -> str:
    text = call.param("delimiter") or ""
    return text if backend.release.later_fields else text[:1]


def _version_marker(backend: Backend, call: Call) -> int | None:
    if not backend.release.version_markers or not call.param("marker"):
        return None
    return parse_integer(call.param("version_marker") or "")


def _vacuum(backend: Backend, call: Call) -> Response:
    # The 2026 service lists the copies that the request names, which may be none.
    if backend.release.shards and not call.param("local"):
        return ok({})
    return _peer_status(backend, call)


def page_size(call: Call) -> int:
    """Return how many rows a page may have."""
    text = call.param("max")
    size = _DEFAULT_PAGE if text is None else parse_integer(text)
    if size is None:
        raise bad_request("Invalid max number of items")
    return min(size, _LARGEST_PAGE) if size > 0 else _DEFAULT_PAGE


def _selection(call: Call) -> tuple[str, tuple[object, ...]] | None:
    """Return the SQL condition of a listing by chunk or by hash, which request headers ask for."""
    url, digest = call.header("x-oio-list-chunk-id"), call.header("x-oio-list-content-hash")
    if url:
        # Of a chunk whose ID is computed, only host and position are kept.
        host, _, _ = url.rpartition("/")
        named = "url = ? OR substr(url, 1, ?) = ?"
        condition = f"aliases.content IN (SELECT content FROM chunks WHERE base = aliases.base AND ({named}))"
        return condition, (url, len(host) + 2, f"{host}/#")
    if digest:
        if not is_hexadecimal(digest):
            raise bad_request("Invalid content hash")
        return "headers.hash = ?", (digest.upper(),)
    return None


def _selected(root: Container, call: Call, condition: str, values: tuple[object, ...]) -> list[Content]:
    url = call.header("x-oio-list-chunk-id")
    found = [
        content
        for container in shards.parts(root)
        for content in contents.contents(container, condition, *values)
        if not url or url in {chunk.url for chunk in contents.chunks_of(container, content)}
    ]
    if not found:
        raise Refusal(NO_CONTENT, "Content not found")
    return found


# -- stages


_STAGES: Final = {"draining": CONTAINER_DRAINING, "flushing": CONTAINER_FLUSHING}


def refuse_stages(container: Container, action: str) -> None:
    """Refuse an action while the container is drained or flushed."""
    for stage, status in _STAGES.items():
        if container.get(f"sys.m2.{stage}.state") in {"1", "2"}:
            raise Refusal(status, f"Container {stage} needed or in progress, cannot {action}")


# -- status


def _change_status(backend: Backend, call: Call) -> Response:
    if not call.param("type"):
        raise bad_request("No service type")
    backend.metadata.change_status(call.target(), call.request.path.rstrip("/").rpartition("/")[2])
    return ok({})


def _peer_status(backend: Backend, call: Call) -> Response:
    if not call.param("type"):
        raise bad_request("No service type")
    with backend.metadata.reading(call.target(), even_disabled=True):
        return ok({backend.metadata.meta2: {"status": {"status": 200, "message": "OK"}, "body": ""}})


def boolean(value: bool) -> str:
    """Write a header that is true or false."""
    return "true" if value else "false"


ROUTES: Final = {
    ("POST", "container/create"): _create,
    ("POST", "container/create_many"): _create_many,
    ("POST", "container/destroy"): _destroy,
    ("GET", "container/show"): _show,
    ("POST", "container/get_properties"): _get_properties,
    ("POST", "container/set_properties"): _set_properties,
    ("POST", "container/del_properties"): _del_properties,
    ("GET", "container/list"): _list,
    ("POST", "container/touch"): _touch,
    ("POST", "container/dedup"): _dedup,
    ("POST", "container/purge"): _purge,
    ("POST", "container/flush"): _flush,
    ("POST", "container/drain"): _drain,
    ("POST", "container/snapshot"): _snapshot,
    ("POST", "admin/freeze"): _change_status,
    ("POST", "admin/enable"): _change_status,
    ("POST", "admin/disable"): _change_status,
    **{("POST", f"admin/{action}"): _peer_status for action in _HARMLESS},
    ("POST", "admin/vacuum"): _vacuum,
}
