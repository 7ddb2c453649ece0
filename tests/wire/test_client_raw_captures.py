# SPDX-License-Identifier: Apache-2.0
"""The clients ask what was asked by hand of the real services, and understand what they answered."""

from __future__ import annotations

import inspect
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from oio.account.client import AccountClient
from oio.common import exceptions as exc
from oio.common.constants import OBJECT_METADATA_KEYS
from oio.rdir.client import RdirClient
from tests.kit.recording import Asked
from tests.kit.scripted import Peer, serving
from tests.wire.recorded import NAMES, Exchange, Message, load
from tests.wire.spoken import (
    FALSE,
    FLAGS,
    PRESENCE,
    ROUTES,
    SAME,
    TRUE,
    Arguments,
    Route,
    Unspeakable,
    call_of,
    path_of,
)

CONF = {"namespace": "OPENIO"}
PREFIX = "x-oio-content-meta-"
_NO_CONTENT = 204
Spoken = tuple[Exchange, Route, Arguments]


def spoken(name: str) -> list[Spoken]:
    """The exchanges of a capture whose requests a client can make, and how."""
    found = []
    for exchange in load(name).exchanges:
        # What is too large is asked for again in halves.
        if exchange.service != "rawx" and exchange.response is not None and exchange.response.status != 413:
            try:
                found.append((exchange, *call_of(exchange)))
            except Unspeakable:
                continue
    return found


SPOKEN = {name: found for name in NAMES if name.startswith("raw_") and (found := spoken(name))}


def test_nearly_all_that_was_asked_can_be_said() -> None:
    said = Counter((e.service, e.method, path_of(e)) for found in SPOKEN.values() for e, *_ in found)
    assert said.keys() == {(service, *route) for service, routes in ROUTES.items() for route in routes}
    assert said.total() > 1400


@pytest.mark.pitfall(66, 67, 92, 93, 119, 145)
@pytest.mark.parametrize("name", SPOKEN)
def test_client_speaks_as_the_services_do(name: str) -> None:
    with listening() as wire:
        for number, (exchange, route, arguments) in enumerate(SPOKEN[name]):
            wire.begin(Services(exchange))
            try:
                check(exchange, route, arguments, wire)
            except Exception as err:
                raise AssertionError(f"{number}: {exchange.method} {exchange.target}: {err!r}") from err


class Wire:
    """The end of the services on sockets: notes requests, and sends answers byte by byte as recorded."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[Asked] = []
        self._services: Any = None

    def begin(self, services: Any) -> None:
        """Answer the requests of the next call.

        :param services: gives the answer to a request
        """
        self.asked = []
        self._services = services

    def serve(self, peer: Peer) -> None:
        """Serve one connection."""
        while head := peer.read_head():
            first_line, *lines = head.split("\r\n")
            method, target, _ = first_line.split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            body = peer.read(int(headers.get("content-length", 0))) or None
            asked = Asked(method, f"http://{self.address}{target}", headers, body, None)
            self.asked.append(asked)
            peer.send(_bytes_of(self._services(asked)))


@contextmanager
def listening() -> Iterator[Wire]:
    """Serve clients on a port."""
    wire = Wire()
    with serving(wire.serve) as server:
        wire.address = server.address
        yield wire


def _bytes_of(message: Message) -> bytes:
    """Write an answer; some bodies are shorter than they were, since paths of volumes were replaced."""
    body = message.body or b""
    lines, told = [message.first_line], message.status == _NO_CONTENT
    for name, value in message.headers:
        is_length = name.lower() == "content-length"
        told |= is_length
        lines.append(f"{name}: {len(body) if is_length else value}")
    if not told:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def answer(status: int = 200, body: Any = None, headers: Any = ()) -> Message:
    """An answer that was not recorded."""
    data = b"" if body is None else json.dumps(body).encode()
    return Message(f"HTTP/1.1 {status} Because", list(headers), data, len(data))


class Services:
    """Gives the recorded answer, and then what ends a listing or the doubts about an object."""

    def __init__(self, exchange: Exchange) -> None:
        self._recorded = exchange.response
        self._path = path_of(exchange)
        self._again = False

    def __call__(self, asked: Asked) -> Message:
        assert self._recorded is not None
        headers = self._recorded.headers
        known = {key.removeprefix(PREFIX): value for key, value in headers}
        described = [(f"{PREFIX}{key}", known.get(key, "0")) for key in OBJECT_METADATA_KEYS]
        if not self._again:
            self._again = True
        elif asked.path.endswith("content/locate"):
            headers = described
        else:
            ends = {
                "content/locate": {"properties": {"from": "JSON"}},
                "rdir/fetch": [],
                "rdir/status": {"chunk": {"total": 0}, "container": {}},
            }
            return answer(body=ends[self._path], headers=described)
        return replace(self._recorded, headers=headers)


def client_of(exchange: Exchange, route: Route, wire: Wire) -> Any:
    """A client that takes the sockets for the recorded service."""
    where = f"http://{wire.address}"
    if route.client is AccountClient:
        return AccountClient(CONF, endpoint=f"{where}/v1.0/account", request_attempts=1)
    client = route.client(CONF, endpoint=where, request_attempts=1)
    if route.client is RdirClient:
        (volume,) = parse_qs(urlsplit(exchange.target).query)["vol"]
        client._endpoints[volume] = where
    return client


def check(exchange: Exchange, route: Route, arguments: Arguments, wire: Wire) -> None:
    """Make a call; compare its request and its outcome with what was recorded."""
    with client_of(exchange, route, wire) as client:
        check_outcome(exchange, route, getattr(client, route.method), arguments, wire, EXPECTED)
    check_request(exchange, route, wire.asked[0])


def check_outcome(
    exchange: Exchange, route: Route, method: Any, arguments: Arguments, wire: Wire, results: dict[str, Any]
) -> None:
    """Make a call.

    :param results: what methods return, where that is not the body, by their names
    """
    response = exchange.response
    assert response is not None
    if response.status >= 400:
        with pytest.raises(exc.ClientException) as info:
            perform(method, arguments)
        check_refusal(info.value, response)
    else:
        names = (f"{route.client.__name__}.{route.method}", route.method)
        expected = next((results[name] for name in names if name in results), _body)
        assert perform(method, arguments) == expected(response, wire)


def perform(method: Any, arguments: Arguments) -> Any:
    result = method(**arguments)
    return list(result) if inspect.isgenerator(result) else result


def check_refusal(error: exc.ClientException, response: Message) -> None:
    body = response.json if isinstance(response.json, dict) else {}
    text = (response.body or b"").decode()
    assert type(error) is type(exc.from_status(response.status))
    assert (error.http_status, error.status) == (response.status, body.get("status"))
    assert error.message == body.get("message", text)


# --- results -----------------------------------------------------------------------------------------


def _body(response: Message, _: Wire) -> Any:
    return response.json


def _nothing(*_: Any) -> None:
    return None


def _created(response: Message, _: Wire) -> bool:
    return response.status == 201


def _done(response: Message, _: Wire) -> bool:
    return response.status == 204


def _description(response: Message, wire: Wire) -> dict[str, Any]:
    """What the headers say of an object; properties that make them doubtful come from elsewhere."""
    known: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in response.headers:
        if name.lower().startswith(PREFIX):
            key = name[len(PREFIX) :]
            if key in OBJECT_METADATA_KEYS or (key == "target-policy" and len(wire.asked) == 1):
                known[key.replace("-", "_")] = unquote(value)
            else:
                properties[key] = unquote(value)
    return {**known, "properties": properties if len(wire.asked) == 1 else {"from": "JSON"}}


def _located(response: Message, wire: Wire) -> Any:
    return _description(response, wire), response.json


def _prepared(response: Message, wire: Wire) -> Any:
    meta = _description(response, wire)
    meta["chunk_size"] = int(response.get("x-oio-ns-chunk-size") or 0)
    return {**meta, "properties": response.json["properties"]}, response.json["chunks"]


class _Page:
    """A page of a listing: any headers, and the body."""

    def __init__(self, response: Message, _: Wire) -> None:
        self._response = response

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, tuple)
        headers, body = other
        names = ("x-oio-list-truncated", "x-oio-list-marker")
        recorded = [self._response.get(name) for name in names]
        return [headers.get(name) for name in names] == recorded and body == self._response.json

    __hash__ = None  # type: ignore[assignment]


class _Answered:
    """A response, and its body."""

    def __init__(self, recorded: Message) -> None:
        self._recorded = recorded

    def __eq__(self, other: object) -> bool:
        response, body = cast("tuple[Any, object]", other)
        return bool(response.status == self._recorded.status and not body)

    __hash__ = None  # type: ignore[assignment]


EXPECTED: dict[str, Any] = {
    **dict.fromkeys(("container_create", "create", "account_create"), _created),
    **dict.fromkeys(("content_delete", "content_del_properties"), _done),
    "content_delete_many": lambda r, _: [(i["name"], i["status"] == 204) for i in r.json["contents"]],
    "container_create_many": lambda r, _: [(i["name"], i["status"] == 201) for i in r.json["containers"]],
    "container_flush": lambda r, _: {"truncated": r.get("x-oio-truncated") == "true"},
    "all_services": lambda r, _: [{**i, "id": i["tags"].get("tag.service_id", i["addr"])} for i in r.json],
    "admin_incident_get": lambda r, _: r.json["date"],
    "chunk_fetch": lambda r, _: [(*key.split("|"), info) for key, info in r.json],
    "content_list": _Page,
    "content_locate": _located,
    "content_prepare": _prepared,
    "content_get_properties": lambda r, wire: {**_description(r, wire), **r.json},
    # What the incident was is told by a route of its own.
    "RdirClient.status": lambda r, _: {name: r.json[name] for name in ("chunk", "container")},
    "meta2_index_create": lambda r, _: _Answered(r),
    "meta2_index_push": lambda r, _: _Answered(r),
    # These tell no more than that it is done.
    "RdirClient.create": _nothing,
    **dict.fromkeys(("link", "renew", "container_freeze", "container_enable"), _nothing),
}


# --- requests ----------------------------------------------------------------------------------------


def check_request(exchange: Exchange, route: Route, asked: Asked) -> None:
    parts = urlsplit(exchange.target)
    assert asked.method == exchange.method
    assert SAME.get("/".join(asked.path.split("/")[-2:])) is None
    assert "/".join(asked.path.split("/")[-2:]) == path_of(exchange)
    recorded = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    sent = {name: value for name, value in asked.query.items() if name not in route.twice}
    assert normal_query(route, sent) == normal_query(route, recorded)
    if route.body is None:
        assert not asked.json or route.is_repeated
    else:
        assert normal_body(asked.json) == normal_body(exchange.request.json)
    assert meaning(asked.headers.items()) == meaning(exchange.request.headers)


def normal_query(route: Route, query: dict[str, str]) -> dict[str, str]:
    """Leave out what goes without saying, and spell flags all alike."""
    normal = {}
    for name, value in query.items():
        if name in PRESENCE:
            value = "there"
        elif name in {*FLAGS, "properties", "s3_buckets_only"}:
            value = "1" if value.lower() in TRUE else "0" if value.lower() in FALSE else value
        if route.always.get(name) != value:
            normal[name] = value
    return normal


def normal_body(value: Any) -> Any:
    """Leave out what is the same when it is not there."""
    if isinstance(value, dict):
        items = {key: normal_body(item) for key, item in value.items()}
        unsaid = {"position": 0, "limit": 1000, "mtime": 0, "path": "", "version": 0}
        return {key: item for key, item in items.items() if item not in (None, unsaid.get(key))} or None
    return [normal_body(item) for item in value] or None if isinstance(value, list) else value


def meaning(headers: Any) -> dict[str, str]:
    """The headers that change what is done."""
    ours = {"x-oio-timeout", "x-oio-req-id"}
    named = {name.lower(): value for name, value in headers}
    return {name: value for name, value in named.items() if name.startswith("x-oio-") and name not in ours}
