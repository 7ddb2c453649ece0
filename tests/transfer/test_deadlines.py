# SPDX-License-Identifier: Apache-2.0
"""Deadlines of transfers: they bound the whole call, whatever it waits for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from oio.transfer import Remote, Transfer, TransferConfig, TransferDeadlineReached
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, chunks_on_disk, create
from tests.kit.objects import eventually
from tests.kit.transfers import BOX, PART, fill, outcomes, stored, transfer
from tests.kit.watchdog import watched

OTHER = Remote(ACCOUNT, "other")
SOON = 0.3
"""Seconds of a deadline that is met while something is waited for, which would take for ever."""

CALLS = {
    "upload_file": lambda moving, files, **more: moving.upload_file(files / "f", BOX, **more),
    "upload_many": lambda moving, files, **more: moving.upload_many([(files / "f", "f")], BOX, **more),
    "upload_tree": lambda moving, files, **more: moving.upload_tree(files, BOX, **more),
    "download_file": lambda moving, files, **more: moving.download_file(BOX, "o", files / "o", **more),
    "download_many": lambda moving, files, **more: moving.download_many(BOX, [("o", files / "o")], **more),
    "download_tree": lambda moving, files, **more: moving.download_tree(BOX, files, **more),
    "copy_object": lambda moving, files, **more: moving.copy_object(BOX, "o", OTHER, **more),
    "copy_many": lambda moving, files, **more: moving.copy_many(BOX, [("o", "o")], OTHER, **more),
    "copy_tree": lambda moving, files, **more: moving.copy_tree(BOX, OTHER, **more),
    "sync": lambda moving, files, **more: moving.sync(files, BOX, delete=True, **more),
}


def test_deadline_in_the_past_begins_nothing(api: Any, files: Path) -> None:
    create(api, "o", LARGE)
    fill(files, {"f": LARGE})
    for name, call in CALLS.items():
        with transfer(api) as moving, pytest.raises(TransferDeadlineReached) as caught:
            call(moving, files, deadline=time.monotonic() - 1)
        assert isinstance(caught.value, exc.DeadlineReached), name
        assert stored(api) == {"o": LARGE}, name
        assert not list(api.container_list(ACCOUNT, prefix="other")), name
        assert sorted(path.name for path in files.iterdir()) == ["f"], name


def test_deadline_far_away_changes_nothing(api: Any, files: Path) -> None:
    create(api, "o", LARGE)
    fill(files, {"f": LARGE})
    for name, call in CALLS.items():
        with transfer(api) as moving:
            given = call(moving, files, deadline=time.monotonic() + 600)
        assert not getattr(given, "failed", 0), name
    assert stored(api) == {"f": LARGE, "o": LARGE}
    assert (files / "o").read_bytes() == LARGE
    assert [obj["name"] for obj in api.object_list_all(ACCOUNT, "other")] == ["f", "o"]


@pytest.mark.parametrize("stalled", ["GET", "PUT", "content/prepare2", "content/create", "container/list"])
def test_deadline_ends_a_wait_and_leaves_nothing(
    api: Any, namespace: Namespace, files: Path, target: Path, stalled: str
) -> None:
    create(api, "o", LARGE, policy="SINGLE")
    before = sorted(chunks_on_disk(namespace))
    fill(files, {"f": LARGE})
    # What nobody knows the outcome of is not begun again after the deadline.
    phase = "head" if stalled == "content/create" else "body"
    fault = Fault("stall", service="rawx" if stalled.isupper() else "proxy", operation=stalled, phase=phase)
    with namespace.faults(fault) as plan, transfer(api, policy="SINGLE") as moving:
        deadline = time.monotonic() + SOON
        if stalled == "GET":
            error = watched(lambda: moving.download_tree(BOX, target, deadline=deadline))
        else:
            error = watched(lambda: moving.upload_tree(files, BOX, deadline=deadline))
    plan.assert_met()
    assert isinstance(error, TransferDeadlineReached)
    assert error.report is not None
    assert error.report.done == 0
    assert not (target / "o").exists()
    if stalled != "content/create":
        eventually(lambda: sorted(chunks_on_disk(namespace)) == before)
        assert [obj["name"] for obj in api.object_list_all(ACCOUNT, CONTAINER)] == ["o"]


def test_report_tells_what_was_done_and_failure_what_was_waited_for(
    api: Any, namespace: Namespace, files: Path
) -> None:
    fill(files, {"a": b"1", "b": b"2", "c": b"3"})
    fault = Fault("stall", service="proxy", operation="content/prepare2", nth=2)
    with namespace.faults(fault) as plan, transfer(api, workers=1) as moving:
        error = watched(lambda: moving.upload_tree(files, BOX, deadline=time.monotonic() + SOON))
    plan.assert_met()
    assert isinstance(error, TransferDeadlineReached)
    report = error.report
    assert report is not None
    assert outcomes(report) == {"a": "upload done", "b": "upload failed"}
    (failed,) = report.failures
    assert isinstance(failed.error, TransferDeadlineReached)
    assert isinstance(failed.error.__cause__, exc.OioTimeout)


def test_failure_of_one_object_is_the_deadline(api: Any, namespace: Namespace, files: Path) -> None:
    fill(files, {"f": LARGE})
    with namespace.faults(Fault("stall", operation="PUT")), transfer(api) as moving:
        error = watched(lambda: moving.upload_file(files / "f", BOX, deadline=time.monotonic() + SOON))
    assert isinstance(error, TransferDeadlineReached)
    assert isinstance(error.__cause__, exc.OioException)


@pytest.mark.parametrize(
    "settings", [{"retry_delay": 1e6}, {"bandwidth": 1}], ids=lambda given: next(iter(given))
)
def test_deadline_ends_a_pause(api: Any, namespace: Namespace, files: Path, settings: dict[str, Any]) -> None:
    fill(files, {"f": LARGE})
    busy = Fault("status", service="proxy", operation="content/prepare2")
    with (
        namespace.faults(*[busy] * ("retry_delay" in settings)),
        Transfer(api, TransferConfig(**settings)) as moving,
    ):
        error = watched(lambda: moving.upload_tree(files, BOX, deadline=time.monotonic() + SOON))
    assert isinstance(error, TransferDeadlineReached)
    assert not list(chunks_on_disk(namespace))


def test_large_download_goes_on_after_a_deadline(api: Any, target: Path) -> None:
    create(api, "o", LARGE)
    config = TransferConfig(workers=1, part_size=PART, bandwidth=2 * PART)
    with Transfer(api, config) as moving:
        error = watched(
            lambda: moving.download_file(BOX, "o", target / "o", deadline=time.monotonic() + SOON)
        )
    assert isinstance(error, TransferDeadlineReached)
    assert {path.suffix for path in target.iterdir()} <= {".part", ".journal"}
    with transfer(api) as moving:
        moving.download_file(BOX, "o", target / "o")
    assert (target / "o").read_bytes() == LARGE


@pytest.mark.parametrize("deadline", ["soon", float("nan"), float("inf")])
def test_deadline_that_makes_no_sense_is_refused(offline_api: Any, deadline: Any, tmp_path: Any) -> None:
    with transfer(offline_api) as moving, pytest.raises(ValueError, match="deadline must be"):
        moving.download_file(BOX, "o", tmp_path / "o", deadline=deadline)
