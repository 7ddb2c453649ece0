# SPDX-License-Identifier: Apache-2.0
"""Mistakes in arguments: refused before anything is sent, with the name and the value of the argument."""

from __future__ import annotations

import contextlib
import io
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from oio.api.object_storage import ObjectStorageAPI, ObjectStorageApi
from oio.common import exceptions as exc
from oio.conscience.client import LbClient
from oio.container.client import ContainerClient

Call = Callable[[ObjectStorageApi], Any]

LONG = {"account": "a" * 64, "container": "é" * 512, "obj": "o" * 1024}


def create(**kwargs: Any) -> Call:
    arguments = {"obj_name": "o", "data": b"x", **kwargs}
    return lambda api: api.object_create("a", "c", **{k: v for k, v in arguments.items() if v is not ...})


MISTAKES: dict[str, tuple[Call, type[Exception], str]] = {
    "empty account": (lambda api: api.account_show(""), ValueError, "account must not be empty"),
    "no account": (lambda api: api.account_show(None), TypeError, "account is required"),
    "account as bytes": (lambda api: api.account_create(b"a"), TypeError, "account must be a str, not bytes"),
    "long account": (lambda api: api.account_create(LONG["account"]), ValueError, "account is 64 bytes long"),
    "account with NUL": (lambda api: api.account_create("a\0b"), ValueError, r"account must not contain NUL"),
    "account with a surrogate": (
        lambda api: api.account_create("\ud800"),
        ValueError,
        "account must be text that UTF-8 can encode",
    ),
    "empty container": (lambda api: api.container_create("a", ""), ValueError, "container must not be empty"),
    "long container": (
        lambda api: api.container_create("a", LONG["container"]),
        ValueError,
        "container is 1024 bytes long in UTF-8, 1023 are allowed",
    ),
    "containers as one text": (
        lambda api: api.container_create_many("a", "abc"),
        TypeError,
        "containers must be an iterable of names, not str: 'abc'",
    ),
    "class of names": (
        lambda api: api.object_delete_many("a", "c", list),
        TypeError,
        "objs must be an iterable of names, not type: <class 'list'>",
    ),
    "empty object": (lambda api: api.object_locate("a", "c", ""), ValueError, "obj must not be empty"),
    "no object": (
        lambda api: api.object_locate("a", "c", None),
        TypeError,
        "obj is required",
    ),
    "long object": (
        lambda api: api.object_locate("a", "c", LONG["obj"]),
        ValueError,
        "obj is 1024 bytes long",
    ),
    "number as an object": (
        lambda api: api.object_delete("a", "c", 7),
        TypeError,
        "obj must be a str, not int: 7",
    ),
    "long new object": (create(obj_name=LONG["obj"]), ValueError, "obj_name is 1024 bytes long"),
    "objects as one text": (
        lambda api: api.object_delete_many("a", "c", "abc"),
        TypeError,
        "objs must be an iter",
    ),
    "wrong object in a list": (
        lambda api: api.object_delete_many("a", "c", ["x", 3]),
        TypeError,
        "obj must be a",
    ),
    "cid of other letters": (
        lambda api: api.object_locate(None, None, "o", cid="xyz"),
        ValueError,
        "cid must be made of hexadecimal digits: 'xyz'",
    ),
    "version in words": (
        lambda api: api.object_locate("a", "c", "o", version="last"),
        ValueError,
        "version must be an integer: 'last'",
    ),
    "version as a float": (
        lambda api: api.object_delete("a", "c", "o", version=1.5),
        TypeError,
        "version must be",
    ),
    "content ID of other letters": (
        create(content_id="xy"),
        ValueError,
        "content_id must be made of 2 to 64 hexa",
    ),
    "odd content ID": (
        create(content_id="abc"),
        ValueError,
        "content_id must be made of 2 to 64 hexadecimal",
    ),
    "limit as text": (
        lambda api: api.object_list("a", "c", limit="many"),
        TypeError,
        "limit must be an int, not str",
    ),
    "marker as bytes": (
        lambda api: api.object_list("a", "c", marker=b"m"),
        TypeError,
        "marker must be a str",
    ),
    "properties as a list": (
        lambda api: api.object_set_properties("a", "c", "o", ["k"]),
        TypeError,
        "properties must be a dict, not list",
    ),
    "number as a property": (
        lambda api: api.object_set_properties("a", "c", "o", {"k": 1}),
        TypeError,
        r"properties\['k'\] must be a str, not int: 1",
    ),
    "number as a property of a container": (
        lambda api: api.container_create("a", "c", {"k": 1}),
        TypeError,
        r"properties\['k'\] must be a str",
    ),
    "number as a property of an account": (
        lambda api: api.account_set_properties("a", {"k": 1}),
        TypeError,
        r"properties\['k'\] must be a str",
    ),
    "number as a system property": (
        lambda api: api.container_set_properties("a", "c", system={"sys.m2.quota": 1}),
        TypeError,
        r"system\['sys.m2.quota'\] must be a str",
    ),
    "number as a key": (
        create(properties={1: "v"}),
        TypeError,
        "a key of properties must be a str, not int: 1",
    ),
    "key with a control character": (
        create(properties={"a\r\nb": "v"}),
        ValueError,
        r"properties must have keys without control characters: 'a\\r\\nb'",
    ),
    "key with a control character of Latin 1": (
        create(properties={"a\x9fb": "v"}),
        ValueError,
        r"properties must have keys without control characters: 'a\\x9fb'",
    ),
    "empty key": (create(properties={"": "v"}), ValueError, "properties must not have an empty key"),
    "reserved key": (
        create(properties={"__OIO_CHUNK__x": "v"}),
        ValueError,
        "keys that begin with __OIO_CHUNK__",
    ),
    "property names as one text": (
        lambda api: api.object_del_properties("a", "c", "o", "abc"),
        TypeError,
        "properties must be an iterable of names, not str: 'abc'",
    ),
    "nothing to set": (
        lambda api: api.container_set_properties("a", "c", {}),
        ValueError,
        "properties and system are both empty",
    ),
    "inverted range": (
        lambda api: api.object_fetch("a", "c", "o", ranges=[(9, 1)]),
        ValueError,
        r"ranges must not end before they start: \(9, 1\)",
    ),
    "negative range": (
        lambda api: api.object_fetch("a", "c", "o", ranges=[(-1, 1)]),
        ValueError,
        r"ranges must not have negative bounds: \(-1, 1\)",
    ),
    "range that is no pair": (
        lambda api: api.object_fetch("a", "c", "o", ranges=[3]),
        TypeError,
        "pairs .*: 3",
    ),
    "range of text": (
        lambda api: api.object_fetch("a", "c", "o", ranges=[("0", "9")]),
        TypeError,
        "integers",
    ),
    "trust level": (
        lambda api: api.object_head("a", "c", "o", trust_level=3),
        ValueError,
        "trust_level .*: 3",
    ),
    "neither data nor file": (create(data=...), exc.MissingData, "neither data nor file_or_path"),
    "no name": (create(obj_name=...), exc.MissingName, "No name"),
    "empty name": (create(obj_name=""), exc.MissingName, "No name .*: obj_name is ''"),
    "no such file": (
        create(data=..., file_or_path="/no/such/file"),
        exc.FileNotFound,
        "File '/no/such/file' not found",
    ),
    "a directory": (create(data=..., file_or_path="/etc"), exc.SourceReadError, "'/etc' cannot be read"),
    "a number as data": (create(data=5), TypeError, "data must be bytes, .* not int"),
    "data that UTF-8 cannot encode": (
        create(data="\ud800"),
        ValueError,
        "data must be text that UTF-8 can encode",
    ),
    "a dict as data": (create(data={"a": b"b"}), TypeError, "data must be bytes, .* not dict"),
    "a file of text": (create(data=..., file_or_path=io.StringIO("a")), TypeError, "opened in binary mode"),
    "a number as a file": (
        create(data=..., file_or_path=5),
        TypeError,
        "file_or_path must be a path or a file",
    ),
    "MIME type with a line break": (
        create(mime_type="a\r\nb: c"),
        ValueError,
        "mime_type must be made of printable",
    ),
    "number as an etag": (create(etag=5), TypeError, "etag must be a str, not int: 5"),
    "no size to truncate to": (
        lambda api: api.object_truncate("a", "c", "o"),
        TypeError,
        "size is required",
    ),
    "size as text": (
        lambda api: api.object_truncate("a", "c", "o", size="3"),
        TypeError,
        "size must be an int, not str: '3'",
    ),
    "negative number of bytes of an object": (
        lambda api: api.object_create("a", "c", obj_name="o", data=b"", size=-1),
        ValueError,
        "size must not be negative: -1",
    ),
    "negative size": (
        lambda api: api.object_truncate("a", "c", "o", size=-1),
        ValueError,
        "size must not be negative: -1",
    ),
    "empty new policy": (
        lambda api: api.object_change_policy("a", "c", "o", ""),
        ValueError,
        "policy is required",
    ),
    "no new policy": (
        lambda api: api.object_change_policy("a", "c", "o", None),
        ValueError,
        "policy is required",
    ),
    "container ID of other letters": (
        lambda api: api.resolve_cid("xyz"),
        ValueError,
        "cid must be made of hexadecimal digits: 'xyz'",
    ),
    "wrong container properties": (
        create(container_properties={"props": {}}),
        TypeError,
        "container_properties must be a dict",
    ),
}


@pytest.mark.pitfall(101, 102, 119, 147)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_refused_with_the_name_and_the_value_of_the_argument(
    mistake: str, offline_api: ObjectStorageApi
) -> None:
    call, expected, text = MISTAKES[mistake]
    with pytest.raises(expected, match=text) as info:
        call(offline_api)
    if expected in (ValueError, TypeError):
        # The services would have said so, of what is left to them.
        assert isinstance(info.value, exc.BadRequest)
        assert info.value.http_status == 400


@pytest.mark.pitfall(147)
@pytest.mark.parametrize("name", ["a" * 63, "é" * 31])
def test_longest_names_are_sent(name: str, offline_api: ObjectStorageApi) -> None:
    with pytest.raises(exc.OioNetworkException):
        offline_api.container_create(name, "c" * 1023)


def long_values() -> dict[str, Any]:
    """Calls with a value that is too long to show."""
    long = "x" * 5000
    return {
        "trust_level": lambda api: api.object_head("a", "c", "o", trust_level=long),
        "properties_directive": lambda api: api.object_link(
            "a", "c", "o", "a", "c", "l", properties_directive=long
        ),
        "meta_pos": lambda api: api.object_create("a", "c", obj_name="o", data=b"", meta_pos=long),
        "container_properties": lambda api: api.object_create_ext(
            "a", "c", obj_name="o", data=b"", container_properties=[long]
        ),
        "limit": lambda api: api.object_list("a", "c", limit=long),
        "attempts": lambda api: api.container_refresh("a", "c", attempts=long),
        "namespace": lambda api: type(api)(long.encode()),
        "conf": lambda api: ContainerClient({"name": long}),
        "endpoint": lambda api: ContainerClient({"namespace": "NS"}, endpoint=f"ftp://{long}"),
    }


LONG_VALUES = long_values()


@pytest.mark.pitfall("D9")
@pytest.mark.parametrize(("argument", "call"), LONG_VALUES.items(), ids=LONG_VALUES)
def test_message_shows_no_more_than_the_beginning_of_a_value(
    offline_api: ObjectStorageApi, argument: str, call: Any
) -> None:
    with pytest.raises((ValueError, TypeError, exc.ConfigurationException)) as caught:
        call(offline_api)
    text = str(caught.value)
    assert argument in text
    assert "xxx" in text
    assert len(text) < 300


MISSING: dict[str, Any] = {
    "policy": lambda api: api.object_change_policy("a", "c", "o", policy=None),
    "account": lambda api: api.container_create(None, "c"),
    "container": lambda api: api.container_create("a", None),
    "obj": lambda api: api.object_fetch("a", "c", None),
    "size": lambda api: api.object_truncate("a", "c", "o", size=None),
    "objs": lambda api: api.object_delete_many("a", "c", None),
    "containers": lambda api: api.container_create_many("a", None),
    "properties": lambda api: api.object_del_properties("a", "c", "o", None),
    "attempts": lambda api: api.container_refresh("a", "c", attempts=None),
    "cid": lambda api: api.resolve_cid(None),
    "dst_account": lambda api: api.container_snapshot("a", "c", None, "d"),
    "target_obj": lambda api: api.object_link("a", "c", None, "a", "c", "l"),
    "link_obj": lambda api: api.object_link("a", "c", "o", "a", "c", None),
    "namespace": lambda api: type(api)(None),
    "stgpol": lambda api: api.container.content_spare("a", "c", "o", position=0),
    "position": lambda api: api.container.content_spare("a", "c", "o", stgpol="P"),
    "content_id": lambda api: api.container.content_update("a", "c", "o", 1, [], stgpol="P"),
    "pool": lambda api: LbClient({"namespace": "N"}, endpoint="h:1").next_instances(""),
    "pool or policy": lambda api: LbClient({"namespace": "N"}, endpoint="h:1").poll(),
    "kept": lambda api: api.directory.relink("a", "r", "rdir"),
}


@pytest.mark.pitfall("D9")
@pytest.mark.parametrize(("argument", "call"), MISSING.items(), ids=MISSING)
def test_what_is_missing_is_said_to_be_required(
    offline_api: ObjectStorageApi, argument: str, call: Any
) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{argument} is required") as caught:
        call(offline_api)
    assert "None" not in str(caught.value)


@pytest.mark.parametrize("namespace", ["", None, 5, b"NS"])
def test_api_without_a_namespace_is_refused(namespace: Any) -> None:
    with pytest.raises(ValueError, match=r"namespace (is required|must be a str)"):
        ObjectStorageApi(namespace, endpoint="127.0.0.1:1")


def test_api_of_an_unknown_namespace_is_refused() -> None:
    with pytest.raises(exc.ConfigurationException, match="NOWHERE"):
        ObjectStorageApi("NOWHERE")


@pytest.mark.parametrize("name", ["connection_timeout", "write_timeout", "chunk_buffer_max"])
def test_no_time_to_connect_or_to_write_is_refused(name: str, offline_api: ObjectStorageApi) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a positive number: 0"):
        offline_api.object_create("a", "c", obj_name="o", data=b"", **{name: 0})


@pytest.mark.parametrize("nothing", [0, 0.0, "0"])
def test_no_time_to_read_is_a_deadline_that_is_spent(nothing: Any, offline_api: ObjectStorageApi) -> None:
    with pytest.raises(exc.DeadlineReached):
        offline_api.object_list("a", "c", read_timeout=nothing)


def test_only_whole_objects_are_created(offline_api: ObjectStorageApi) -> None:
    with pytest.raises(ValueError, match="meta_pos must not be given, objects are made whole: 1"):
        offline_api.object_create("a", "c", obj_name="o", data=b"", meta_pos=1)


@pytest.mark.parametrize("value", [-1, "-0.5", float("nan"), float("inf"), "soon", [1]])
@pytest.mark.parametrize("name", ["connection_timeout", "read_timeout", "write_timeout", "chunk_buffer_max"])
def test_limits_that_are_no_positive_numbers_are_refused(
    name: str, value: Any, offline_api: ObjectStorageApi
) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a"):
        ObjectStorageApi("OPENIO", endpoint="127.0.0.1:1", **{name: value})
    with pytest.raises(ValueError, match=f"{name} must be a"):
        offline_api.object_create("a", "c", obj_name="o", data=b"", **{name: value})


@pytest.mark.parametrize(
    ("value", "expected", "problem"),
    [
        ("crc99", ValueError, "not 'crc99': no such algorithm"),
        ("", ValueError, "not '': no such algorithm"),
        ("sha256", ValueError, "not 'sha256': chunk servers verify these only"),
        (5, TypeError, "must be a str, not int: 5"),
    ],
)
def test_checksums_that_chunk_servers_do_not_compute_are_refused(
    value: Any, expected: type[Exception], problem: str, offline_api: ObjectStorageApi
) -> None:
    with pytest.raises(expected, match=f"chunk_checksum_algo .*{problem}"):
        ObjectStorageApi("OPENIO", endpoint="127.0.0.1:1", chunk_checksum_algo=value)
    with pytest.raises(expected, match=f"chunk_checksum_algo .*{problem}"):
        offline_api.object_create("a", "c", obj_name="o", data=b"", chunk_checksum_algo=value)


@pytest.mark.parametrize("algorithm", ["md5", "MD5", None])
def test_checksums_that_chunk_servers_compute_are_taken(api: Any, algorithm: str | None) -> None:
    _, _, md5 = api.object_create("a", "c", obj_name="o", data=b"hello", chunk_checksum_algo=algorithm)
    assert md5 == "5d41402abc4b2a76b9719d911017c592"


@pytest.mark.parametrize("value", [float("nan"), "tomorrow"])
def test_deadline_that_never_comes_is_refused(value: Any, offline_api: ObjectStorageApi) -> None:
    with pytest.raises(ValueError, match="deadline must be a"):
        offline_api.object_locate("a", "c", "o", deadline=value)


def test_limits_of_a_call_may_be_text(api: Any) -> None:
    limits = dict.fromkeys(("connection_timeout", "read_timeout", "write_timeout"), "10")
    options = {**limits, "chunk_buffer_max": "65536", "deadline": str(time.monotonic() + 20)}
    api.object_create("a", "c", obj_name="o", data=b"hello", **options)
    assert b"".join(api.object_fetch("a", "c", "o", **limits)[1]) == b"hello"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"headers": {"x-a": "1\r\nx-b: 2"}}, "'x-a' must not have control characters"),
        ({"headers": {"x-a": "\u20ac"}}, "'x-a' must be made of Latin-1"),
        ({"headers": {"": "1"}}, "header '' must have a name of printable ASCII characters"),
        ({"headers": {"x a": "1"}}, "header 'x a' must have a name of printable ASCII characters"),
        ({"headers": {"x:a": "1"}}, "header 'x:a' must have a name of printable ASCII characters"),
        ({"headers": {"é": "1"}}, "header 'é' must have a name of printable ASCII characters"),
        ({"reqid": "a\nb"}, "'reqid' must not have control characters"),
        ({"reqid": "\u20ac"}, "'reqid' must be made of Latin-1"),
    ],
)
def test_headers_that_cannot_be_sent_are_refused(
    options: dict[str, Any], problem: str, offline_api: ObjectStorageApi
) -> None:
    with pytest.raises(ValueError, match=problem):
        offline_api.object_locate("a", "c", "o", **options)


def test_headers_that_are_no_dict_are_refused(offline_api: ObjectStorageApi) -> None:
    with pytest.raises(TypeError, match="headers must be a dict, not str"):
        offline_api.object_locate("a", "c", "o", headers="x-a: 1")


@pytest.mark.parametrize("name", [1, None, b"x-a"])
def test_names_of_headers_that_are_no_text_are_refused(name: Any, offline_api: ObjectStorageApi) -> None:
    with pytest.raises(TypeError, match=r"the name of a header must be a str, not|is required"):
        offline_api.object_locate("a", "c", "o", headers={name: "1"})


#: Options that are objects of the caller -> a wrong one, and what is asked of it.
COLLABORATORS = {
    "cache": ([True, 1, "memcached", [], {1}, dict], "a dict, or have its get, __setitem__ and __delitem__"),
    "perfdata": ([True, 1, "figures", [], {1}, dict], "a dict"),
    "pool_manager": ([True, 1, "pool", {"a": "b"}], "a pool manager of urllib3"),
}


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [(name, value, wanted) for name, (values, wanted) in COLLABORATORS.items() for value in values],
)
def test_object_of_the_caller_that_cannot_be_used_is_refused_before_anything_is_sent(
    name: str, value: Any, wanted: str, api: Any
) -> None:
    with pytest.raises(TypeError, match=f"{name} must be {wanted}, not {type(value).__name__}") as caught:
        api.object_create("a", "c", obj_name="o", data=b"x", **{name: value})
    assert isinstance(caught.value, exc.BadRequest)
    with pytest.raises(exc.NoSuchContainer):
        api.container_show("a", "c")
    with pytest.raises(TypeError, match=f"{name} must be {wanted}"):
        ObjectStorageApi("OPENIO", endpoint="http://127.0.0.1:1", **{name: value})


class _Kept(type):
    """Makes classes that can be used as caches."""

    items: ClassVar[dict[str, Any]] = {}

    def get(cls, key: str) -> Any:
        return cls.items.get(key)

    def __setitem__(cls, key: str, value: Any) -> None:
        cls.items[key] = value

    def __delitem__(cls, key: str) -> None:
        del cls.items[key]


class CacheOfAll(metaclass=_Kept):
    """One for the whole program, and its tests."""


class NoPool:
    @staticmethod
    def request(*_args: Any, **_kwargs: Any) -> Any:
        raise exc.OioNetworkException("this one sends nothing")


def test_classes_that_can_be_used_are_taken(api: Any) -> None:
    api.object_create("a", "c", obj_name="o", data=b"x", cache=CacheOfAll)
    for _ in range(2):
        assert api.object_get_properties("a", "c", "o", cache=CacheOfAll)["length"] == "1"
    assert _Kept.items
    api.object_delete("a", "c", "o", cache=CacheOfAll)
    assert not _Kept.items
    with (
        ObjectStorageApi("OPENIO", endpoint="http://127.0.0.1:1", pool_manager=NoPool) as client,
        pytest.raises(exc.OioNetworkException, match="this one sends nothing"),
    ):
        client.container_show("a", "c")


@pytest.mark.parametrize("value", [[], {"a": 1}, {1}])
def test_flag_that_is_no_word_is_refused(value: Any, offline_api: ObjectStorageApi) -> None:
    with pytest.raises(ValueError, match="hedge must be True or False"):
        offline_api.container_show("a", "c", hedge=value)
    with pytest.raises(ValueError, match="bypass_governance must be True or False"):
        offline_api.object_delete("a", "c", "o", bypass_governance=value)


def test_unknown_keyword_is_told_at_each_call(offline_api: ObjectStorageApi) -> None:
    for _ in range(2):
        with (
            pytest.warns(exc.UnknownOption, match="'read_timout' is ignored: did you mean 'read_timeout'"),
            pytest.raises(exc.OioNetworkException),
        ):
            offline_api.container_show("a", "c", read_timout=3)


@pytest.mark.parametrize("name", ["data", "endpoint", "force", "json", "params", "path", "policy", "size"])
def test_unknown_keyword_changes_no_request(name: str, api: Any) -> None:
    api.object_create("a", "c", obj_name="o", data=b"hello")
    odd = {name: "127.0.0.1:1"}
    calls: dict[str, Call] = {
        "link": lambda api: api.object_link("a", "c", "o", "a", "d", "p", **odd),
        "head": lambda api: api.object_head("a", "c", "o", **odd),
        "touch": lambda api: api.object_touch("a", "c", "o", **odd),
        "show": lambda api: api.container_show("a", "c", **odd),
        "create": lambda api: api.container_create("a", "e", **odd),
        "list": lambda api: api.account_list(**odd),
        "refresh": lambda api: api.account_refresh("a", **odd),
        "delete_many": lambda api: api.object_delete_many("a", "c", ["p"], **odd),
    }
    for call in calls.values():
        with pytest.warns(exc.UnknownOption, match=f"^Unknown keyword argument {name!r} is ignored"):
            call(api)
    assert b"".join(api.object_fetch("a", "d", "p")[1]) == b"hello"


def test_creation_takes_what_its_requests_take(api: Any) -> None:
    meta = api.object_create_ext("a", "c", obj_name="o", data=b"hello", policy="SINGLE")[3]
    # Services of 7.3.0 know no announcements, and those of today want one.
    with contextlib.suppress(exc.MethodNotAllowed):
        api.object_request_transition("a", "c", "o", "TWOCOPIES", skip_data_move=True)
    api.object_create(
        "a", "c", obj_name="o", data=b"hello", policy="TWOCOPIES", change_policy=True, version=meta["version"]
    )
    changed = api.object_get_properties("a", "c", "o")
    assert (changed["policy"], changed["version"]) == ("TWOCOPIES", meta["version"])


def test_unknown_keyword_of_the_constructor_is_told() -> None:
    with pytest.warns(exc.UnknownOption, match="'pool_max'"):
        ObjectStorageApi("OPENIO", endpoint="127.0.0.1:1", pool_max=3).close()


def test_known_keywords_are_not_told(offline_api: ObjectStorageApi, caplog: pytest.LogCaptureFixture) -> None:
    options = {"reqid": "R", "headers": {}, "timeout": 1, "force_master": True, "cid": None, "perfdata": {}}
    with pytest.raises(exc.OioNetworkException):
        offline_api.container_show("a", "c", **options)
    assert "keyword" not in caplog.text


def test_deprecated_class_warns_its_caller() -> None:
    with pytest.deprecated_call(match="ObjectStorageAPI") as warnings:
        ObjectStorageAPI("OPENIO", "127.0.0.1:1").close()
    assert warnings[0].filename == __file__


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda api: api.account_update("a", {"k": "v"}, None), "account_update"),
        (lambda api: api.container_update("a", "c", {"k": "v"}), "container_update"),
        (lambda api: api.object_analyze("a", "c", "o"), "object_analyze"),
        (lambda api: api.object_show("a", "c", "o"), "object_show"),
        (lambda api: api.object_update("a", "c", "o", {"k": "v"}), "object_update"),
        (lambda api: api.object_create("a", "c", obj_name="o", data=b"", metadata={"k": "v"}), "metadata"),
    ],
)
def test_deprecated_method_warns_its_caller(call: Call, name: str, offline_api: ObjectStorageApi) -> None:
    with pytest.deprecated_call(match=name) as warnings, pytest.raises(exc.OioNetworkException):
        call(offline_api)
    assert warnings[0].filename == __file__


def test_data_win_over_a_file_whose_name_they_take(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "named"
    path.write_bytes(b"file")
    for name, options in {"named": {}, "other": {"obj_name": "other"}}.items():
        api.object_create("a", "c", path, data=b"data", **options)
        assert b"".join(api.object_fetch("a", "c", name)[1]) == b"data"


@pytest.mark.parametrize("call", ["object_touch", "object_drain"])
def test_notice_about_what_is_missing_is_a_not_found_too(call: str, api: Any) -> None:
    with pytest.raises(exc.NoSuchContainer, match="Container 'c' does not exist") as info:
        getattr(api, call)("a", "c", "o")
    assert isinstance(info.value, exc.NotFound)
    api.container_create("a", "c")
    with pytest.raises(exc.NoSuchObject, match="Object 'o' does not exist") as info:
        getattr(api, call)("a", "c", "o")
    found = pickle.loads(pickle.dumps(info.value))
    assert isinstance(found, exc.NotFound)
    assert (found.http_status, found.status, str(found)) == (404, 420, str(info.value))
    assert found.reqid


def test_caller_headers_are_left_alone(offline_api: ObjectStorageApi) -> None:
    headers = {"X-Mine": "1"}
    with pytest.raises(exc.OioNetworkException):
        offline_api.container_show("a", "c", headers=headers)
    assert headers == {"X-Mine": "1"}


@pytest.mark.parametrize(("name", "kind"), [("c" * 1024, ValueError), (5, TypeError)])
def test_mistake_is_a_bad_request_that_pickles(
    name: Any, kind: type[Exception], offline_api: ObjectStorageApi
) -> None:
    with pytest.raises(exc.BadRequest) as info:
        offline_api.container_create("a", name)
    copy = pickle.loads(pickle.dumps(info.value))
    assert isinstance(copy, kind)
    assert (type(copy), copy.args, str(copy)) == (type(info.value), info.value.args, str(info.value))
    assert (copy.http_status, copy.status, copy.message) == (400, None, str(info.value))


def test_nothing_to_set_is_a_bad_request_as_of_the_service(offline_api: ObjectStorageApi) -> None:
    with pytest.raises(exc.BadRequest, match="nothing to set"):
        offline_api.container_set_properties("a", "c", {})
