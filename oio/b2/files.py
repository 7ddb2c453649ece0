# SPDX-License-Identifier: Apache-2.0
"""Files of the buckets of a Backblaze B2 account: stored, listed, deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from oio.b2.account import Account
from oio.b2.errors import BackblazeException, check_progress
from oio.b2.large import LargeFiles
from oio.b2.names import Description, check_file_name
from oio.b2.session import B2Limits, JsonObject
from oio.b2.sizes import part_size_for
from oio.b2.upload import Part, Source, UploadUrl, UploadUrls, check_sha1, send_upload
from oio.common.answers import reading_answer
from oio.common.sources import Portion, Readable

_PAGE = 1000
_UNKNOWN_BUCKET = {"bad_bucket_id", "invalid_bucket_id"}


class Files:
    """Operations on files, but for reads.

    :param part_size: bytes of the largest file that is sent at once, and of the parts of larger ones
    :param parallel: how many parts are sent at a time
    """

    def __init__(self, account: Account, part_size: int, parallel: int) -> None:
        self.account = account
        self.large = LargeFiles(account, parallel)
        self._part_size = part_size
        self._bucket_ids: dict[str, str] = {}
        self._urls: dict[str, UploadUrls] = {}

    # --- buckets and listings ---

    def buckets(self, limits: B2Limits) -> list[JsonObject]:
        """List the buckets of the account."""
        answer = self.account.call("b2_list_buckets", {"accountId": None}, limits)
        with reading_answer():
            found = [dict(bucket) for bucket in answer["buckets"]]
            self._bucket_ids.update({str(one["bucketName"]): str(one["bucketId"]) for one in found})
        return found

    def bucket_id(self, name: str, limits: B2Limits) -> str:
        """Get the ID of a bucket, and remember it.

        :raises BackblazeException: 404, there is no bucket of that name
        """
        known = self._bucket_ids.get(name)
        if known is None:
            # Looked for in the answer: another thread may forget what is remembered at once.
            known = next(
                (str(one["bucketId"]) for one in self.buckets(limits) if one["bucketName"] == name), None
            )
        if known is None:
            raise BackblazeException(404, f"no bucket {name!r} for this account", None, None)
        return known

    @contextlib.contextmanager
    def using(self, bucket_id: str) -> Iterator[str]:
        """Give the ID of a bucket, and forget it if the service does not know it any more."""
        try:
            yield bucket_id
        except BackblazeException as err:
            if err.code in _UNKNOWN_BUCKET:
                # Other threads may add some meanwhile.
                for name, known in list(self._bucket_ids.items()):
                    if known == bucket_id:
                        self._bucket_ids.pop(name, None)
            raise

    def names(self, bucket_id: str, limits: B2Limits) -> Iterator[list[JsonObject]]:
        """List the current versions of the files of a bucket, page by page."""
        body: dict[str, object] = {"bucketId": bucket_id, "maxFileCount": _PAGE}
        while True:
            with self.using(bucket_id):
                answer = self.account.call("b2_list_file_names", body, limits)
            with reading_answer():
                page = [_with_size(file) for file in answer["files"]]
                following = answer.get("nextFileName")
            if page:
                yield page
            if following is None:
                return
            check_progress(following, body.get("startFileName"))
            body["startFileName"] = following

    def _versions(self, bucket_name: str, name: str, limits: B2Limits) -> Iterator[tuple[str, str]]:
        """ID and kind of each version of a file; unfinished and hidden ones too."""
        body: dict[str, object] = {"startFileName": name, "prefix": name, "maxFileCount": _PAGE}
        while True:
            with self.using(self.bucket_id(bucket_name, limits)) as bucket_id:
                known = {"bucketId": bucket_id} | body
                answer = self.account.call("b2_list_file_versions", known, limits)
            with reading_answer():
                found = [file for file in answer["files"] if file["fileName"] == name]
                versions = [(str(file["fileId"]), str(file["action"])) for file in found]
                following = answer.get("nextFileName")
                following_id = answer.get("nextFileId")
            yield from versions
            if following != name:
                return
            check_progress(following_id, body.get("startFileId"))
            body["startFileId"] = following_id

    # --- removal ---

    def delete_version(self, file_id: str, name: str, limits: B2Limits) -> JsonObject:
        """Delete one version of a file; after a lost answer, it may be gone already."""
        body = {"fileId": file_id, "fileName": name}
        try:
            return self.account.call("b2_delete_file_version", body, limits)
        except BackblazeException as err:
            if not (err.repeated and err.is_gone):
                raise
        return dict(body)

    def remove(self, bucket_name: str, name: str, limits: B2Limits) -> int:
        """Delete all the versions of a file: there are two when the answer to an upload was lost.

        :returns: how many there were
        """
        versions = list(self._versions(bucket_name, check_file_name(name), limits))
        for file_id, kind in versions:
            if kind == "start":
                self.large.cancel(file_id, name, limits)
                continue
            try:
                self.delete_version(file_id, name, limits)
            except BackblazeException as err:
                # Another client was faster.
                if not err.is_gone:
                    raise
        return len(versions)

    # --- data ---

    def upload_urls(self, bucket_id: str) -> UploadUrls:
        """The upload URLs of a bucket."""
        if (known := self._urls.get(bucket_id)) is not None:
            return known
        body = {"bucketId": bucket_id}
        fresh = UploadUrls(lambda limits: self.account.call("b2_get_upload_url", body, limits))
        return self._urls.setdefault(bucket_id, fresh)

    def add_upload_url(self, answer: JsonObject, *, of_part: bool) -> None:
        """Use an upload URL that the program has got before.

        :param of_part: it is for the parts of a large file
        """
        with reading_answer():
            owner = str(answer["fileId" if of_part else "bucketId"])
        urls = self._part_urls(owner) if of_part else self.upload_urls(owner)
        urls.give_back(UploadUrl.of(answer))

    def _part_urls(self, file_id: str) -> UploadUrls:
        return self._urls.setdefault(file_id, self.large.part_urls(file_id))

    def put_part(
        self, file_id: str, file: Readable, number: int, sha1: str | None, limits: B2Limits
    ) -> tuple[JsonObject, str]:
        """Send one part of a large file, see :meth:`oio.api.backblaze_http.Backblaze.upload_part`."""
        with Part.taken_from(Source(file, None, limits, "data"), None) as part:
            check_sha1(sha1, part.sha1)
            return self.large.send_part(self._part_urls(file_id), number, part, limits), part.sha1

    def finish(self, file_id: str, sha1s: list[str], limits: B2Limits) -> JsonObject:
        """Make a large file of its parts."""
        answer = self.large.finish(file_id, sha1s, limits)
        self._urls.pop(file_id, None)
        return answer

    def put(
        self,
        bucket_name: str,
        file: Description,
        data: Readable,
        size: int | None,
        sha1: str | None,
        limits: B2Limits,
        argument: str = "source",
    ) -> JsonObject:
        """Store a file, at once or in parts, see :meth:`oio.api.backblaze_http.Backblaze.put`."""
        # A portion of an upload already has time limits.
        source = data if type(data) is Portion else Source(data, size, limits, argument)
        part_size = part_size_for(size, self._part_size)
        first = Part.taken_from(source, part_size)
        with contextlib.closing(first), self.using(self.bucket_id(bucket_name, limits)) as bucket_id:
            if not source.is_exhausted():
                return self.large.put(bucket_id, file, first, source, part_size, sha1, limits)
            check_sha1(sha1, first.sha1)
            urls, what = self.upload_urls(bucket_id), f"b2_upload_file {file.name!r}"
            return send_upload(self.account, urls, file.headers(), first, limits, what)


def _with_size(file: JsonObject) -> JsonObject:
    """Add to an entry of a listing its ``size``, which later versions of the service name otherwise."""
    return file | {"size": int(file.get("size") or file.get("contentLength") or 0)}
