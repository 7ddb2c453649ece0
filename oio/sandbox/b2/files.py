# SPDX-License-Identifier: Apache-2.0
"""B2 operations on files: listings, versions, large files and upload URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from oio.sandbox.b2.calls import B2Call, checked_info, checked_name, described
from oio.sandbox.b2.errors import B2Refusal
from oio.sandbox.b2.versions import Version, Wanted

if TYPE_CHECKING:
    from collections.abc import Callable

    from oio.sandbox.b2.keys import Key
    from oio.sandbox.b2.large_files import Part
    from oio.sandbox.b2.upload_urls import UploadUrl

_MOST_FILES: Final = 10_000
_MOST_PARTS: Final = 1000
_MOST_UNFINISHED: Final = 100
_DEFAULT: Final = 100
LAST_PART: Final = 10_000
#: Content type that asks the service to guess one from the name.
AUTO: Final = "b2/x-auto"
_UNKNOWN_TYPE: Final = "application/octet-stream"
_TYPES: Final = {"txt": "text/plain", "html": "text/html", "jpg": "image/jpeg", "json": "application/json"}


def content_type(asked: str, name: str) -> str:
    """Return the content type of a file, guessed from its name when that is asked.

    >>> content_type("b2/x-auto", "a/b.txt")
    'text/plain'
    """
    return _TYPES.get(name.rpartition(".")[2].lower(), _UNKNOWN_TYPE) if asked == AUTO else asked


# -- listings


def _wanted(call: B2Call, key: Key) -> Wanted:
    bucket, prefix = call.text("bucketId"), call.optional("prefix") or ""
    key.require("listFiles", bucket)
    start_id = call.optional("startFileId") or None
    wanted = Wanted(
        bucket,
        call.optional("startFileName") or "",
        start_id,
        prefix,
        call.optional("delimiter") or "",
        call.number("maxFileCount", _DEFAULT, _MOST_FILES),
    )
    if start_id is not None and not wanted.start:
        raise B2Refusal(400, "startFileId needs startFileName")
    if key.may("listFiles", bucket, prefix):
        return wanted
    # Version 1 narrows the listing to what the key may see; later ones refuse it.
    if call.version > 1 or not (key.prefix or "").startswith(prefix):
        raise B2Refusal(401, f"the key is restricted to names that begin with {key.prefix}")
    return Wanted(bucket, wanted.start, start_id, key.prefix or "", wanted.delimiter, wanted.limit)


def _list_names(call: B2Call) -> dict[str, object]:
    page, following = call.store.versions.names(_wanted(call, call.holder()))
    return {"files": [described(call, version, listed=True) for version in page], "nextFileName": following}


def _list_versions(call: B2Call) -> dict[str, object]:
    page, following = call.store.versions.versions(_wanted(call, call.holder()))
    return {
        "files": [described(call, version, listed=True) for version in page],
        "nextFileName": following and following.name,
        "nextFileId": following and following.id,
    }


# -- versions


def _file_info(call: B2Call) -> dict[str, object]:
    key, version = call.holder(), call.store.versions.get(call.text("fileId"))
    key.require("readFiles", version.bucket, version.name)
    return described(call, version)


def _delete_version(call: B2Call) -> dict[str, object]:
    key, file_id, name = call.holder(), call.text("fileId"), call.text("fileName")
    version = call.store.versions.find(file_id)
    key.require("deleteFiles", version.bucket if version else None, name)
    call.store.versions.delete(file_id, name)
    return {"fileId": file_id, "fileName": name}


def _hide(call: B2Call) -> dict[str, object]:
    key, bucket, name = call.holder(), call.text("bucketId"), checked_name(call.text("fileName"))
    key.require("writeFiles", bucket, name)
    return described(call, call.store.versions.hide(bucket, name), listed=True)


# -- large files


def _start_large(call: B2Call) -> dict[str, object]:
    key, bucket, name = call.holder(), call.text("bucketId"), checked_name(call.text("fileName"))
    key.require("writeFiles", bucket, name)
    info = checked_info(call.info("fileInfo"), name)
    type_ = content_type(call.text("contentType"), name)
    return _described_start(call, call.store.large.start(Version(bucket, name, type=type_, info=info)))


def _described_start(call: B2Call, version: Version) -> dict[str, object]:
    value = described(call, version)
    if call.version == 1:
        for name in ("action", "contentLength", "contentSha1"):
            del value[name]
    return value


def _in_progress(call: B2Call) -> Version:
    """Return the large file that a call is about."""
    key, version = call.holder(), call.store.large.get(call.text("fileId"))
    key.require("writeFiles", version.bucket, version.name)
    return version


def _list_parts(call: B2Call) -> dict[str, object]:
    file_id = _in_progress(call).id or ""
    limit = call.number("maxPartCount", _DEFAULT, _MOST_PARTS)
    start = call.number("startPartNumber", 1, LAST_PART)
    page = call.store.large.parts(file_id, start, limit)
    return {
        "parts": [described_part(call, part) for part in page.rows],
        "nextPartNumber": page.next_row and page.next_row.number,
    }


def described_part(call: B2Call, part: Part) -> dict[str, object]:
    """Return a part as answers describe it."""
    value: dict[str, object] = {
        "fileId": part.file,
        "partNumber": part.number,
        "contentLength": part.length,
        "contentSha1": part.sha1,
        "uploadTimestamp": part.stamp,
    }
    if call.version > 1:
        value |= {"contentMd5": None, "serverSideEncryption": {"algorithm": None, "mode": None}}
    return value


def _list_unfinished(call: B2Call) -> dict[str, object]:
    key, bucket, prefix = call.holder(), call.text("bucketId"), call.optional("namePrefix") or ""
    key.require("listFiles", bucket, prefix)
    limit = call.number("maxFileCount", _DEFAULT, _MOST_UNFINISHED)
    start = call.optional("startFileId") or None
    page = call.store.large.unfinished(bucket, prefix, start, limit)
    return {
        "files": [_described_start(call, version) for version in page.rows],
        "nextFileId": page.next_row and page.next_row.id,
    }


def _finish_large(call: B2Call) -> dict[str, object]:
    file_id = _in_progress(call).id or ""
    return described(call, call.store.large.finish(file_id, call.texts("partSha1Array")))


def _cancel_large(call: B2Call) -> dict[str, object]:
    version = call.store.large.cancel(_in_progress(call).id or "")
    return {
        "fileId": version.id,
        "accountId": call.store.account,
        "bucketId": version.bucket,
        "fileName": version.name,
    }


# -- upload URLs


def _upload_url(call: B2Call) -> dict[str, object]:
    key, bucket = call.holder(), call.text("bucketId")
    key.require("writeFiles", bucket)
    upload_url = call.store.upload_urls.create(call.store.buckets.get(bucket).id, prefix=key.prefix)
    return {"bucketId": bucket, **_described_url(call, upload_url, "b2_upload_file", bucket)}


def _upload_part_url(call: B2Call) -> dict[str, object]:
    version = _in_progress(call)
    upload_url = call.store.upload_urls.create(version.bucket, version.id)
    return {"fileId": version.id, **_described_url(call, upload_url, "b2_upload_part", str(version.id))}


def _described_url(call: B2Call, upload_url: UploadUrl, operation: str, target: str) -> dict[str, object]:
    url = f"{call.endpoint}/b2api/v{call.version}/{operation}/{target}/{upload_url.id}"
    return {"uploadUrl": url, "authorizationToken": upload_url.token}


FILE_OPERATIONS: Final[dict[str, Callable[[B2Call], dict[str, object]]]] = {
    "b2_list_file_names": _list_names,
    "b2_list_file_versions": _list_versions,
    "b2_get_file_info": _file_info,
    "b2_delete_file_version": _delete_version,
    "b2_hide_file": _hide,
    "b2_start_large_file": _start_large,
    "b2_list_parts": _list_parts,
    "b2_list_unfinished_large_files": _list_unfinished,
    "b2_finish_large_file": _finish_large,
    "b2_cancel_large_file": _cancel_large,
    "b2_get_upload_url": _upload_url,
    "b2_get_upload_part_url": _upload_part_url,
}
