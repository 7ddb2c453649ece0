# SPDX-License-Identifier: Apache-2.0
"""The filesystem of fsspec: errors, caches, ranges, writing, transactions, and programs that use it."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from oio.common import exceptions as exc
from oio.fs import OioFileSystem
from oio.sandbox import Fault, Namespace

DATA = random.Random(7).randbytes(600_000)
REFUSED = Fault("status", service="rawx", operation="GET", status=503)


@pytest.fixture
def options(files: OioFileSystem) -> dict[str, Any]:
    """Storage options of the same place."""
    return {
        "namespace": files.namespace,
        "account": files.account,
        "endpoint": files.endpoint,
        "skip_instance_cache": True,
    }


# --- paths and options ---


def test_url_leads_to_the_filesystem(files: OioFileSystem, options: dict[str, Any]) -> None:
    files.pipe("box/a/b", b"data")
    with fsspec.open("oio://box/a/b", **options) as file:
        assert file.read() == b"data"
    assert files._strip_protocol("oio://box/a/b/") == "box/a/b"
    assert files.unstrip_protocol("box/a/b") == "oio://box/a/b"


def test_environment_names_the_place(files: OioFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    files.pipe("box/a", b"data")
    for variable, value in (
        ("OIO_NS", files.namespace),
        ("OIO_ACCOUNT", files.account),
        ("OIO_PROXYD_URL", files.endpoint),
    ):
        monkeypatch.setenv(variable, value)
    other = OioFileSystem(skip_instance_cache=True)
    assert other.cat("box/a") == b"data"
    other.close()


@pytest.mark.parametrize(("missing", "variable"), [("namespace", "OIO_NS"), ("account", "OIO_ACCOUNT")])
def test_place_without_a_name_is_refused(
    missing: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    given = {"namespace": "NS", "account": "a", "skip_instance_cache": True, missing: None}
    with pytest.raises(ValueError, match=f"{missing} is required, as an option or by {variable}"):
        OioFileSystem(**given)


def test_two_endpoints_are_refused() -> None:
    with pytest.raises(ValueError, match="endpoint is given twice: 'one:1'"):
        OioFileSystem("NS", "a", "one:1", client_options={"endpoint": "two:2"}, skip_instance_cache=True)


def test_copy_by_pickle_reads_the_same(files: OioFileSystem) -> None:
    files.pipe("box/a", DATA)
    other = pickle.loads(pickle.dumps(files))
    assert other.cat("box/a") == DATA
    with files.open("box/a", "rb", block_size=1000) as file:
        file.seek(500)
        moved = pickle.loads(pickle.dumps(file))
        assert moved.read(10) == DATA[500:510]
        moved.close()
    other.close()


# --- errors ---


@pytest.mark.parametrize("path", ["box/nothing", "nowhere/a", "nowhere"])
def test_what_is_not_there_is_not_found(files: OioFileSystem, path: str) -> None:
    assert not files.exists(path)
    assert files.find(path) == []
    uses = [files.info, files.ls, files.rm]
    if "/" in path:
        uses += [files.cat_file, lambda path: files.open(path, "rb")]
        uses += [lambda path: files.cat_file(path, 3, 0), files.rm_file]
    for use in uses:
        with pytest.raises(FileNotFoundError):
            use(path)


def test_directory_is_no_file(files: OioFileSystem) -> None:
    files.pipe("box/a/b", b"data")
    with pytest.raises(IsADirectoryError):
        files.open("box", "wb")
    for use in (
        lambda: files.open("box/a", "rb"),
        lambda: files.cat_file("box/a"),
        lambda: files.cat_file("box", 3, 0),
        lambda: files.rm_file("box/a"),
        lambda: files.rm_file("box"),
        lambda: files.rm("box/a"),
    ):
        with pytest.raises(IsADirectoryError):
            use()
    with pytest.raises(NotADirectoryError):
        files.rmdir("box/a/b")
    with pytest.raises(OSError, match="not empty"):
        files.rmdir("box/a")
    with pytest.raises(OSError, match="not empty"):
        files.rmdir("box")


def test_exception_of_the_store_is_the_cause(files: OioFileSystem, namespace: Namespace) -> None:
    files.pipe("box/a", b"data")
    with (
        namespace.faults(REFUSED),
        pytest.raises(OSError, match="box/a") as caught,
    ):
        files.cat("box/a")
    assert isinstance(caught.value.__cause__, exc.ServiceUnavailable)


def test_damaged_data_are_never_given(files: OioFileSystem, namespace: Namespace) -> None:
    files.pipe("box/a", DATA)
    damage = Fault("corrupt", service="rawx", operation="GET", after_bytes=100)
    with namespace.faults(damage) as plan, pytest.raises(exc.CorruptedChunk):
        files.cat("box/a")
    plan.assert_met()


def test_failed_download_leaves_no_file(files: OioFileSystem, namespace: Namespace, tmp_path: Path) -> None:
    files.pipe("box/a", DATA)
    with (
        namespace.faults(REFUSED),
        pytest.raises(OSError, match="box/a"),
    ):
        files.get("box/a", str(tmp_path / "copy"))
    assert list(tmp_path.iterdir()) == []


# --- listings ---


def test_listing_describes_files_and_directories(files: OioFileSystem) -> None:
    files.pipe({"box/a": b"12345", "box/b/c": b"", "box/b/d/e": b""})
    entries = files.ls("box", detail=True)
    assert [(entry["name"], entry["type"], entry["size"]) for entry in entries] == [
        ("box/a", "file", 5),
        ("box/b", "directory", 0),
    ]
    assert files.ls("", detail=False) == ["box"]
    assert files.find("box/b") == ["box/b/c", "box/b/d/e"]
    assert list(files.find("box", withdirs=True)) == [
        "box",
        "box/a",
        "box/b",
        "box/b/c",
        "box/b/d",
        "box/b/d/e",
    ]
    assert files.info("box/a")["size"] == entries[0]["size"]
    assert files.isdir("box/b/d")
    assert files.du("box") == 5


def test_tree_is_found_by_one_listing(files: OioFileSystem, namespace: Namespace) -> None:
    files.pipe({f"box/{number}/{number}/f": b"" for number in range(5)})
    namespace.forget_requests()
    assert len(files.find("box")) == 5
    assert len([record for record in namespace.requests if record.service == "proxy"]) == 1


def test_listing_is_kept_until_something_changes(files: OioFileSystem, namespace: Namespace) -> None:
    files.pipe("box/d/a", b"1")
    files.ls("box/d")
    namespace.forget_requests()
    assert files.ls("box/d", detail=False) == ["box/d/a"]
    assert files.info("box/d/a")["size"] == 1
    assert namespace.requests == []
    files.pipe("box/d/b", b"2")
    assert files.ls("box/d", detail=False) == ["box/d/a", "box/d/b"]
    files.rm("box/d/a")
    assert files.ls("box/d", detail=False) == ["box/d/b"]
    files.cp("box/d/b", "box/d/c")
    assert files.ls("box/d", detail=False) == ["box/d/b", "box/d/c"]
    files.mv("box/d/c", "box/e")
    assert (files.ls("box/d", detail=False), files.exists("box/e")) == (["box/d/b"], True)


def test_object_that_stands_for_a_directory_is_none(files: OioFileSystem) -> None:
    files.api.object_create(files.account, "box", obj_name="d/", data=b"")
    files.pipe("box/d/a", b"")
    assert files.ls("box/d", detail=False) == ["box/d/a"]
    assert files.find("box") == ["box/d/a"]


def test_directory_that_only_an_object_stands_for_is_empty(files: OioFileSystem) -> None:
    files.api.object_create(files.account, "box", obj_name="d/e/", data=b"")
    assert files.isdir("box/d/e")
    assert files.ls("box/d/e") == []
    assert files.ls("box/d", detail=False) == ["box/d/e"]
    assert files.find("box", withdirs=True) == ["box", "box/d", "box/d/e"]
    assert [(path, list(names), list(found)) for path, names, found in files.walk("box")] == [
        ("box", ["d"], []),
        ("box/d", ["e"], []),
        ("box/d/e", [], []),
    ]
    with pytest.raises(OSError, match="not empty"):
        files.rmdir("box/d")
    files.rmdir("box/d/e")
    assert not files.exists("box/d")


def test_removal_of_a_tree_takes_the_objects_that_stand_for_directories(
    files: OioFileSystem, namespace: Namespace
) -> None:
    def fill(container: str) -> None:
        for name in ("d/", "d/empty/", "d/full/", "e/", "other/"):
            files.api.object_create(files.account, container, obj_name=name, data=b"")
        files.pipe({f"{container}/d/full/a": b"a", f"{container}/d/b": b"b", f"{container}/z": b"z"})

    def left(container: str) -> list[str]:
        return [obj["name"] for obj in files.api.object_list_all(files.account, container)]

    fill("box")
    namespace.forget_requests()
    files.rm(["box/d", "box/e", "box/z"], recursive=True)
    assert left("box") == ["other/"]
    assert len([one for one in namespace.requests if "/container/list?" in one.target]) < 12
    files.rm("box/*", recursive=True)
    assert left("box") == []
    fill("box")
    files.mv("box/d", "box/moved", recursive=True)
    assert left("box") == ["e/", "moved/b", "moved/full/a", "other/", "z"]
    files.mkdir("whole")
    fill("whole")
    files.rm("whole", recursive=True)
    assert not files.exists("whole")


@pytest.mark.parametrize("maxdepth", [None, 1, 2, 3])
def test_find_only_gives_names_that_begin_as_asked(files: OioFileSystem, maxdepth: int | None) -> None:
    files.pipe({f"box/{name}": b"" for name in ("ab", "ac/d/e", "ac/f", "b", "d/ab")})
    for path, stem in (("box", "a"), ("box", "ac"), ("box/ac", "d"), ("box", "x"), ("", "bo"), ("", "x")):
        for withdirs in (False, True):
            everything = files.find(path, maxdepth=maxdepth, withdirs=withdirs)
            beginning = f"{path}/{stem}" if path else stem
            wanted = [name for name in everything if name.startswith(beginning)]
            found = files.find(path, maxdepth=maxdepth, withdirs=withdirs, prefix=stem)
            assert found == wanted, (path, stem, withdirs)
            detailed = files.find(path, maxdepth=maxdepth, withdirs=withdirs, prefix=stem, detail=True)
            assert list(detailed) == wanted


def test_glob_asks_for_names_that_begin_as_its_pattern(files: OioFileSystem, namespace: Namespace) -> None:
    files.pipe({f"box/{number}": b"" for number in range(30)})
    namespace.forget_requests()
    assert files.glob("box/2?") == [f"box/2{number}" for number in range(10)]
    assert files.find("box", maxdepth=1, prefix="2") == ["box/2", *(f"box/2{number}" for number in range(10))]
    asked = [record for record in namespace.requests if "/container/list?" in record.target]
    assert any("prefix=2" in record.target for record in asked)


def test_names_with_empty_parts_do_not_lead_in_circles(files: OioFileSystem) -> None:
    for name in ("a//b", "/c", "d"):
        files.api.object_create(files.account, "box", obj_name=name, data=name.encode())
    assert files.ls("box", detail=False) == ["box/a", "box/d"]
    assert files.ls("box/a", detail=False) == []
    assert [(path, names, found) for path, names, found in files.walk("box")] == [
        ("box", ["a"], ["d"]),
        ("box/a", [], []),
    ]
    # One listing finds them, and their whole paths lead there.
    assert files.find("box") == ["box//c", "box/a//b", "box/d"]
    assert files.cat("box/a//b") == b"a//b"
    files.rm("box", recursive=True)
    assert not files.exists("box")


def test_directory_that_is_there_is_not_made_again(files: OioFileSystem) -> None:
    files.pipe("box/d/a", b"")
    for path in ("box", "box/d", "box/d/a"):
        for make in (files.mkdir, files.makedirs):
            with pytest.raises(FileExistsError):
                make(path)
        files.makedirs(path, exist_ok=True)
    files.mkdir("box/e")
    with pytest.raises(FileNotFoundError):
        files.mkdir("nowhere/e", create_parents=False)
    assert files.ls("", detail=False) == ["box"]


def test_no_name_leads_out_of_the_directory_of_a_download(files: OioFileSystem, tmp_path: Path) -> None:
    files.api.object_create(files.account, "box", obj_name="d/../../../escape", data=b"x")
    files.pipe("box/d/a", b"a")
    with pytest.raises(ValueError, match=r"\.\."):
        files.get("box/d", str(tmp_path / "in" / "copy"), recursive=True)
    assert not list(tmp_path.rglob("escape"))
    files.get_file("box/d/../../../escape", str(tmp_path / "found"))
    assert (tmp_path / "found").read_bytes() == b"x"


@pytest.mark.parametrize("part", ["", "."])
def test_download_of_a_tree_never_writes_two_objects_to_a_file(
    files: OioFileSystem, tmp_path: Path, part: str
) -> None:
    files.pipe("box/d/x/y", b"1")
    files.api.object_create(files.account, "box", obj_name=f"d/x/{part}/y", data=b"2")
    # A directory of such a name may come first.
    with pytest.raises(ValueError, match=rf"box/d/x/{part}.* has a part '{part}': .*/copy/x/{part}"):
        files.get("box/d", str(tmp_path / "copy"), recursive=True)
    # The file of the other object may still be on its way.
    written = tmp_path / "copy" / "x" / "y"
    assert not written.exists() or written.read_bytes() == b"1"
    files.get_file(f"box/d/x/{part}/y", str(tmp_path / "found"))
    assert (tmp_path / "found").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("source", "target", "options"),
    [
        ("box/d/c", "oio://box/d/c", {}),
        ("box/d/c", "box/d/", {}),
        ("box/d", "box/d/e", {"recursive": True}),
        ("box/d", "box/d/", {"recursive": True}),
        ("box/d", "missing/d", {"recursive": True}),
    ],
)
def test_move_that_leads_nowhere_loses_nothing(
    files: OioFileSystem, source: str, target: str, options: dict[str, Any]
) -> None:
    files.pipe({"box/d/b": b"b", "box/d/c": b"c"})
    with contextlib.suppress(OSError, ValueError):
        files.mv(source, target, **options)
    found = [path for container in files.ls("", detail=False) for path in files.find(container)]
    assert sorted(path.rpartition("/")[2] for path in found) == ["b", "c"]


def test_move_leaves_what_it_has_not_copied(files: OioFileSystem) -> None:
    files.pipe({"box/d/a": b"a", "box/d/b": b"b", "box/d/deep/er/c": b"c"})
    files.mv("box/d", "box/e/", recursive=True, maxdepth=1)
    assert files.find("box/d") == ["box/d/deep/er/c"]
    assert sorted(path[-1] for path in files.find("box/e")) == ["a", "b"]
    files.mv("box/d/deep/*", "box/d/deep/into/", recursive=True)
    assert [path[-1] for path in files.find("box/d")] == ["c"]


@pytest.fixture
def other(options: dict[str, Any]) -> Iterator[OioFileSystem]:
    """Another program, of whose changes the first one's listings do not tell."""
    found = OioFileSystem(**options)
    yield found
    found.close()


def test_move_by_an_old_listing_loses_no_file(files: OioFileSystem, other: OioFileSystem) -> None:
    other.pipe("box/x/1", b"1")
    files.ls("box")
    other.rm("box/x", recursive=True)
    other.pipe("box/x", b"precious")
    files.mv("box/x", "box/y")
    assert other.cat(other.find("box")) == {"box/y": b"precious"}


def test_move_of_a_tree_by_an_old_listing_loses_no_file(files: OioFileSystem, other: OioFileSystem) -> None:
    other.pipe("box/d/x", b"1")
    files.ls("box")
    other.pipe("box/d", b"file")
    files.mv("box/d", "box/e", recursive=True)
    assert other.cat(other.find("box")) == {"box/e": b"file", "box/e/x": b"1"}


def test_copy_by_an_old_listing_finds_the_file(
    files: OioFileSystem, other: OioFileSystem, tmp_path: Path
) -> None:
    other.pipe("box/x/1", b"1")
    for transfer, target in ((files.cp, "box/y"), (files.get, str(tmp_path / "y"))):
        other.rm("box/x", recursive=True)
        other.pipe("box/x/1", b"1")
        files.ls("box", refresh=True)
        other.rm("box/x", recursive=True)
        other.pipe("box/x", b"precious")
        transfer("box/x", target)
    assert other.cat("box/y") == (tmp_path / "y").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("source", "target"),
    [("box/d", "box/e"), (["box/d"], ["box/e"]), (["box/a", "box/d"], "box/e"), ("box/*", "e")],
)
def test_move_of_a_directory_that_is_not_copied_is_refused(
    files: OioFileSystem, source: Any, target: Any
) -> None:
    files.pipe({"box/d/x": b"x", "box/a": b"a"})
    with pytest.raises(IsADirectoryError, match="box/d"):
        files.mv(source, target)
    assert files.cat(["box/d/x", "box/a"]) == {"box/d/x": b"x", "box/a": b"a"}


def test_move_of_lists_removes_only_what_they_name(files: OioFileSystem) -> None:
    files.pipe({"box/d/x": b"x", "box/d/y": b"y"})
    with pytest.raises(IsADirectoryError, match="box/d"):
        files.mv(["box/d"], ["box/e"], recursive=True)
    assert files.find("box") == ["box/d/x", "box/d/y"]
    files.mv(["box/d", "box/d/x"], ["box/e", "box/e/x"], recursive=True)
    assert files.find("box") == ["box/d/y", "box/e/x"]


def test_object_with_data_is_no_mark_of_a_directory(files: OioFileSystem) -> None:
    for name in ("d/", "d/deep/", "d/empty/"):
        data = b"" if name == "d/empty/" else b"precious"
        files.api.object_create(files.account, "box", obj_name=name, data=data)
    with pytest.raises(OSError, match="not empty"):
        files.rmdir("box/d/deep")
    files.pipe("box/d/x", b"x")
    files.mv("box/d", "box/e", recursive=True)
    left = files.api.object_list_all(files.account, "box")
    assert [obj["name"] for obj in left] == ["d/", "d/deep/", "e/x"]
    # A tree is removed with all that is in it.
    files.rm("box/d", recursive=True)
    assert not files.exists("box/d")


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        ("box/*", "box/dir/", "box/x cannot be moved to box/dir/x, which is to be moved too"),
        (["box/x", "box/y"], ["box/y", "box/z"], "box/x cannot be moved to box/y, which is to be moved too"),
        (["oio://box/x", "box/y"], ["box/z", "oio://box/x/"], "box/y cannot be moved to box/x"),
        (["box/x", "box/dir/x"], "box/new/", "box/new/x, which is the target of another file"),
    ],
)
def test_moves_whose_files_would_meet_are_refused(
    files: OioFileSystem, source: Any, target: Any, named: str
) -> None:
    there = {"box/x": b"top", "box/y": b"y", "box/dir/x": b"low"}
    files.pipe(there)
    with pytest.raises(ValueError, match=named):
        files.mv(source, target, recursive=True)
    assert files.cat(files.find("box")) == there


def test_directories_may_move_to_the_same_one(files: OioFileSystem) -> None:
    files.pipe({"box/a/s/1": b"1", "box/b/s/2": b"2"})
    files.mv(["box/a", "box/b"], "box/c", recursive=True)
    assert files.find("box") == ["box/c/1", "box/c/2"]


@pytest.mark.parametrize("root", ["", "/", "oio://", ["box/a", ""]])
def test_root_is_not_removed(files: OioFileSystem, root: Any) -> None:
    files.pipe({"box/a": b"a", "bag/b": b"b"})
    with pytest.raises(ValueError, match="root cannot be removed"):
        files.rm(root, recursive=True)
    if isinstance(root, str):
        with pytest.raises(ValueError, match="into itself"):
            files.mv(root, "box/c", recursive=True)
    assert [files.find(container) for container in files.ls("", detail=False)] == [["bag/b"], ["box/a"]]


def test_keyword_of_dask_is_not_told_of(files: OioFileSystem) -> None:
    files.pipe("box/a", b"data")
    # Warnings are errors in tests.
    with files.open("box/a", default_cache="none") as file:
        assert file.read() == b"data"


def test_directories_of_objects_that_stand_for_them_do_not_stop_a_removal(files: OioFileSystem) -> None:
    files.pipe({"box/d/a": b"a", "box/d/b": b"b"})
    files.api.object_create(files.account, "box", obj_name="d/empty/", data=b"")
    files.rm("box/d", recursive=True)
    assert files.find("box") == []


def test_file_with_the_name_of_a_directory_is_removed_with_it(files: OioFileSystem) -> None:
    files.pipe({"box/a": b"1", "box/a/b": b"2", "box/a/b/c": b"3", "box/ab": b"4"})
    files.rm("box/a", recursive=True)
    assert files.find("box") == ["box/ab"]


@pytest.mark.parametrize("path", ["box/a", ["box/a"], "box/a*"])
@pytest.mark.parametrize("below", [(), ("a/b/",), ("a/b",)])
def test_file_and_the_object_that_stands_for_a_directory_of_its_name_are_removed_together(
    files: OioFileSystem, path: Any, below: tuple[str, ...]
) -> None:
    for name in ("a", "a/", *below, "z", "z/"):
        files.api.object_create(files.account, "box", obj_name=name, data=b"")
    files.rm(path, recursive=True)
    assert not files.exists("box/a")
    left = files.api.object_list_all(files.account, "box")
    assert [obj["name"] for obj in left] == ["z", "z/"]


def test_file_with_the_name_of_a_directory_is_removed_beside_others(files: OioFileSystem) -> None:
    files.pipe({"box/a": b"1", "box/a/b": b"2", "box/a/c": b"3"})
    files.rm(["box/a", "box/a/b"])
    assert files.find("box") == ["box/a/c"]


def test_file_with_the_name_of_a_directory_moves_with_it(files: OioFileSystem) -> None:
    files.pipe({"box/a": b"1", "box/a/b": b"2"})
    files.mv("box/a", "box/z", recursive=True)
    assert files.cat(["box/z", "box/z/b"]) == {"box/z": b"1", "box/z/b": b"2"}
    assert not any(name.startswith("box/a") for name in files.find("box"))


def test_failed_removal_leaves_no_stale_listing(files: OioFileSystem) -> None:
    files.pipe({f"box/{name}": b"data" for name in "abc"})
    files.ls("box")
    files.api.object_delete(files.account, "box", "b")
    with pytest.raises(FileNotFoundError, match="box/b"):
        files.rm(["box/a", "box/b", "box/c"])
    assert files.ls("box") == []


def test_containers_are_made_and_removed(files: OioFileSystem) -> None:
    files.mkdir("other")
    with pytest.raises(FileExistsError):
        files.mkdir("other")
    files.makedirs("other", exist_ok=True)
    files.pipe("other/a/b", b"")
    files.rm("other", recursive=True)
    assert not files.exists("other")
    assert files.ls("", detail=False) == ["box"]


# --- data ---


def test_slices_of_a_file(files: OioFileSystem) -> None:
    files.pipe("box/a", DATA)
    places = [(0, 10), (5, None), (None, 7), (-5, None), (10, -10), (-20, -10), (9, 9), (9, 3), (10**6, None)]
    for start, end in places:
        assert files.cat_file("box/a", start=start, end=end) == DATA[start:end]
    starts, ends = [0, 100, 300_000], [10, 200, 300_001]
    assert files.cat_ranges(["box/a"] * 3, starts, ends) == [
        DATA[start:end] for start, end in zip(starts, ends, strict=True)
    ]


def test_reading_asks_for_what_its_cache_wants(files: OioFileSystem, namespace: Namespace) -> None:
    files.pipe("box/a", DATA)
    namespace.forget_requests()
    with files.open("box/a", "rb", block_size=1000, cache_type="readahead") as file:
        file.seek(300_000)
        assert file.read(10) == DATA[300_000:300_010]
        assert file.read(10) == DATA[300_010:300_020]
    asked = [record for record in namespace.requests if record.service == "rawx"]
    assert len(asked) == 1


def test_file_is_described_by_checksum_and_time(files: OioFileSystem) -> None:
    files.pipe("box/a", b"one")
    first = files.checksum("box/a"), files.ukey("box/a")
    assert files.created("box/a") <= files.modified("box/a")
    files.pipe("box/a", b"two")
    assert (files.checksum("box/a") != first[0], files.ukey("box/a") != first[1]) == (True, True)
    with pytest.raises(IsADirectoryError):
        files.checksum("box")


def test_appended_file_has_another_checksum_and_key_each_time(files: OioFileSystem) -> None:
    marks = []
    for _ in range(3):
        with files.open("box/a", "ab") as file:
            file.write(b"data")
        marks.append((files.checksum("box/a"), files.ukey("box/a")))
    assert [len(set(column)) for column in zip(*marks, strict=True)] == [3, 3]


def test_upload_and_download_tell_of_their_progress(files: OioFileSystem, tmp_path: Path) -> None:
    class Seen(fsspec.Callback):  # type: ignore[misc]
        seen = 0

        def relative_update(self, inc: int = 1) -> None:
            self.seen += inc

    source = tmp_path / "source"
    source.write_bytes(DATA)
    for transfer, arguments in (
        (files.put_file, (str(source), "box/a")),
        (files.get_file, ("box/a", str(tmp_path / "copy"))),
    ):
        callback = Seen()
        transfer(*arguments, callback=callback)
        assert (callback.seen, callback.size) == (len(DATA), len(DATA))
    assert (tmp_path / "copy").read_bytes() == DATA


def test_file_that_cannot_be_opened_is_left(files: OioFileSystem, tmp_path: Path) -> None:
    files.pipe_file("box/a", b"data")
    link = tmp_path / "link"
    (tmp_path / "file").write_bytes(b"mine")
    link.symlink_to(tmp_path / "file" / "below")
    with pytest.raises(NotADirectoryError):
        files.get_file("box/a", str(link))
    assert link.is_symlink()
    with pytest.raises(IsADirectoryError):
        files.get_file("box/a", str(tmp_path))


def test_download_that_fails_leaves_the_file_that_was_there(
    files: OioFileSystem, namespace: Namespace, tmp_path: Path
) -> None:
    files.pipe_file("box/a", DATA)
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"mine")
    link.symlink_to("target")
    with namespace.faults(Fault("corrupt", operation="GET")), pytest.raises(exc.CorruptedChunk):
        files.get_file("box/a", str(link))
    assert target.read_bytes() == b"mine"
    files.get_file("box/a", str(link))
    assert (link.is_symlink(), target.read_bytes()) == (True, DATA)
    assert {path.name for path in tmp_path.iterdir()} == {"target", "link"}


def test_two_downloads_to_the_same_file_both_succeed(files: OioFileSystem, tmp_path: Path) -> None:
    files.pipe_file("box/a", DATA)

    class Another(fsspec.Callback):  # type: ignore[misc]
        def relative_update(self, inc: int = 1) -> None:
            files.get_file("box/a", str(tmp_path / "copy"))

    files.get_file("box/a", str(tmp_path / "copy"), callback=Another())
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    assert (tmp_path / "copy").read_bytes() == DATA


def test_download_to_a_descriptor_writes_to_it(files: OioFileSystem, tmp_path: Path) -> None:
    files.pipe_file("box/a", DATA)
    with (tmp_path / "output").open("w+b") as output:
        files.get_file("box/a", f"/proc/self/fd/{output.fileno()}")
        assert output.read() == DATA
    files.get_file("box/a", os.devnull)
    assert not os.path.isfile(os.devnull)


# --- writing ---


def test_large_file_is_written_in_blocks(files: OioFileSystem) -> None:
    with files.open("box/a", "wb", block_size=1000) as file:
        for begin in range(0, len(DATA), 777):
            file.write(DATA[begin : begin + 777])
        assert not files.exists("box/a")
    assert files.cat("box/a") == DATA


def test_nothing_is_stored_when_the_block_raises(files: OioFileSystem) -> None:
    def write() -> None:
        with files.open("box/a", "wb", block_size=1000) as file:
            file.write(DATA)
            raise LookupError("of the program")

    with pytest.raises(LookupError):
        write()
    assert not files.exists("box/a")


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"encoding": "latin-1", "newline": "\n"}])
def test_text_is_stored_unless_the_block_raises(files: OioFileSystem, options: dict[str, Any]) -> None:
    def write() -> None:
        with files.open("box/b", "w", **options) as file:
            file.write("half")
            raise LookupError("of the program")

    with pytest.raises(LookupError):
        write()
    assert not files.exists("box/b")
    with files.open("box/a", "w", **options) as file:
        file.write("é\n")
    with files.open("box/a", "r", **options) as file:
        assert file.read() == "é\n"


@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}])
def test_forgotten_text_is_not_stored(files: OioFileSystem, options: dict[str, Any]) -> None:
    opened = [files.open("box/a", "w", **options)]
    opened[0].write("half")

    def forget() -> None:
        opened.clear()
        # What still refers to it may be in a cycle.
        gc.collect()

    with pytest.warns(ResourceWarning, match="'a' was not stored"):
        forget()
    assert not files.exists("box/a")


@pytest.mark.parametrize("compression", ["gzip", "bz2", "xz"])
def test_compressed_file_is_stored_unless_the_block_raises(files: OioFileSystem, compression: str) -> None:
    def write() -> None:
        with files.open("box/b", "wb", compression=compression) as file:
            file.write(DATA)
            raise LookupError("of the program")

    with pytest.raises(LookupError):
        write()
    assert not files.exists("box/b")
    with files.transaction, files.open("box/a", "wb", compression=compression) as file:
        assert file.write(DATA) == len(DATA)
    with files.open("box/a", "rb", compression=compression) as file:
        assert file.read() == DATA


def test_append_and_exclusive(files: OioFileSystem) -> None:
    with files.open("box/a", "xb") as file:
        file.write(b"one ")
    with files.open("box/a", "ab") as file:
        assert file.tell() == 4
        file.write(b"two")
    assert files.cat("box/a") == b"one two"
    for refused in (lambda: files.open("box/a", "xb"), lambda: files.pipe_file("box/a", b"", mode="create")):
        with pytest.raises(FileExistsError):
            refused()
    assert files.cat("box/a") == b"one two"


def test_transaction_stores_all_or_nothing(files: OioFileSystem) -> None:
    with files.transaction:
        for name in "ab":
            with files.open(f"box/{name}", "wb") as file:
                file.write(name.encode())
        assert not files.exists("box/a")
    assert files.cat(["box/a", "box/b"]) == {"box/a": b"a", "box/b": b"b"}

    def fail() -> None:
        with files.transaction:
            with files.open("box/c", "wb") as file:
                file.write(b"c")
            raise LookupError("of the program")

    with pytest.raises(LookupError):
        fail()
    assert not files.exists("box/c")


def test_transaction_stores_no_file_that_was_not_closed(files: OioFileSystem) -> None:
    file = files.open("box/a", "wb", autocommit=False)
    file.write(DATA)
    files.transaction.files.append(file)
    with pytest.raises(ValueError, match="box/a must be closed"):
        files.end_transaction()
    file.discard()
    assert not files.exists("box/a")


def test_options_of_objects_are_passed_on(files: OioFileSystem) -> None:
    with files.open("box/a", "wb", policy="SINGLE", properties={"color": "red"}) as file:
        file.write(b"a")
    files.pipe("box/b", b"b", policy="TWOCOPIES")
    found = files.info("box/a", refresh=True)
    assert (found["policy"], found["properties"]) == ("SINGLE", {"color": "red"})
    assert files.info("box/b")["policy"] == "TWOCOPIES"


# --- programs that use it ---


@pytest.mark.parametrize("program", ["with_pandas", "with_pyarrow", "with_zarr"])
def test_program_writes_and_reads(files: OioFileSystem, program: str) -> None:
    """In a process of its own: these packages start threads that stay."""
    place = {"OIO_NS": files.namespace, "OIO_ACCOUNT": files.account, "OIO_PROXYD_URL": files.endpoint}
    path = Path(__file__).parent / "programs" / f"{program}.py"
    done = subprocess.run(
        [sys.executable, path], env=os.environ | place, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
    assert files.find("box")


def test_mapping_of_a_directory(files: OioFileSystem) -> None:
    mapping = files.get_mapper("box/map")
    mapping["a/b"] = b"1"
    mapping["c"] = b"2"
    assert (sorted(mapping), mapping["a/b"], "d" in mapping) == (["a/b", "c"], b"1", False)
    del mapping["c"]
    assert list(mapping) == ["a/b"]
    with pytest.raises(KeyError):
        mapping["c"]
