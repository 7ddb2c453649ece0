# SPDX-License-Identifier: Apache-2.0
"""Keys, tokens and buckets of the B2 of a namespace."""

from __future__ import annotations

import json
import stat
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Namespace
from oio.sandbox.b2.keys import CAPABILITIES
from tests.sandbox.b2asking import B2Account, basic, error

AUTHORIZE = "/b2api/v1/b2_authorize_account"


def test_an_authorisation_has_the_fields_of_version_1(namespace: Namespace, b2: B2Account) -> None:
    token = b2.session.pop("authorizationToken")
    assert len(token) > 20
    assert b2.session == {
        "accountId": namespace.b2.account_id,
        "apiUrl": namespace.b2_endpoint,
        "downloadUrl": namespace.b2_endpoint,
        "recommendedPartSize": 100_000_000,
        "minimumPartSize": 100_000_000,
        "absoluteMinimumPartSize": 5_000_000,
        "allowed": {"capabilities": list(CAPABILITIES), "bucketId": None, "namePrefix": None},
    }


def test_later_versions_have_their_own_fields(namespace: Namespace) -> None:
    key = namespace.b2.make_key("listBuckets", "readFiles", bucket=namespace.b2.bucket_name, prefix="p")
    two, three, four = (B2Account(namespace.b2, *key, version=version).session for version in (2, 3, 4))
    bucket = {"id": two["allowed"]["bucketId"], "name": namespace.b2.bucket_name}
    assert "minimumPartSize" not in two
    assert two["allowed"] == {
        "bucketId": bucket["id"],
        "bucketName": bucket["name"],
        "capabilities": ["listBuckets", "readFiles"],
        "namePrefix": "p",
    }
    storage = three["apiInfo"]["storageApi"]
    assert (storage["apiUrl"], storage["bucketId"], storage["namePrefix"]) == (
        namespace.b2_endpoint,
        bucket["id"],
        "p",
    )
    assert four["apiInfo"]["storageApi"]["allowed"] == {
        "buckets": [bucket],
        "capabilities": ["listBuckets", "readFiles"],
        "namePrefix": "p",
    }


@pytest.mark.parametrize("header", [None, "token", "Basic ???", basic("", ""), basic("account", "wrong")])
def test_wrong_credentials_are_refused(b2: B2Account, header: str | None) -> None:
    answer = b2.send("GET", AUTHORIZE, [("Authorization", header)] if header else [])
    assert error(answer) == (401, "unauthorized")


def test_wrong_and_expired_tokens_are_told_apart(namespace: Namespace, b2: B2Account) -> None:
    fields = {"accountId": b2.id}
    assert b2.ask("b2_list_buckets", **fields).status == 200
    namespace.b2.expire_tokens()
    assert error(b2.ask("b2_list_buckets", **fields)) == (401, "expired_auth_token")
    b2.token += "x"
    assert error(b2.ask("b2_list_buckets", **fields)) == (401, "bad_auth_token")
    assert error(b2.send("POST", "/b2api/v1/b2_list_buckets", (), b"{}")) == (401, "bad_auth_token")
    b2.token = b2.authorize()["authorizationToken"]
    assert b2.ask("b2_list_buckets", **fields).status == 200


def test_tokens_live_as_long_as_is_set(namespace: Namespace) -> None:
    namespace.b2.limits.token_life = 0
    b2 = B2Account(namespace.b2)
    assert error(b2.ask("b2_list_buckets", accountId=b2.id)) == (401, "expired_auth_token")


def test_tokens_and_upload_urls_outlive_a_restart(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    namespace.stop()
    namespace.start()
    assert b2.ask("b2_list_buckets", accountId=b2.id).status == 200
    assert b2.put(url, "name", b"data").status == 200


def test_the_key_file_opens_the_account_and_is_its_owners_only(namespace: Namespace) -> None:
    path = Path(namespace.b2_key_file)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    parser = ConfigParser()
    parser.read(path)
    place = f"{namespace.b2.account_id}.{namespace.b2.bucket_name}"
    key = parser["backblaze"][f"{place}.application_key"]
    assert B2Account(namespace.b2, namespace.b2.account_id, key).bucket()
    assert parser["backblaze"][f"{place}.api_url"] == namespace.b2_endpoint


# -- rights


@pytest.mark.parametrize(
    ("operation", "fields", "capability"),
    [
        ("b2_list_buckets", {}, "listBuckets"),
        ("b2_get_upload_url", {}, "writeFiles"),
        ("b2_start_large_file", {"fileName": "n", "contentType": "t"}, "writeFiles"),
        ("b2_list_file_names", {}, "listFiles"),
        ("b2_list_file_versions", {}, "listFiles"),
        ("b2_list_unfinished_large_files", {}, "listFiles"),
        ("b2_hide_file", {"fileName": "name"}, "writeFiles"),
        ("b2_get_file_info", {}, "readFiles"),
        ("b2_delete_file_version", {"fileName": "name"}, "deleteFiles"),
    ],
)
def test_each_operation_needs_its_right(
    namespace: Namespace, b2: B2Account, operation: str, fields: dict[str, Any], capability: str
) -> None:
    file_id = b2.store("name", b"data")["fileId"]
    fields = {"accountId": b2.id, "bucketId": b2.bucket(), "fileId": file_id} | fields
    others = [name for name in CAPABILITIES if name != capability]
    without = B2Account(namespace.b2, *namespace.b2.make_key(*others))
    assert error(without.ask(operation, **fields)) == (401, "unauthorized")
    alone = B2Account(namespace.b2, *namespace.b2.make_key(capability))
    assert alone.ask(operation, **fields).status == 200


def test_a_download_needs_a_token_and_its_right_unless_the_bucket_is_public(
    namespace: Namespace, b2: B2Account
) -> None:
    path = f"/file/{namespace.b2.bucket_name}/name"
    b2.store("name", b"data")
    assert error(b2.send("GET", path)) == (401, "unauthorized")
    blind = B2Account(namespace.b2, *namespace.b2.make_key("listFiles"))
    assert error(blind.download("name")) == (401, "unauthorized")
    assert b2.send("GET", f"{path}?Authorization={b2.token}").body == b"data"
    url = b2.upload_url(namespace.b2.make_bucket("public", public=True))
    b2.put(url, "name", b"seen by all")
    assert b2.send("GET", "/file/public/name").body == b"seen by all"


def test_a_key_of_a_prefix_reaches_nothing_else(namespace: Namespace, b2: B2Account) -> None:
    for name in ("a/1", "b/1"):
        b2.store(name, name.encode())
    inside = B2Account(namespace.b2, *namespace.b2.make_key(*CAPABILITIES, prefix="a/"))
    assert inside.names() == ["a/1"]
    assert error(inside.download("b/1")) == (401, "unauthorized")
    url = inside.upload_url()
    assert error(inside.put(url, "b/2", b"")) == (401, "unauthorized")
    assert inside.put(inside.upload_url(), "a/2", b"").status == 200
    later = B2Account(namespace.b2, *namespace.b2.make_key(*CAPABILITIES, prefix="a/"), version=2)
    assert error(later.ask("b2_list_file_names", bucketId=b2.bucket())) == (401, "unauthorized")


def test_a_key_of_a_bucket_sees_it_alone(namespace: Namespace, b2: B2Account) -> None:
    other = namespace.b2.make_bucket("other-bucket")
    key = namespace.b2.make_key(*CAPABILITIES, bucket="other-bucket")
    inside = B2Account(namespace.b2, *key)
    listed = inside.call("b2_list_buckets", accountId=b2.id)["buckets"]
    assert [bucket["bucketName"] for bucket in listed] == ["other-bucket"]
    assert error(inside.ask("b2_list_file_names", bucketId=b2.bucket())) == (401, "unauthorized")
    later = B2Account(namespace.b2, *key, version=2)
    assert error(later.ask("b2_list_buckets", accountId=b2.id)) == (401, "unauthorized")
    assert len(later.call("b2_list_buckets", accountId=b2.id, bucketId=other)["buckets"]) == 1


def test_a_deleted_key_takes_its_tokens_with_it(b2: B2Account) -> None:
    fields = {"accountId": b2.id, "keyName": "passing", "capabilities": ["listBuckets"]}
    made = b2.call("b2_create_key", **fields)
    passing = B2Account(b2.b2, made["applicationKeyId"], made["applicationKey"])
    listed = b2.call("b2_list_keys", accountId=b2.id)["keys"]
    assert [key["keyName"] for key in listed] == ["passing"]
    b2.call("b2_delete_key", applicationKeyId=made["applicationKeyId"])
    assert error(passing.ask("b2_list_buckets", accountId=b2.id)) == (401, "bad_auth_token")


# -- buckets


def test_buckets_are_listed_by_name_and_an_unknown_one_is_no_error(b2: B2Account) -> None:
    b2.call("b2_create_bucket", accountId=b2.id, bucketName="a-bucket", bucketType="allPublic")
    listed = b2.call("b2_list_buckets", accountId=b2.id)["buckets"]
    assert [(item["bucketName"], item["bucketType"]) for item in listed] == [
        ("a-bucket", "allPublic"),
        (b2.b2.bucket_name, "allPrivate"),
    ]
    assert b2.call("b2_list_buckets", accountId=b2.id, bucketName="nobody")["buckets"] == []
    assert b2.call("b2_list_buckets", accountId=b2.id, bucketTypes=["allPublic"])["buckets"] == listed[:1]


@pytest.mark.parametrize("name", ["short", "b2-reserved", "under_score", "x" * 64])
def test_bad_bucket_names_are_refused(b2: B2Account, name: str) -> None:
    fields = {"accountId": b2.id, "bucketName": name, "bucketType": "allPrivate"}
    assert error(b2.ask("b2_create_bucket", **fields)) == (400, "bad_request")


def test_a_bucket_is_made_once_and_deleted_when_it_is_empty(b2: B2Account) -> None:
    fields = {"accountId": b2.id, "bucketName": b2.b2.bucket_name, "bucketType": "allPrivate"}
    assert error(b2.ask("b2_create_bucket", **fields)) == (400, "duplicate_bucket_name")
    bucket = b2.bucket()
    stored = b2.store("name", b"")
    fields = {"accountId": b2.id, "bucketId": bucket}
    assert error(b2.ask("b2_delete_bucket", **fields)) == (400, "cannot_delete_non_empty_bucket")
    b2.call("b2_delete_file_version", fileId=stored["fileId"], fileName="name")
    b2.call("b2_delete_bucket", **fields)
    assert error(b2.ask("b2_get_upload_url", bucketId=bucket)) == (400, "bad_bucket_id")


# -- requests that make no sense


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "bad_json"),
        (b"[]", "bad_json"),
        (b"\xff", "bad_json"),
        (b"{}", "bad_request"),
        (b'{"bucketId": 3}', "bad_request"),
        (b'{"bucketId": "x"}', "bad_bucket_id"),
        (b'{"bucketId": "\\ud800"}', "bad_request"),
    ],
)
def test_bodies_that_make_no_sense_are_refused(b2: B2Account, body: bytes, code: str) -> None:
    answer = b2.send("POST", "/b2api/v1/b2_get_upload_url", [("Authorization", b2.token)], body)
    assert error(answer) == (400, code)


@pytest.mark.parametrize("path", ["/", "/b2api/v1/b2_nothing", "/b2api/v9/b2_list_buckets", "/b2api/v1"])
def test_unknown_paths_are_not_found(b2: B2Account, path: str) -> None:
    assert error(b2.send("POST", path, (), b"{}")) == (404, "not_found")


def test_operations_have_their_methods(b2: B2Account) -> None:
    asked = [("Authorization", b2.token)]
    for method, path in (("GET", "/b2api/v1/b2_hide_file"), ("PUT", "/b2api/v1/b2_list_buckets")):
        assert error(b2.send(method, path, asked)) == (405, "method_not_allowed")
    listed = b2.send("GET", f"/b2api/v1/b2_list_buckets?accountId={b2.id}", asked)
    assert len(json.loads(listed.body)["buckets"]) == 1
