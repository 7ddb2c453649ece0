# SPDX-License-Identifier: Apache-2.0
"""Transfers while something goes wrong: failures, changes, interruptions, cancellation."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common.events import ENDED
from oio.common.retry import ONCE
from oio.sandbox import Fault, Namespace
from oio.transfer import (
    DataMismatch,
    FileChanged,
    FileRefused,
    ObjectChanged,
    Progress,
    Result,
    Transfer,
    TransferCancelled,
    TransferConfig,
)
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, chunks_on_disk, create, read
from tests.kit.objects import eventually
from tests.kit.transfers import BOX, PART, TREE, content, fill, stored, transfer
from tests.kit.watchdog import watched


def rawx_reads(namespace: Namespace) -> int:
    return sum(record.service == "rawx" and record.method == "GET" for record in namespace.requests)


@contextlib.contextmanager
def stopped_after(parts: int, api: Any, target: Path) -> Iterator[None]:
    """A download of a large object that was stopped when some parts were there."""

    def stop(progress: Progress) -> None:
        if progress.bytes >= parts * PART:
            raise KeyboardInterrupt

    config = TransferConfig(workers=1, part_size=PART, bandwidth=1 << 40)
    moving: Transfer

    def pause(_seconds: float) -> None:
        # Called for each block: the caller has the time to look.
        gate.wait(5)
        gate.clear()

    gate = threading.Event()

    def show(progress: Progress) -> None:
        gate.set()
        stop(progress)

    moving = Transfer(api, config, on_progress=show, progress_interval=0, sleep=pause)
    with pytest.raises(KeyboardInterrupt):
        moving.download_file(BOX, "o", target / "o")
    yield


# --- failures that pass ---


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", operation="PUT", nth=1, after_bytes=1000),
        Fault("status", service="proxy", operation="content/prepare2", nth=1),
        Fault("status", service="proxy", operation="content/create", nth=1, status=500),
        Fault("commit-then-reset", service="proxy", operation="content/create", nth=1),
    ],
    ids=lambda fault: f"{fault.action}-{fault.operation}",
)
def test_upload_is_tried_again_and_makes_one_version(
    api: Any, namespace: Namespace, files: Path, fault: Fault
) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    fill(files, {"f": LARGE})
    waits: list[float] = []
    seen: list[Progress] = []
    moving = transfer(api, waits=waits, policy="SINGLE", on_progress=seen.append)
    with namespace.faults(fault) as plan, moving:
        moving.upload_file(files / "f", BOX)
    plan.assert_met()
    assert read(api, "f") == LARGE
    # What was moved twice counts once.
    assert seen[-1].bytes == len(LARGE)
    assert len(list(api.object_list_all(ACCOUNT, CONTAINER, versions=True))) == 1
    wanted = {chunk["url"].rpartition("/")[2] for chunk in api.object_locate(ACCOUNT, CONTAINER, "f")[1]}
    left = set(chunks_on_disk(namespace)) - wanted
    # Nobody knows whether a creation that fails with 500 was done: its chunks stay.
    assert not left or fault.status == 500
    assert all(wait >= 0.25 for wait in waits)


def test_upload_of_which_nobody_knows_is_looked_for(api: Any, namespace: Namespace, files: Path) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    fill(files, {"f": LARGE})
    namespace.forget_requests()
    # The client looks for it too, and gets no answer.
    lost = Fault("commit-then-reset", service="proxy", operation="content/create", nth=1)
    silent = Fault("status", service="proxy", operation="content/locate", status=500)
    waits: list[float] = []
    with namespace.faults(lost, silent) as plan, transfer(api, waits=waits) as moving:
        moving.upload_file(files / "f", BOX)
    plan.assert_met()
    assert len(waits) == 1
    assert read(api, "f") == LARGE
    assert sum(record.service == "rawx" and record.method == "PUT" for record in namespace.requests) == 6


def test_failure_that_stays_is_that_of_one_file(api: Any, namespace: Namespace, files: Path) -> None:
    fill(files, {"f": b"1", "g": LARGE})
    waits: list[float] = []
    with (
        namespace.faults(Fault("truncate", operation="PUT", after_bytes=1000)),
        transfer(api, waits=waits, retries=2) as moving,
    ):
        report = moving.upload_tree(files, BOX)
    assert (report.done, report.failed) == (1, 1)
    assert isinstance(report.failures[0].error, exc.OioException)
    assert len(waits) == 2
    assert stored(api) == {"f": b"1"}


@pytest.mark.parametrize("action", ["reset", "truncate", "corrupt"])
def test_part_alone_is_fetched_again(api: Any, namespace: Namespace, target: Path, action: str) -> None:
    create(api, "o", LARGE, policy="SINGLE")
    target.mkdir()
    seen: list[Progress] = []
    namespace.forget_requests()
    # A bit that is flipped is found by the checksum of the object: then all parts are fetched again.
    fault = Fault(action, operation="GET", nth=3, after_bytes=1000)
    with namespace.faults(fault) as plan, transfer(api, on_progress=seen.append) as moving:
        moving.download_file(BOX, "o", target / "o")
    plan.assert_met()
    assert content(target) == {"o": LARGE}
    assert seen[-1].bytes == seen[-1].total_bytes == len(LARGE)
    parts = -(-len(LARGE) // PART)
    if action != "corrupt":
        assert rawx_reads(namespace) <= parts + 2


def test_data_that_never_match_are_thrown_away(api: Any, namespace: Namespace, target: Path) -> None:
    create(api, "o", LARGE, policy="SINGLE")
    fill(target, {"o": b"old"})
    with (
        namespace.faults(Fault("corrupt", operation="GET", after_bytes=1000)),
        transfer(api, retries=1) as moving,
        pytest.raises(DataMismatch, match="checksum"),
    ):
        moving.download_file(BOX, "o", target / "o")
    assert content(target) == {"o": b"old"}


def test_part_that_never_comes_is_not_asked_for_more_often_than_said(
    api: Any, namespace: Namespace, target: Path
) -> None:
    create(api, "o", LARGE, policy="SINGLE")
    target.mkdir()
    waits: list[float] = []
    with (
        namespace.faults(Fault("status", operation="GET")),
        transfer(api, waits=waits, retries=2, workers=1) as moving,
        pytest.raises(exc.OioException),
    ):
        moving.download_file(BOX, "o", target / "o")
    assert len(waits) == 2
    # Nothing came that another call could go on from.
    assert content(target) == {}


def test_object_without_checksum_is_read_whole(api: Any, target: Path) -> None:
    create(api, "o", LARGE)
    create(api, "o", b"more", append=True)
    target.mkdir()
    with transfer(api) as moving:
        moving.download_file(BOX, "o", target / "o")
    assert content(target) == {"o": LARGE + b"more"}


# --- changes meanwhile ---


def test_file_that_changes_is_not_stored(api: Any, files: Path) -> None:
    create(api, "other")
    fill(files, {"f": LARGE})

    def change(_seconds: float) -> None:
        with open(files / "f", "ab") as file:
            file.write(b"more")

    # The sleep of the limit of the bandwidth comes between two blocks.
    config = TransferConfig(bandwidth=1 << 20, retries=1)
    with Transfer(api, config, sleep=change) as moving, pytest.raises((FileChanged, exc.SourceReadError)):
        moving.upload_file(files / "f", BOX)
    assert stored(api) == {"other": b"hello"}


def test_file_that_has_changed_is_read_again(api: Any, files: Path) -> None:
    fill(files, {"f": LARGE})
    changed: list[float] = []

    def change(seconds: float) -> None:
        if not changed:
            os.utime(files / "f", ns=(1, 1))
        changed.append(seconds)

    with Transfer(api, TransferConfig(bandwidth=1 << 20), sleep=change) as moving:
        moving.upload_file(files / "f", BOX)
    assert api.object_get_properties(ACCOUNT, CONTAINER, "f")["properties"] == {"file-mtime": "0.000000001"}
    assert read(api, "f") == LARGE


@pytest.mark.on_release("7.3")
@pytest.mark.parametrize("new", [b"2" * (3 << 20), b"2" * (2 << 20)], ids=["other", "shorter"])
@pytest.mark.parametrize("times", [1, 10])
def test_file_that_changes_before_it_is_read_again_for_a_bucket(
    namespace: Namespace, files: Path, new: bytes, times: int
) -> None:
    fill(files, {"f": b"1" * (3 << 20)})
    left = list(range(times))

    def change(event: Any) -> None:
        if (event.kind, event.operation) == (ENDED, "POST b2_get_upload_url") and left:
            (files / "f").write_bytes(new)
            os.utime(files / "f", ns=(1, left.pop()))

    with (
        namespace.api(on_event=change, retry=ONCE) as api,
        Transfer(api, TransferConfig(policy="BACKBLAZE", retries=2), sleep=[].append) as moving,
    ):
        if times == 1:
            moving.upload_file(files / "f", BOX)
            assert stored(api) == {"f": new}
            return
        create(api, "other")
        # After each failed upload, another URL is asked for.
        with pytest.raises(FileChanged, match="/f' was changed while"):
            moving.upload_file(files / "f", BOX)
        assert stored(api) == {"other": b"hello"}


def test_object_that_is_replaced_is_never_mixed(api: Any, target: Path) -> None:
    create(api, "o", LARGE)
    target.mkdir()
    other = LARGE[::-1]
    replaced: list[float] = []

    def replace(seconds: float) -> None:
        if not replaced:
            create(api, "o", other)
        replaced.append(seconds)

    config = TransferConfig(workers=1, part_size=PART, bandwidth=1 << 40)
    with Transfer(api, config, sleep=replace) as moving:
        moving.download_file(BOX, "o", target / "o")
    assert content(target) == {"o": other}


def test_object_that_is_always_replaced_is_a_failure(api: Any, target: Path) -> None:
    create(api, "o", LARGE)
    target.mkdir()
    config = TransferConfig(workers=1, part_size=PART, bandwidth=1 << 40, retries=1)
    with (
        Transfer(api, config, sleep=lambda _seconds: create(api, "o", LARGE[::-1])) as moving,
        pytest.raises(ObjectChanged),
    ):
        moving.download_file(BOX, "o", target / "o")
    assert content(target) == {}


# --- interruptions ---


def test_large_download_goes_on_where_it_was(api: Any, namespace: Namespace, target: Path) -> None:
    create(api, "o", LARGE)
    target.mkdir()
    with stopped_after(4, api, target):
        names = sorted(name[-8:] for name in content(target))
        assert names == [".journal", content_name(target)[-8:]]
        assert not (target / "o").exists()
    # Another failure, which adds nothing, takes nothing away.
    with (
        namespace.faults(Fault("status", operation="GET")),
        transfer(api, retries=0) as moving,
        pytest.raises(exc.OioException),
    ):
        moving.download_file(BOX, "o", target / "o")
    namespace.forget_requests()
    with transfer(api) as moving:
        moving.download_file(BOX, "o", target / "o")
    assert content(target) == {"o": LARGE}
    assert rawx_reads(namespace) < -(-len(LARGE) // PART) - 1


def content_name(target: Path) -> str:
    (name,) = [name for name in content(target) if name.endswith(".part")]
    return name


@pytest.mark.parametrize("damage", ["replaced", "cut", "journal", "bits"])
def test_download_begins_anew_when_it_cannot_go_on(api: Any, target: Path, damage: str) -> None:
    create(api, "o", LARGE)
    target.mkdir()
    data = LARGE
    with stopped_after(4, api, target):
        part = target / content_name(target)
    if damage == "replaced":
        data = LARGE[::-1]
        create(api, "o", data)
    elif damage == "cut":
        os.truncate(part, 100)
    elif damage == "journal":
        part.with_suffix(".journal").write_bytes(b'{"id"')
    else:
        with open(part, "r+b") as file:
            file.write(b"\xff")
    with transfer(api) as moving:
        moving.download_file(BOX, "o", target / "o")
    assert content(target) == {"o": data}


def test_line_that_a_kill_cut_short_is_no_part(api: Any, target: Path) -> None:
    create(api, "o", LARGE)
    target.mkdir()
    with stopped_after(2, api, target):
        journal = (target / content_name(target)).with_suffix(".journal")
    head = journal.read_bytes().splitlines(keepends=True)[0]
    # Half of "12.": not part 1, of which nothing is there.
    journal.write_bytes(head + b"1")
    (target / content_name(target)).write_bytes(bytes(len(LARGE)))
    waits: list[float] = []
    with transfer(api, waits=waits) as moving:
        moving.download_file(BOX, "o", target / "o")
    assert content(target) == {"o": LARGE}
    assert waits == []


def test_files_of_downloads_are_not_uploaded(api: Any, target: Path) -> None:
    create(api, "o", LARGE)
    target.mkdir()
    with stopped_after(1, api, target), transfer(api) as moving:
        assert moving.sync(target, BOX).done == 0


def test_two_downloads_into_one_file_do_not_mix(api: Any, target: Path) -> None:
    create(api, "o", LARGE)
    target.mkdir()
    refused: list[BaseException] = []

    def another(_seconds: float) -> None:
        if not refused:
            with transfer(api) as other, pytest.raises(FileRefused, match="another transfer") as caught:
                other.download_file(BOX, "o", target / "o")
            refused.append(caught.value)

    with Transfer(api, TransferConfig(part_size=PART, bandwidth=1 << 40), sleep=another) as moving:
        moving.download_file(BOX, "o", target / "o")
    assert refused
    assert content(target) == {"o": LARGE}


# --- cancellation ---


@pytest.mark.parametrize("stalled", ["GET", "PUT", "content/prepare2", "container/list"])
def test_cancel_ends_a_wait_and_leaves_nothing(
    api: Any, namespace: Namespace, files: Path, target: Path, stalled: str
) -> None:
    create(api, "o", LARGE, policy="SINGLE")
    before = sorted(chunks_on_disk(namespace))
    fill(files, {"f": LARGE})
    moving = transfer(api, policy="SINGLE")
    service = "rawx" if stalled.isupper() else "proxy"
    fault = Fault("stall", service=service, operation=stalled)
    with namespace.faults(fault) as plan:

        def move() -> Any:
            if stalled == "GET":
                return moving.download_tree(BOX, target)
            return moving.upload_tree(files, BOX)

        def cancel() -> None:
            eventually(lambda: plan.hits(fault) > 0)
            moving.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        error = watched(move)
        canceller.join()
    assert isinstance(error, TransferCancelled)
    assert error.report is not None
    assert not (target / "o").exists()
    eventually(lambda: sorted(chunks_on_disk(namespace)) == before)
    assert [obj["name"] for obj in api.object_list_all(ACCOUNT, CONTAINER)] == ["o"]


def test_callback_may_cancel(api: Any, files: Path) -> None:
    fill(files, {str(number): b"1" for number in range(100)})
    moving = transfer(api, workers=2, on_result=lambda _result: moving.cancel())
    with pytest.raises(TransferCancelled) as caught:
        moving.upload_tree(files, BOX)
    report = caught.value.report
    assert report is not None
    assert 0 < report.done <= len(stored(api))
    # What is done next is not cancelled.
    calm = transfer(api)
    again = calm.upload_tree(files, BOX)
    # An upload that was cancelled while its answer was on the way may have been done.
    assert again.skipped >= report.done
    assert again.done + again.skipped == len(stored(api)) == 100


# --- bounds ---


def test_threads_and_descriptors_are_bounded(api: Any, files: Path, target: Path) -> None:
    fill(files, {f"{number}/f": b"1" for number in range(60)} | TREE)
    most = [0, 0]

    def look(_result: Result) -> None:
        threads = [thread for thread in threading.enumerate() if thread.name == "oio-transfer"]
        opened = [_target(fd) for fd in os.listdir("/proc/self/fd")]
        most[0] = max(most[0], len(threads))
        most[1] = max(most[1], sum(name.startswith((str(files), str(target))) for name in opened))

    with transfer(api, workers=3, on_result=look) as moving:
        moving.upload_tree(files, BOX)
        moving.download_tree(BOX, target)
    assert content(target) == content(files)
    assert most[0] <= 3
    assert most[1] <= 3 * 5


def _target(fd: str) -> str:
    """What a descriptor is of; it may be closed meanwhile."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{fd}")
    return ""
