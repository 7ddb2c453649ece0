# SPDX-License-Identifier: Apache-2.0
"""What holds for every call of the API: its options reach all the requests that it causes."""

from __future__ import annotations

import contextlib
import inspect
import re
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oio.api.object_storage import ObjectStorageApi
from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, create, header
from tests.kit.garbage import garbage_of
from tests.kit.releases import for_each

BOX = (ACCOUNT, CONTAINER)
OBJECT = (*BOX, "o")
LARGE = bytes(2000)
"""Two metachunks."""


def _fetch(api: Any, *args: Any, **kwargs: Any) -> None:
    _, stream = api.object_fetch(*args, **kwargs)
    with stream:
        assert b"".join(stream)


def _read_file(api: Any, **kwargs: Any) -> None:
    with api.object_open(*OBJECT, **kwargs) as file:
        assert file.read()


def _write_file(api: Any, mode: str, **kwargs: Any) -> None:
    with api.object_open(*BOX, "file", mode, **kwargs) as file:
        file.write(b"hello")


def _describe(api: Any, **kwargs: Any) -> None:
    _, chunks = api.object_locate(*OBJECT, chunk_info=True, **kwargs)
    assert all("error" not in chunk for chunk in chunks)


def _request_transition(api: Any, **kwargs: Any) -> None:
    # Services of 7.3.0 know no announcements.
    with contextlib.suppress(exc.MethodNotAllowed):
        api.object_request_transition(*OBJECT, "SINGLE", **kwargs)


def _repair(api: Any, name: str, **kwargs: Any) -> None:
    assert api.object_repair(*BOX, name, **kwargs).is_sound


def _repair_all(api: Any, **kwargs: Any) -> None:
    assert all(repair.is_sound for repair in api.container_repair(*BOX, **kwargs))


CALLS: dict[str, list[Callable[..., Any]]] = {
    # -- accounts
    "account_create": [lambda api, **kw: api.account_create("new", **kw)],
    "account_del_properties": [lambda api, **kw: api.account_del_properties(ACCOUNT, ["k"], **kw)],
    "account_delete": [lambda api, **kw: api.account_delete("lonely", **kw)],
    "account_flush": [lambda api, **kw: api.account_flush(ACCOUNT, **kw)],
    "account_get_properties": [lambda api, **kw: api.account_get_properties(ACCOUNT, **kw)],
    "account_list": [lambda api, **kw: api.account_list(**kw)],
    "account_refresh": [
        lambda api, **kw: api.account_refresh(ACCOUNT, **kw),
        lambda api, **kw: api.account_refresh(**kw),
    ],
    "account_set_properties": [lambda api, **kw: api.account_set_properties(ACCOUNT, {"k": "v"}, **kw)],
    "account_show": [lambda api, **kw: api.account_show(ACCOUNT, **kw)],
    "account_update": [lambda api, **kw: api.account_update(ACCOUNT, {"k": "v"}, **kw)],
    "all_accounts_refresh": [lambda api, **kw: api.all_accounts_refresh(**kw)],
    # -- containers
    "container_check": [lambda api, **kw: api.container_check(*BOX, **kw)],
    "container_create": [lambda api, **kw: api.container_create(ACCOUNT, "new", **kw)],
    "container_create_many": [lambda api, **kw: api.container_create_many(ACCOUNT, ["x", "y"], **kw)],
    "container_del_properties": [lambda api, **kw: api.container_del_properties(*BOX, ["k"], **kw)],
    "container_delete": [lambda api, **kw: api.container_delete(ACCOUNT, "empty", **kw)],
    "container_flush": [
        lambda api, **kw: api.container_flush(*BOX, **kw),
        lambda api, **kw: api.container_flush(*BOX, fast=True, **kw),
    ],
    "container_get_properties": [lambda api, **kw: api.container_get_properties(*BOX, **kw)],
    "container_list": [lambda api, **kw: api.container_list(ACCOUNT, **kw)],
    "container_list_all": [lambda api, **kw: api.container_list_all(ACCOUNT, limit=1, **kw)],
    "container_purge": [lambda api, **kw: api.container_purge(*BOX, **kw)],
    "container_refresh": [lambda api, **kw: api.container_refresh(*BOX, **kw)],
    "container_repair": [_repair_all],
    "container_set_properties": [
        lambda api, **kw: api.container_set_properties(*BOX, {"k": "v"}, **kw),
        lambda api, **kw: api.container_set_properties(*BOX, {}, clear=True, **kw),
    ],
    "container_show": [lambda api, **kw: api.container_show(*BOX, **kw)],
    "container_snapshot": [lambda api, **kw: api.container_snapshot(*BOX, ACCOUNT, "copy", **kw)],
    "container_touch": [
        lambda api, **kw: api.container_touch(*BOX, **kw),
        lambda api, **kw: api.container_touch(*BOX, recompute=True, **kw),
    ],
    "container_update": [lambda api, **kw: api.container_update(*BOX, {"k": "v"}, **kw)],
    "resolve_cid": [lambda api, **kw: api.resolve_cid(cid_from_name(*BOX), **kw)],
    # -- objects
    "object_analyze": [lambda api, **kw: api.object_analyze(*OBJECT, **kw)],
    "object_change_policy": [lambda api, **kw: api.object_change_policy(*OBJECT, "SINGLE", **kw)],
    "object_check": [lambda api, **kw: api.object_check(*OBJECT, **kw)],
    "object_create": [
        lambda api, **kw: api.object_create(*BOX, obj_name="new", data=LARGE, **kw),
        lambda api, **kw: api.object_create(*BOX, obj_name="o", data=b"more", append=True, **kw),
    ],
    "object_create_ext": [lambda api, **kw: create(api, "new", LARGE, policy="EC21", **kw)],
    "object_del_properties": [lambda api, **kw: api.object_del_properties(*OBJECT, ["k"], **kw)],
    "object_delete": [lambda api, **kw: api.object_delete(*OBJECT, **kw)],
    "object_delete_ext": [lambda api, **kw: api.object_delete_ext(*OBJECT, **kw)],
    "object_delete_many_ext": [
        lambda api, **kw: api.object_delete_many_ext(*BOX, ["o", ("p", 1), "ec"], **kw)
    ],
    "object_delete_many": [lambda api, **kw: api.object_delete_many(*BOX, ["o", "p"], **kw)],
    "object_drain": [lambda api, **kw: api.object_drain(*OBJECT, **kw)],
    "object_fastcopy": [lambda api, **kw: api.object_fastcopy(*OBJECT, *BOX, "link", **kw)],
    "object_fetch": [
        lambda api, **kw: _fetch(api, *OBJECT, **kw),
        lambda api, **kw: _fetch(api, *OBJECT, ranges=[(5, 9), (None, 3)], **kw),
        lambda api, **kw: _fetch(api, *BOX, "ec", **kw),
    ],
    "object_get_properties": [lambda api, **kw: api.object_get_properties(*OBJECT, **kw)],
    "object_head": [
        lambda api, **kw: api.object_head(*OBJECT, **kw),
        lambda api, **kw: api.object_head(*OBJECT, trust_level=1, **kw),
        lambda api, **kw: api.object_head(*OBJECT, trust_level=2, **kw),
    ],
    "object_link": [
        lambda api, **kw: api.object_link(*OBJECT, *BOX, "link", **kw),
        lambda api, **kw: api.object_link(*BOX, "ec", *BOX, "link", **kw),
    ],
    "object_list": [lambda api, **kw: api.object_list(*BOX, **kw)],
    "object_list_all": [
        lambda api, **kw: api.object_list_all(*BOX, limit=1, **kw),
        lambda api, **kw: api.object_list_all(*BOX, limit=1, versions=True, **kw),
    ],
    "object_locate": [lambda api, **kw: api.object_locate(*OBJECT, **kw), _describe],
    "object_open": [
        _read_file,
        lambda api, **kw: _write_file(api, "wb", **kw),
        lambda api, **kw: _write_file(api, "ab", **kw),
    ],
    "object_repair": [
        lambda api, **kw: _repair(api, "o", **kw),
        lambda api, **kw: _repair(api, "ec", **kw),
    ],
    "object_request_transition": [_request_transition],
    "object_set_properties": [lambda api, **kw: api.object_set_properties(*OBJECT, {"k": "v"}, **kw)],
    "object_show": [lambda api, **kw: api.object_show(*OBJECT, **kw)],
    "object_touch": [lambda api, **kw: api.object_touch(*OBJECT, **kw)],
    "object_truncate": [
        lambda api, **kw: api.object_truncate(*OBJECT, size=10, **kw),
        lambda api, **kw: api.object_truncate(*OBJECT, size=0, **kw),
    ],
    "object_update": [lambda api, **kw: api.object_update(*OBJECT, {"k": "v"}, **kw)],
}
OTHERS = {"close"}
#: Keys of results that only one of the releases has, or has a value for: see ``docs/compatibility.rst``.
_ACCOUNT = "damaged_objects|missing_chunks|replication_enabled|regions|shards|mtime|metadata max-buckets"
_SYSTEM = r"(system )?(sys\.m2\.(chunks\.missing|objects\..*|usage\..*|shards)|version:main\.shard_ranges)"
ONE_RELEASE = {
    "account_get_properties": f"{_ACCOUNT}|properties max-buckets",
    "account_show": _ACCOUNT,
    "container_get_properties": _SYSTEM,
    "object_delete_ext": "version|delete_marker",
    "object_list": _SYSTEM,
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Directories of namespaces with what the calls are about, one of each release, to be copied."""

    def model(each: str) -> Path:
        path = tmp_path_factory.mktemp("model")
        with running(path, each) as namespace:
            furnish(namespace)
        return path

    return for_each(model)


@pytest.fixture
def namespace(tmp_path: Path, release: str, models: dict[str, Path]) -> Iterator[Namespace]:
    """A namespace with what the calls are about."""
    with running(copytree(models[release], tmp_path / "namespace"), release) as namespace:
        yield namespace


def running(path: Path, release: str) -> Namespace:
    """A namespace of small chunks, so that objects of two metachunks are quick to store."""
    return Namespace(path, rawx=3, chunk_size=len(LARGE) // 2, release=release)


def furnish(namespace: Namespace) -> None:
    with namespace.api() as api:
        api.container_create(*BOX, {"k": "v"}, system={"sys.m2.policy.version": "-1"})
        api.container_create(ACCOUNT, "empty")
        api.account_create("lonely")
        for name, policy in (("o", "THREECOPIES"), ("o", "TWOCOPIES"), ("p", "SINGLE"), ("ec", "EC21")):
            create(api, name, LARGE, policy=policy, properties={"k": "v"})


def strike(namespace: Namespace) -> None:
    """Delete chunks of objects that have others, for what is repaired to need all kinds of requests."""
    store = namespace.rawx[0].store
    for chunk in store.names():
        with store.open(chunk) as found:
            name = found.attributes.fullpath.split("/")[2]
        if name in {"o", "ec"}:
            store.delete(chunk)


def requests_of(name: str, namespace: Namespace, constructor: Any = None, **options: Any) -> Iterator[Any]:
    """Make the calls of a method; get the requests that the services got for each."""
    with namespace.api(**(constructor or {})) as api, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for call in CALLS[name]:
            if name.endswith("_repair"):
                strike(namespace)
            namespace.forget_requests()
            result = call(api, **options)
            if isinstance(result, Iterator):
                list(result)
            assert namespace.requests
            yield namespace.requests


def granted(record: Any) -> float | None:
    """Seconds that a service is granted; None for data, whose connections say nothing of it."""
    value = header(record, "x-oio-timeout")
    if value is None:
        assert (record.service, record.method) in {("rawx", "PUT"), ("rawx", "GET")}
        return None
    return int(value) / 990_000


def test_no_method_is_forgotten() -> None:
    public = {name for name, found in inspect.getmembers(ObjectStorageApi, callable) if name[0] != "_"}
    assert public - OTHERS == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_result_has_the_same_form_on_each_release(name: str, tmp_path: Path, models: dict[str, Path]) -> None:
    """The same program gets the same: the same types and keys, but for those that are listed above."""
    forms = []
    for each, model in models.items():
        with running(copytree(model, tmp_path / each), each) as namespace, warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            with namespace.api() as api:
                forms.append([form_of(call(api), ONE_RELEASE.get(name, "nothing")) for call in CALLS[name]])
    assert forms[0] == forms[1]


@pytest.mark.parametrize("name", CALLS)
def test_nothing_of_a_call_is_left_to_the_garbage_collector(name: str, namespace: Namespace) -> None:
    """What refers to itself keeps data and connections for long, and costs time to find."""
    with namespace.api() as api, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for call in CALLS[name]:
            if name.endswith("_repair"):
                strike(namespace)
            assert garbage_of(call, api) == []


def test_nothing_of_a_failure_is_left_to_the_garbage_collector(namespace: Namespace) -> None:
    def fail(api: Any) -> None:
        with pytest.raises(exc.NoSuchObject):
            api.object_fetch(*BOX, "missing")

    with namespace.api() as api:
        assert garbage_of(fail, api) == []


def form_of(value: Any, but: str, path: str = "") -> Any:
    """Types and keys of a result; those of the items of a list are each there once.

    :param but: keys to leave out, as a regular expression.
    """
    if isinstance(value, dict):
        # Properties that describe a chunk have its URL in their names.
        known = {f"{path}{key.partition('http://')[0]}": item for key, item in value.items()}
        kept = {key: item for key, item in known.items() if not re.fullmatch(but, key)}
        return {key: form_of(item, but, f"{key} ") for key, item in kept.items()}
    if isinstance(value, tuple):
        return tuple(form_of(item, but, path) for item in value)
    if isinstance(value, (list, Iterator)):
        forms = [form_of(item, but, path) for item in value]
        return [form for number, form in enumerate(forms) if form not in forms[:number]]
    return type(value)


@pytest.mark.pitfall(72)
@pytest.mark.parametrize("name", CALLS)
def test_time_limits_of_the_constructor_reach_every_request(name: str, namespace: Namespace) -> None:
    limits = {"connection_timeout": 500.0, "read_timeout": 600.0}
    for records in requests_of(name, namespace, limits):
        for record in records:
            seconds = granted(record)
            # Nothing has 300 seconds by default.
            assert seconds is None or 300 < seconds <= 600, record.target


@pytest.mark.pitfall(70, 72, 109)
@pytest.mark.parametrize("name", CALLS)
def test_options_reach_every_request(name: str, namespace: Namespace) -> None:
    options = {"read_timeout": 600, "reqid": "MINE", "headers": {"X-Extra": "yes"}, "force_master": True}
    for records in requests_of(name, namespace, **options):
        for record in records:
            seconds = granted(record)
            assert seconds is None or 300 < seconds <= 600, record.target
            assert header(record, "x-oio-req-id") == "MINE", record.target
            assert header(record, "x-extra") == "yes", record.target
            if record.service == "account":
                assert parse_qs(urlsplit(record.target).query)["force_master"] == ["1"], record.target
            elif record.service == "proxy":
                assert header(record, "x-oio-force-master") == "1", record.target


@pytest.mark.pitfall(70, 72)
@pytest.mark.parametrize("name", CALLS)
def test_deadline_reaches_every_request_and_all_have_one_id(name: str, namespace: Namespace) -> None:
    # Everything has more than 20 seconds by default.
    for records in requests_of(name, namespace, deadline=time.monotonic() + 20):
        for record in records:
            seconds = granted(record)
            assert seconds is None or 0 < seconds <= 20, record.target
        ids = {header(record, "x-oio-req-id") for record in records}
        assert len(ids) == 1
        assert None not in ids
