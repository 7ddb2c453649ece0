# SPDX-License-Identifier: Apache-2.0
"""Names that trees are moved without: patterns to include and to exclude."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.transfer import Remote
from oio.transfer._filters import Filter
from tests.kit.facade import ACCOUNT, create
from tests.kit.transfers import BOX, content, fill, outcomes, stored, transfer

TREE = {
    "a.jpg": b"1",
    "a.txt": b"2",
    "tmp/b.jpg": b"3",
    "tmp/keep": b"4",
    "tmp/deep/c": b"5",
    "z [1]": b"6",
    "É.JPG": b"7",
}
CASES: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set(TREE)),
    ({"include": [], "exclude": ()}, set(TREE)),
    ({"include": "*.jpg"}, {"a.jpg", "tmp/b.jpg"}),
    ({"include": ["*.jpg", "*.JPG"]}, {"a.jpg", "tmp/b.jpg", "É.JPG"}),
    ({"include": iter(["?.jpg"])}, {"a.jpg"}),
    ({"exclude": "tmp/"}, {"a.jpg", "a.txt", "z [1]", "É.JPG"}),
    ({"exclude": ["tmp/*", "*.[jJ]*"]}, {"a.txt", "z [1]"}),
    # Those to include are exceptions.
    ({"include": "tmp/keep", "exclude": "tmp/"}, {"a.jpg", "a.txt", "tmp/keep", "z [1]", "É.JPG"}),
    ({"include": "*.jpg", "exclude": "*"}, {"a.jpg", "tmp/b.jpg"}),
    ({"exclude": "z [[]1]"}, set(TREE) - {"z [1]"}),
    ({"exclude": "keep"}, set(TREE)),
    ({"include": "nothing"}, set()),
]


def test_names_are_wanted_as_the_patterns_say() -> None:
    for given, names in CASES:
        chosen = Filter.of(**given)
        assert {name for name in TREE if chosen.takes(name)} == names, given


def test_only_names_that_are_wanted_are_moved(api: Any, files: Path, target: Path) -> None:
    given: dict[str, Any] = {"include": "tmp/keep", "exclude": ["tmp/", "*.txt"]}
    wanted = {name: TREE[name] for name in ("a.jpg", "tmp/keep", "z [1]", "É.JPG")}
    fill(files, TREE)
    site, copies = Remote(ACCOUNT, BOX.container, "site/"), Remote(ACCOUNT, "copies", "of/")
    with transfer(api) as moving:
        report = moving.upload_tree(files, site, **given)
        assert {result.name for result in report} == {f"site/{name}" for name in wanted}
        assert stored(api) == {f"site/{name}": data for name, data in wanted.items()}
        moving.upload_tree(files, site)
        moving.copy_tree(site, copies, **given)
        moving.download_tree(site, target, **given)
    copied = {obj["name"] for obj in api.object_list_all(ACCOUNT, "copies")}
    assert copied == {f"of/{name}" for name in wanted}
    assert content(target) == wanted


def test_synchronisation_neither_moves_nor_deletes_what_is_left_out(
    api: Any, files: Path, target: Path
) -> None:
    fill(files, {"new": b"1", "secret/new": b"2", "secret/both": b"here"})
    for name in ("old", "secret/old"):
        create(api, name, b"there")
    create(api, "secret/both", b"there, and other")
    with transfer(api) as moving:
        dry = moving.sync(files, BOX, delete=True, dry_run=True, exclude="secret/")
        report = moving.sync(files, BOX, delete=True, exclude="secret/")
    assert outcomes(report) == {"new": "upload done", "old": "delete done"}
    assert {result.name for result in dry if result.outcome == "planned"} == {"new", "old"}
    there = {"new": b"1", "secret/old": b"there", "secret/both": b"there, and other"}
    assert stored(api) == there
    fill(target, {"gone": b"", "secret/mine": b"mine"})
    with transfer(api) as moving:
        moving.sync(BOX, target, delete=True, include="new", exclude=["secret/", "new"])
        assert content(target) == {"new": b"1", "secret/mine": b"mine"}
        other = Remote(ACCOUNT, "other")
        api.object_create(ACCOUNT, "other", obj_name="secret/mine", data=b"mine")
        api.object_create(ACCOUNT, "other", obj_name="gone", data=b"")
        moving.sync(BOX, other, delete=True, exclude="secret/*")
    assert [obj["name"] for obj in api.object_list_all(ACCOUNT, "other")] == ["new", "secret/mine"]


def test_link_that_is_left_out_is_not_told_of_and_protects_what_has_its_name(
    api: Any, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (files / "link").symlink_to(tmp_path / "elsewhere")
    create(api, "link/a")
    with transfer(api) as moving:
        report = moving.sync(files, BOX, delete=True, exclude="link")
    assert list(report) == []
    assert list(stored(api)) == ["link/a"]


def test_object_that_is_left_out_is_in_nobodys_way(api: Any, target: Path) -> None:
    create(api, "a", b"1")
    create(api, "a/b", b"2")
    with transfer(api) as moving:
        assert moving.download_tree(BOX, target).failed == 1
    (target / "a").unlink()
    with transfer(api) as moving:
        moving.download_tree(BOX, target, exclude="a").raise_failures()
    assert content(target) == {"a/b": b"2"}


@pytest.mark.parametrize("argument", ["include", "exclude"])
@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (3, TypeError, "must be patterns, not int: 3"),
        (b"*", TypeError, "must be patterns, not bytes"),
        (["a", None], TypeError, r"must be patterns \(str\), not NoneType"),
        ([""], ValueError, "must be patterns that are not empty"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(
    offline_api: Any, tmp_path: Path, argument: str, given: Any, kind: type[Exception], text: str
) -> None:
    with transfer(offline_api) as moving:
        for call in (
            lambda **more: moving.upload_tree(tmp_path, BOX, **more),
            lambda **more: moving.download_tree(BOX, tmp_path, **more),
            lambda **more: moving.copy_tree(BOX, Remote(ACCOUNT, "other"), **more),
            lambda **more: moving.sync(tmp_path, BOX, **more),
        ):
            with pytest.raises(kind, match=f"{argument} {text}") as caught:
                call(**{argument: given})
            assert isinstance(caught.value, exc.OioException)
