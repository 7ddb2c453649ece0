# SPDX-License-Identifier: Apache-2.0
"""Large files of Backblaze B2: parts sent in parallel, each repeated alone."""

from __future__ import annotations

import contextlib
import logging
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from oio.b2.account import Account
from oio.b2.errors import BackblazeException, check_progress, was_refused
from oio.b2.names import Description
from oio.b2.retry import Attempts, repeat_transient
from oio.b2.session import B2Limits, JsonObject
from oio.b2.sizes import MAX_PARTS
from oio.b2.upload import FileSource, Part, Source, UploadUrls, check_sha1, send_upload
from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.common.deadlines import monotonic_time
from oio.common.limits import CLEANING_TIMEOUT

if TYPE_CHECKING:
    from hashlib import _Hash

_MARK = "oio_upload"
"""File information that marks a started file, to find it when the answer to its start was lost."""
_THREAD_FAILURES = (Exception, green.Timeout)
"""Failures in a green thread of ours, where no timeout of the host's can strike."""
_logger = logging.getLogger(__name__)


class LargeFiles:
    """Large-file operations of an account.

    :param parallel: how many parts are sent at a time
    """

    def __init__(self, account: Account, parallel: int) -> None:
        self._account = account
        self._parallel = parallel

    def put(
        self,
        bucket_id: str,
        file: Description,
        first: Part,
        source: FileSource,
        part_size: int,
        sha1: str | None,
        limits: B2Limits,
    ) -> JsonObject:
        """Store a file in parts, and cancel it if that fails.

        :param first: its first part; `source` gives the others
        :param sha1: SHA-1 that the data must have
        :returns: the answer to its finish
        """
        known = sha1.lower() if sha1 else None
        if known is None and isinstance(source, Source):
            known = source.sha1_of_all(first.digest)
        if known:
            # The service takes the SHA-1 at the start only, when few sources can tell it.
            file = replace(file, info={**file.info, "large_file_sha1": known})
        file_id = self.start(bucket_id, file, limits)["fileId"]
        try:
            # Hashing the whole beside its parts is dear, and of use only if there is a SHA-1 to compare.
            whole = first.digest.copy() if known else None
            sha1s = self._send_parts(file_id, first, source, part_size, limits, whole)
            if whole is not None:
                check_sha1(sha1, whole.hexdigest())
                if known != whole.hexdigest():
                    raise exc.SourceReadError("the data have changed while they were read")
            answer = self.finish(file_id, sha1s, limits)
            with reading_answer():
                stored = int(answer["contentLength"])
            if stored != source.taken:
                raise exc.OioProtocolError(f"{stored} bytes of {file.name!r} were stored, not {source.taken}")
        except BaseException:  # Unfinished parts are billed, whatever stopped us.
            self._give_up(file_id, file.name, limits)
            raise
        return answer | {"contentSha1": known or "none"}

    def start(self, bucket_id: str, file: Description, limits: B2Limits) -> JsonObject:
        """Begin a large file: a single one, whatever the number of attempts.

        :returns: the answer; ``fileId``
        """
        mark = secrets.token_hex(16)
        body = {
            "bucketId": bucket_id,
            "fileName": file.name,
            "contentType": file.mime_type,
            "fileInfo": {**file.info, _MARK: mark},
        }
        try:
            return self._start(body, mark, limits)
        except exc.OioException:
            raise
        except BaseException as err:  # Whatever stopped us, it may have been started.
            self._give_up_start(err, bucket_id, file.name, mark, limits)
            raise

    def _start(self, body: JsonObject, mark: str, limits: B2Limits) -> JsonObject:
        account, bucket_id, name = self._account, body["bucketId"], body["fileName"]
        attempts = Attempts(account.backoff, limits)
        while True:
            try:
                answer = account.call("b2_start_large_file", body, limits, repeat=False)
            except (BackblazeException, exc.OioNetworkException) as err:
                try:
                    repeat_transient(attempts, err, "b2_start_large_file")
                    found = None if was_refused(err) else self._find_started(bucket_id, name, mark, limits)
                except exc.OioException:
                    self._give_up_start(err, bucket_id, name, mark, limits)
                    raise
                if found is not None:
                    return found
            else:
                with reading_answer():
                    return answer | {"fileId": str(answer["fileId"])}

    def _find_started(self, bucket_id: str, name: str, mark: str, limits: B2Limits) -> JsonObject | None:
        """Look for the file of a start whose answer was lost: it would never be cancelled otherwise."""
        body: JsonObject = {"bucketId": bucket_id, "namePrefix": name}
        try:
            while True:
                answer = self._account.call("b2_list_unfinished_large_files", body, limits)
                with reading_answer():
                    for file in answer["files"]:
                        if (file.get("fileInfo") or {}).get(_MARK) == mark:
                            return dict(file)
                    following = answer.get("nextFileId")
                if not following:
                    return None
                check_progress(following, body.get("startFileId"))
                body["startFileId"] = following
        except (BackblazeException, exc.OioProtocolError) as err:
            # A key for uploads may not allow listings.
            _logger.warning("A large file %r may have been left unfinished: %s", name, err)
            return None

    def _give_up_start(
        self, error: BaseException, bucket_id: str, name: str, mark: str, limits: B2Limits
    ) -> None:
        """Cancel the file of a start that failed, if the service has made one."""
        if was_refused(error):
            return
        limits = _for_cleaning(limits)
        with green.Insistence():
            try:
                found = self._find_started(bucket_id, name, mark, limits)
            except exc.OioException as err:
                _logger.warning("A large file %r may have been left unfinished: %s", name, err)
                return
            if found is not None:
                self._give_up(str(found["fileId"]), name, limits)

    def part_urls(self, file_id: str) -> UploadUrls:
        """The upload URLs of a large file."""
        return UploadUrls(
            lambda limits: self._account.call("b2_get_upload_part_url", {"fileId": file_id}, limits)
        )

    def send_part(self, urls: UploadUrls, number: int, part: Part, limits: B2Limits) -> JsonObject:
        """Send one part.

        :param number: from 1
        :returns: the answer
        """
        headers = {"X-Bz-Part-Number": str(number)}
        return send_upload(self._account, urls, headers, part, limits, f"b2_upload_part {number}")

    def finish(self, file_id: str, sha1s: list[str], limits: B2Limits) -> JsonObject:
        """Make a file of its parts.

        :param sha1s: of the parts, in their order
        """
        try:
            body = {"fileId": file_id, "partSha1Array": sha1s}
            return self._account.call("b2_finish_large_file", body, limits)
        except BackblazeException as err:
            if err.status_code != 400 or not err.repeated:
                raise
            # An earlier attempt may have succeeded, and its answer was lost.
            with contextlib.suppress(BackblazeException):
                found = self._account.call("b2_get_file_info", {"fileId": file_id}, limits)
                if found.get("action") == "upload":
                    return found
            raise

    def cancel(self, file_id: str, name: str, limits: B2Limits) -> None:
        """Remove a large file: cancel it, or delete it if it was finished and the answer to that was lost."""
        body = {"fileId": file_id}
        for operation, known in (
            ("b2_cancel_large_file", body),
            ("b2_delete_file_version", body | {"fileName": name}),
        ):
            try:
                self._account.call(operation, known, limits)
                return
            except BackblazeException as err:
                if err.status_code not in (400, 404):
                    raise

    def _send_parts(
        self,
        file_id: str,
        first: Part,
        source: FileSource,
        part_size: int,
        limits: B2Limits,
        whole: _Hash | None,
    ) -> list[str]:
        """Send all the parts of a file; the first failure of one ends it.

        Green threads send them, while the source is read in the OS thread of the caller, to which it may be
        bound.

        :param first: the first part; `source` gives the others
        :param whole: SHA-1 object of the first part, to update with the others
        :returns: SHA-1 of each part
        """
        sha1s: list[str] = []
        busy: dict[int, Part] = {}
        done = green.LightQueue()
        # They are forgotten at the end: their frames lead to them.
        failures: dict[int, BaseException] = {}
        urls = self.part_urls(file_id)

        def send(number: int, part: Part) -> None:
            try:
                self.send_part(urls, number, part, limits)
            except _THREAD_FAILURES as err:
                failures[number] = err
            done.put(number)

        def collect() -> None:
            number = done.get()
            busy.pop(number).close()
            if number in failures:
                raise failures.pop(number)

        part: Part | None = first
        try:
            with green.ContextPool(self._parallel) as pool:
                while part is not None:
                    sha1s.append(part.sha1)
                    busy[len(sha1s)] = part
                    pool.spawn(send, len(sha1s), part)
                    if len(busy) == self._parallel:
                        collect()
                    part = self._next_part(source, part_size, whole, len(sha1s))
                while busy:
                    collect()
        finally:
            failures.clear()
            for left in busy.values():
                left.close()
        return sha1s

    @staticmethod
    def _next_part(source: FileSource, part_size: int, whole: _Hash | None, number: int) -> Part | None:
        if source.is_exhausted():
            return None
        if number == MAX_PARTS:
            raise exc.OioException(f"the data have more than {MAX_PARTS} parts of {part_size} bytes")
        return Part.taken_from(source, part_size, whole)

    def _give_up(self, file_id: str, name: str, limits: B2Limits) -> None:
        """Cancel a file, even after the deadline: its parts are billed."""
        try:
            with green.Insistence():
                self.cancel(file_id, name, _for_cleaning(limits))
        except exc.OioException as err:
            _logger.warning("Failed to cancel the large file %s, %r: %s", file_id, name, err)


def _for_cleaning(limits: B2Limits) -> B2Limits:
    """Limits for what must be done even after the deadline."""
    if limits.deadline is None:
        return limits
    return limits.until(max(limits.deadline, monotonic_time() + CLEANING_TIMEOUT))
