# SPDX-License-Identifier: Apache-2.0
"""Routes of the rdir."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from oio.sandbox.http.calls import JsonCall, done, ok, optional_field, refused, typed_field
from oio.sandbox.http.values import parse_integer
from oio.sandbox.messages import Request, Response
from oio.sandbox.rdir.store import CHUNKS, CONTAINERS, ChunkEntry, ContainerRecord, ReverseDirectory
from oio.sandbox.refusals import BAD_REQUEST, NOT_ALLOWED, Refusal, bad_request
from oio.sandbox.storage.listing import Page, Selection

#: Bounds of the size of a page of containers; the real service ignores limits outside them too.
_SMALLEST_PAGE: Final = 100
_LARGEST_PAGE: Final = 4096


class Rdir:
    """The rdir service without its sockets; safe from many threads."""

    def __init__(self, reverse: ReverseDirectory) -> None:
        self._reverse = reverse

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            methods = ROUTES.get(request.path.strip("/"))
            if methods is None:
                raise Refusal(BAD_REQUEST, "Route not managed", 404)
            handler = methods.get(request.method)
            if handler is None or (handler is _fetch and not self._allows(request.method)):
                raise Refusal(BAD_REQUEST, "Bad method", 405)
            return handler(self._reverse, JsonCall(request))
        except Refusal as refusal:
            return refused(refusal)
        except (UnicodeEncodeError, OverflowError) as exc:
            return refused(bad_request(f"Unusable value: {exc}"))

    def _allows(self, method: str) -> bool:
        """Whether the route of chunks has a method."""
        return method == "POST" or self._reverse.with_paths


def _own_status(reverse: ReverseDirectory, _call: JsonCall) -> Response:
    status: dict[str, object] = {"opened_db_count": reverse.count()}
    if reverse.with_paths:
        status |= {"meta2_volumes": reverse.volumes(CONTAINERS), "rawx_volumes": reverse.volumes(CHUNKS)}
    return ok(status)


def _volume(call: JsonCall) -> str:
    volume = call.param("vol")
    if not volume:
        raise bad_request("no volume id")
    return volume


def _create(kind: str) -> Callable[[ReverseDirectory, JsonCall], Response]:
    def create(reverse: ReverseDirectory, call: JsonCall) -> Response:
        reverse.create(kind, _volume(call))
        return Response(201)

    return create


# -- chunks


def _push(reverse: ReverseDirectory, call: JsonCall) -> Response:
    volume, create = _volume(call), call.flag("create")
    for body in _bodies(reverse, call):
        entry = _chunk_with_path(body) if reverse.with_paths else _chunk(body)
        reverse.push_chunk(volume, entry, create=create)
    return done()


def _delete(reverse: ReverseDirectory, call: JsonCall) -> Response:
    volume = _volume(call)
    for body in _bodies(reverse, call):
        # Releases that know paths do not need the content ID.
        given = {"content_id": "", **body} if reverse.with_paths else body
        reverse.delete_chunk(volume, _chunk(given))
    return done()


def _bodies(reverse: ReverseDirectory, call: JsonCall) -> list[dict[str, object]]:
    """Return the objects in a body: one, or a list in releases that know paths."""
    body = call.json()
    if isinstance(body, list) and reverse.with_paths:
        if not all(isinstance(item, dict) for item in body):
            raise bad_request("Object argument expected")
        return body
    return [call.json_object()]


def _chunk_with_path(body: dict[str, object]) -> ChunkEntry:
    entry, path = _chunk(body), typed_field(body, "path", str)
    version, mtime = (typed_field(body, name, int) for name in ("version", "mtime"))
    return replace(entry, path=path, version=version, mtime=mtime)


def _chunk(body: dict[str, object]) -> ChunkEntry:
    names = ("container_id", "content_id", "chunk_id")
    container, content, chunk = (typed_field(body, name, str) for name in names)
    return ChunkEntry(container, content, chunk, _number(body, "mtime"))


def _number(body: dict[str, object], name: str) -> int:
    return optional_field(body, name, int) or 0


def _fetch(reverse: ReverseDirectory, call: JsonCall) -> Response:
    volume, body = _volume(call), call.json_object()
    after, container = (optional_field(body, name, str) for name in ("start_after", "container_id"))
    until = None
    if optional_field(body, "rebuild", bool):
        # Without an incident there is nothing to rebuild, not even chunks of unknown date.
        until = reverse.incident(volume) or -1
    limit, prefix = _number(body, "limit"), f"{container}|" if container else ""
    if reverse.with_paths:
        limit = limit or parse_integer(call.param("max") or "") or 0
        after, prefix = after or call.param("marker"), prefix or call.param("prefix") or ""
    page = reverse.chunks(volume, _selection(limit, after or "", prefix), until)
    rows = [[reverse.key(entry), _row(reverse, entry)] for entry in page.rows]
    return ok(rows, _following(reverse, page))


def _row(reverse: ReverseDirectory, entry: ChunkEntry) -> dict[str, object]:
    row: dict[str, object] = {"mtime": entry.mtime}
    if reverse.with_paths:
        row |= {"content_id": entry.content, "path": entry.path, "version": entry.version}
    return row


def _selection(limit: int, after: str, prefix: str) -> Selection:
    """Return the selection of a listing; a limit of 0 or less is none."""
    return Selection(limit=limit if limit > 0 else sys.maxsize, marker=after, prefix=prefix)


def _following(reverse: ReverseDirectory, page: Page[ChunkEntry]) -> list[tuple[str, str]]:
    """Return the headers that say whether and where there are more chunks."""
    marker = [("x-oio-list-marker", reverse.key(page.rows[-1]))] if page.truncated else []
    return [*marker, ("x-oio-list-truncated", "true" if page.truncated else "false")]


def _status(reverse: ReverseDirectory, call: JsonCall) -> Response:
    volume, incident = _volume(call), reverse.incident(_volume(call))
    selection = _selection(call.integer("max") or 0, call.param("marker") or "", call.param("prefix") or "")
    page = reverse.chunks(volume, selection)
    totals = Counter(entry.container for entry in page.rows)
    to_rebuild = Counter(entry.container for entry in page.rows if entry.mtime <= incident)

    def counted(total: int, lost: int) -> dict[str, int]:
        return {"total": total} | ({"to_rebuild": lost} if incident else {})

    status: dict[str, object] = {
        "chunk": counted(totals.total(), to_rebuild.total()),
        "container": {name: counted(total, to_rebuild[name]) for name, total in totals.items()},
    }
    return ok(
        status | ({"rebuild": {"incident_date": incident}} if incident else {}), _following(reverse, page)
    )


# -- administration


def _show(reverse: ReverseDirectory, call: JsonCall) -> Response:
    holder = reverse.holder(_volume(call))
    return ok({} if holder is None else {"lock": holder})


def _lock(reverse: ReverseDirectory, call: JsonCall) -> Response:
    holder = reverse.lock(_volume(call), typed_field(call.json_object(), "who", str))
    if holder is not None:
        raise Refusal(NOT_ALLOWED, f"Already locked by {holder}")
    return done()


def _unlock(reverse: ReverseDirectory, call: JsonCall) -> Response:
    reverse.unlock(_volume(call))
    return done()


def _incident(reverse: ReverseDirectory, call: JsonCall) -> Response:
    return ok({"date": reverse.incident(_volume(call))})


def _set_incident(reverse: ReverseDirectory, call: JsonCall) -> Response:
    volume, body = _volume(call), call.json_object()
    reverse.set_incident(volume, typed_field(body, "date", int))
    return done()


def _clear(reverse: ReverseDirectory, call: JsonCall) -> Response:
    # Releases that know paths were asked with a body.
    said = call.json_object() if reverse.with_paths else {}
    everything, before_incident = (
        call.flag(name) or bool(optional_field(said, name, bool)) for name in ("all", "before_incident")
    )
    removed = reverse.clear(_volume(call), everything=everything, before_incident=before_incident)
    return ok({"removed": removed, "repaired": 0, "errors": 0})


# -- containers


def _push_container(reverse: ReverseDirectory, call: JsonCall) -> Response:
    reverse.push_container(_volume(call), _container(call))
    return done()


def _delete_container(reverse: ReverseDirectory, call: JsonCall) -> Response:
    reverse.delete_container(_volume(call), _container(call).url)
    return done()


def _container(call: JsonCall) -> ContainerRecord:
    body = call.json_object()
    url, cid = (typed_field(body, name, str) for name in ("container_url", "container_id"))
    return ContainerRecord(url, cid, _number(body, "mtime"))


def _fetch_containers(reverse: ReverseDirectory, call: JsonCall) -> Response:
    volume, body = _volume(call), call.json_object()
    prefix, marker = (optional_field(body, name, str) or "" for name in ("prefix", "marker"))
    limit = min(max(_number(body, "limit") or _LARGEST_PAGE, _SMALLEST_PAGE), _LARGEST_PAGE)
    if reverse.with_paths:
        # It counts from 0.
        limit = min(max(_number(body, "limit") or _LARGEST_PAGE, 0), _LARGEST_PAGE) + 1
    page = reverse.containers(volume, Selection(limit=limit, marker=marker, prefix=prefix))
    records = [
        {
            "container_id": record.id,
            "container_url": record.url,
            "extra_data": None,
            "mtime": record.mtime,
        }
        for record in page.rows
    ]
    return ok({"records": records, "truncated": page.truncated})


_Handler = Callable[[ReverseDirectory, JsonCall], Response]
_V1: Final = "v1/rdir/"

ROUTES: Final[dict[str, dict[str, _Handler]]] = {
    "status": {"GET": _own_status},
    f"{_V1}create": {"POST": _create(CHUNKS)},
    f"{_V1}push": {"POST": _push},
    f"{_V1}delete": {"DELETE": _delete},
    f"{_V1}fetch": {"POST": _fetch, "GET": _fetch},
    f"{_V1}status": {"GET": _status},
    f"{_V1}admin/show": {"GET": _show},
    f"{_V1}admin/lock": {"POST": _lock},
    f"{_V1}admin/unlock": {"POST": _unlock},
    f"{_V1}admin/incident": {"GET": _incident, "POST": _set_incident},
    f"{_V1}admin/clear": {"POST": _clear},
    f"{_V1}meta2/create": {"POST": _create(CONTAINERS)},
    f"{_V1}meta2/push": {"POST": _push_container},
    f"{_V1}meta2/delete": {"POST": _delete_container},
    f"{_V1}meta2/fetch": {"POST": _fetch_containers},
}
