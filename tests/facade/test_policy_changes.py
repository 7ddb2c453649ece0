# SPDX-License-Identifier: Apache-2.0
"""Objects whose data are stored again, because they are cut or get another policy."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common.arguments import WrongValue
from oio.sandbox import Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, header, read, routes
from tests.kit.releases import RELEASES, for_each

ON_RELEASES = RELEASES

CHUNK_SIZE = 1000
DATA = bytes(number % 251 for number in range(13_500))
POLICIES = {
    "SINGLE": 1,
    "TWOCOPIES": 2,
    "THREECOPIES": 3,
    "17COPIES": 17,
    "EC21": 3,
    "ECX21": 3,
    "EC": 9,
    "ECISAL63": 9,
}
"""All that the namespace serves, and how many chunks a metachunk has."""


@pytest.fixture(scope="module")
def namespaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Namespace]]:
    settings = {"rawx": 17, "chunk_size": CHUNK_SIZE, "default_policy": "TWOCOPIES"}

    def make(release: str) -> Namespace:
        path = tmp_path_factory.mktemp("namespace")
        return stack.enter_context(Namespace(path, release=release, **settings))

    with contextlib.ExitStack() as stack:
        yield for_each(make)


@pytest.fixture
def namespace(namespaces: dict[str, Namespace], release: str) -> Namespace:
    return namespaces[release]


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    with namespace.api() as client:
        client.container_create(ACCOUNT, CONTAINER)
        yield client
        client.container_flush(ACCOUNT, CONTAINER)
    assert chunks_on_disk(namespace) == []


def change(api: Any, name: str, policy: str, **kwargs: Any) -> Any:
    return api.object_change_policy(ACCOUNT, CONTAINER, name, policy, **kwargs)


def assert_is(namespace: Namespace, api: Any, name: str, data: bytes, policy: str) -> None:
    """The object has these data, this policy in all its chunks, and all chunks that there are."""
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, name)
    assert (int(meta["length"]), meta["policy"]) == (len(data), policy)
    assert read(api, name, verify_checksum="strict") == data
    assert len({chunk["pos"].partition(".")[0] for chunk in chunks}) * POLICIES[policy] == len(chunks)
    ids = [chunk["url"].rpartition("/")[2] for chunk in chunks]
    assert sorted(ids) == sorted(chunks_on_disk(namespace))
    for chunk in chunks:
        known = api.blob_client.chunk_head(chunk["url"])
        assert (known["content_policy"], known["content_id"]) == (policy, meta["id"])
        assert (known["content_version"], known["content_path"]) == (meta["version"], name)


@pytest.mark.pitfall(128)
@pytest.mark.parametrize(
    ("stored", "now", "works"),
    [
        ("plain/nb_copy=2", "plain/nb_copy=3", True),
        ("plain/nb_copy=3", "ec/algo=liberasurecode_rs_vand,k=2,m=1", False),
        ("ec/algo=liberasurecode_rs_vand,k=2,m=1", "plain/nb_copy=3", False),
        ("ec/algo=liberasurecode_rs_vand,k=2,m=1", "ec/algo=isa_l_rs_vand,k=2,m=1", False),
        ("ec/algo=liberasurecode_rs_vand,k=2,m=1", "ec/algo=liberasurecode_rs_vand,k=3,m=1", False),
    ],
)
def test_policy_that_was_redefined_spoils_no_object(
    api: Any, namespace: Namespace, monkeypatch: pytest.MonkeyPatch, stored: str, now: str, works: bool
) -> None:
    create(api, "o", DATA[:1500], policy="THREECOPIES" if stored.startswith("plain") else "EC21")
    ask = api.container._direct_request

    def answer(method: str, url: str, **kwargs: Any) -> Any:
        resp, body = ask(method, url, **kwargs)
        if "x-oio-content-meta-chunk-method" in resp.headers:
            told = now if url.endswith("prepare2") else stored
            resp.headers["x-oio-content-meta-chunk-method"] = told
        return resp, body

    monkeypatch.setattr(api.container, "_direct_request", answer)
    before = sorted(chunks_on_disk(namespace))
    for rewrite in (
        lambda: create(api, "o", DATA[1500:], append=True),
        lambda: api.object_truncate(ACCOUNT, CONTAINER, "o", size=1200),
    ):
        if works:
            rewrite()
        else:
            with pytest.raises(exc.OioException, match=f"gives '{now}' now, but object 'o' is .* '{stored}'"):
                rewrite()
            assert sorted(chunks_on_disk(namespace)) == before
    monkeypatch.undo()
    assert read(api, "o") == (DATA[:1200] if works else DATA[:1500])


# --- another policy ----------------------------------------------------------------------------------


def test_object_goes_from_policy_to_policy(api: Any, namespace: Namespace) -> None:
    create(api, "o", DATA, policy="THREECOPIES", mime_type="text/x-test", properties={"k": "v", "hash": "h"})
    first = before = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    for policy in (*POLICIES, "THREECOPIES"):
        if policy == before["policy"]:
            continue
        chunks, size, md5, meta = change(api, "o", policy)
        assert_is(namespace, api, "o", DATA, policy)
        after = api.object_get_properties(ACCOUNT, CONTAINER, "o")
        assert {key for key in before if after[key] != before[key]} <= {"id", "policy", "chunk_method"}
        assert after["id"] != before["id"]
        assert (size, md5.upper()) == (len(DATA), before["hash"])
        assert (meta["id"], meta["policy"], meta["version"]) == (after["id"], policy, after["version"])
        assert len(chunks) == len(api.object_locate(ACCOUNT, CONTAINER, "o")[1])
        before = after
    assert {key for key in first if before[key] != first[key]} == {"id"}


@pytest.mark.on_release("7.3")
def test_object_that_is_not_what_its_description_says_is_left_alone(api: Any, namespace: Namespace) -> None:
    """Each metachunk is what it was, but all of them are not."""
    create(api, "o", DATA[:1500], policy="SINGLE")
    target = (ACCOUNT, CONTAINER, "o")
    meta, chunks = api.object_locate(*target)
    swapped = {"0": "1", "1": "0"}
    container = {"account": ACCOUNT, "reference": CONTAINER}
    beans = [
        {"type": "chunk", "id": c["url"], "content": meta["id"], **{k: c[k] for k in ("pos", "size", "hash")}}
        for c in chunks
    ]
    api.container.container_raw_update(
        beans, [{**bean, "pos": swapped[bean["pos"]]} for bean in beans], **container
    )
    before = sorted(chunks_on_disk(namespace))
    with pytest.raises(exc.EtagMismatch, match=meta["hash"]):
        change(api, "o", "EC21")
    assert sorted(chunks_on_disk(namespace)) == before


def test_memory_does_not_grow_with_the_object() -> None:
    size = 24 << 20
    block = bytes(1 << 20)
    with Namespace(rawx=3, chunk_size=size) as namespace, namespace.api() as api:
        create(api, "o", (block for _ in range(size >> 20)), policy="THREECOPIES")
        tracemalloc.start()
        try:
            change(api, "o", "TWOCOPIES")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        # The services are in this process too.
        assert peak < size // 2
        assert len(chunks_on_disk(namespace)) == 2


@pytest.fixture
def announced(release: str) -> bool:
    """Whether the services want changes to be announced."""
    return release == "2026"


@pytest.mark.pitfall("W6")
def test_change_is_announced_only_where_it_is_refused_otherwise(
    api: Any, namespace: Namespace, announced: bool
) -> None:
    create(api, "o", DATA[:1500], policy="SINGLE", properties={"k": "v"})
    namespace.forget_requests()
    change(api, "o", "TWOCOPIES")
    commits = [
        route for route in routes(namespace) if route.endswith(("content/create", "content/transition"))
    ]
    commit = ["proxy POST content/create"]
    assert commits == ([*commit, "proxy POST content/transition", *commit] if announced else commit)
    assert_is(namespace, api, "o", DATA[:1500], "TWOCOPIES")
    known = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert known["properties"] == {"k": "v"}
    assert "target_policy" not in known


@pytest.mark.pitfall("W6")
@pytest.mark.parametrize("how", ["appended", "truncated"])
def test_object_without_checksum_gets_another_policy(api: Any, namespace: Namespace, how: str) -> None:
    create(api, "o", DATA[:1500], policy="SINGLE")
    if how == "appended":
        create(api, "o", DATA[1500:2700], append=True)
    else:
        api.object_truncate(ACCOUNT, CONTAINER, "o", size=1200)
    data = DATA[: 2700 if how == "appended" else 1200]
    for policy in ("TWOCOPIES", "EC21"):
        change(api, "o", policy)
        assert_is(namespace, api, "o", data, policy)


@pytest.mark.pitfall("W6")
@pytest.mark.parametrize("appended", [b"", DATA[1500:2700]], ids=["with checksum", "without checksum"])
def test_creation_that_changes_the_policy_is_announced_too(
    api: Any, namespace: Namespace, announced: bool, appended: bytes
) -> None:
    create(api, "o", DATA[:1500], policy="SINGLE", properties={"k": "v"})
    if appended:
        create(api, "o", appended, append=True)
    data, before = DATA[:1500] + appended, api.object_get_properties(ACCOUNT, CONTAINER, "o")
    again = {"policy": "TWOCOPIES", "change_policy": True, "version": before["version"]}
    namespace.forget_requests()
    create(api, "o", data, **again)
    transitions = [route for route in routes(namespace) if route.endswith("content/transition")]
    assert len(transitions) == announced
    assert_is(namespace, api, "o", data, "TWOCOPIES")
    known = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert (known["version"], known["hash"]) == (before["version"], before["hash"])
    assert known["properties"] == {"k": "v"}


@pytest.mark.pitfall("W6")
def test_creation_with_other_data_changes_no_policy(api: Any, namespace: Namespace) -> None:
    create(api, "o", DATA[:1500], policy="SINGLE")
    before = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    again = {"policy": "TWOCOPIES", "change_policy": True, "version": before["version"]}
    with pytest.raises(exc.BadRequest):
        create(api, "o", DATA[1:1501], **again)
    # Also what was announced is taken back.
    assert api.object_get_properties(ACCOUNT, CONTAINER, "o") == before
    assert_is(namespace, api, "o", DATA[:1500], "SINGLE")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"version": None}, r"version is required with change_policy \(that of the object to change\): None"),
        ({"append": True}, "append and change_policy exclude each other: True and True"),
    ],
    ids=["version", "append"],
)
def test_creation_that_changes_no_certain_version_is_refused(
    api: Any, namespace: Namespace, options: dict[str, Any], problem: str
) -> None:
    namespace.forget_requests()
    with pytest.raises(WrongValue, match=f"^{problem}$"):
        create(api, "o", DATA[:1500], **{"policy": "EC21", "change_policy": 1, "version": 5, **options})
    assert list(namespace.requests) == []


def test_creation_changes_no_policy_of_what_is_missing(api: Any, namespace: Namespace) -> None:
    container = "missing"
    for there, expected in ((False, exc.NoSuchContainer), (True, exc.NoSuchObject)):
        if there:
            assert api.container_create(ACCOUNT, container)
        namespace.forget_requests()
        with pytest.raises(expected, match="does not exist"):
            api.object_create(
                ACCOUNT, container, obj_name="o", data=b"", policy="SINGLE", change_policy=True, version=5
            )
        assert {request.service for request in namespace.requests} == {"proxy"}
    api.container_delete(ACCOUNT, container)


def test_creation_changes_no_delete_marker(api: Any, namespace: Namespace) -> None:
    container = "with marker"
    api.container_create(ACCOUNT, container, system={"sys.m2.policy.version": "-1"})
    api.object_create(ACCOUNT, container, obj_name="o", data=b"")
    api.object_delete(ACCOUNT, container, "o")
    (marker,) = (v for v in api.object_list(ACCOUNT, container, versions=True)["objects"] if v["deleted"])
    again = {"policy": "SINGLE", "change_policy": True, "version": marker["version"]}
    namespace.forget_requests()
    with pytest.raises(exc.NoSuchObject):
        api.object_create(ACCOUNT, container, obj_name="o", data=b"", **again)
    assert {request.service for request in namespace.requests} == {"proxy"}
    api.container_flush(ACCOUNT, container)


@pytest.mark.pitfall("W6")
def test_older_version_gets_another_policy(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    versions = [create(api, "o", DATA[:size], policy="SINGLE")["version"] for size in (500, 600)]
    change(api, "o", "TWOCOPIES", version=versions[0])
    known = [api.object_get_properties(ACCOUNT, CONTAINER, "o", version=version) for version in versions]
    assert [meta["policy"] for meta in known] == ["TWOCOPIES", "SINGLE"]
    assert read(api, "o", version=versions[0]) == DATA[:500]
    api.container_flush(ACCOUNT, CONTAINER)
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "0"})


@pytest.mark.pitfall("W6")
def test_announcement_of_another_policy_is_no_obstacle(
    api: Any, namespace: Namespace, announced: bool
) -> None:
    target = (ACCOUNT, CONTAINER, "o")
    create(api, "o", DATA[:1500], policy="SINGLE", properties={"k": "v"})
    announce = {"skip_data_move": True, "internal_transition": True}
    if not announced:
        with pytest.raises(exc.MethodNotAllowed, match="do not know announcements"):
            api.object_request_transition(*target, "EC21", **announce)
        return
    api.object_request_transition(*target, "EC21", **announce)
    for known in (api.object_get_properties(*target), api.object_locate(*target)[0]):
        assert (known["policy"], known["target_policy"]) == ("SINGLE", "EC21")
        assert known["properties"] == {"k": "v"}
    change(api, "o", "TWOCOPIES")
    assert_is(namespace, api, "o", DATA[:1500], "TWOCOPIES")
    by_id = api.object_get_properties(*target)["id"]
    api.object_request_transition(ACCOUNT, CONTAINER, None, "EC21", content_id=by_id, **announce)
    change(api, "o", "EC21")
    assert_is(namespace, api, "o", DATA[:1500], "EC21")
    with pytest.raises(exc.NoSuchObject):
        api.object_request_transition(ACCOUNT, CONTAINER, "nothing", "EC21")
    with pytest.raises(exc.BadRequest):
        api.object_request_transition(*target, "NONSENSE")


@pytest.mark.pitfall("W6")
def test_property_named_like_a_field_stays_a_property(api: Any) -> None:
    create(api, "o", properties={"target-policy": "mine"})
    known = api.object_get_properties(ACCOUNT, CONTAINER, "o")
    assert known["properties"] == {"target-policy": "mine"}
    meta, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    with stream:
        assert meta["properties"] == {"target-policy": "mine"}


# --- truncation --------------------------------------------------------------------------------------


def urls(api: Any, name: str) -> list[str]:
    """Where the chunks of an object are."""
    return [chunk["url"] for chunk in api.object_locate(ACCOUNT, CONTAINER, name)[1]]


def listed(api: Any, name: str) -> list[str]:
    """IDs of the chunks of an object."""
    return [url.rpartition("/")[2] for url in urls(api, name)]


def test_metachunks_of_another_chunk_size_can_be_cut(api: Any, namespace: Namespace) -> None:
    """A namespace may get smaller chunks than it had."""
    create(api, "o", DATA[:1000])
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    with Namespace(rawx=3, chunk_size=300) as other, other.api() as api_of_other:
        create(api_of_other, "o", b"")
        target = (ACCOUNT, CONTAINER, "o")
        found, _ = api_of_other.object_locate(*target)
        # As if it had been stored before: with a chunk of three times the size that chunks have now.
        api_of_other.container.content_update(
            *target, size=1000, chunks=chunks, content_id=found["id"], stgpol="THREECOPIES"
        )
        api_of_other.object_truncate(*target, size=950)
        assert read(api_of_other, "o") == DATA[:950]
        _, chunks = api_of_other.object_locate(*target)
        assert {chunk["pos"] for chunk in chunks} == {"0", "1", "2", "3"}
    assert meta["length"] == "1000"


@pytest.mark.pitfall(157)
@pytest.mark.parametrize("size", [0, 2])
def test_what_has_no_data_is_not_cut(api: Any, namespace: Namespace, size: int) -> None:
    """The real service crashes when it is asked to cut a delete marker."""
    container = "versioned"
    api.container_create(ACCOUNT, container, system={"sys.m2.policy.version": "-1"})
    api.object_create(ACCOUNT, container, obj_name="o", data=b"data")
    api.object_delete(ACCOUNT, container, "o")
    marker = api.object_list(ACCOUNT, container, versions=True)["objects"][0]
    assert marker["deleted"]
    create(api, "drained")
    api.object_drain(ACCOUNT, CONTAINER, "drained")
    namespace.forget_requests()
    for version in (None, marker["version"]):
        with pytest.raises(exc.NoSuchObject):
            api.object_truncate(ACCOUNT, container, "o", size=size, version=version)
    with pytest.raises(exc.ContentDrained):
        api.object_truncate(ACCOUNT, CONTAINER, "drained", size=size)
    assert set(routes(namespace)) == {"proxy GET content/locate"}
    api.container_flush(ACCOUNT, container)


def damage(namespace: Namespace, url: str) -> None:
    """Change the last byte of a chunk on the disk of its rawx."""
    address, _, chunk = url.removeprefix("http://").partition("/")
    (path,) = [
        path for rawx in namespace.rawx if rawx.address == address for path in rawx.volume.rglob(chunk)
    ]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.pitfall(126)
def test_damaged_data_are_not_stored_again_as_sound_ones(api: Any, namespace: Namespace) -> None:
    target = (ACCOUNT, CONTAINER, "o")
    create(api, "o", DATA[:1000], policy="SINGLE")
    damage(namespace, *urls(api, "o"))
    with pytest.raises(exc.CorruptedChunk):
        api.object_truncate(*target, size=999)
    assert sorted(listed(api, "o")) == sorted(chunks_on_disk(namespace))
    # Who looks at no checksum can keep what is before the damage, and reads no more.
    namespace.forget_requests()
    api.object_truncate(*target, size=999, verify_checksum=False)
    assert [header(record, "range") for record in namespace.requests if record.method == "GET"] == [
        None,
        "bytes=0-998",
    ]
    assert_is(namespace, api, "o", DATA[:999], "SINGLE")


@pytest.mark.pitfall(126)
def test_sound_copy_is_cut_in_place_of_a_damaged_one(api: Any, namespace: Namespace) -> None:
    target = (ACCOUNT, CONTAINER, "o")
    create(api, "o", DATA[:1000], policy="THREECOPIES")
    for url in urls(api, "o")[:2]:
        damage(namespace, url)
    api.object_truncate(*target, size=999)
    assert_is(namespace, api, "o", DATA[:999], "THREECOPIES")
