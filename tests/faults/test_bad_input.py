# SPDX-License-Identifier: Apache-2.0
"""Bad input, against a namespace that runs: refused by name and value, and nothing is left of it anywhere."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from oio import ObjectStorageApi
from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.sandbox import Fault
from tests.kit.objects import LARGE, SMALL, chunks_on_disk, read, stored


class Mistake(NamedTuple):
    """What a call is given, what it raises, and what the text of it must tell."""

    arguments: dict[str, Any]
    error: type[Exception]
    tells: tuple[str, ...]


# --- what is refused before anything is sent --------------------------------------------------------------


#: The good arguments of a creation; a mistake replaces some.
GOOD = {"account": "account", "container": "container", "obj_name": "object", "data": SMALL}

SEEN_LOCALLY = {
    "empty account": Mistake({"account": ""}, ValueError, ("account", "empty")),
    "account of 64 bytes": Mistake({"account": "a" * 64}, ValueError, ("account", "64", "aaaa")),
    "account of 32 letters": Mistake({"account": "é" * 32}, ValueError, ("account", "64", "éé")),
    "empty container": Mistake({"container": ""}, ValueError, ("container", "empty")),
    "container of 1024 bytes": Mistake({"container": "c" * 1024}, ValueError, ("container", "1024", "ccc")),
    "empty name": Mistake({"obj_name": ""}, exc.MissingName, ("obj_name", "''")),
    "name of 1024 bytes": Mistake({"obj_name": "o" * 1024}, ValueError, ("obj_name", "1024", "ooo")),
    "name of 512 letters": Mistake({"obj_name": "é" * 512}, ValueError, ("obj_name", "1024", "éé")),
    "name that is a number": Mistake({"obj_name": 7}, TypeError, ("obj_name", "7")),
    "no name": Mistake({"obj_name": None}, exc.MissingName, ("obj_name", "None")),
    "neither data nor file": Mistake({"data": None}, exc.MissingData, ("data", "file_or_path")),
    "data that are a number": Mistake({"data": 5}, TypeError, ("data", "int")),
    "data that are a dict": Mistake({"data": {"a": 1}}, TypeError, ("data", "dict")),
    "path that does not exist": Mistake(
        {"data": None, "file_or_path": "/does/not/exist"}, exc.FileNotFound, ("/does/not/exist",)
    ),
    "path of a directory": Mistake({"data": None, "file_or_path": "/"}, exc.SourceReadError, ("'/'",)),
    "file of text": Mistake(
        {"data": None, "file_or_path": io.StringIO("text")}, TypeError, ("file_or_path", "StringIO")
    ),
    "policy that is a number": Mistake({"policy": 3}, TypeError, ("policy", "3")),
    "property that is a number": Mistake({"properties": {"key": 12}}, TypeError, ("properties", "key", "12")),
    "property that is None": Mistake({"properties": {"key": None}}, TypeError, ("properties", "key", "None")),
    "property that is bytes": Mistake(
        {"properties": {"key": b"v"}}, TypeError, ("properties", "key", "b'v'")
    ),
    "key that is a number": Mistake({"properties": {4: "value"}}, TypeError, ("properties", "4")),
    "empty key": Mistake({"properties": {"": "value"}}, ValueError, ("properties", "empty")),
    "key of two lines": Mistake({"properties": {"a\nb": "value"}}, ValueError, ("properties", r"a\nb")),
    "key with a header in it": Mistake(
        {"properties": {"a: 1\r\nx-oio-content-meta-size: 99\r\nz": "value"}},
        ValueError,
        ("properties", "x-oio-content-meta-size"),
    ),
    "properties of the container": Mistake(
        {"container_properties": {"properties": {"key": 1}}}, TypeError, ("container_properties", "key", "1")
    ),
    "unknown part of the container": Mistake(
        {"container_properties": {"user": {}}}, TypeError, ("container_properties", "user")
    ),
    "type of two lines": Mistake({"mime_type": "a\r\nb"}, ValueError, ("mime_type", r"a\r\nb")),
    "etag that is bytes": Mistake({"etag": b"00"}, TypeError, ("etag", "b'00'")),
    "version in words": Mistake({"version": "last"}, ValueError, ("version", "last")),
    "content ID in words": Mistake({"content_id": "the first"}, ValueError, ("content_id", "the first")),
}


@pytest.mark.parametrize("mistake", SEEN_LOCALLY.values(), ids=SEEN_LOCALLY)
@pytest.mark.pitfall(147, 150, 158)
def test_creation_that_cannot_be_meant_is_not_even_begun(shared_namespace, shared_api, mistake):
    arguments = {**GOOD, **mistake.arguments}
    shared_namespace.forget_requests()
    with pytest.raises(mistake.error) as caught:
        shared_api.object_create(arguments.pop("account"), arguments.pop("container"), **arguments)
    for text in mistake.tells:
        assert text in str(caught.value)
    assert shared_namespace.requests == []


CALLS: dict[str, tuple[Callable[[Any], Any], type[Exception], tuple[str, ...]]] = {
    "limit as text": (lambda api: api.object_list("a", "c", limit="x"), TypeError, ("limit", "'x'")),
    "negative range": (
        lambda api: api.object_fetch("a", "c", "o", ranges=[(-5, 9)]),
        ValueError,
        ("ranges", "(-5, 9)"),
    ),
    "inverted range": (
        lambda api: api.object_fetch("a", "c", "o", ranges=[(0, 9), (9, 5)]),
        ValueError,
        ("ranges", "(9, 5)"),
    ),
    "range of one bound": (
        lambda api: api.object_fetch("a", "c", "o", ranges=[(3,)]),
        TypeError,
        ("ranges", "(3,)"),
    ),
    "range of text": (
        lambda api: api.object_fetch("a", "c", "o", ranges="0-9"),
        TypeError,
        ("ranges", "0-9"),
    ),
    "trust level": (
        lambda api: api.object_head("a", "c", "o", trust_level=3),
        ValueError,
        ("trust_level", "3"),
    ),
    "container ID": (
        lambda api: api.object_list(None, None, cid="what"),
        ValueError,
        ("cid", "what"),
    ),
    "property of a container": (
        lambda api: api.container_create("a", "c", properties={"key": 1}),
        TypeError,
        ("properties", "key", "1"),
    ),
    "property of an account": (
        lambda api: api.account_set_properties("a", {"key": 1.5}),
        TypeError,
        ("properties", "key", "1.5"),
    ),
    "property of an object": (
        lambda api: api.object_set_properties("a", "c", "o", {"key": ["v"]}),
        TypeError,
        ("properties", "key", "['v']"),
    ),
    "one of several containers": (
        lambda api: api.container_create_many("a", ["good", ""]),
        ValueError,
        ("container", "empty"),
    ),
}


@pytest.mark.parametrize("mistake", CALLS)
def test_call_that_cannot_be_meant_is_not_even_begun(shared_namespace, shared_api, mistake):
    call, error, tells = CALLS[mistake]
    shared_namespace.forget_requests()
    with pytest.raises(error) as caught:
        call(shared_api)
    for text in tells:
        assert text in str(caught.value)
    assert shared_namespace.requests == []


# --- what only the services, or the data, can tell --------------------------------------------------------


def failing(*blocks: bytes) -> Iterator[bytes]:
    yield from blocks
    raise OSError("the tape is torn")


def torn_file(*, after: int) -> io.RawIOBase:
    class Torn(io.RawIOBase):
        left = after

        def read(self, size: int = -1) -> bytes:
            if not self.left:
                raise OSError("the tape is torn")
            size = min(self.left, size)
            self.left -= size
            return bytes(size)

    return Torn()


SEEN_LATER: dict[str, Callable[[], Mistake]] = {
    "unknown policy": lambda: Mistake({"policy": "GOLD"}, exc.ClientException, ("policy", "GOLD", "480")),
    "policy of more rawx than there are": lambda: Mistake(
        {"policy": "17COPIES"}, exc.ClientException, ("policy", "17COPIES", "481")
    ),
    "other etag": lambda: Mistake({"etag": "12" * 16}, exc.EtagMismatch, ("etag", "12" * 16)),
    "other etag of a large object": lambda: Mistake(
        {"etag": "12" * 16, "data": LARGE}, exc.EtagMismatch, ("12" * 16,)
    ),
    "source that fails at once": lambda: Mistake(
        {"data": failing()}, exc.SourceReadError, ("the tape is torn",)
    ),
    "source that fails later": lambda: Mistake(
        {"data": failing(LARGE)}, exc.SourceReadError, ("the tape is torn",)
    ),
    "file that fails at once": lambda: Mistake(
        {"data": None, "file_or_path": torn_file(after=0)}, exc.SourceReadError, ("the tape is torn",)
    ),
    "file that fails later": lambda: Mistake(
        {"data": None, "file_or_path": torn_file(after=len(LARGE))},
        exc.SourceReadError,
        ("the tape is torn",),
    ),
    "source of numbers": lambda: Mistake({"data": iter([12])}, exc.SourceReadError, ("int", "12")),
    "missing container": lambda: Mistake({"autocreate": False}, exc.NoSuchContainer, ("container",)),
}


@pytest.mark.parametrize("mistake", SEEN_LATER)
@pytest.mark.pitfall(28, 34, 39, 40, 131, 150)
def test_creation_that_fails_leaves_nothing(namespace, api, mistake):
    arguments, error, tells = SEEN_LATER[mistake]()
    arguments = {**GOOD, **arguments}
    account, container = arguments.pop("account"), arguments.pop("container")
    with pytest.raises(error) as caught:
        api.object_create(account, container, **arguments)
    for text in tells:
        assert text in str(caught.value)
    assert caught.value.reqid
    assert chunks_on_disk(namespace) == set()
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(account, container)


def test_failed_append_leaves_the_object_as_it_was(namespace, api):
    target = stored(api, SMALL)
    before = chunks_on_disk(namespace)
    with pytest.raises(exc.SourceReadError):
        api.object_create(*target[:2], obj_name=target.name, data=failing(LARGE), append=True)
    assert chunks_on_disk(namespace) == before
    assert read(api, target) == (SMALL, None)


@pytest.mark.pitfall(133)
@pytest.mark.parametrize("ranges", [[(1000, 1000)], [(0, 9), (2000, 3000)], [(1000, None)]])
def test_range_beyond_the_end_is_refused_on_demand_before_any_rawx_is_asked(namespace, api, ranges):
    target = stored(api, SMALL)
    namespace.forget_requests()
    with pytest.raises(exc.UnsatisfiableRange, match="1000 bytes"):
        api.object_fetch(*target, ranges=ranges, on_unsatisfiable="raise")
    assert {request.service for request in namespace.requests} == {"proxy"}


@pytest.mark.pitfall(146)
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_container_is_found_by_its_id_in_any_case(namespace, api, spelling):
    target = stored(api, SMALL)
    cid = spelling(cid_from_name(target.account, target.container))
    assert [item["name"] for item in api.object_list(None, None, cid=cid)["objects"]] == [target.name]
    assert read(api, target._replace(account=None, container=None), cid=cid) == (SMALL, None)


# --- where the services are -------------------------------------------------------------------------------


def test_unknown_namespace_without_endpoint_is_named():
    with pytest.raises(exc.ConfigurationException, match="NOWHERE"):
        ObjectStorageApi("NOWHERE")


@pytest.mark.parametrize("namespace_name", ["", None, 5])
def test_namespace_that_is_no_name_is_refused(namespace_name):
    with pytest.raises(ValueError, match="namespace"):
        ObjectStorageApi(namespace_name, endpoint="127.0.0.1:6000")


def test_namespace_of_another_proxy_is_told_by_its_address_and_status(shared_namespace):
    with ObjectStorageApi("NOWHERE", endpoint=shared_namespace.endpoint) as api:
        for call in (
            lambda: api.container_create("a", "c"),
            lambda: api.object_create("a", "c", obj_name="o", data=b""),
            lambda: api.account_show("a"),
        ):
            with pytest.raises(exc.BadRequest, match="namespace") as caught:
                call()
            assert caught.value.http_status == 400
            assert caught.value.service == shared_namespace.proxy.address


@pytest.mark.pitfall(78)
@pytest.mark.parametrize("status", [200, 404, 500, 502, 503])
def test_proxy_that_answers_with_a_page_leaves_nothing(namespace, api, status):
    page = {"body": "<html><h1>It works!</h1></html>", "content_type": "text/html; charset=utf-8"}
    with namespace.faults(Fault("status", service="proxy", status=status, **page)) as plan:
        with pytest.raises(exc.OioException, match="It works!") as caught:
            api.object_create(GOOD["account"], GOOD["container"], obj_name="object", data=SMALL)
        plan.assert_met()
        assert str(status) in str(caught.value)
        assert caught.value.service == namespace.proxy.address
    assert chunks_on_disk(namespace) == set()
    with pytest.raises(exc.NoSuchContainer):
        api.container_show(GOOD["account"], GOOD["container"])
