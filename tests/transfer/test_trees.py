# SPDX-License-Identifier: Apache-2.0
"""Files and objects, one, many, or all of a tree."""

from __future__ import annotations

import os
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common.retry import ONCE
from oio.sandbox import Fault, Namespace
from oio.transfer import (
    FileRefused,
    NameRefused,
    Progress,
    Remote,
    Result,
    Transfer,
    TransferCancelled,
    TransferConfig,
    TransfersFailed,
)
from oio.transfer._entries import walk
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, create, read, routes
from tests.kit.transfers import BOX, PART, TREE, content, failure, fill, outcomes, stored, transfer

# --- one ---


def test_file_comes_back_with_its_bytes_and_its_time(api: Any, files: Path, target: Path) -> None:
    fill(files, {"large": LARGE})
    with transfer(api) as moving:
        up = moving.upload_file(files / "large", BOX, "o")
        target.mkdir()
        down = moving.download_file(BOX, "o", target / "copy")
    assert up == Result("upload", "o", str(files / "large"), "done", len(LARGE))
    assert down == Result("download", "o", str(target / "copy"), "done", len(LARGE))
    assert content(target) == {"copy": LARGE}
    assert (target / "copy").stat().st_mtime_ns == (files / "large").stat().st_mtime_ns
    known = api.object_get_properties(ACCOUNT, CONTAINER, "o")["properties"]
    assert known == {"file-mtime": f"1500000000.{123456789 + len(LARGE):09}"}


def test_name_of_an_object_is_that_of_the_file_after_the_prefix(api: Any, files: Path) -> None:
    fill(files, {"f": b"1"})
    with transfer(api) as moving:
        moving.upload_file(files / "f", Remote(ACCOUNT, CONTAINER, "x/"))
    assert stored(api) == {"x/f": b"1"}


@pytest.mark.on_release("7.3")
def test_file_for_a_bucket_is_sent_again_without_a_copy(
    namespace: Namespace, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(files, {"large": (data := random.Random(1).randbytes(3 << 20))})
    monkeypatch.setattr(tempfile, "tempdir", str(files / "gone"))
    fault = Fault("status", service="b2", operation="b2_upload_file", status=503, nth=1)
    with namespace.api() as api, namespace.faults(fault):
        assert transfer(api, policy="BACKBLAZE").upload_file(files / "large", BOX).size == len(data)
        monkeypatch.undo()
        assert stored(api) == {"large": data}


def test_same_file_is_not_moved_again(api: Any, namespace: Namespace, files: Path, target: Path) -> None:
    fill(files, {"f": b"1"})
    with transfer(api) as moving:
        moving.upload_file(files / "f", BOX)
        moving.download_file(BOX, "f", target / "f")
        namespace.forget_requests()
        assert moving.upload_file(files / "f", BOX).reason == "same"
        assert moving.download_file(BOX, "f", target / "f").reason == "same"
    assert not [route for route in routes(namespace) if "rawx" in route]


def test_changed_file_replaces_the_object(api: Any, files: Path) -> None:
    fill(files, {"f": b"1"})
    with transfer(api) as moving:
        moving.upload_file(files / "f", BOX)
        (files / "f").write_bytes(b"2")
        assert moving.upload_file(files / "f", BOX).outcome == "done"
    assert stored(api) == {"f": b"2"}


@pytest.mark.parametrize(("overwrite", "expected"), [("always", "done"), ("never", "skipped")])
def test_overwrite_says_what_becomes_of_what_exists(
    api: Any, files: Path, target: Path, overwrite: str, expected: str
) -> None:
    fill(files, {"f": b"1"})
    with transfer(api) as moving:
        moving.upload_file(files / "f", BOX)
        moving.download_file(BOX, "f", target / "f")
    create(api, "f2", b"22")
    fill(files, {"f2": b"33"})
    with transfer(api, overwrite=overwrite) as moving:
        results = [
            moving.upload_file(files / "f", BOX),
            moving.download_file(BOX, "f", target / "f"),
            moving.copy_object(BOX, "f", BOX, "f2"),
        ]
    assert [result.outcome for result in results] == [expected] * 3


def test_checksums_find_a_change_that_keeps_size_and_time(api: Any, files: Path, target: Path) -> None:
    fill(files, {"f": b"1", "g": b"1"})
    with transfer(api) as moving:
        moving.upload_tree(files, BOX)
        moving.download_tree(BOX, target)
        fill(files, {"f": b"2"})
        fill(target, {"g": b"3"})
        assert moving.upload_tree(files, BOX).done == 0
    with transfer(api, compare="checksum") as moving:
        assert outcomes(moving.upload_tree(files, BOX)) == {"f": "upload done", "g": "upload skipped same"}
        assert moving.download_tree(BOX, target).done == 2
    assert stored(api) == content(target) == {"f": b"2", "g": b"1"}


def test_version_can_be_chosen(api: Any, target: Path) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    version = create(api, "o", LARGE)["version"]
    create(api, "o", b"new")
    with transfer(api) as moving:
        moving.download_file(BOX, "o", target / "old", version=version)
    assert content(target) == {"old": LARGE}


def test_failure_of_one_is_raised(api: Any, tmp_path: Path) -> None:
    with transfer(api) as moving:
        with pytest.raises(exc.NoSuchContainer):
            moving.download_file(BOX, "o", tmp_path / "o")
        create(api, "o")
        with pytest.raises(exc.NoSuchObject):
            moving.download_file(BOX, "p", tmp_path / "p")
        with pytest.raises(exc.NoSuchObject):
            moving.copy_object(BOX, "p", BOX, "q")
        with pytest.raises(FileNotFoundError):
            moving.upload_file(tmp_path / "missing", BOX)
        with pytest.raises(FileRefused, match="regular"):
            moving.upload_file(tmp_path, BOX, "directory")
        with pytest.raises(FileRefused, match="is a directory"):
            moving.download_file(BOX, "o", tmp_path)
    assert not list(tmp_path.glob(".oio-*"))


# --- many ---


def test_tree_comes_back_and_is_not_moved_again(
    api: Any, namespace: Namespace, files: Path, target: Path
) -> None:
    fill(files, TREE)
    box = Remote(ACCOUNT, CONTAINER, "site/")
    with transfer(api) as moving:
        report = moving.upload_tree(files, box)
        assert outcomes(report) == {f"site/{name}": "upload done" for name in TREE}
        assert report.bytes == sum(map(len, TREE.values()))
        assert moving.download_tree(box, target).done == len(TREE)
        namespace.forget_requests()
        assert moving.upload_tree(files, box).skipped == len(TREE)
        assert moving.download_tree(box, target).skipped == len(TREE)
    assert content(target) == TREE
    # One listing each.
    assert [route.split()[-1] for route in routes(namespace)] == ["container/list"] * 2


def test_stopped_tree_goes_on_where_it_was(api: Any, files: Path) -> None:
    fill(files, TREE)
    (files / "b/c/d").chmod(0)
    os.remove(files / "b/c/d")
    os.symlink("nowhere", files / "b/c/d")
    with transfer(api) as moving:
        moving.upload_tree(files, BOX)
        os.remove(files / "b/c/d")
        fill(files, TREE)
        assert {k for k, v in outcomes(moving.upload_tree(files, BOX)).items() if "done" in v} == {"b/c/d"}
    assert stored(api) == TREE


def test_pairs_are_moved(api: Any, files: Path, target: Path) -> None:
    fill(files, {"f": b"1", "g": b"2"})
    with transfer(api) as moving:
        assert moving.upload_many(((files / name, f"x/{name}") for name in "fgh"), BOX).failed == 1
        box = Remote(ACCOUNT, CONTAINER, "x/")
        assert moving.copy_many(box, [("f", "f2")], box).done == 1
        report = moving.download_many(box, [("f2", target / "f"), ("g", target / "g"), ("h", target / "h")])
    assert content(target) == {"f": b"1", "g": b"2"}
    assert isinstance(failure(report), exc.NoSuchObject)
    with pytest.raises(TransfersFailed, match="1 transfers failed, the first: 'x/h'") as caught:
        report.raise_failures()
    assert caught.value.report is report
    assert isinstance(caught.value.__cause__, exc.NoSuchObject)


def test_copies_have_data_and_properties(api: Any, files: Path) -> None:
    fill(files, {"f": LARGE, "g": b"2"})
    mirror = Remote(ACCOUNT, "mirror", "m/")
    with transfer(api) as moving:
        moving.upload_tree(files, BOX)
        assert moving.copy_tree(BOX, mirror).done == 2
        assert moving.copy_tree(BOX, mirror).skipped == 2
    _, stream = api.object_fetch(ACCOUNT, "mirror", "m/f")
    assert b"".join(stream) == LARGE
    known = api.object_get_properties(ACCOUNT, "mirror", "m/f")["properties"]
    assert known == api.object_get_properties(ACCOUNT, CONTAINER, "f")["properties"]


@pytest.mark.on_release("7.3")
def test_copy_without_links_has_data_properties_and_policy(namespace: Namespace) -> None:
    with namespace.api() as api:
        properties = {"color": "blue", "name": "is a field of the description too"}
        create(api, "o", LARGE, policy="BACKBLAZE", properties=properties, mime_type="text/plain")
        with transfer(api) as moving:
            assert moving.copy_object(BOX, "o", BOX, "copy").size == len(LARGE)
        assert read(api, "copy") == LARGE
        known = api.object_get_properties(ACCOUNT, CONTAINER, "copy")
    assert (known["policy"], known["mime_type"]) == ("BACKBLAZE", "text/plain")
    assert known["properties"] == properties


@pytest.mark.on_release("7.3")
def test_copy_without_links_is_of_the_object_that_replaced_another_meanwhile(namespace: Namespace) -> None:
    # The version whose properties were read is gone when its data are to be.
    gone = Fault(
        "status",
        service="proxy",
        operation="content/locate",
        nth=2,
        status=404,
        body='{"status": 420, "message": "Alias not found"}',
    )
    with namespace.api(retry=ONCE) as api:
        create(api, "o", LARGE, policy="BACKBLAZE")
        with namespace.faults(gone) as plan, transfer(api) as moving:
            assert moving.copy_object(BOX, "o", BOX, "copy").size == len(LARGE)
        plan.assert_met()
        assert read(api, "copy") == LARGE


# --- what is left out ---


def test_links_special_files_and_names_that_are_no_text_are_reported(
    api: Any, files: Path, tmp_path: Path
) -> None:
    fill(files, {"f": b"1"})
    (files / "link").symlink_to("f")
    (files / "links").symlink_to(tmp_path)
    os.mkfifo(files / "pipe")
    (Path(os.fsdecode(os.fsencode(files) + b"/\xff"))).write_bytes(b"2")
    (files / "empty").mkdir()
    with transfer(api) as moving:
        report = moving.upload_tree(files, BOX)
    assert outcomes(report) == {
        "f": "upload done",
        "link": "upload skipped symbolic link",
        "links": "upload skipped symbolic link",
        "pipe": "upload skipped special file",
        "\udcff": "upload failed",
    }
    assert isinstance(failure(report), NameRefused)
    assert stored(api) == {"f": b"1"}


@pytest.mark.parametrize(
    "name",
    [
        "../out",
        "x/../../out",
        "/etc/out",
        "x//y",
        "./x",
        "x/.",
        "x\0y",
        "n" * 256,
        ".oio-0123456789abcdef.part",
    ],
)
def test_name_that_no_file_can_have_is_a_failure(api: Any, target: Path, name: str) -> None:
    try:
        create(api, f"p/{name}")
    except exc.BadRequest:
        # Services take no NUL, and nobody else could have put it there.
        assert "\0" in name
        return
    create(api, "p/good")
    with transfer(api) as moving:
        report = moving.download_tree(Remote(ACCOUNT, CONTAINER, "p/"), target)
    assert isinstance(failure(report), NameRefused)
    assert content(target) == {"good": b"hello"}
    assert not (target.parent / "out").exists()


def test_nothing_is_written_through_a_link(api: Any, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"mine")
    target.mkdir()
    (target / "way").symlink_to(outside)
    (target / "file").symlink_to(outside / "file")
    create(api, "way/f")
    create(api, "file")
    with transfer(api) as moving:
        report = moving.download_tree(BOX, target)
    assert isinstance(failure(report), NameRefused)
    assert "in the way" in str(failure(report))
    assert content(outside) == {"file": b"mine"}
    assert (target / "file").read_bytes() == b"hello"


@pytest.mark.parametrize("compare", ["size+mtime", "checksum"])
def test_link_in_the_place_of_a_file_is_replaced(api: Any, target: Path, compare: str) -> None:
    create(api, "o", b"aim")
    target.mkdir()
    # Of the same size as the object, and of the same time.
    (target / "o").symlink_to("aim")
    mtime = next(api.object_list_all(ACCOUNT, CONTAINER))["mtime"]
    os.utime(target / "o", (mtime, mtime), follow_symlinks=False)
    with transfer(api, compare=compare) as moving:
        assert moving.download_tree(BOX, target).done == 1
    assert content(target) == {"o": b"aim"}


@pytest.mark.parametrize("name", ["n" * 256, "/proc/self/fdinfo/f"], ids=["name", "directory"])
def test_a_file_that_cannot_be_written_is_named_by_its_path(api: Any, tmp_path: Path, name: str) -> None:
    create(api, "o")
    # The name is too long, or no file can be made in the directory.
    path = str(tmp_path / name)
    with transfer(api) as moving, pytest.raises(OSError, match=re.escape(repr(path))):
        moving.download_file(BOX, "o", path)


def test_a_failure_names_the_path_rather_than_bytes_or_nothing() -> None:
    for err in (PermissionError(13, "Permission denied", b"x"), OSError(28, "No space left on device")):
        result = Result("upload", "x", "files/x", "failed", error=err)
        assert str(result.error).endswith(": 'files/x'")


def test_a_directory_that_cannot_be_read_is_named_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f": '{tmp_path}/gone'")):
        next(walk(f"{tmp_path}/gone", follow=False))


def test_names_that_clash_are_failures_of_the_longer_one(api: Any, target: Path) -> None:
    for name in ("a", "a-", "a/b", "c/"):
        create(api, name, b"" if name == "c/" else b"1")
    with transfer(api) as moving:
        report = moving.download_tree(BOX, target)
    assert outcomes(report) == {
        "a": "download done",
        "a-": "download done",
        "a/b": "download failed",
        "c/": "download skipped directory marker",
    }
    assert "clashes" in str(failure(report))


def test_directory_in_the_way_is_a_failure_of_one(api: Any, target: Path) -> None:
    fill(target, {"a/b": b"1", "c": b"2"})
    for name in ("a", "c/d", "e"):
        create(api, name)
    with transfer(api) as moving:
        report = moving.download_tree(BOX, target)
    assert {result.name for result in report.failures} == {"a", "c/d"}
    assert content(target) == {"a/b": b"1", "c": b"2", "e": b"hello"}


# --- progress ---


def test_progress_ends_with_all_that_was_moved(api: Any, files: Path, target: Path) -> None:
    fill(files, TREE)
    seen: list[Progress] = []
    results: list[Result] = []
    with transfer(api, on_progress=seen.append, on_result=results.append, clock=lambda: 0.0) as moving:
        moving.upload_tree(files, BOX)
        moving.download_tree(BOX, target)
    size = sum(map(len, TREE.values()))
    # The clock stands still: only the first of each call is due, and the last is always told.
    assert len(seen) <= 4
    assert seen[-1] == Progress(size, len(TREE), size, len(TREE), size, len(TREE), 0)
    assert len(results) == 2 * len(TREE)


def test_exception_in_a_callback_ends_the_call(api: Any, files: Path) -> None:
    fill(files, {str(number): b"1" for number in range(50)})

    def refuse(_result: Result) -> None:
        raise KeyError("mine")

    with transfer(api, on_result=refuse, workers=1) as moving, pytest.raises(KeyError, match="mine"):
        moving.upload_tree(files, BOX)


def test_report_keeps_no_more_than_it_may(api: Any, files: Path) -> None:
    fill(files, {str(number): b"1" for number in range(5)})
    with transfer(api, results_kept=2) as moving:
        report = moving.upload_tree(files, BOX)
    assert (report.done, len(list(report)), report.is_complete) == (5, 2, False)


def test_bandwidth_is_shared_by_all_workers(api: Any, files: Path) -> None:
    fill(files, dict.fromkeys("abcd", b"x" * 100000))
    waits: list[float] = []
    with transfer(api, waits=waits, bandwidth=200_000, clock=lambda: 0.0) as moving:
        moving.upload_tree(files, BOX)
    # No time passes on this clock: the last byte may go after all that it takes.
    assert max(waits) == pytest.approx(2.0)


# --- arguments ---


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 0}, "workers must be from 1 to 1024: 0"),
        ({"workers": "8"}, "workers must be an int, not str"),
        ({"part_size": PART - 1}, "part_size must be from 65536"),
        ({"retry_delay": -1}, "retry_delay must be a number of seconds, 0 at least: -1"),
        ({"verify": 1}, "verify must be True or False, not int: 1"),
        ({"overwrite": "maybe"}, "overwrite must be one of 'changed', 'always', 'never': 'maybe'"),
        ({"compare": "size"}, "compare must be one of"),
        ({"bandwidth": 0}, "bandwidth must be from 1"),
        ({"policy": 3}, "policy must be a str"),
    ],
)
def test_wrong_setting_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(exc.BadRequest, match=said):
        TransferConfig(**settings)


def test_wrong_argument_is_named(offline_api: Any, files: Path) -> None:
    moving: Any = Transfer(offline_api)
    for said, call in {
        "target must be an oio.transfer.Remote": lambda: moving.upload_tree(files, "box"),
        "path must be a path, not int: 3": lambda: moving.upload_file(3, BOX),
        "name must be a str, not bytes": lambda: moving.upload_file(files / "f", BOX, b"f"),
        "path must be that of a file": lambda: moving.download_file(BOX, "o", f"{files}/"),
        "name is required": lambda: moving.download_file(BOX, "", files / "f"),
        "source or target must be": lambda: moving.sync(files, files),
        "delete must be True or False": lambda: moving.sync(files, BOX, delete=1),
        "compare must be one of": lambda: moving.sync(files, BOX, compare="time"),
        "target must not hold, or be in, the source": lambda: moving.copy_tree(BOX, BOX),
        "config must be a TransferConfig": lambda: Transfer(offline_api, {}),  # type: ignore[arg-type]
        "container is required": lambda: Remote("a", ""),
        "on_progress must be callable": lambda: Transfer(offline_api, on_progress=3),  # type: ignore[arg-type]
        "path must be a path, not NoneType": lambda: moving.upload_many([(None, "n")], BOX),
    }.items():
        with pytest.raises(exc.BadRequest, match=said):
            call()
    with pytest.raises(NotADirectoryError, match="directory must be a directory"):
        moving.upload_tree(files / "missing", BOX)
    moving.close()
    with pytest.raises(exc.BadRequest, match="closed"):
        moving.upload_tree(files, BOX)


@pytest.mark.parametrize("moment", ["arguments", "first pair"])
def test_a_transfer_that_is_closed_as_a_call_begins_moves_nothing(api: Any, files: Path, moment: str) -> None:
    fill(files, {"f": b"data"})
    moving = transfer(api)

    class Closing:
        def __fspath__(self) -> str:
            moving.close()
            return str(files / "f")

    def pairs() -> Iterator[tuple[Any, str]]:
        moving.close()
        yield files / "f", "f"

    if moment == "arguments":
        with pytest.raises(exc.BadRequest, match="closed"):
            moving.upload_file(Closing(), BOX)
    else:
        with pytest.raises(TransferCancelled) as caught:
            moving.upload_many(pairs(), BOX)
        assert [result.outcome for result in caught.value.report] == ["failed"]
    assert not api.object_head(BOX.account, BOX.container, "f")


def test_data_are_read_as_they_were_stored(api: Any, files: Path) -> None:
    fill(files, {"f": LARGE})
    with transfer(api, policy="SINGLE") as moving:
        moving.upload_file(files / "f", BOX)
    assert read(api, "f") == LARGE
    assert api.object_get_properties(ACCOUNT, CONTAINER, "f")["policy"] == "SINGLE"
