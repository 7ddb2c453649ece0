# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about references: ``reference/*``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.http.calls import done, ok, typed_field
from oio.sandbox.messages import Response
from oio.sandbox.metadata.directory import Link
from oio.sandbox.proxy.calls import Call, text_properties
from oio.sandbox.refusals import Refusal, bad_request

if TYPE_CHECKING:
    from oio.sandbox.proxy.backend import Backend


def _create(backend: Backend, call: Call) -> Response:
    body = call.json()
    asked = body.get("properties") if isinstance(body, dict) else None
    properties = text_properties(asked or {})
    with backend.metadata.directory() as directory:
        created = directory.create(call.target(), properties)
    return Response(201 if created else 202)


def _destroy(backend: Backend, call: Call) -> Response:
    with backend.metadata.directory() as directory:
        directory.destroy(call.target(), force=call.flag("force"))
    return done()


def _show(backend: Backend, call: Call) -> Response:
    with backend.metadata.directory() as directory:
        target = directory.get(call.target())
        links = directory.links(target, call.param("type") or None)
    own = [Link(1, kind, backend.metadata.meta2, "") for kind in ("meta0", "meta1")]
    return ok(
        {
            "dir": [link._asdict() for link in own],
            "srv": [link._asdict() for link in links],
            "cid": target.cid,
            "account": target.account,
            "name": target.name,
        }
    )


# -- links


def _link(backend: Backend, call: Call) -> Response:
    kind, target = _kind(call), call.target()
    with backend.metadata.directory() as directory:
        if call.flag("autocreate"):
            directory.create(target, {})
        target = directory.get(target)
        links = directory.links(target, kind)
        if not links:
            host = _host(backend, kind)
            links = [Link(1, kind, host, "")] if call.flag("dryrun") else directory.link(target, kind, host)
    return ok([link._asdict() for link in links])


def _host(backend: Backend, kind: str) -> str:
    if not any(service.kind == kind for service in backend.conscience.services()):
        raise bad_request(f"META1 error: pool [{kind}] not found")
    try:
        return backend.conscience.choose(kind, 1)[0][0].name
    except Refusal as refusal:
        raise refusal.answered_with(403) from refusal


def _unlink(backend: Backend, call: Call) -> Response:
    kind = _kind(call)
    with backend.metadata.directory() as directory:
        directory.unlink(directory.get(call.target()), kind)
    return done()


def _relink(backend: Backend, call: Call) -> Response:
    kind, body = _kind(call), call.json_object()
    # Without "kept", the real service crashes.
    kept = _service(body.get("kept"))
    with backend.metadata.directory() as directory:
        target = directory.get(call.target())
        if kept not in directory.links(target, kind):
            raise bad_request("The service to keep is not linked")
    return ok([kept._asdict()])


def _force(backend: Backend, call: Call) -> Response:
    _kind(call)
    link, target = _service(call.json()), call.target()
    with backend.metadata.directory() as directory:
        if call.flag("autocreate"):
            directory.create(target, {})
        directory.force(directory.get(target), link, replace=call.flag("replace"))
    return done()


def _kind(call: Call) -> str:
    kind = call.param("type")
    if not kind:
        raise bad_request("No service type provided")
    return kind


def _service(value: object) -> Link:
    if not isinstance(value, dict):
        raise bad_request("Expected: json object")
    seq = typed_field(value, "seq", int)
    return Link(seq, *(typed_field(value, name, str) for name in ("type", "host", "args")))


# -- properties


def _get_properties(backend: Backend, call: Call) -> Response:
    names = _names(call)
    with backend.metadata.directory() as directory:
        target = directory.get(call.target())
        return ok({"cid": target.cid, "properties": directory.properties(target, names)})


def _set_properties(backend: Backend, call: Call) -> Response:
    body = call.json_object()
    if "properties" not in body:
        raise bad_request('No "properties" field')
    properties = text_properties(body["properties"])
    with backend.metadata.directory() as directory:
        directory.set_properties(directory.get(call.target()), properties, flush=call.has("flush"))
    return done()


def _del_properties(backend: Backend, call: Call) -> Response:
    names = _names(call)
    with backend.metadata.directory() as directory:
        directory.delete_properties(directory.get(call.target()), names)
    return done()


def _names(call: Call) -> list[str]:
    """Return the names of the body; none stands for all of them."""
    names = call.json()
    if names is None:
        return []
    if not isinstance(names, list):
        raise bad_request("Invalid/Unexpected JSON")
    for name in names:
        if not isinstance(name, str):
            raise bad_request(f"Invalid string at [{name}]")
    return names


ROUTES: Final = {
    ("POST", "reference/create"): _create,
    ("POST", "reference/destroy"): _destroy,
    ("GET", "reference/show"): _show,
    ("POST", "reference/link"): _link,
    ("POST", "reference/renew"): _link,
    ("POST", "reference/unlink"): _unlink,
    ("POST", "reference/relink"): _relink,
    ("POST", "reference/force"): _force,
    ("POST", "reference/get_properties"): _get_properties,
    ("POST", "reference/set_properties"): _set_properties,
    ("POST", "reference/del_properties"): _del_properties,
}
