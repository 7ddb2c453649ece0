# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy that write single rows of a container: ``container/raw_*``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import done, optional_field, typed_field
from oio.sandbox.http.values import is_hexadecimal
from oio.sandbox.metadata import beans
from oio.sandbox.metadata.container import FROZEN
from oio.sandbox.proxy.calls import Call
from oio.sandbox.refusals import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.sandbox.messages import Response
    from oio.sandbox.proxy.backend import Backend


def _insert(backend: Backend, call: Call) -> Response:
    if backend.release.computed_ids and not (call.param("path") and call.content_id()):
        raise bad_request("Missing path and content")
    rows = _array(call.json())
    with backend.metadata.writing(call.target(), even=[FROZEN] if call.has("frozen") else []) as container:
        for bean in rows:
            beans.insert(container, bean, replace=call.flag("force"))
        container.bump()
    return done()


def _delete(backend: Backend, call: Call) -> Response:
    rows = _array(call.json())
    with backend.metadata.writing(call.target()) as container:
        for bean in rows:
            beans.delete(container, bean)
        container.bump()
    return done()


def _update(backend: Backend, call: Call) -> Response:
    body = call.json()
    if not isinstance(body, dict):
        raise bad_request("JSON object expected")
    for name in ("old", "new"):
        if not isinstance(body.get(name), list):
            raise bad_request(f"No '{name}' set of beans")
    if len(body["old"]) != len(body["new"]):
        raise bad_request("Length mismatch for bean sets")
    if not body["old"]:
        raise bad_request("No bean to update")
    old, new = _array(body["old"]), _array(body["new"])
    with backend.metadata.writing(call.target(), even=[FROZEN] if call.has("frozen") else []) as container:
        for before, after in zip(old, new, strict=True):
            beans.update(container, before, after)
        container.bump()
    return done()


def _array(value: object) -> list[beans.Bean]:
    if not isinstance(value, list):
        raise bad_request("Invalid JSON, expecting array of beans")
    if not value:
        raise bad_request("Empty beans list")
    return [_bean(item) for item in value]


def _bean(item: object) -> beans.Bean:
    if not isinstance(item, dict):
        raise bad_request("Invalid object type")
    kind = item.get("type")
    if kind is None:
        raise bad_request("Missing 'type' field")
    readers: dict[object, Callable[[dict[str, object]], beans.Bean]] = {
        "alias": _alias,
        "header": _header,
        "chunk": _chunk,
    }
    if kind not in readers:
        raise bad_request("Unexpected 'type' field")
    return readers[kind](item)


def _alias(item: dict[str, object]) -> beans.Alias:
    return beans.Alias(
        name=typed_field(item, "name", str),
        version=typed_field(item, "version", int),
        content=_hexadecimal(item, "header"),
        ctime=optional_field(item, "ctime", int),
        mtime=optional_field(item, "mtime", int),
        deleted=bool(optional_field(item, "deleted", bool)),
    )


def _header(item: dict[str, object]) -> beans.Header:
    return beans.Header(
        id=_hexadecimal(item, "id"),
        hash=_hexadecimal(item, "hash"),
        size=typed_field(item, "size", int),
        chunk_method=typed_field(item, "chunk-method", str),
        mime_type=typed_field(item, "mime-type", str),
    )


def _chunk(item: dict[str, object]) -> beans.ChunkRow:
    return beans.ChunkRow(
        url=typed_field(item, "id", str),
        hash=_hexadecimal(item, "hash"),
        size=typed_field(item, "size", int),
        content=_hexadecimal(item, "content"),
        pos=typed_field(item, "pos", str),
    )


def _hexadecimal(item: dict[str, object], name: str) -> str:
    text = typed_field(item, name, str)
    if not is_hexadecimal(text):
        raise bad_request(f"Invalid hexadecimal in field [{name}]")
    return text.upper()


ROUTES: Final = {
    ("POST", "container/raw_insert"): _insert,
    ("POST", "container/raw_delete"): _delete,
    ("POST", "container/raw_update"): _update,
}
