# SPDX-License-Identifier: Apache-2.0
"""Synchronisation of directories and containers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from oio.transfer import Remote
from oio.transfer._entries import Skipped, walk
from oio.transfer._names import ParentNames
from tests.kit.facade import ACCOUNT, CONTAINER, create
from tests.kit.releases import RELEASES
from tests.kit.transfers import BOX, TREE, content, fill, outcomes, stored, transfer

ON_RELEASES = RELEASES


def test_target_becomes_like_the_source_both_ways(api: Any, files: Path, target: Path) -> None:
    fill(files, TREE)
    create(api, "b/gone")
    create(api, "zone", b"1")
    fill(target, {"a": b"other", "b/c/old": b"1", "b/c/older/x": b"2", "w/x/y": b"3"})
    with transfer(api) as moving:
        up = moving.sync(files, BOX, delete=True)
        down = moving.sync(BOX, target, delete=True)
        assert stored(api) == content(target) == TREE
        again = [moving.sync(files, BOX, delete=True), moving.sync(BOX, target, delete=True)]
    assert outcomes(up) == dict.fromkeys(TREE, "upload done") | {
        "b/gone": "delete done",
        "zone": "delete done",
    }
    assert {name for name, outcome in outcomes(down).items() if outcome == "delete done"} == {
        "b/c/old",
        "b/c/older/x",
        "w/x/y",
    }
    assert [report.skipped for report in again] == [len(TREE)] * 2
    # Directories that are empty by now are removed too.
    assert not (target / "w").exists()
    assert not (target / "b/c/older").exists()


def test_directory_that_is_empty_for_a_moment_is_not_taken_from_a_download(
    api: Any, files: Path, target: Path
) -> None:
    # In each of them, a file is deleted while another one is about to be written.
    tree = {f"{number:03}/new": b"new" for number in range(150)}
    fill(files, tree)
    fill(target, {f"{number:03}/old": b"old" for number in range(150)})
    with transfer(api, policy="SINGLE") as moving:
        moving.sync(files, BOX).raise_failures()
        moving.sync(BOX, target, delete=True).raise_failures()
    assert content(target) == tree


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("prefix", ["", "p/"])
def test_object_replaces_the_directory_of_its_name_in_one_run(
    api: Any, target: Path, workers: int, prefix: str
) -> None:
    fill(target, {"b/c": b"1", "b/d/e": b"2", "b-/x": b"3", "b-/y": b"4", "z/z": b"5"})
    names = ("b", "b!", "b-", "b-a", "b0", "z")
    for name in names:
        create(api, prefix + name, b"new")
    with transfer(api, workers=workers) as moving:
        moving.sync(Remote(ACCOUNT, CONTAINER, prefix), target, delete=True).raise_failures()
    assert content(target) == dict.fromkeys(names, b"new")


def test_object_replaces_no_directory_of_which_something_stays(api: Any, target: Path) -> None:
    fill(target, {"b/c": b"1", "d/e": b"2", "d/f": b"3"})
    (target / "b" / "link").symlink_to("c")
    for name in ("b", "d", "d/f"):
        create(api, name)
    with transfer(api, workers=1) as moving:
        report = moving.sync(BOX, target, delete=True)
    assert outcomes(report) == {
        "b": "download failed",
        "b/c": "delete done",
        "d": "download failed",
        "d/e": "delete done",
        "d/f": "download failed",
    }
    assert content(target) == {"d/f": b"3"}


def test_nothing_is_deleted_unless_it_is_wanted(api: Any, files: Path, target: Path) -> None:
    fill(files, {"f": b"1"})
    create(api, "g", b"2")
    fill(target, {"h": b"3"})
    with transfer(api) as moving:
        moving.sync(files, BOX)
        moving.sync(BOX, target)
    assert set(stored(api)) == {"f", "g"}
    assert set(content(target)) == {"f", "g", "h"}


def test_prefix_that_is_no_directory_deletes_nothing(api: Any, files: Path) -> None:
    """What only begins like it would be deleted as well."""
    create(api, "photos-of-others/cat", b"1")
    remote = Remote(ACCOUNT, BOX.container, "photos")
    with transfer(api) as moving:
        for ends in ((files, remote), (remote, files), (remote, Remote(ACCOUNT, "mirror"))):
            with pytest.raises(ValueError, match="prefix must end with a slash when delete is set: 'photos'"):
                moving.sync(*ends, delete=True)
    assert set(stored(api)) == {"photos-of-others/cat"}


@pytest.mark.parametrize("dry_run", [False, True])
def test_prefix_of_the_source_that_no_object_has_deletes_nothing(
    api: Any, target: Path, dry_run: bool
) -> None:
    """It may be mistyped, and all of the target would be deleted."""
    create(api, "photos/cat", b"1")
    fill(target, {"cat": b"1"})
    typo, mirror = Remote(ACCOUNT, CONTAINER, "typo/"), Remote(ACCOUNT, "mirror")
    with transfer(api) as moving:
        moving.sync(BOX, mirror)
        for there in (target, target / "missing", mirror):
            with pytest.raises(exc.NoSuchObject, match="prefix of the source, 'typo/': nothing was deleted"):
                moving.sync(typo, there, delete=True, dry_run=dry_run)
        assert outcomes(moving.sync(typo, target)) == {}
    assert content(target) == {"cat": b"1"}
    assert set(stored(api, mirror)) == {"photos/cat"}


def test_source_that_has_only_the_marker_of_its_directory_is_empty(api: Any, target: Path) -> None:
    create(api, "photos/", b"")
    fill(target, {"cat": b"1"})
    with transfer(api) as moving:
        moving.sync(Remote(ACCOUNT, CONTAINER, "photos/"), target, delete=True)
    assert content(target) == {}


def test_dry_run_tells_all_and_changes_nothing(api: Any, files: Path, target: Path) -> None:
    fill(files, {"f": b"1", "same": b"2"})
    fill(target, {"old": b"3"})
    with transfer(api) as moving:
        moving.upload_file(files / "same", BOX)
        create(api, "gone", b"4")
        up = moving.sync(files, BOX, delete=True, dry_run=True)
        down = moving.sync(BOX, target, delete=True, dry_run=True)
        missing = moving.sync(BOX, target / "missing", delete=True, dry_run=True)
        copied = moving.sync(BOX, Remote(ACCOUNT, "none"), delete=True, dry_run=True)
    assert outcomes(up) == {
        "f": "upload planned",
        "same": "upload skipped same",
        "gone": "delete planned",
    }
    assert outcomes(down) == {
        "same": "download planned",
        "gone": "download planned",
        "old": "delete planned",
    }
    assert missing.planned == copied.planned == 2
    assert set(stored(api)) == {"same", "gone"}
    assert content(target) == {"old": b"3"}
    assert not (target / "missing").exists()


def test_containers_are_compared_by_checksums(api: Any) -> None:
    mirror = Remote(ACCOUNT, "mirror")
    for name in ("same", "changed"):
        create(api, name, b"1")
    with transfer(api) as moving:
        moving.sync(BOX, mirror)
        create(api, "changed", b"2")
        api.object_create(ACCOUNT, "mirror", obj_name="gone", data=b"")
        report = moving.sync(BOX, mirror, delete=True)
    assert outcomes(report) == {
        "same": "copy skipped same",
        "changed": "copy done",
        "gone": "delete done",
    }


def test_object_without_the_time_of_a_file_gets_its_own(api: Any, target: Path) -> None:
    create(api, "o")
    listed = next(api.object_list_all(ACCOUNT, CONTAINER))
    with transfer(api) as moving:
        moving.sync(BOX, target)
        assert moving.sync(BOX, target).skipped == 1
        # And the other way round it is the same file.
        assert moving.sync(target, BOX).skipped == 1
    assert (target / "o").stat().st_mtime_ns == listed["mtime"] * 10**9


def test_what_cannot_be_seen_is_not_deleted(api: Any, files: Path, tmp_path: Path) -> None:
    fill(files, {"f": b"1"})
    (files / "d").symlink_to(tmp_path)
    (files / "l").symlink_to("f")
    os.mkfifo(files / "p")
    for name in ("d/x", "l", "p", "d-"):
        create(api, name)
    with transfer(api) as moving:
        report = moving.sync(files, BOX, delete=True)
    assert {name for name, outcome in outcomes(report).items() if outcome == "delete done"} == {"d-"}


def test_markers_of_directories_that_exist_are_not_deleted(api: Any, files: Path) -> None:
    (files / "empty").mkdir(parents=True)
    fill(files, {"full/f": b"1", "file": b"2"})
    for name in ("empty/", "full/", "gone/", "file/", "full//", "/", "./", "../", "full/../full/"):
        create(api, name, b"")
    create(api, "full/data/", b"not a marker")
    with transfer(api) as moving:
        report = moving.sync(files, BOX, delete=True)
    deleted = {name for name, outcome in outcomes(report).items() if outcome == "delete done"}
    assert deleted == {"gone/", "file/", "full//", "/", "./", "../", "full/../full/", "full/data/"}


def test_marker_of_the_prefix_is_neither_deleted_nor_a_failure(api: Any, files: Path, target: Path) -> None:
    fill(files, {"f": b"1"})
    create(api, "p/", b"")
    below = Remote(ACCOUNT, CONTAINER, "p/")
    with transfer(api) as moving:
        moving.sync(files, below, delete=True)
        assert set(stored(api)) == {"p/", "p/f"}
        assert moving.sync(below, target).failed == 0
    assert (target / "f").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("x//y", {"x/y"}),
        ("./x/y", {"x/y"}),
        ("/x/y", {"x/y"}),
        ("//x/y", {"x/y"}),
        ("x/y/", {"x/y"}),
        ("../x/y", {"x/y"}),
        # It comes after the file in the order of names.
        ("z/../x/y", {"x/y"}),
        ("d//e", {"d/e/f", "d/e/g/h"}),
        (".", {"d/e/f", "d/e/g/h", "d/e-", "x/y", "x/y-"}),
        ("x" * 256, set()),
    ],
)
def test_file_that_a_refused_name_means_is_not_deleted(
    api: Any, target: Path, name: str, kept: set[str]
) -> None:
    names = {"d/e/f", "d/e/g/h", "d/e-", "x/y", "x/y-"}
    fill(target, dict.fromkeys(names, b"1"))
    create(api, name)
    with transfer(api) as moving:
        planned = moving.sync(BOX, target, delete=True, dry_run=True)
        report = moving.sync(BOX, target, delete=True)
    assert report.failed == 1
    assert set(content(target)) == kept
    assert outcomes(report) == {name: "download failed"} | dict.fromkeys(names - kept, "delete done")
    assert planned.planned == len(names - kept)


def test_name_that_is_left_out_protects_no_file(api: Any, target: Path) -> None:
    create(api, "x//y")
    fill(target, {"x/y": b"1"})
    with transfer(api) as moving:
        report = moving.sync(BOX, target, delete=True, exclude="x//*")
    assert outcomes(report) == {"x/y": "delete done"}


def test_links_of_the_target_are_not_deleted(api: Any, target: Path, tmp_path: Path) -> None:
    fill(tmp_path / "outside", {"f": b"1"})
    target.mkdir()
    (target / "link").symlink_to(tmp_path / "outside")
    create(api, "o")
    with transfer(api) as moving:
        moving.sync(BOX, target, delete=True)
    assert (target / "link" / "f").read_bytes() == b"1"


def test_deletion_whose_answer_is_lost_is_done_once(api: Any, namespace: Namespace, files: Path) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    create(api, "gone")
    with (
        namespace.faults(
            Fault("commit-then-reset", service="proxy", operation="content/delete", nth=1)
        ) as plan,
        transfer(api) as moving,
    ):
        report = moving.sync(files, BOX, delete=True)
    plan.assert_met()
    assert outcomes(report) == {"gone": "delete done"}
    assert stored(api) == {}
    # The object, and one delete marker.
    assert len(list(api.object_list_all(ACCOUNT, CONTAINER, versions=True))) == 2


def test_listing_that_fails_ends_the_call(api: Any, namespace: Namespace, files: Path) -> None:
    create(api, "kept")
    with (
        namespace.faults(Fault("status", service="proxy", operation="container/list", status=500)),
        transfer(api) as moving,
        pytest.raises(Exception, match="500"),
    ):
        moving.sync(files, BOX, delete=True)
    assert set(stored(api)) == {"kept"}


# --- order ---

_PART = st.text("a-./é\U0001f600", min_size=1, max_size=3).map(lambda text: text.replace("/", "é"))
_NAME = st.lists(_PART.filter(lambda part: part not in {".", ".."}), min_size=1, max_size=3).map("/".join)


@given(names=st.sets(_NAME, max_size=12))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_walk_is_in_the_order_of_listings(tmp_path_factory: Any, names: set[str]) -> None:
    root = tmp_path_factory.mktemp("walk")
    kept: set[str] = set()
    for name in sorted(names):
        clash = any(name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in kept)
        if not clash:
            kept.add(name)
            fill(root, {name: b""})
    found = list(walk(str(root), follow=False))
    assert not any(isinstance(item, Skipped) for item in found)
    assert [item.name for item in found] == sorted(kept, key=lambda name: name.encode())


@given(names=st.sets(_NAME, max_size=12))
@settings(deadline=None, database=None)
def test_names_below_others_are_noticed(names: set[str]) -> None:
    parents = ParentNames()
    for name in sorted(names, key=lambda name: name.encode()):
        assert parents.covers(name) == any(name.startswith(f"{other}/") for other in names)
        parents.add(name)
