# SPDX-License-Identifier: Apache-2.0
"""Containers are named by their names or by their ID, objects by their name or by their content ID."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from oio.api.object_storage import ObjectStorageApi
from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.sandbox import Namespace
from tests.kit.every_call import CONTAINER_CALLS, OBJECT_CALLS, make
from tests.kit.facade import ACCOUNT, CONTAINER, create, read

CID = cid_from_name(ACCOUNT, CONTAINER)
SPELLED = [CID, CID.lower(), f"{CID}.1", f"{CID.lower()}.1"]

WITH_NAMES_ONLY = {
    "container_create": "an ID does not tell the names that the container gets",
    "container_create_many": "an ID does not tell the names that the containers get",
    "object_fastcopy": "there are two containers, an ID does not tell which one it is",
    "object_link": "there are two containers, an ID does not tell which one it is",
}


@pytest.fixture
def ids(api: Any) -> dict[str, str]:
    """Two objects in a container, one of them of two versions: the content IDs of both versions."""
    api.container_create(ACCOUNT, CONTAINER, {"k": "v"}, system={"sys.m2.policy.version": "-1"})
    old = create(api, "o", b"older", properties={"k": "v"})
    new = create(api, "o", b"newer")
    create(api, "p", b"other")
    return {"old": old["id"], "new": new["id"]}


def containers_asked_for(namespace: Namespace) -> set[str]:
    """What the requests about containers and objects named their container by."""
    found = set()
    for record in namespace.requests:
        parts = urlsplit(record.target)
        query = parse_qs(parts.query)
        if record.service == "proxy" and ("cid" in query or "ref" in query):
            found.add(query["cid"][0] if "cid" in query else query["ref"][0])
    return found


#: About an account, or what services of 7.3.0 cannot do.
UNADDRESSED = ("container_list", "container_list_all", "object_request_transition")


def test_each_call_about_a_container_or_an_object_is_in_a_table() -> None:
    known = {name.partition(",")[0] for name in (*CONTAINER_CALLS, *OBJECT_CALLS, *WITH_NAMES_ONLY)}
    there = {
        name
        for name in dir(ObjectStorageApi)
        if name.startswith(("container_", "object_")) and name not in UNADDRESSED
    }
    assert known == there
    for name in {name.partition(",")[0] for name in OBJECT_CALLS}:
        parameters = inspect.signature(getattr(ObjectStorageApi, name)).parameters
        assert "obj" in parameters or "args" in parameters


# --- containers --------------------------------------------------------------------------------------


@pytest.mark.pitfall(119, 146)
@pytest.mark.parametrize(("call", "cid"), list(zip(CONTAINER_CALLS, itertools.cycle(SPELLED), strict=False)))
def test_container_is_named_by_its_id(
    api: Any, namespace: Namespace, ids: dict[str, str], call: str, cid: str
) -> None:
    namespace.forget_requests()
    make(call, CONTAINER_CALLS, api, None, None, cid=cid)
    # The copy of a snapshot is another container.
    assert containers_asked_for(namespace) - {"copy", cid_from_name(ACCOUNT, "copy")} == {CID}


@pytest.mark.pitfall(85, 119)
@pytest.mark.parametrize("call", CONTAINER_CALLS)
def test_container_of_an_unknown_id_is_missing(api: Any, call: str) -> None:
    if call == "object_delete_many":
        assert api.object_delete_many(None, None, ["o"], cid="AB") == [("o", False)]
        return
    if call == "object_delete_many_ext":
        found = api.object_delete_many_ext(None, None, ["o", ("p", 1)], cid="AB")
        assert [item["deleted"] for item in found] == [False, False]
        return
    with pytest.raises((exc.NoSuchContainer, exc.NoSuchAccount)):
        make(call, CONTAINER_CALLS, api, None, None, cid="AB" * 32)


@pytest.mark.pitfall(119, 146)
@pytest.mark.parametrize("call", OBJECT_CALLS)
def test_object_is_found_in_the_container_of_an_id(
    api: Any, namespace: Namespace, ids: dict[str, str], call: str
) -> None:
    namespace.forget_requests()
    make(call, OBJECT_CALLS, api, None, None, "o", cid=CID.lower())
    assert containers_asked_for(namespace) == {CID}


@pytest.mark.parametrize("call", [*CONTAINER_CALLS, *OBJECT_CALLS])
def test_container_without_a_name_is_refused(offline_api: Any, call: str) -> None:
    calls = CONTAINER_CALLS if call in CONTAINER_CALLS else OBJECT_CALLS
    target = (None, None) if call in CONTAINER_CALLS else (None, None, "o")
    with pytest.raises(TypeError, match="account is required"):
        make(call, calls, offline_api, *target)


def test_data_are_the_same_whatever_the_container_is_named_by(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    made = api.object_create_ext(None, None, obj_name="o", data=b"hello", cid=CID.lower())[3]
    known = create(api, "p", b"hello")
    assert made["container_id"] == known["container_id"] == CID
    prefix = "/".join((ACCOUNT, CONTAINER, "o", made["version"], made["id"]))
    assert made["full_path"] == prefix
    assert read(api, "o") == b"hello"


@pytest.mark.parametrize("spelled", SPELLED)
def test_names_of_a_container_are_found_by_its_id(api: Any, spelled: str) -> None:
    with pytest.raises(exc.NotFound) as caught:
        api.resolve_cid(spelled)
    assert (caught.value.http_status, caught.value.status) == (404, 406)
    api.container_create(ACCOUNT, CONTAINER)
    assert api.resolve_cid(spelled) == (ACCOUNT, CONTAINER)


def test_names_that_the_directory_has_not_are_missing(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = {"account": None, "name": None, "cid": CID}
    monkeypatch.setattr(api.directory, "_direct_request", lambda *_args, **_kwargs: (None, nobody))
    with pytest.raises(exc.NotFound, match=f"names of container {CID} are not known"):
        api.resolve_cid(CID)


# --- objects -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a call about a version gave, and what can be seen of this version afterwards."""

    api: Any
    before: dict[str, Any]
    data: bytes
    result: Any

    def after(self) -> Any:
        return self.api.object_get_properties(ACCOUNT, CONTAINER, "o", version=self.before["version"])

    def read(self) -> bytes:
        return read(self.api, "o", version=self.before["version"])

    def is_marked(self) -> bool:
        found = self.api.object_list(ACCOUNT, CONTAINER, versions=True)["objects"]
        return (int(self.before["version"]) + 1, True) in [(obj["version"], obj["deleted"]) for obj in found]


EFFECTS: dict[str, Callable[[Outcome], bool]] = {
    "object_analyze": lambda seen: seen.result[0]["id"] == seen.before["id"],
    "object_change_policy": lambda seen: seen.after()["policy"] == "SINGLE" and seen.read() == seen.data,
    "object_check": lambda seen: seen.result.content_id == seen.before["id"],
    "object_del_properties": lambda seen: seen.after()["properties"] == {},
    "object_delete": Outcome.is_marked,
    "object_delete_ext": Outcome.is_marked,
    "object_drain": lambda seen: seen.after()["chunk_method"] == "drained",
    "object_fetch": lambda seen: b"".join(seen.result[1]) == seen.data,
    "object_get_properties": lambda seen: seen.result == seen.before,
    "object_head": lambda seen: seen.result is True,
    "object_locate": lambda seen: seen.result[0]["id"] == seen.before["id"],
    "object_open": lambda seen: seen.result == seen.data,
    "object_repair": lambda seen: seen.result.health.content_id == seen.before["id"],
    "object_set_properties": lambda seen: seen.after()["properties"] == {"k": "v"},
    "object_show": lambda seen: seen.result == seen.before,
    "object_touch": lambda seen: seen.after() == seen.before,
    "object_truncate": lambda seen: seen.read() == seen.data[:2],
    "object_update": lambda seen: seen.after()["properties"] == {"k": "v"},
}


@pytest.mark.parametrize(("which", "option"), [("old", "content_id"), ("new", "content")])
@pytest.mark.parametrize("call", OBJECT_CALLS)
def test_object_is_named_by_its_content_id(
    api: Any, ids: dict[str, str], call: str, which: str, option: str
) -> None:
    """The version that has the content ID is the one that is looked at, or changed."""
    target = (ACCOUNT, CONTAINER, None)
    other = ids[{"old": "new", "new": "old"}[which]]
    descriptions = {key: api.object_get_properties(*target, content_id=key) for key in ids.values()}
    result = make(call, OBJECT_CALLS, api, *target, **{option: ids[which].lower()})
    data = {"old": b"older", "new": b"newer"}[which]
    assert EFFECTS[call.partition(",")[0]](Outcome(api, descriptions[ids[which]], data, result))
    assert api.object_get_properties(*target, content_id=other) == descriptions[other]


@pytest.mark.parametrize("call", OBJECT_CALLS)
def test_object_of_an_unknown_content_id_is_missing(api: Any, ids: dict[str, str], call: str) -> None:
    if call.startswith("object_head"):
        assert make(call, OBJECT_CALLS, api, ACCOUNT, CONTAINER, None, content_id="AB" * 16) is False
        return
    with pytest.raises(exc.NoSuchObject):
        make(call, OBJECT_CALLS, api, ACCOUNT, CONTAINER, None, content_id="AB" * 16)


@pytest.mark.parametrize("call", OBJECT_CALLS)
def test_object_without_a_name_is_refused(offline_api: Any, call: str) -> None:
    with pytest.raises(TypeError, match="obj is required"):
        make(call, OBJECT_CALLS, offline_api, ACCOUNT, CONTAINER, None)
