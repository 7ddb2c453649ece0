# SPDX-License-Identifier: Apache-2.0
"""Objects in Backblaze while its service fails: stored and read all the same, or nothing is left of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from oio.api.backblaze_http import BackblazeException
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.buckets import PART_SIZE, asked, client_of, listed, versions
from tests.kit.deadlines import kept_by
from tests.kit.objects import Outcome, create, new_target, read, stored

POLICY = "BACKBLAZE"
SMALL = bytes(number % 251 for number in range(50_000))
LARGE = bytes(number % 253 for number in range(2 * PART_SIZE + 50_000))
"""Three parts."""

#: What stores each of them.
UPLOADS = {"b2_upload_file": SMALL, "b2_upload_part": LARGE}
uploads = pytest.mark.parametrize("operation", UPLOADS)


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: Any) -> Iterator[Namespace]:
    path = tmp_path_factory.mktemp("namespace")
    with Namespace(path, rawx=1, chunk_size=1000, default_policy=POLICY) as running:
        yield running


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    with client_of(namespace) as client:
        yield client
        for account in client.account_list():
            for container, *_ in client.container_list(account):
                client.container_flush(account, container)
                client.container_delete(account, container)
    assert versions(namespace) == []


def refusal(status: int, code: str | None = None, **headers: str) -> dict[str, Any]:
    """Settings of a fault that answers as the service would."""
    body = json.dumps({"status": status, "code": code, "message": "because"})
    pairs = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return {"action": "status", "status": status, "body": body, "headers": pairs}


#: What may befall an upload, and what another attempt can mend.
PASSING = {
    "busy": refusal(503, "service_unavailable"),
    "busy for a moment": refusal(503, "service_unavailable", Retry_After="0"),
    "busy at once": {**refusal(503, "service_unavailable"), "phase": "head"},
    "broken": refusal(500, "internal_error"),
    "no JSON": {"action": "status", "status": 502, "body": "<html>", "content_type": "text/html"},
    "slow": refusal(408, "request_timeout"),
    "too many": refusal(429, "too_many_requests", Retry_After="0"),
    "expired token": refusal(401, "expired_auth_token"),
    "unknown token": refusal(401, "bad_auth_token"),
    "cut while sending": {"action": "reset", "after_bytes": 20_000},
    "end while sending": {"action": "truncate", "after_bytes": 20_000},
    "lost answer": {"action": "commit-then-reset"},
    "full": {"action": "disk-full"},
    "wrong answer": {"action": "wrong-hash"},
}
#: What no attempt can mend.
FINAL = {
    "cap": refusal(403, "cap_exceeded"),
    "storage cap": refusal(403, "storage_cap_exceeded"),
    "wrong": refusal(400, "bad_request"),
    "not allowed": refusal(401, "unauthorized"),
}


def fault(operation: str, settings: dict[str, Any], **more: Any) -> Fault:
    return Fault(service="b2", operation=operation, **{**settings, **more})


def assert_stored(api: Any, target: Any, data: bytes) -> None:
    assert read(api, target) == Outcome(data, None)


def assert_absent(namespace: Namespace, api: Any, target: Any) -> None:
    with pytest.raises((exc.NoSuchObject, exc.NoSuchContainer)):
        api.object_locate(*target)
    assert versions(namespace) == []


# --- uploads --------------------------------------------------------------------------------------------


@pytest.mark.pitfall(122)
@uploads
@pytest.mark.parametrize("trouble", PASSING)
def test_upload_that_fails_once_is_sent_again(
    namespace: Namespace, api: Any, operation: str, trouble: str
) -> None:
    target = new_target()
    with namespace.faults(fault(operation, PASSING[trouble], nth=1)) as plan:
        create(api, target, UPLOADS[operation])
    plan.assert_met()
    assert_stored(api, target, UPLOADS[operation])
    assert {file.name for file in versions(namespace)} == set(listed(api, *target))
    assert api.object_delete(*target)
    assert versions(namespace) == []


@uploads
@pytest.mark.parametrize("trouble", PASSING)
def test_upload_that_always_fails_leaves_nothing(
    namespace: Namespace, api: Any, operation: str, trouble: str
) -> None:
    target = new_target()
    with namespace.faults(fault(operation, PASSING[trouble])) as plan:
        with pytest.raises((BackblazeException, exc.OioNetworkException)) as caught:
            create(api, target, UPLOADS[operation])
        assert_absent(namespace, api, target)
    plan.assert_met()
    assert isinstance(caught.value, exc.OioException)
    assert caught.value.reqid


@uploads
@pytest.mark.parametrize("trouble", FINAL)
def test_upload_that_is_refused_for_good_is_not_repeated(
    namespace: Namespace, api: Any, operation: str, trouble: str
) -> None:
    target = new_target()
    namespace.forget_requests()
    with (
        namespace.faults(fault(operation, FINAL[trouble], nth=1)) as plan,
        pytest.raises(BackblazeException) as caught,
    ):
        create(api, target, UPLOADS[operation])
    plan.assert_met()
    assert caught.value.status_code == FINAL[trouble]["status"]
    # Parts of one file are sent several at a time.
    assert asked(namespace).count(operation) <= (1 if operation == "b2_upload_file" else 3)
    assert_absent(namespace, api, target)


@pytest.mark.parametrize(
    "operation",
    [
        "b2_authorize_account",
        "b2_list_buckets",
        "b2_get_upload_url",
        "b2_start_large_file",
        "b2_get_upload_part_url",
        "b2_finish_large_file",
    ],
)
@pytest.mark.parametrize("trouble", ["busy", "too many", "cut", "lost answer"])
@pytest.mark.parametrize("always", [False, True])
def test_what_an_upload_needs_fails(
    namespace: Namespace, api: Any, operation: str, trouble: str, always: bool
) -> None:
    settings = {**PASSING, "cut": {"action": "reset", "phase": "head"}}[trouble]
    data = LARGE if "part" in operation or "large" in operation else SMALL
    target = new_target()
    with namespace.faults(fault(operation, settings, nth=None if always else 1)) as plan:
        if always and (operation, trouble) != ("b2_start_large_file", "lost answer"):
            with pytest.raises((BackblazeException, exc.OioNetworkException)):
                create(api, target, data)
        else:
            # A file whose start is not answered is looked for, and found.
            create(api, target, data)
    plan.assert_met()
    if always and (operation, trouble) != ("b2_start_large_file", "lost answer"):
        assert_absent(namespace, api, target)
    else:
        assert_stored(api, target, data)
        assert len(versions(namespace)) == 1


@uploads
def test_tokens_and_upload_urls_that_end_are_replaced(namespace: Namespace, api: Any, operation: str) -> None:
    data = UPLOADS[operation]
    assert_stored(api, stored(api, data), data)
    namespace.b2.expire_tokens()
    namespace.b2.expire_upload_urls()
    target = stored(api, data)
    namespace.b2.expire_tokens()
    assert_stored(api, target, data)
    namespace.b2.expire_tokens()
    assert api.object_delete(*target)


def test_service_that_is_not_there(tmp_path: Any) -> None:
    with Namespace(tmp_path / "own", rawx=1, default_policy=POLICY) as namespace, client_of(namespace) as api:
        target = stored(api, SMALL)
        namespace.b2.stop()
        with pytest.raises(exc.OioConnectionException):
            create(api, new_target(), SMALL)
        outcome = read(api, target)
        assert outcome.data == b""
        assert isinstance(outcome.error, exc.ServiceUnavailable)
        namespace.b2.start()
        assert_stored(api, target, SMALL)


@pytest.mark.parametrize(
    "operation", ["b2_authorize_account", "b2_get_upload_url", "b2_upload_file", "b2_upload_part"]
)
@pytest.mark.parametrize("phase", ["head", "body"])
def test_upload_that_stalls_ends_with_the_deadline(
    namespace: Namespace, api: Any, operation: str, phase: str
) -> None:
    target = new_target()
    data = UPLOADS.get(operation, SMALL)
    stall = Fault("stall", service="b2", operation=operation, phase=phase)
    error = kept_by(namespace, stall, call=lambda deadline: create(api, target, data, deadline=deadline))
    assert isinstance(error, exc.DeadlineReached)
    assert versions(namespace) == []
    assert_absent(namespace, api, target)


@uploads
def test_upload_that_stalls_is_sent_again_after_the_read_timeout(
    namespace: Namespace, api: Any, operation: str
) -> None:
    target = new_target()
    with namespace.faults(Fault("stall", service="b2", operation=operation, nth=1)) as plan:
        create(api, target, UPLOADS[operation], read_timeout=1.0)
    plan.assert_met()
    assert_stored(api, target, UPLOADS[operation])


def test_refused_commit_while_the_service_fails_raises_the_refusal(
    namespace: Namespace, api: Any, caplog: Any
) -> None:
    target = new_target()
    with (
        namespace.faults(
            Fault("status", service="proxy", operation="content/create", status=403),
            fault("b2_list_file_versions", PASSING["busy"]),
        ) as plan,
        pytest.raises(exc.Forbidden),
    ):
        create(api, target, SMALL)
    plan.assert_met()
    (left,) = versions(namespace)
    assert left.name in caplog.text
    namespace.b2.store.versions.delete(str(left.id), left.name)


# --- reads ----------------------------------------------------------------------------------------------


READS = {
    "busy": refusal(503, "service_unavailable"),
    "too many": refusal(429, "too_many_requests", Retry_After="0"),
    "expired token": refusal(401, "expired_auth_token"),
    "cut before the answer": {"action": "reset", "phase": "head"},
    "cut": {"action": "reset", "after_bytes": 30_000},
    "end": {"action": "truncate", "after_bytes": 30_000},
    "end before the last byte": {"action": "truncate", "after_bytes": -1},
    "refused": {"action": "truncate"},
}
RANGES = [None, [(10, 45_000)], [(0, 0), (40_000, 49_999), (5, 6)]]


def part_of(data: bytes, ranges: Any) -> bytes:
    return data if ranges is None else b"".join(data[first : last + 1] for first, last in ranges)


# What happens does not depend on the number of parts.
@pytest.mark.parametrize(
    ("data", "ranges"),
    [(SMALL, RANGES[0]), (LARGE, RANGES[1]), (SMALL, RANGES[2])],
    ids=["small", "large, range", "small, ranges"],
)
@pytest.mark.parametrize("trouble", READS)
def test_read_that_breaks_goes_on_from_the_exact_byte(
    namespace: Namespace, api: Any, data: bytes, trouble: str, ranges: Any
) -> None:
    target = stored(api, data)
    with namespace.faults(fault("download", READS[trouble], nth=1)):
        outcome = read(api, target, ranges)
    assert outcome == Outcome(part_of(data, ranges), None)


@pytest.mark.parametrize("ranges", RANGES[:2])
@pytest.mark.parametrize("trouble", ["busy", "too many", "cut before the answer", "refused"])
def test_read_that_always_breaks_raises(namespace: Namespace, api: Any, trouble: str, ranges: Any) -> None:
    target = stored(api, SMALL)
    with namespace.faults(fault("download", READS[trouble])) as plan:
        outcome = read(api, target, ranges)
    plan.assert_met()
    assert outcome.data == b""
    assert isinstance(outcome.error, exc.ServiceUnavailable)
    assert "b2/" in str(outcome.error)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (refusal(404, "not_found"), exc.UnrecoverableContent),
        (refusal(403, "download_cap_exceeded"), exc.ServiceUnavailable),
        (refusal(401, "unauthorized"), exc.ServiceUnavailable),
        (refusal(400, "bad_request"), exc.ServiceUnavailable),
    ],
)
def test_refused_read_is_not_repeated(
    namespace: Namespace, api: Any, settings: dict[str, Any], expected: type[Exception]
) -> None:
    target = stored(api, SMALL)
    namespace.forget_requests()
    with namespace.faults(fault("download", settings)):
        outcome = read(api, target)
    assert isinstance(outcome.error, expected)
    assert asked(namespace).count("download") == 1


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("place", [0, 40_000, -1])
def test_damaged_download_never_passes_for_the_object(
    namespace: Namespace, api: Any, data: bytes, place: int
) -> None:
    target = stored(api, data)
    damage = {"action": "corrupt", "after_bytes": place}
    with namespace.faults(fault("download", damage, nth=1)):
        outcome = read(api, target)
    # When nothing was given out, it is read again.
    assert outcome == Outcome(data, None) or isinstance(outcome.error, exc.CorruptedChunk)
    with namespace.faults(fault("download", damage, nth=1)) as plan:
        assert read(api, target, verify_checksum="strict") == Outcome(data, None)
    plan.assert_met()
    with namespace.faults(fault("download", damage)):
        outcome = read(api, target)
    assert isinstance(outcome.error, exc.CorruptedChunk)
    assert len(outcome.data) < len(data)


@pytest.mark.parametrize("after_bytes", [0, 30_000])
def test_read_that_stalls_ends_with_the_deadline(namespace: Namespace, api: Any, after_bytes: int) -> None:
    target = stored(api, SMALL)
    stall = Fault("stall", service="b2", operation="download", after_bytes=after_bytes)
    outcome = kept_by(namespace, stall, call=lambda deadline: read(api, target, deadline=deadline))
    assert isinstance(outcome.error, exc.DeadlineReached)


def test_read_that_drips_ends_with_the_deadline(namespace: Namespace, api: Any) -> None:
    target = stored(api, SMALL)
    drip = Fault("drip", service="b2", operation="download", seconds=0.05)
    outcome = kept_by(namespace, drip, call=lambda deadline: read(api, target, deadline=deadline))
    assert isinstance(outcome.error, exc.DeadlineReached)


def test_read_that_stalls_goes_on_after_the_read_timeout(namespace: Namespace, api: Any) -> None:
    target = stored(api, LARGE)
    with namespace.faults(
        Fault("stall", service="b2", operation="download", after_bytes=30_000, nth=1)
    ) as plan:
        assert read(api, target, read_timeout=1.0) == Outcome(LARGE, None)
    plan.assert_met()


# --- deletions and looks --------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["b2_list_file_versions", "b2_delete_file_version"])
@pytest.mark.parametrize("trouble", ["busy", "too many", "expired token", "lost answer"])
def test_deletion_that_fails_once_is_asked_again(
    namespace: Namespace, api: Any, operation: str, trouble: str
) -> None:
    target = stored(api, SMALL)
    with namespace.faults(fault(operation, PASSING[trouble], nth=1)) as plan:
        assert api.object_delete(*target)
    plan.assert_met()
    assert_absent(namespace, api, target)


def test_object_is_deleted_though_its_file_cannot_be(namespace: Namespace, api: Any, caplog: Any) -> None:
    target = stored(api, SMALL)
    with namespace.faults(fault("b2_list_file_versions", PASSING["busy"])):
        assert api.object_delete(*target)
    (left,) = versions(namespace)
    assert left.name in caplog.text
    namespace.b2.store.versions.delete(str(left.id), left.name)


def test_look_at_a_service_that_fails_tells_that_nothing_is_known(namespace: Namespace, api: Any) -> None:
    target = stored(api, SMALL)
    with namespace.faults(fault("download", PASSING["busy"])), pytest.raises(exc.OioException):
        api.object_head(*target, trust_level=2)
    assert api.object_head(*target, trust_level=2)
