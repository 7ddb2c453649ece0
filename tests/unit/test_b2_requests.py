# SPDX-License-Identifier: Apache-2.0
"""The published interface to Backblaze B2: single requests, listings, exceptions; and no secret anywhere."""

from __future__ import annotations

import copy
import io
import json
import logging
import pickle
import random
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from oio.api.backblaze_http import (
    Backblaze,
    BackblazeException,
    BackblazeUtils,
    BackblazeUtilsException,
    Backoff,
    Requests,
)
from oio.common import exceptions as exc
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.b2_service import (
    BUCKET,
    BUCKET_ID,
    KEY,
    KEY_ID,
    Cut,
    Pipe,
    Refusal,
    Waits,
    client_of,
    serving_b2,
)
from tests.kit.scripted import serving
from tests.kit.tls import CERTIFICATE, answer_over_tls, server_context

BASIC = "MGExYjJjM2Q0ZTVmOkswMDF0b3BzZWNyZXRrZXk="


# --- files by their metadata, listings ---


def test_files_are_named_by_container_and_name(service, client):
    meta = {"container_id": "C0", "name": "0A1B", "mime_type": "text/plain"}
    assert client.upload(BUCKET, meta, io.BytesIO(b"data"))["contentLength"] == 4
    client.upload(BUCKET, {"name": "plain"}, b"more", sha1=None)
    assert [(file.name, file.mime_type) for file in service.files] == [
        ("C0/0A1B", "text/plain"),
        ("plain", "application/octet-stream"),
    ]
    assert client.download(BUCKET, meta) == b"data"
    assert client.delete(BUCKET, meta) == 1
    with pytest.raises(BackblazeException, match="C0/0A1B") as caught:
        client.delete(BUCKET, meta)
    assert caught.value.status_code == 404
    with pytest.raises(ValueError, match="no name"):
        client.download(BUCKET, {"container_id": "C0"})
    with pytest.raises(TypeError, match="not str"):
        client.upload(BUCKET, meta, "text")


@pytest.mark.parametrize("page", [1, 2, 5, 1000])
def test_listings_are_whole(service, client, page):
    service.page = page
    for number in range(5):
        service.add(f"file-{number}", b"x" * number)
    pages = list(client.get_list_file_names(BUCKET))
    assert [file["fileName"] for files in pages for file in files] == [f"file-{n}" for n in range(5)]
    assert pages == list(client.get_list_file_names_by_bucket_id(BUCKET_ID))
    assert client.get_backblaze_infos(BUCKET) == (10, 5)
    assert (client.get_size(BUCKET), client.get_file_number(BUCKET)) == (10, 5)


def test_listing_of_a_later_version_of_the_service_has_sizes_too(service, client):
    service.b2_list_file_names = lambda asked, base: {
        "files": [{"fileName": "a", "fileId": "1", "contentLength": 7}, {"fileName": "d/", "fileId": None}],
        "nextFileName": None,
    }
    assert client.get_backblaze_infos(BUCKET) == (7, 2)


def test_size_of_a_file_that_has_none_is_that_of_its_content(service, client):
    files = [{"fileName": "a", "size": None, "contentLength": 3}, {"fileName": "b", "size": 4}]
    service.b2_list_file_names = lambda asked, base: {"files": files, "nextFileName": None}
    assert client.get_backblaze_infos(BUCKET) == (7, 2)


def test_empty_page_is_not_the_end(service, client):
    pages = iter([{"files": [], "nextFileName": "b"}, {"files": [], "nextFileName": None}])
    service.b2_list_file_names = lambda asked, base: next(pages)
    assert client.get_backblaze_infos(BUCKET) == (0, 0)
    assert service.of("b2_list_file_names")[1].json["startFileName"] == "b"


def test_listing_that_does_not_go_on_is_no_endless_one(service, client):
    service.b2_list_file_names = lambda asked, base: {"files": [], "nextFileName": "a"}
    with pytest.raises(exc.OioProtocolError, match="goes on where it began"):
        client.get_size(BUCKET)
    assert len(service.of("b2_list_file_names")) == 2


@pytest.mark.parametrize("following", [{}, {"nextFileId": "7"}])
def test_removal_over_a_listing_that_does_not_go_on_is_no_endless_one(service, client, following):
    service.b2_list_file_versions = lambda asked, base: {"files": [], "nextFileName": "o", **following}
    with pytest.raises(exc.OioProtocolError, match="goes on where it began"):
        client.remove(BUCKET, "o")
    assert len(service.of("b2_list_file_versions")) == 1 + len(following)


# --- single requests ---


def test_answer_of_a_request(service):
    url = f"{service.url}/b2api/v1/b2_authorize_account"
    headers = {"Authorization": f"Basic {BASIC}"}
    with Requests() as requests:
        decoded = requests.get_response_from_request("GET", url, headers, json=True)
        raw = requests.get_response_from_request("GET", url, headers)
    assert decoded["apiUrl"] == service.url
    assert raw.startswith(b'{"accountId"')


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32-be"])
@pytest.mark.parametrize("value", [{"name": "\u20ac"}, {}, ["\u20ac"], "\u20ac"])
def test_answer_may_have_any_encoding_of_json(encoding, value):
    def reply(peer):
        peer.read_head()
        peer.answer(200, json.dumps(value, ensure_ascii=False).encode(encoding))

    with serving(reply) as server, Requests() as requests:
        assert requests.get_response_from_request("GET", f"http://{server.address}/", json=True) == value


@pytest.mark.parametrize("kind", ["bytes", "text", "file", "rest of a file", "nothing"])
def test_body_of_a_request(service, kind):
    file = io.BytesIO(b"before{}")
    file.seek(6)
    body = {"bytes": b"{}", "text": "{}", "file": io.BytesIO(b"{}"), "rest of a file": file, "nothing": b""}[
        kind
    ]
    url = f"{service.url}/b2api/v1/b2_list_buckets"
    with Requests() as requests, pytest.raises(BackblazeException, match=r"\(401\)"):
        requests.get_response_from_request("POST", url, None, body)
    assert service.calls[0].body == (b"" if kind == "nothing" else b"{}")


def test_handler_of_errors_decides(service):
    url = f"{service.url}/b2api/v1/b2_list_buckets"
    service.fail("b2_list_buckets", Refusal(429, "too_many_requests", {"Retry-After": "5"}))
    with Requests(error_handler=lambda error: error) as requests:
        error = requests.get_response_from_request("POST", url, {"X-Test": "1"}, b"{}", json=True)
    assert (error.status_code, error.message, str(error)) == (429, "because", "(429) because")
    assert error.headers_send == {"X-Test": "1"}
    assert error.headers_received["retry-after"] == "5"
    assert service.count("b2_list_buckets") == 1


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"status": 503, "code": "busy", "message": "too busy"}', "too busy", "busy"),
        (b'{"code": "busy", "message": ""}', "busy", "busy"),
        (b"<html>", "<html>", None),
        (b"[1]", "[1]", None),
        (b"", "Because", None),
    ],
)
def test_error_is_told_as_well_as_its_body_allows(body, message, code):
    def refuse(peer):
        peer.read_head()
        peer.answer(503, body)

    with serving(refuse) as server, Requests() as requests, pytest.raises(BackblazeException) as caught:
        requests.get_response_from_request("GET", f"http://{server.address}/")
    assert (caught.value.message, caught.value.code) == (message, code)
    assert caught.value.service == server.address


def test_redirection_is_not_followed(service):
    service.fail("b2_list_buckets", Refusal(302, None, {"Location": f"{service.url}/elsewhere"}))
    with Requests() as requests, pytest.raises(BackblazeException, match=r"\(302\)"):
        requests.get_response_from_request("GET", f"{service.url}/b2api/v1/b2_list_buckets")
    assert len(service.calls) == 1


# --- exceptions ---


def test_exceptions_are_those_of_the_library_and_travel():
    class Response:
        headers = {"Retry-After": "3"}

    error = BackblazeException(503, "busy", Response(), {"Authorization": "t0ken", "A": "b"})
    error.code, error.service = "service_unavailable", "127.0.0.1:80"
    for twin in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(twin, exc.OioException)
        assert (twin.status_code, twin.message, str(twin)) == (503, "busy", "(503) busy")
        assert twin.headers_send == {"Authorization": "<redacted>", "A": "b"}
        assert twin.headers_received == {"retry-after": "3"}
        assert (twin.code, twin.service) == ("service_unavailable", "127.0.0.1:80")
    missing = pickle.loads(pickle.dumps(BackblazeUtilsException("no key")))
    assert isinstance(missing, exc.OioException)
    assert str(missing) == "no key"


# --- TLS ---


def test_server_is_verified(service):
    once = Backoff(attempts=1)
    waits = Waits()
    with serving(answer_over_tls) as server:
        url = f"https://{server.address}"
        with pytest.raises(exc.OioNetworkException, match="certificate"):
            Backblaze(KEY_ID, KEY, api_url=url, backoff=waits.backoff)
        assert waits == [], "another attempt would meet the same certificate"
        # It is no Backblaze, but its answer is read.
        with pytest.raises(exc.OioProtocolError, match="no JSON object"):
            Backblaze(KEY_ID, KEY, api_url=url, backoff=once, ca_certs=CERTIFICATE)


@pytest.mark.parametrize("size", [0, 5, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_files_travel_over_one_connection_of_tls(size):
    data = random.Random(size).randbytes(size)
    with (
        serving_b2(server_context()) as service,
        client_of(service, ca_certs=CERTIFICATE) as client,
    ):
        for _ in range(2):
            client.put(BUCKET, "file", data)
            assert service.data("file") == data
            assert b"".join(client.get(BUCKET, "file")) == data
            assert client.head(BUCKET, "file")["contentLength"] == size
        assert service.connections == 1


def test_file_of_authorities_that_cannot_be_used_is_told_of_at_once(tmp_path):
    with pytest.raises(exc.ConfigurationException, match="missing"):
        Backblaze(KEY_ID, KEY, ca_certs=str(tmp_path / "missing"))


# --- secrets ---


def secrets_of(service):
    tokens = {call.headers.get("authorization", "") for call in service.calls} | service.tokens
    return {KEY, BASIC, *(token.removeprefix("Basic ") for token in tokens if token)}


def all_failures(service, client):
    """What every kind of failure raises."""
    faults = [Refusal(status, code) for status in (400, 401, 403, 503) for code in ("any", None)]
    calls = {
        "b2_upload_file": lambda: client.put(BUCKET, "one", b"data"),
        "b2_upload_part": lambda: client.put(BUCKET, "one", Pipe(b"data" * 3)),
        "b2_finish_large_file": lambda: client.put(BUCKET, "one", Pipe(b"data" * 3)),
        "download": lambda: b"".join(client.get(BUCKET, "file")),
        "b2_list_buckets": client.get_list_buckets,
        "b2_authorize_account": lambda: Backblaze(KEY_ID, KEY, api_url=service.url, backoff=Waits().backoff),
    }
    for operation, call in calls.items():
        for fault in [*faults, Cut()]:
            service.faults.clear()
            service.fail(operation, *[fault] * 30)
            with pytest.raises(exc.OioException) as caught:
                call()
            yield caught.value


def test_no_key_and_no_token_is_ever_shown(service, caplog):
    caplog.set_level(logging.DEBUG)
    service.add("file", b"data")
    service.echo = True
    shown = []
    with client_of(service, part_size=4) as client:
        for error in all_failures(service, client):
            shown += traceback.format_exception(error)
            shown += [repr(error), repr(vars(error)), repr(pickle.loads(pickle.dumps(error)))]
        shown += [repr(client), repr(vars(client)), repr(vars(client._account)), repr(client._account._grant)]
        shown += [repr(vars(client._account._grant)), repr(client.authorization_token)]
    text = "".join(shown) + caplog.text
    found = {secret for secret in secrets_of(service) if secret in text}
    assert not found
    assert "<redacted>" in text


def test_credentials_do_not_show_their_key(tmp_path, monkeypatch):
    monkeypatch.setattr(BackblazeUtils, "b2_authorization_list", {})
    path = tmp_path / "keys"
    path.write_text(f"[backblaze]\nA.openio-b.application_key = {KEY}\n", encoding="utf-8")
    path.chmod(0o600)
    method = STORAGE_METHODS.load("backblaze/account_id=A,bucket_name=openio-b")
    found = BackblazeUtils.get_credentials(method, str(path))
    assert found["backblaze.application_key"] == KEY
    assert KEY not in repr(found)
    assert KEY not in repr(BackblazeUtils.b2_authorization_list)


# --- what others pay for it ---


def test_library_for_backblaze_is_loaded_by_who_uses_it():
    program = (
        "import sys, oio.api.object_storage, oio.api.io;"
        "assert 'requests' not in sys.modules;"
        "import oio.api.backblaze_http;"
        "assert 'requests' in sys.modules"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, cwd=root)
