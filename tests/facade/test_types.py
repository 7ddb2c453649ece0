# SPDX-License-Identifier: Apache-2.0
"""Results are what their types say: those of the sandbox, and those that were recorded of a cluster."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import types
from collections.abc import Callable, Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

import oio.api.types as documented
from oio.api.object_storage import ObjectStorageApi
from oio.api.types import (
    AccountInfo,
    AccountProperties,
    Chunk,
    ContainerInfo,
    ContainerProperties,
    ContainerRow,
    CreatedObject,
    DescribedChunk,
    FetchedObject,
    LinkedObject,
    ListedObject,
    ListedPrefix,
    ObjectListing,
    ObjectMeta,
    Uploaded,
    WrittenChunk,
)
from tests.kit.facade import ACCOUNT, CONTAINER, create
from tests.kit.releases import RELEASES
from tests.wire.calls import load_call
from tests.wire.recorded import NAMES

ON_RELEASES = RELEASES

DELETE_MARKER = {"name", "version", "ctime", "mtime", "deleted", "properties"}


def differences(value: Any, hint: Any, where: str = "result") -> Iterator[str]:
    """Tell what is not as it is said to be."""
    hint = getattr(documented, hint) if isinstance(hint, str) else hint
    origin = get_origin(hint)
    if hint is Any:
        return
    if is_typeddict(hint):
        yield from differences_of_dict(value, hint, where)
    elif origin in (Union, types.UnionType):
        if all(list(differences(value, choice)) for choice in get_args(hint)):
            yield f"{where}: {value!r} is no {hint}"
    elif not isinstance(value, origin or hint) or (isinstance(value, bool) and hint is int):
        yield f"{where}: {value!r} is no {hint}"
    elif origin is list:
        for index, item in enumerate(value):
            yield from differences(item, get_args(hint)[0], f"{where}[{index}]")
    elif origin is dict:
        for key, item in value.items():
            yield from differences(key, get_args(hint)[0], f"{where}: key")
            yield from differences(item, get_args(hint)[1], f"{where}[{key!r}]")


def differences_of_dict(value: Any, hint: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: {value!r} is no dict"
        return
    for key in sorted(hint.__required_keys__ - value.keys()):
        yield f"{where}: {key!r} is missing"
    hints = get_type_hints(hint)
    for key, item in value.items():
        if key in hints:
            yield from differences(item, hints[key], f"{where}[{key!r}]")
        else:
            yield f"{where}: {key!r} is not documented"


def check(value: Any, hint: Any) -> None:
    assert list(differences(value, hint)) == []


def keys(hint: Any) -> set[str]:
    return set(get_type_hints(hint))


# --- of the sandbox ----------------------------------------------------------------------------------


@pytest.fixture
def filled(api: Any) -> Any:
    api.container_create(ACCOUNT, CONTAINER, {"k": "v"}, system={"sys.m2.policy.version": "-1"})
    create(api, "copies", policy="THREECOPIES", properties={"k": "v"})
    create(api, "fragments", policy="EC21")
    create(api, "dir/hidden", policy="SINGLE")
    api.object_delete(ACCOUNT, CONTAINER, "dir/hidden")
    api.account_set_properties(ACCOUNT, {"k": "v"})
    return api


NAMES_OF_OBJECTS = pytest.mark.parametrize("name", ["copies", "fragments"])


@NAMES_OF_OBJECTS
def test_descriptions_of_objects_are_as_documented(filled: Any, name: str) -> None:
    meta, chunks = filled.object_locate(ACCOUNT, CONTAINER, name)
    check(meta, ObjectMeta)
    assert meta.keys() == keys(ObjectMeta)
    assert all(chunk.keys() == keys(Chunk) for chunk in chunks)
    check(chunks, list[Chunk])
    check(filled.object_get_properties(ACCOUNT, CONTAINER, name), ObjectMeta)
    with pytest.deprecated_call():
        check(filled.object_show(ACCOUNT, CONTAINER, name), ObjectMeta)
    meta, stream = filled.object_fetch(ACCOUNT, CONTAINER, name)
    check(meta, FetchedObject)
    assert b"".join(stream) == b"hello"


def test_description_of_a_delete_marker_is_as_documented(filled: Any) -> None:
    marker = filled.object_get_properties(ACCOUNT, CONTAINER, "dir/hidden")
    assert marker.keys() == DELETE_MARKER
    assert set(re.findall("``(.*?)``", str(ObjectMeta.__doc__))) == DELETE_MARKER
    hints = get_type_hints(ObjectMeta)
    assert all(isinstance(marker[key], str) for key in DELETE_MARKER if hints[key] is str)


@pytest.mark.parametrize(("policy", "extra"), [("THREECOPIES", set()), ("EC21", {"num"})])
def test_what_was_stored_is_as_documented(filled: Any, policy: str, extra: set[str]) -> None:
    stored = filled.object_create_ext(ACCOUNT, CONTAINER, obj_name="new", data=b"data", policy=policy)
    short = filled.object_create(
        ACCOUNT, CONTAINER, obj_name="new", data=b"data", policy=policy, mime_type="text/plain"
    )
    changed = filled.object_change_policy(ACCOUNT, CONTAINER, "new", "SINGLE")
    assert len(stored) == len(changed) == len(get_args(eval(Uploaded, vars(documented)))) == 4
    for chunks, size, checksum, *meta in (stored, short, changed):
        check(chunks, list[WrittenChunk])
        check((size, checksum), tuple)
        check(meta, list[CreatedObject])
    assert stored[0][0].keys() == keys(Chunk) | extra


@NAMES_OF_OBJECTS
def test_what_a_rawx_knows_of_a_chunk_is_as_documented(filled: Any, namespace: Any, name: str) -> None:
    namespace.rawx[0].stop()
    _, chunks = filled.object_locate(ACCOUNT, CONTAINER, name, chunk_info=True)
    described = list(chunks)
    check(described, list[DescribedChunk])
    assert [chunk for chunk in described if "error" in chunk]
    known = next(chunk for chunk in described if "error" not in chunk)
    assert known.keys() == keys(DescribedChunk) - {"error"}


@pytest.mark.parametrize(
    "options",
    [{}, {"limit": 1}, {"properties": True}, {"versions": True}, {"delimiter": "/", "deleted": True}],
)
def test_listings_of_objects_are_as_documented(filled: Any, options: dict[str, Any]) -> None:
    page = filled.object_list(ACCOUNT, CONTAINER, **options)
    check(page, ObjectListing)
    if "limit" in options:
        # Services of 7.3 give no version marker.
        assert page.keys() == keys(ObjectListing) - {"next_version_marker"}
    for entry in filled.object_list_all(ACCOUNT, CONTAINER, **options):
        check(entry, ListedPrefix if "prefix" in entry else ListedObject)
    if "properties" in options:
        assert page["objects"][0].keys() == keys(ListedObject)
    if "delimiter" in options:
        assert page["prefixes"] == ["dir/"]


def test_descriptions_of_links_are_as_documented(filled: Any) -> None:
    link = filled.object_link(ACCOUNT, CONTAINER, "copies", ACCOUNT, CONTAINER, "link")
    check(link, LinkedObject)
    with pytest.deprecated_call():
        check(filled.object_fastcopy(ACCOUNT, CONTAINER, "link", ACCOUNT, CONTAINER, "again"), LinkedObject)


def test_descriptions_of_containers_and_accounts_are_as_documented(filled: Any) -> None:
    check(filled.container_show(ACCOUNT, CONTAINER), ContainerInfo)
    check(filled.container_get_properties(ACCOUNT, CONTAINER), ContainerProperties)
    check(filled.account_show(ACCOUNT), AccountInfo)
    check(filled.account_get_properties(ACCOUNT), AccountProperties)
    for row in [*filled.container_list(ACCOUNT, delimiter="x"), *filled.container_list_all(ACCOUNT)]:
        check(row, eval(ContainerRow, {"Any": Any}))
        assert [type(item) for item in row] == [str, int, int, int, int if row[3] else float]


# --- of a cluster ------------------------------------------------------------------------------------

RECORDED: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "account_show__ok": lambda result: (result, AccountInfo),
    "account_show__with_content": lambda result: (result, AccountInfo),
    "account_get_properties__ok": lambda result: (result, AccountProperties),
    "container_show__ok": lambda result: (result, ContainerInfo),
    "container_get_properties__ok": lambda result: (result, ContainerProperties),
    "object_get_properties__ok": lambda result: (result, ObjectMeta),
    "object_locate__EC": lambda result: (result[0], ObjectMeta),
    "object_locate__SINGLE": lambda result: (result[1], list[Chunk]),
    "object_link__THREECOPIES": lambda result: (result, LinkedObject),
    "object_create__ext": lambda result: (result[0], list[WrittenChunk]),
    "object_create__multichunk_EC": lambda result: (result[0], list[WrittenChunk]),
}


@pytest.mark.parametrize("name", RECORDED)
def test_results_of_a_cluster_are_as_documented(name: str) -> None:
    check(*RECORDED[name](load_call(name).outcome["return"]))


LISTINGS = [name for name in NAMES if name.startswith("object_list__")]


@pytest.mark.parametrize("name", LISTINGS)
def test_listings_of_a_cluster_are_as_documented(name: str) -> None:
    result = load_call(name).outcome.get("return")
    if result is not None:
        # The recorded client did not tell which version is the latest.
        objects = [{"is_latest": True, **obj} for obj in result["objects"]]
        check({**result, "objects": objects}, ObjectListing)
    else:
        assert "exception" in load_call(name).outcome


# --- documentation -----------------------------------------------------------------------------------


def test_every_key_is_documented() -> None:
    undocumented = []
    for node in ast.parse(inspect.getsource(documented)).body:
        if isinstance(node, ast.ClassDef):
            for item, following in itertools.pairwise([*node.body, ast.Pass()]):
                if isinstance(item, ast.AnnAssign) and not is_text(following):
                    undocumented.append(f"{node.name}.{ast.unparse(item.target)}")
    assert undocumented == []


def is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_calls_return_documented_types() -> None:
    undocumented = [
        name
        for name in dir(ObjectStorageApi)
        if name.startswith(("account_", "container_", "object_"))
        and "dict[str, Any]" in str(getattr(ObjectStorageApi, name).__annotations__.get("return"))
    ]
    assert undocumented == []
