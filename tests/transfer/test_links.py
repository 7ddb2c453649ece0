# SPDX-License-Identifier: Apache-2.0
"""Uploads that follow symbolic links."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.kit.transfers import BOX, fill, outcomes, transfer


def test_links_are_followed_if_wanted_and_never_for_ever(api: Any, files: Path) -> None:
    fill(files, {"d/f": b"1"})
    (files / "link").symlink_to("d/f")
    (files / "d" / "loop").symlink_to(files)
    with transfer(api, follow_symlinks=True) as moving:
        report = moving.upload_tree(files, BOX)
    assert outcomes(report) == {
        "d/f": "upload done",
        "link": "upload done",
        "d/loop": "upload skipped symbolic link to a directory that it is in",
    }


def test_links_that_lead_nowhere_keep_no_other_file_from_its_upload(api: Any, files: Path) -> None:
    fill(files, {"f": b"1", "d/f": b"2"})
    for name, target in (("d/itself", "itself"), ("missing", "nothing"), ("under", "f/x")):
        (files / name).symlink_to(target)
    (files / "itself").symlink_to("itself")
    (files / "long").symlink_to("n" * 300)
    (files / "null").symlink_to(os.devnull)
    with transfer(api, follow_symlinks=True) as moving:
        report = moving.upload_tree(files, BOX)
    told = outcomes(report)
    assert told.pop("long").startswith("upload failed")
    assert told == {
        "f": "upload done",
        "d/f": "upload done",
        "d/itself": "upload skipped broken symbolic link",
        "itself": "upload skipped broken symbolic link",
        "missing": "upload skipped broken symbolic link",
        "under": "upload skipped broken symbolic link",
        "null": "upload skipped special file",
    }
