# SPDX-License-Identifier: Apache-2.0
"""Answers that were found to be read wrongly, one of each kind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from oio import ObjectStorageApi
from oio.b2.account import Grant
from oio.b2.download import locate_answer
from oio.b2.session import B2Limits, B2Session
from oio.common import exceptions as exc
from tests.kit.fuzzing import HUGE, Reply, mimic


def framed(name: str, value: str, body: bytes | None = None) -> Callable[[Reply], Reply]:
    return lambda reply: replace(
        reply, headers=(*reply.headers, (name, value)), body=reply.body if body is None else body
    )


def doubled(header: str) -> Callable[[Reply], Reply]:
    def change(reply: Reply) -> Reply:
        more = [line for line in reply.headers if line[0].lower() == header]
        assert more
        return replace(reply, headers=(*reply.headers, *more))

    return change


def changed(change: Callable[[Any], object]) -> Callable[[Reply], Reply]:
    def apply(reply: Reply) -> Reply:
        body = json.loads(reply.body)
        change(body)
        return replace(reply, body=json.dumps(body).encode())

    return apply


def locate(api: Any, **limits: Any) -> object:
    return api.object_locate("a", "c", "o", **limits)


def fetch(api: Any, **limits: Any) -> object:
    return b"".join(api.object_fetch("a", "c", "o", **limits)[1])


def create(api: Any, **limits: Any) -> object:
    return api.object_create("a", "c", obj_name="o", data=b"data", **limits)


def list_objects(api: Any, **limits: Any) -> object:
    return api.object_list("a", "c", **limits)


def list_containers(api: Any, **limits: Any) -> object:
    return list(api.container_list_all("a", **limits))


def delete_many(api: Any, **limits: Any) -> object:
    return api.object_delete_many("a", "c", ["a"], **limits)


LOCATE, CREATE = "object_locate__THREECOPIES", "object_create__small_THREECOPIES"
FETCH_CODED = "object_fetch__small_EC"
CHUNKED = ("Transfer-Encoding", "chunked")
CONTAINERS = ("container_list__ok", "/v1.0/account/containers", list_containers)

FOUND = {
    "chunk of a negative size": (
        LOCATE,
        "content/locate",
        locate,
        framed(*CHUNKED, b"-5\r\n[]\r\n0\r\n\r\n"),
    ),
    "chunk up to the end": (LOCATE, "content/locate", locate, framed(*CHUNKED, b"-1\r\n[]")),
    "chunk of an impossible size": (
        LOCATE,
        "content/locate",
        locate,
        framed(*CHUNKED, b"f" * 30 + b"\r\n[]\r\n0\r\n\r\n"),
    ),
    "body of an impossible size": (LOCATE, "content/locate", locate, framed("Content-Length", "9" * 30)),
    "address that is no text": (
        CREATE,
        "content/prepare2",
        create,
        changed(lambda body: body["chunks"][0].update(real_url=[None])),
    ),
    "chunk size that comes twice": (CREATE, "content/prepare2", create, doubled("x-oio-ns-chunk-size")),
    "location that is no text": (
        LOCATE,
        "content/locate",
        locate,
        changed(lambda body: body[0].update(real_url={"a": "b"})),
    ),
    "score that is no number": (
        FETCH_CODED,
        "content/locate",
        fetch,
        changed(lambda body: body[0].update(score=[])),
    ),
    "score that no fraction can hold": (
        FETCH_CODED,
        "content/locate",
        fetch,
        changed(lambda body: body[0].update(score=10**400)),
    ),
    "size without end": (
        FETCH_CODED,
        "content/locate",
        fetch,
        changed(lambda body: body[0].update(size=float("inf"))),
    ),
    "fragment without an index": (
        FETCH_CODED,
        "content/locate",
        fetch,
        changed(lambda body: [chunk.update(pos="0") or chunk.pop("num", 0) for chunk in body]),
    ),
    "listing that is truncated twice": (
        "object_list__ok",
        "container/list",
        list_objects,
        doubled("x-oio-list-truncated"),
    ),
    "object whose name is no text": (
        "object_list__ok",
        "container/list",
        list_objects,
        changed(lambda body: body["objects"][0].update(name=5)),
    ),
    "prefix that is no text": (
        "object_list__ok",
        "container/list",
        list_objects,
        changed(lambda body: body.update(prefixes=[None])),
    ),
    "container without a name": (*CONTAINERS, changed(lambda body: body.update(listing=[[]]))),
    "container whose name is no text": (
        *CONTAINERS,
        changed(lambda body: body["listing"][-1].__setitem__(0, None)),
    ),
    "container that is no list": (*CONTAINERS, changed(lambda body: body.update(listing=[None]))),
    "name of a deleted object that is no text": (
        "object_delete_many__mixed",
        "content/delete_many",
        delete_many,
        changed(lambda body: body["contents"][0].update(name=[])),
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_answer_that_makes_no_sense_is_an_exception_of_ours(name: str) -> None:
    capture, subject, call, change = FOUND[name]
    with mimic(capture) as server, ObjectStorageApi("OPENIO", endpoint=server.url) as api:
        server.others = {subject: change(server.replies[subject])}
        with pytest.raises(exc.OioNetworkException):
            call(api, deadline=time.monotonic() + 10.0)


@pytest.mark.parametrize("headers", [{"Content-Length": "9" * 5000}, {"Content-Length": "²"}])
def test_length_of_a_file_that_is_no_number_is_an_exception_of_ours(headers: dict[str, str]) -> None:
    with pytest.raises(exc.OioProtocolError, match="no length"):
        locate_answer(200, headers)


def test_performance_that_is_no_number_is_left_out() -> None:
    perfdata: dict[str, Any] = {}
    with (
        mimic("object_get_properties__ok") as server,
        ObjectStorageApi("OPENIO", endpoint=server.url) as api,
    ):
        right = server.replies["content/get_properties"]
        server.others = {"content/get_properties": framed("x-oio-perfdata", "a=\xb2,b=1000000")(right)}
        api.object_get_properties("a", "c", "o", perfdata=perfdata)
    figures = next(figures for figures in perfdata.values() if "b" in figures)
    assert figures["b"] == 1.0
    assert "a" not in figures


def test_token_of_backblaze_that_cannot_be_sent_is_an_exception_of_ours() -> None:
    grant = Grant.of(
        {
            "accountId": "a",
            "authorizationToken": "tökĀn",
            "apiUrl": "http://127.0.0.1:1",
            "downloadUrl": "http://127.0.0.1:1",
        }
        | {"recommendedPartSize": 100, "absoluteMinimumPartSize": 1, "allowed": {}}
    )
    with mimic() as server:
        session = B2Session()
        with pytest.raises(exc.OioProtocolError, match="a header cannot be sent") as caught:
            session.open("GET", server.url, {"Authorization": grant.token}, None, B2Limits(), "read")
        session.close()
    assert "tök" not in str(caught.value)
    # A context has all that was to be sent.
    assert caught.value.__context__ is None


def test_b2_answer_of_a_length_that_python_refuses_to_read_is_refused():
    with mimic() as server:
        server.replies["/a"] = Reply("HTTP/1.1 200 OK", (("Content-Length", HUGE),), b"{}")
        session = B2Session()
        with pytest.raises(exc.OioProtocolError, match="more than"):
            session.ask_json("POST", f"{server.url}/a", {}, b"", B2Limits(), "list")
        session.close()
