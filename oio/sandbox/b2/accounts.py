# SPDX-License-Identifier: Apache-2.0
"""B2 operations on the account: authorisation, keys and buckets."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.buckets import PRIVATE
from oio.sandbox.b2.calls import B2Call
from oio.sandbox.b2.errors import B2Refusal, bad_request
from oio.sandbox.b2.keys import Key
from oio.sandbox.storage.listing import list_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.sandbox.b2.buckets import Bucket


def _authorize(call: B2Call) -> dict[str, object]:
    key_id, secret = _credentials(call.request.get("authorization") or "")
    token, key = call.store.keys.authorise(key_id, secret)
    limits = call.store.limits
    storage: dict[str, object] = {
        "apiUrl": call.endpoint,
        "downloadUrl": call.endpoint,
        "recommendedPartSize": limits.recommended_part_size,
        "absoluteMinimumPartSize": limits.minimum_part_size,
    }
    account: dict[str, object] = {"accountId": call.store.account, "authorizationToken": token}
    allowed: dict[str, object] = {
        "capabilities": list(key.capabilities),
        "bucketId": key.bucket,
        "namePrefix": key.prefix,
    }
    if call.version == 1:
        storage["minimumPartSize"] = limits.recommended_part_size
        return account | storage | {"allowed": allowed}
    storage["s3ApiUrl"] = call.endpoint
    bucket = call.store.buckets.get(key.bucket) if key.bucket else None
    name = bucket.name if bucket else None
    if call.version == 2:
        return account | storage | {"allowed": allowed | {"bucketName": name}}
    if call.version == 3:
        storage |= allowed | {"bucketName": name, "infoType": "storageApi"}
    else:
        buckets = [{"id": bucket.id, "name": bucket.name}] if bucket else None
        storage["allowed"] = {
            "buckets": buckets,
            "capabilities": allowed["capabilities"],
            "namePrefix": key.prefix,
        }
        storage["infoType"] = "storageApi"
    return account | {"applicationKeyExpirationTimestamp": None, "apiInfo": {"storageApi": storage}}


def _credentials(header: str) -> tuple[str, str]:
    scheme, _, text = header.partition(" ")
    try:
        key_id, colon, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        key_id, colon, secret = "", "", ""
    if scheme.lower() != "basic" or not colon:
        raise B2Refusal(401, "an application key ID and key are needed", "unauthorized")
    return key_id, secret


# -- buckets


def _list_buckets(call: B2Call) -> dict[str, object]:
    key = call.holder()
    _check_account(call)
    bucket_id, name = call.optional("bucketId"), call.optional("bucketName")
    key.require("listBuckets", bucket_id)
    types = call.texts("bucketTypes") if call.body.get("bucketTypes") else ["all"]
    found = call.store.buckets.all()
    if key.bucket is not None:
        # Version 1 shows the only bucket of the key, later ones want it named.
        found = [bucket for bucket in found if bucket.id == key.bucket]
        named = bucket_id or (name is not None and [bucket.name for bucket in found] == [name])
        if call.version > 1 and not named:
            raise B2Refusal(401, "the key is restricted to a bucket", "unauthorized")
    shown = [
        _described_bucket(call, bucket)
        for bucket in found
        if bucket_id in {None, bucket.id} and name in {None, bucket.name} and {"all", bucket.type} & {*types}
    ]
    return {"buckets": shown}


def _check_account(call: B2Call) -> None:
    if call.text("accountId") != call.store.account:
        raise bad_request(f"invalid accountId: {call.text('accountId')}")


def _described_bucket(call: B2Call, bucket: Bucket) -> dict[str, object]:
    value: dict[str, object] = {
        "accountId": call.store.account,
        "bucketId": bucket.id,
        "bucketInfo": dict(bucket.info),
        "bucketName": bucket.name,
        "bucketType": bucket.type,
        "corsRules": [],
        "lifecycleRules": [],
        "revision": bucket.revision,
    }
    if call.version > 1:
        value |= {
            "defaultServerSideEncryption": {
                "isClientAuthorizedToRead": True,
                "value": {"algorithm": None, "mode": None},
            },
            "fileLockConfiguration": {
                "isClientAuthorizedToRead": True,
                "value": {
                    "defaultRetention": {"mode": None, "period": None},
                    "isFileLockEnabled": False,
                },
            },
            "options": [],
            "replicationConfiguration": {"isClientAuthorizedToRead": True, "value": None},
        }
    return value


def _create_bucket(call: B2Call) -> dict[str, object]:
    call.holder().require("writeBuckets")
    _check_account(call)
    bucket = call.store.buckets.create(
        call.text("bucketName"), call.optional("bucketType") or PRIVATE, call.info("bucketInfo")
    )
    return _described_bucket(call, bucket)


def _delete_bucket(call: B2Call) -> dict[str, object]:
    call.holder().require("deleteBuckets", call.text("bucketId"))
    _check_account(call)
    return _described_bucket(call, call.store.buckets.delete(call.text("bucketId")))


# -- keys


def _create_key(call: B2Call) -> dict[str, object]:
    call.holder().require("writeKeys")
    _check_account(call)
    bucket = call.optional("bucketId")
    if bucket is None and call.body.get("bucketIds"):
        buckets = call.texts("bucketIds")
        if len(buckets) > 1:
            raise bad_request("keys of several buckets are not supported")
        bucket = buckets[0]
    if bucket is not None:
        call.store.buckets.get(bucket)
    key = call.store.keys.create(
        call.text("keyName"), call.texts("capabilities"), bucket, call.optional("namePrefix")
    )
    return _described_key(call, key) | {"applicationKey": key.secret}


def _list_keys(call: B2Call) -> dict[str, object]:
    call.holder().require("listKeys")
    _check_account(call)
    start, limit = call.optional("startApplicationKeyId") or "", call.number("maxKeyCount", 100, 10_000)
    page = list_all((key for key in call.store.keys.all() if key.id >= start), limit)
    return {
        "keys": [_described_key(call, key) for key in page.rows],
        "nextApplicationKeyId": page.next_row and page.next_row.id,
    }


def _delete_key(call: B2Call) -> dict[str, object]:
    call.holder().require("deleteKeys")
    return _described_key(call, call.store.keys.delete(call.text("applicationKeyId")))


def _described_key(call: B2Call, key: Key) -> dict[str, object]:
    return {
        "accountId": call.store.account,
        "applicationKeyId": key.id,
        **({"bucketId": key.bucket} if call.version < 4 else {"bucketIds": key.bucket and [key.bucket]}),
        "capabilities": list(key.capabilities),
        "expirationTimestamp": None,
        "keyName": key.name,
        "namePrefix": key.prefix,
        "options": [],
    }


ACCOUNT_OPERATIONS: Final[dict[str, Callable[[B2Call], dict[str, object]]]] = {
    "b2_authorize_account": _authorize,
    "b2_list_buckets": _list_buckets,
    "b2_create_bucket": _create_bucket,
    "b2_delete_bucket": _delete_bucket,
    "b2_create_key": _create_key,
    "b2_list_keys": _list_keys,
    "b2_delete_key": _delete_key,
}
