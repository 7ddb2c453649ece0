# SPDX-License-Identifier: Apache-2.0
"""A program that uses each method of the API once, as one that is checked with ``mypy --strict`` would."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator

from oio import ObjectStorageApi
from oio.api.types import (
    AccountInfo,
    AccountProperties,
    Chunk,
    ChunkRepair,
    ContainerInfo,
    ContainerProperties,
    ContainerRow,
    CreatedObject,
    Damage,
    DeletedObject,
    DescribedChunk,
    FetchedObject,
    HealthProgress,
    LinkedObject,
    ListedObject,
    ListedPrefix,
    NewContainerProperties,
    ObjectHealth,
    ObjectListing,
    ObjectMeta,
    ObjectRepair,
    Range,
    WrittenChunk,
)
from oio.common import exceptions as exc
from oio.common.events import Event

ACCOUNT = "museum"
PHOTOS = "photos"


def show(event: Event) -> None:
    """Show what a request has come to."""
    print(event.operation, event.outcome, event.seconds, event.bytes)


def main(endpoint: str) -> None:
    """Use everything.

    :param endpoint: where the proxy is
    """
    with ObjectStorageApi("OPENIO", endpoint=endpoint, read_timeout=30.0) as api:
        accounts(api)
        containers(api)
        objects(api)
        versions(api)
        copies(api)
        listings(api)
        identifiers(api)
        maintenance(api)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            names_of_an_older_time(api)
        end(api)
        assert api.proxy_client.proxy_netloc in endpoint
        api.close()


def accounts(api: ObjectStorageApi) -> None:
    created: bool = api.account_create(ACCOUNT)
    api.account_set_properties(ACCOUNT, {"country": "France", "draft": "yes"})
    api.account_del_properties(ACCOUNT, ["draft"])
    info: AccountInfo = api.account_show(ACCOUNT)
    properties: AccountProperties = api.account_get_properties(ACCOUNT)
    assert created
    assert info["metadata"] == properties["properties"] == {"country": "France"}
    assert info["bytes"] + info["objects"] == 0
    names: list[str] = api.account_list()
    assert ACCOUNT in names


def containers(api: ObjectStorageApi) -> None:
    created: bool = api.container_create(ACCOUNT, PHOTOS, {"kind": "photos"})
    many: list[tuple[str, bool]] = api.container_create_many(ACCOUNT, ["films", "films-old", PHOTOS])
    assert (created, [name for name, done in many if done]) == (True, ["films", "films-old"])
    api.container_set_properties(ACCOUNT, PHOTOS, {"owner": "Ana"}, system={"sys.m2.policy.version": "-1"})
    api.container_del_properties(ACCOUNT, PHOTOS, ["kind"])
    shown: ContainerInfo = api.container_show(ACCOUNT, PHOTOS)
    known: ContainerProperties = api.container_get_properties(ACCOUNT, PHOTOS)
    assert shown["properties"] == known["properties"] == {"owner": "Ana"}
    assert int(known["system"]["sys.m2.objects"]) == 0
    rows: list[ContainerRow] = api.container_list(ACCOUNT, prefix="films", delimiter="-")
    for name, objects, size, is_prefix, mtime in rows:
        assert (objects, size, is_prefix) == (0, 0, int(name.endswith("-")))
        assert mtime < time.time()


def objects(api: ObjectStorageApi) -> None:
    chunks, size, md5 = api.object_create(
        ACCOUNT, PHOTOS, data=b"miaow", obj_name="cat", policy="SINGLE", size=5
    )
    first: WrittenChunk = chunks[0]
    assert (first["size"], size, md5.upper()) == (5, 5, first["hash"].upper())
    system: NewContainerProperties = {"system": {"sys.m2.quota": "1000"}}
    _, _, _, created = api.object_create_ext(
        ACCOUNT, "drafts", data=iter([b"a", b"b"]), obj_name="ab", container_properties=system
    )
    described: CreatedObject = created
    assert described["name"] == "ab"

    api.object_set_properties(ACCOUNT, PHOTOS, "cat", {"color": "grey", "mood": "good"})
    gone: bool = api.object_del_properties(ACCOUNT, PHOTOS, "cat", ["mood"])
    meta: ObjectMeta = api.object_get_properties(ACCOUNT, PHOTOS, "cat")
    assert (gone, meta["properties"], int(meta["size"])) == (True, {"color": "grey"}, 5)

    found: tuple[ObjectMeta, list[Chunk]] = api.object_locate(ACCOUNT, PHOTOS, "cat")
    assert found[1][0]["url"] == first["url"]
    more: tuple[ObjectMeta, Iterator[DescribedChunk]] = api.object_locate(
        ACCOUNT, PHOTOS, "cat", chunk_info=True
    )
    assert [chunk["chunk_size"] for chunk in more[1]] == ["5"]
    there: bool = api.object_head(ACCOUNT, PHOTOS, "cat", trust_level=2)
    assert there
    health(api)

    ranges: list[Range] = [(0, 0), (None, 2)]
    with api.object_open(ACCOUNT, PHOTOS, "kitten", "wb", properties={"color": "grey"}) as kitten:
        written: int = kitten.write(b"small")
    with api.object_open(ACCOUNT, PHOTOS, "kitten") as file:
        small: bytes = file.read(written)
    assert small == b"small"
    api.object_delete(ACCOUNT, PHOTOS, "kitten")
    fetched, stream = api.object_fetch(ACCOUNT, PHOTOS, "cat", ranges=ranges)
    of_container: FetchedObject = fetched
    with stream:
        blocks: list[bytes] = list(stream)
    assert (b"".join(blocks), of_container["ns"]) == (b"mow", "OPENIO")

    api.object_touch(ACCOUNT, PHOTOS, "cat")
    api.object_truncate(ACCOUNT, PHOTOS, "cat", size=4)
    with contextlib.suppress(exc.MethodNotAllowed):
        api.object_request_transition(ACCOUNT, PHOTOS, "cat", "TWOCOPIES", skip_data_move=True)
    stored = api.object_change_policy(ACCOUNT, PHOTOS, "cat", "TWOCOPIES")
    assert (stored[1], stored[3]["policy"]) == (4, "TWOCOPIES")
    api.object_drain(ACCOUNT, PHOTOS, "cat")
    results: list[tuple[str, bool]] = api.object_delete_many(ACCOUNT, "drafts", ["ab", "missing"])
    assert [deleted for _, deleted in results] == [True, False]
    known: DeletedObject = api.object_delete_ext(ACCOUNT, PHOTOS, "cat")
    entries: list[DeletedObject] = api.object_delete_many_ext(ACCOUNT, PHOTOS, ["bat", ("dog", 1)])
    assert [known["deleted"], *(entry["deleted"] for entry in entries)] == [True, False, False]


def health(api: ObjectStorageApi) -> None:
    told: list[HealthProgress] = []
    checked: ObjectHealth = api.object_check(ACCOUNT, PHOTOS, "cat", checksum=False)
    damage: dict[Damage, int] = checked.counts
    repaired: ObjectRepair = api.object_repair(ACCOUNT, PHOTOS, "cat", concurrency=2)
    failed: list[ChunkRepair] = repaired.failed
    all_checked: Iterator[ObjectHealth] = api.container_check(ACCOUNT, PHOTOS, on_progress=told.append)
    assert (checked.status, damage, failed, all(one.is_sound for one in all_checked)) == (
        "sound",
        {},
        [],
        True,
    )
    all_repaired: Iterator[ObjectRepair] = api.container_repair(ACCOUNT, PHOTOS, "c")
    assert (all(one.is_sound for one in all_repaired), told[-1].failed) == (True, 0)


def versions(api: ObjectStorageApi) -> None:
    for data in ("old", "older", "oldest"):
        api.object_create(ACCOUNT, PHOTOS, data=data, obj_name="dog", policy="SINGLE")
    hidden: bool = api.object_delete(ACCOUNT, PHOTOS, "dog")
    page: ObjectListing = api.object_list(ACCOUNT, PHOTOS, prefix="dog", versions=True, limit=4)
    marker: ListedObject = page["objects"][0]
    assert (hidden, marker["deleted"], page["truncated"]) == (True, True, False)
    rest: ObjectListing = api.object_list(ACCOUNT, PHOTOS, marker="dog", version_marker=marker["version"])
    assert ("next_version_marker" in rest, rest["objects"]) == (False, [])
    api.object_delete(ACCOUNT, PHOTOS, "dog", version=marker["version"])
    api.container_purge(ACCOUNT, PHOTOS, maxvers=1)
    kept = [item["size"] for item in api.object_list_all(ACCOUNT, PHOTOS, prefix="dog", versions=True)]
    assert kept == [len("oldest")]


def copies(api: ObjectStorageApi) -> None:
    link: LinkedObject = api.object_link(ACCOUNT, PHOTOS, "dog", ACCOUNT, "kennel", "rex")
    assert link["full_path"].startswith(f"{ACCOUNT}/kennel/rex/")
    api.container_snapshot(ACCOUNT, "kennel", ACCOUNT, "kennel-monday")
    assert api.object_head(ACCOUNT, "kennel-monday", "rex")


def listings(api: ObjectStorageApi) -> None:
    for name in ("2025/a", "2025/b", "2026/c"):
        api.object_create(ACCOUNT, "years", data=b"", obj_name=name, policy="SINGLE")
    sizes: dict[str, int | None] = {
        item["name"]: item["size"] for item in api.object_list_all(ACCOUNT, "years", limit=1)
    }
    assert list(sizes) == ["2025/a", "2025/b", "2026/c"]
    folders: list[str] = []
    for entry in api.object_list_all(ACCOUNT, "years", delimiter="/"):
        if "prefix" in entry:
            prefix: ListedPrefix = entry
            folders.append(prefix["prefix"])
        else:
            listed: ListedObject = entry
            raise AssertionError(listed["name"])
    assert folders == ["2025/", "2026/"]
    rows: Iterator[ContainerRow] = api.container_list_all(ACCOUNT, prefix="kennel", limit=1, region=None)
    assert [row[0] for row in rows] == ["kennel", "kennel-monday"]


def identifiers(api: ObjectStorageApi) -> None:
    meta, stream = api.object_fetch(ACCOUNT, "kennel", "rex", on_event=show)
    stream.close()
    names: tuple[str, str] = api.resolve_cid(meta["container_id"])
    assert names == (ACCOUNT, "kennel")
    by_id = api.object_get_properties(None, None, None, cid=meta["container_id"], content_id=meta["id"])
    assert by_id["name"] == "rex"


def maintenance(api: ObjectStorageApi) -> None:
    api.container_touch(ACCOUNT, PHOTOS, recompute=True)
    api.container_refresh(ACCOUNT, PHOTOS, attempts=2)
    api.account_refresh(ACCOUNT)
    meta, _ = api.object_locate(ACCOUNT, "kennel", "rex")
    with api.blob_client as client:
        assert client is api.blob_client
    assert meta["policy"] == "SINGLE"


def names_of_an_older_time(api: ObjectStorageApi) -> None:
    api.account_update(ACCOUNT, {"country": "Spain"}, [])
    api.all_accounts_refresh()
    api.container_update(ACCOUNT, PHOTOS, {"owner": "Bea"})
    api.object_update(ACCOUNT, PHOTOS, "dog", {"breed": "setter"})
    shown: ObjectMeta = api.object_show(ACCOUNT, PHOTOS, "dog")
    meta, _ = api.object_analyze(ACCOUNT, PHOTOS, "dog")
    link: LinkedObject = api.object_fastcopy(ACCOUNT, PHOTOS, "dog", ACCOUNT, PHOTOS, "wolf")
    assert shown["properties"] == meta["properties"] == link["properties"] == {"breed": "setter"}


def end(api: ObjectStorageApi) -> None:
    for row in api.container_list_all(ACCOUNT):
        name: str = row[0]
        # What was made as a snapshot is frozen: only the service can empty it.
        api.container_flush(ACCOUNT, name, fast=name == "kennel-monday")
        api.container_delete(ACCOUNT, name)
    api.account_flush(ACCOUNT)
    api.account_delete(ACCOUNT)
