# SPDX-License-Identifier: Apache-2.0
"""What may go wrong with a B2: faults of each kind, and the test mode that requests may ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oio.sandbox import Fault, Namespace
from tests.kit.rawsocket import RawSocket, head
from tests.sandbox.b2asking import B2Account, digest, error, stored_files, upload_headers

DATA = b"data" * 50_000


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (401, "unauthorized"),
        (403, "cap_exceeded"),
        (404, "not_found"),
        (408, "request_timeout"),
        (429, "too_many_requests"),
        (500, "internal_error"),
        (503, "service_unavailable"),
    ],
)
def test_a_status_comes_with_its_usual_code(
    namespace: Namespace, b2: B2Account, status: int, code: str
) -> None:
    fault = Fault("status", service="b2", operation="b2_list_buckets", status=status)
    with namespace.faults(fault) as plan:
        assert error(b2.ask("b2_list_buckets", accountId=b2.id)) == (status, code)
    plan.assert_met()
    assert b2.ask("b2_list_buckets", accountId=b2.id).status == 200


def test_a_status_may_have_headers_and_a_body(namespace: Namespace, b2: B2Account) -> None:
    plain = Fault("status", service="b2", status=429, headers=(("Retry-After", "7"),))
    with namespace.faults(plain):
        answer = b2.ask("b2_list_buckets", accountId=b2.id)
    assert (error(answer), answer.get("retry-after")) == ((429, "too_many_requests"), "7")
    own = Fault("status", service="b2", body="<html>", content_type="text/html", headers=(("X-A", "b"),))
    with namespace.faults(own):
        answer = b2.ask("b2_list_buckets", accountId=b2.id)
    assert (answer.status, answer.body, answer.get("x-a")) == (503, b"<html>", "b")
    assert answer.get("content-type") == "text/html"


def test_headers_are_those_of_a_status() -> None:
    with pytest.raises(ValueError, match=r"headers=.*for status only, not for 'reset'"):
        Fault("reset", service="b2", headers=(("Retry-After", "1"),))


@pytest.mark.parametrize("status", [401, 408, 500, 503])
@pytest.mark.parametrize("phase", ["body", "head"])
def test_an_upload_url_is_closed_by_a_failure(
    namespace: Namespace, b2: B2Account, status: int, phase: str
) -> None:
    url = b2.upload_url()
    fault = Fault("status", service="b2", operation="b2_upload_file", nth=1, status=status, phase=phase)
    with namespace.faults(fault) as plan:
        assert b2.put(url, "name", b"data").status == status
        assert error(b2.put(url, "name", b"data")) == (401, "expired_auth_token")
        assert b2.put(b2.upload_url(), "name", b"data").status == 200
    plan.assert_met()


@pytest.mark.parametrize("status", [400, 403, 429])
def test_an_upload_url_outlives_a_refusal(namespace: Namespace, b2: B2Account, status: int) -> None:
    url = b2.upload_url()
    with namespace.faults(Fault("status", service="b2", operation="b2_upload_file", nth=1, status=status)):
        assert b2.put(url, "name", b"data").status == status
        assert b2.put(url, "name", b"data").status == 200


def test_an_answer_need_not_wait_for_the_body(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    lines = [*upload_headers(url, "name", DATA), ("Host", "h"), ("Content-Length", str(len(DATA)))]
    fault = Fault("status", service="b2", operation="b2_upload_file", status=503, phase="head")
    with namespace.faults(fault) as plan, RawSocket(b2.b2.address) as connection:
        connection.send(head("POST", url.path, lines))
        answer = connection.answer()
        assert (error(answer), answer.get("connection")) == ((503, "service_unavailable"), "close")
        assert connection.is_closed()
    plan.assert_met()


@pytest.mark.parametrize("action", ["reset", "truncate"])
@pytest.mark.parametrize("after_bytes", [0, 100_000, -1])
@pytest.mark.parametrize("operation", ["b2_upload_file", "b2_upload_part"])
def test_an_upload_that_is_cut_leaves_nothing(
    namespace: Namespace, b2: B2Account, action: str, after_bytes: int, operation: str
) -> None:
    file_id = b2.start_large()
    part = operation == "b2_upload_part"
    url = b2.part_url(file_id) if part else b2.upload_url()
    fault = Fault(action, service="b2", operation=operation, nth=1, after_bytes=after_bytes)

    def put() -> Any:
        return b2.put_part(url, 1, DATA) if part else b2.put(url, "name", DATA)

    with namespace.faults(fault) as plan:
        with pytest.raises((OSError, EOFError)):
            put()
        assert error(put()) == (401, "expired_auth_token")
    plan.assert_met()
    assert (b2.names(), stored_files(namespace)) == ([], 0)


def test_a_damaged_upload_is_noticed(namespace: Namespace, b2: B2Account) -> None:
    fault = Fault("corrupt", service="b2", operation="b2_upload_file", nth=1, after_bytes=1000)
    with namespace.faults(fault) as plan:
        assert error(b2.put(b2.upload_url(), "name", DATA)) == (400, "bad_request")
    plan.assert_met()
    assert stored_files(namespace) == 0


def test_a_full_disk_sends_the_client_elsewhere(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    with namespace.faults(Fault("disk-full", service="b2", nth=1)) as plan:
        assert error(b2.put(url, "name", DATA)) == (503, "service_unavailable")
        assert error(b2.put(url, "name", DATA)) == (401, "expired_auth_token")
    plan.assert_met()
    assert stored_files(namespace) == 0


def test_a_lost_answer_leaves_a_version(namespace: Namespace, b2: B2Account) -> None:
    fault = Fault("commit-then-reset", service="b2", operation="b2_upload_file", nth=1)
    with namespace.faults(fault) as plan, pytest.raises((OSError, EOFError)):
        b2.put(b2.upload_url(), "name", DATA)
    plan.assert_met()
    b2.store("name", DATA)
    assert b2.versions() == [("name", "upload")] * 2


def test_a_stalled_upload_holds_its_url(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    fault = Fault("stall", service="b2", operation="b2_upload_file", nth=1, after_bytes=1000)
    with namespace.faults(fault) as plan, RawSocket(b2.b2.address) as connection:
        lines = [*upload_headers(url, "name", DATA), ("Host", "h"), ("Content-Length", str(len(DATA)))]
        connection.send(head("POST", url.path, lines) + DATA[:2000])
        while not plan.hits(fault):
            pass
        assert error(b2.put(url, "name", DATA)) == (400, "auth_token_limit")


@pytest.mark.parametrize("by_id", [True, False])
def test_downloads_of_both_kinds_are_struck(namespace: Namespace, b2: B2Account, by_id: bool) -> None:
    file_id = b2.store("name", DATA)["fileId"]

    def download() -> bytes:
        if by_id:
            return b2.ask("b2_download_file_by_id", fileId=file_id).body
        return b2.download("name").body

    faults = [
        Fault("truncate", service="b2", operation="download", nth=1, after_bytes=5000),
        Fault("corrupt", service="b2", operation="download", nth=2, after_bytes=-1),
    ]
    with namespace.faults(*faults) as plan:
        assert download() == DATA[:5000]
        assert [at for at, (a, b) in enumerate(zip(download(), DATA, strict=True)) if a != b] == [
            len(DATA) - 1
        ]
        assert download() == DATA
    plan.assert_met()


def test_a_download_of_several_parts_is_struck_in_any_of_them(namespace: Namespace, b2: B2Account) -> None:
    namespace.b2.limits.minimum_part_size = 1
    b2.store_large("large", b"one", b"two", b"three")
    fault = Fault("truncate", service="b2", operation="download", after_bytes=5)
    with namespace.faults(fault) as plan:
        assert b2.download("large").body == b"onetw"
    plan.assert_met()


def test_wrong_digests_are_told(namespace: Namespace, b2: B2Account) -> None:
    fault = Fault("wrong-hash", service="b2")
    url = b2.upload_url()
    with namespace.faults(fault) as plan:
        assert json.loads(b2.put(url, "name", DATA).body)["contentSha1"] != digest(DATA)
        assert b2.download("name").get("x-bz-content-sha1") != digest(DATA)
    assert plan.hits(fault) == 2
    assert b2.download("name").get("x-bz-content-sha1") == digest(DATA)


def test_nobody_listens_while_it_refuses(namespace: Namespace, b2: B2Account) -> None:
    with namespace.faults(Fault("refuse", service="b2")), pytest.raises(ConnectionRefusedError):
        b2.download("name")
    namespace.b2.stop()
    with pytest.raises(ConnectionRefusedError):
        b2.download("name")
    namespace.b2.start()
    assert b2.download("name").status == 404


@pytest.mark.parametrize("operation", ["b2_uplod_file", "content/create", "PUTT"])
def test_a_fault_for_an_operation_that_b2_has_not_is_refused(namespace: Namespace, operation: str) -> None:
    with pytest.raises(ValueError, match=f"operation='{operation}': no operation of a b2"):
        namespace.faults(Fault("status", service="b2", operation=operation))


def test_only_what_stores_finds_the_disk_full() -> None:
    with pytest.raises(ValueError, match="disk-full is for the PUT of a rawx, or an upload to B2"):
        Fault("disk-full", service="b2", operation="download")


def test_requests_are_recorded(namespace: Namespace, b2: B2Account) -> None:
    namespace.forget_requests()
    b2.download("name")
    (record,) = namespace.requests
    assert (record.service, record.address, record.status) == ("b2", namespace.b2.address, 404)
    assert ("Authorization", b2.token) in record.headers


# -- the test mode of the service


def test_some_uploads_fail_when_that_is_asked(b2: B2Account) -> None:
    mode = ("X-Bz-Test-Mode", "fail_some_uploads")
    statuses = []
    for _ in range(6):
        url = b2.upload_url()
        statuses.append(b2.put(url, "name", b"data", mode).status)
        if statuses[-1] == 503:
            assert error(b2.put(url, "name", b"data")) == (401, "expired_auth_token")
    assert sorted(statuses) == [200] * 4 + [503] * 2


def test_some_tokens_expire_when_that_is_asked(b2: B2Account) -> None:
    mode = [("X-Bz-Test-Mode", "expire_some_account_authorization_tokens")]
    answers = [b2.ask("b2_list_buckets", headers=mode, accountId=b2.id) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 401, 401]
    assert error(answers[3]) == (401, "expired_auth_token")


def test_the_cap_is_exceeded_when_that_is_asked(b2: B2Account) -> None:
    mode = ("X-Bz-Test-Mode", "force_cap_exceeded")
    bucket = b2.bucket()
    assert error(b2.ask("b2_get_upload_url", headers=[mode], bucketId=bucket)) == (403, "cap_exceeded")
    url = b2.upload_url()
    assert error(b2.put(url, "name", b"data", mode)) == (403, "cap_exceeded")
    assert b2.put(url, "name", b"data").status == 200
    assert b2.ask("b2_list_file_names", headers=[mode], bucketId=bucket).status == 200
