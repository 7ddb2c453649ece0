# SPDX-License-Identifier: Apache-2.0
"""The clients ask what was asked by hand of the development head, and understand what it answered."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from tests.kit.recording import Asked
from tests.wire import test_client_raw_captures as of_7_3
from tests.wire.recorded import NAMES_2026, Exchange, Message, load_2026
from tests.wire.spoken import ROUTES_2026, Arguments, Route, Unspeakable, call_of, path_of

Spoken = tuple[int, Exchange, Route, Arguments]


def spoken(name: str) -> list[Spoken]:
    """The exchanges of a capture whose requests a client can make, and how."""
    found = []
    for number, exchange in enumerate(load_2026(name).exchanges):
        if exchange.service != "rawx" and exchange.response is not None:
            try:
                found.append((number, exchange, *call_of(exchange, ROUTES_2026)))
            except Unspeakable:
                continue
    return found


SPOKEN = {name: found for name in NAMES_2026 if name.startswith("raw_") and (found := spoken(name))}


def test_nearly_all_that_was_asked_can_be_said() -> None:
    said = Counter((e.service, path_of(e)) for found in SPOKEN.values() for _, e, *_ in found)
    assert {"account", "proxy", "rdir"} == {service for service, _ in said}
    assert said.total() > 400


class Services(of_7_3.Services):
    """Gives the recorded answer, and then those to what the client asks besides."""

    def __call__(self, asked: Asked) -> Message:
        more = {
            # What a service has not cleared.
            "container/show": of_7_3.answer(body={"properties": {}}),
            # An update of a bucket does not show it.
            "account/show-bucket": of_7_3.answer(body={"account": "shown"}),
            # A deletion by an update, which is refused.
            "container/delete": of_7_3.answer(404),
        }
        route = "/".join(asked.path.split("/")[-2:])
        if route != self._path and route in more:
            return more[route]
        return super().__call__(asked)


@pytest.mark.pitfall("W7", "W8", "W9", "W10", "W11", "W13", "W14", "W15", "W16", "W18")
@pytest.mark.parametrize("name", SPOKEN)
def test_client_speaks_as_the_development_head_does(name: str) -> None:
    with of_7_3.listening() as wire:
        for number, exchange, route, arguments in SPOKEN[name]:
            wire.begin(Services(exchange))
            try:
                check(exchange, route, arguments, wire)
            except Exception as err:
                raise AssertionError(f"{number}: {exchange.method} {exchange.target}: {err!r}") from err


def check(exchange: Exchange, route: Route, arguments: Arguments, wire: of_7_3.Wire) -> None:
    """Make a call; compare its request and its outcome with what was recorded."""
    with of_7_3.client_of(exchange, route, wire) as client:
        method = getattr(client, route.method)
        of_7_3.check_outcome(exchange, route, method, arguments, wire, EXPECTED)
    of_7_3.check_request(exchange, route, without_name(exchange, wire.asked[0]))


def without_name(exchange: Exchange, asked: Asked) -> Asked:
    """A request without the name that is in the body for services of 7.3, which do not look at the query."""
    if path_of(exchange) not in {"container/update", "container/reset"} or "name" in exchange.request.json:
        return asked
    body = {key: value for key, value in asked.json.items() if key != "name"}
    return replace(asked, body=json.dumps(body).encode())


def _fetched(response: Message, _: of_7_3.Wire) -> Any:
    found = []
    for key, info in response.json:
        container, chunk = key.split("|")
        known = {name: value for name, value in info.items() if name != "content_id"}
        found.append((container, info["content_id"], chunk, known))
    return found


EXPECTED = {
    **of_7_3.EXPECTED,
    "account_list": lambda r, _: [row["id"] for row in r.json["listing"]],
    "bucket_update": lambda *_: {"account": "shown"},
    "chunk_fetch": _fetched,
    **dict.fromkeys(("container_set_properties", "container_del_properties"), lambda *_: {}),
}
