# SPDX-License-Identifier: Apache-2.0
"""Calls to Backblaze B2 that fail: what is repeated, after which pauses, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.api.backblaze_http import BackblazeException, Backoff
from oio.b2.retry import Attempts
from oio.b2.session import B2Limits
from oio.common import exceptions as exc
from oio.common import green
from oio.common.deadlines import monotonic_time
from tests.kit.b2_service import BUCKET, Cut, Refusal, Stall, client_of, serving_b2
from tests.kit.scripted import full_backlog


@pytest.fixture
def service():
    with serving_b2() as service:
        service.add("file", b"data")
        yield service


def refusal(status, **headers):
    class Response:
        pass

    Response.headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return BackblazeException(status, "busy", Response, {})


TRANSIENT = [
    Refusal(408, "request_timeout"),
    Refusal(429, "too_many_requests"),
    Refusal(500, "internal_error"),
    Refusal(502),
    Refusal(503, "service_unavailable"),
    Cut(),
    b"<html>",
    b'"text"',
    b"",
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
def test_call_is_repeated_after_growing_pauses(service, client, fault):
    service.fail("b2_list_buckets", fault, fault, fault)
    assert client.get_list_buckets()
    assert client.waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("fault", TRANSIENT, ids=repr)
def test_attempts_are_bounded(service, client, fault):
    service.fail("b2_list_buckets", *[fault] * 9)
    with pytest.raises((BackblazeException, exc.OioNetworkException)):
        client.get_list_buckets()
    assert service.count("b2_list_buckets") == 5
    assert client.waits == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (400, "cap_exceeded"),
        (403, "cap_exceeded"),
        (403, "transaction_cap_exceeded"),
        (403, "access_denied"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (409, "conflict"),
        (302, None),
    ],
)
def test_what_will_not_change_is_asked_once(service, client, status, code):
    service.fail("b2_list_buckets", Refusal(status, code, {"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(BackblazeException) as caught:
        client.get_list_buckets()
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert service.count("b2_list_buckets") == 1


def test_service_that_tells_when_to_come_back_is_believed(service, client):
    busy, asked = Refusal(503), Refusal(503, "busy", {"Retry-After": "9"})
    service.fail("b2_list_buckets", busy, busy, asked, busy)
    assert client.get_list_buckets()
    assert client.waits == [1.0, 2.0, 9.0, 1.0], "and the own pauses start again"


@pytest.mark.parametrize("text", ["soon", "Wed, 21 Oct 2037 07:28:00 GMT", "-5", "1.5", ""])
def test_other_words_about_the_time_are_ignored(service, client, text):
    service.fail("b2_list_buckets", Refusal(429, "busy", {"Retry-After": text}))
    assert client.get_list_buckets()
    assert client.waits == [1.0]


def test_service_that_asks_for_too_long_a_pause_is_not_waited_for(service, client):
    service.fail("b2_list_buckets", Refusal(503, "busy", {"Retry-After": "86400"}))
    with pytest.raises(BackblazeException, match=r"\(503\)"):
        client.get_list_buckets()
    assert client.waits == []


def test_pause_that_ends_after_the_deadline_is_not_begun(service, client):
    service.fail("download", Refusal(503, "busy", {"Retry-After": "30"}))
    with pytest.raises(BackblazeException, match=r"\(503\)"):
        b"".join(client.get(BUCKET, "file", deadline=monotonic_time() + 20))
    assert client.waits == []


@given(number=st.integers(0, 10**6), draw=st.floats(0, 1), seconds=st.integers(0, 600))
def test_pauses_are_prolonged_at_random_and_never_shortened(number, draw, seconds):
    backoff = Backoff(draw=lambda: draw)
    shortest = min(2.0**number, 64.0) if number < 10 else 64.0
    assert shortest <= backoff.pause(number) <= 1.5 * shortest
    assert seconds <= backoff.pause_asked(refusal(503, Retry_After=str(seconds))) <= 1.5 * seconds


def test_other_green_threads_run_during_a_pause():
    ran = []
    with green.ContextPool(1) as pool:
        pool.spawn(ran.append, True)
        Backoff().sleep(0.001)
        assert ran == [True]


def test_progress_is_counted():
    waits = []
    attempts = Attempts(Backoff(attempts=2, sleep=waits.append, draw=lambda: 0.0), B2Limits())
    for _ in range(3):
        attempts.failed(refusal(503), "test")
        attempts.restart()
    attempts.failed(refusal(503), "test")
    with pytest.raises(BackblazeException):
        attempts.failed(refusal(503), "test")
    assert waits == [1.0] * 4


@pytest.mark.parametrize(
    "call",
    [
        lambda client, **options: client.put(BUCKET, "other", b"data", **options),
        lambda client, **options: list(client.get(BUCKET, "file", **options)),
        lambda client, **options: client.head(BUCKET, "file", **options),
        lambda client, **options: client.remove(BUCKET, "file", **options),
    ],
    ids=["put", "get", "head", "remove"],
)
def test_deadline_bounds_each_kind_of_call(service, client, call):
    with pytest.raises(exc.DeadlineReached):
        call(client, deadline=monotonic_time() - 1)
    client.get_list_buckets()
    for operation in ("b2_upload_file", "download", "b2_delete_file_version"):
        service.fail(operation, Stall())
    with pytest.raises(exc.OioTimeout):
        call(client, deadline=monotonic_time() + 0.3)


def test_deadline_bounds_the_authorisation_at_construction(service):
    service.fail("b2_authorize_account", Stall())
    with pytest.raises(exc.OioTimeout), client_of(service, deadline=monotonic_time() + 0.2):
        pass


@pytest.mark.parametrize("used_before", [True, False])
def test_answer_may_take_as_long_as_reads_may(service, used_before):
    options = {"connection_timeout": 5.0, "read_timeout": 0.25, "backoff": Backoff(attempts=1)}
    with client_of(service, authorize=used_before, **options) as client:
        service.fail("b2_list_buckets" if used_before else "b2_authorize_account", Stall())
        with pytest.raises(exc.OioTimeout, match=r"read timeout=0\.25"):
            client.get_list_buckets()


def test_time_limits_of_connecting_and_reading(service):
    service.fail("b2_list_buckets", Stall())
    once = Backoff(attempts=1)
    with (
        client_of(service, read_timeout=0.2, backoff=once) as client,
        pytest.raises(exc.OioTimeout, match="b2_list_buckets"),
    ):
        client.get_list_buckets()
    with full_backlog() as address:
        options = {"api_url": f"http://{address}", "connection_timeout": 0.2, "backoff": once}
        with pytest.raises(exc.OioTimeout, match="b2_authorize_account"), client_of(service, **options):
            pass


def test_service_that_nobody_runs_is_told_of(service):
    options = {"api_url": "http://127.0.0.1:1", "backoff": Backoff(attempts=1)}
    with (
        pytest.raises(exc.OioConnectionException, match=r"127\.0\.0\.1:1") as caught,
        client_of(service, **options),
    ):
        pass
    assert caught.value.service == "127.0.0.1:1"


def test_connections_are_kept(service, client):
    for _ in range(5):
        client.put(BUCKET, "file", b"data")
        assert b"".join(client.get(BUCKET, "file")) == b"data"
    assert client.remove(BUCKET, "file") == 6
    assert service.connections == 1


def test_connections_are_kept_after_answers_without_a_body(service, client):
    service.add("file", b"data")
    service.add("empty", b"")
    for _ in range(3):
        assert client.head(BUCKET, "file")["contentLength"] == 4
        assert b"".join(client.get(BUCKET, "empty")) == b""
    with pytest.raises(BackblazeException):
        client.head(BUCKET, "other")
    assert client.head(BUCKET, "empty")["contentLength"] == 0
    assert service.connections == 1


def test_environment_and_netrc_change_nothing(service, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with client_of(service) as client:
        assert b"".join(client.get(BUCKET, "file")) == b"data"


def test_test_mode_is_asked_for(service):
    with client_of(service, test_mode="force_cap_exceeded") as client:
        client.put(BUCKET, "one", b"")
    assert {call.headers.get("x-bz-test-mode") for call in service.calls} == {"force_cap_exceeded"}


def test_repeated_deletion_of_what_is_gone_is_a_success(service, client):
    file = service.version("file")
    service.fail("b2_delete_file_version", Cut(done=True))
    assert client.delete_by_path_name(file.file_id, "file") == {"fileId": file.file_id, "fileName": "file"}
    with pytest.raises(BackblazeException) as caught:
        client.delete_by_path_name(file.file_id, "file")
    assert caught.value.code == "file_not_present"


def test_file_that_somebody_else_deletes_meanwhile_is_no_failure(service, client):
    service.fail("b2_delete_file_version", Refusal(400, "file_not_present"))
    service.add("file", b"newer")
    assert client.remove(BUCKET, "file") == 2
    assert client.remove(BUCKET, "file") == 1
    assert client.remove(BUCKET, "file") == 0


def test_deletion_that_is_refused_is_told_of(service, client):
    service.fail("b2_delete_file_version", Refusal(401, "unauthorized"))
    with pytest.raises(BackblazeException, match=r"\(401\)"):
        client.remove(BUCKET, "file")


def test_versions_are_removed_page_by_page_and_no_other_name(service, client):
    service.page = 2
    for name in ("file", "file", "file", "file", "file.d", "fil"):
        service.add(name, b"x")
    assert client.remove(BUCKET, "file") == 5
    assert [file.name for file in service.files] == ["file.d", "fil"]
