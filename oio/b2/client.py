# SPDX-License-Identifier: Apache-2.0
"""Client of Backblaze B2, native API version 1: the class of the published API."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import IO, Any, cast

from oio.b2.account import Account
from oio.b2.download import Download, FileHead, look_at
from oio.b2.errors import BackblazeException, is_in_clear
from oio.b2.files import Files
from oio.b2.names import DEFAULT_MIME_TYPE, Description, check_file_name
from oio.b2.retry import Backoff
from oio.b2.session import B2Limits, B2Session, Body, FileBody, JsonObject, decode_json
from oio.b2.sizes import PART_SIZE
from oio.common.arguments import check_framing
from oio.common.events import Watcher
from oio.common.limits import check_seconds
from oio.common.sources import Readable, bytes_of, check_limit

Data = bytes | bytearray | memoryview | Readable

_RANGE = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)


class Requests:
    """Single requests, which are never repeated.

    :param error_handler: called with the :class:`BackblazeException` of a refusal; what it returns is the
        result. By default, the exception is raised

    >>> with Requests(error_handler=lambda error: error.status_code) as requests:
    ...     requests.error_handler(BackblazeException(404, "File not present", None, None))
    404
    """

    def __init__(self, error_handler: Callable[[BackblazeException], Any] | None = None) -> None:
        self.error_handler = error_handler
        self._session = B2Session()

    def get_response_from_request(
        self,
        content_type: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        file_descriptor: bytes | str | IO[bytes] | None = None,
        json: bool = False,
    ) -> Any:
        """Send a request, and read its answer.

        :param content_type: method of the request: ``GET``, ``POST``...
        :param headers: of the request
        :param file_descriptor: body: bytes, text, or a seekable binary file, sent from its current position
        :param json: decode the answer
        :returns: bytes, or what was decoded
        :raises ValueError: headers contradict the length of the body, or the place it goes to
        :raises BackblazeException: the request is refused
        :raises OioNetworkException: there is no answer, or it is not JSON
        """
        what = f"{content_type} {url.partition('?')[0]}"
        body, given = _body(file_descriptor), headers or {}
        check_framing(given, len(body or b""))
        known = {name: given[name] for name in given if name.lower() != "content-length"}
        try:
            limits = B2Limits()
            with contextlib.closing(
                self._session.open(content_type, url, known, body, limits, what)
            ) as answer:
                raw = answer.read_all(limits)
        except BackblazeException as err:
            if self.error_handler is None:
                raise
            return self.error_handler(err)
        return decode_json(raw, what) if json else raw

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def __enter__(self) -> Requests:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _body(file_descriptor: bytes | str | IO[bytes] | None) -> Body:
    """Make the body of a request that is sent once."""
    if file_descriptor is None or isinstance(file_descriptor, bytes):
        return file_descriptor
    if isinstance(file_descriptor, str):
        return file_descriptor.encode("utf-8")
    start = file_descriptor.tell()
    size = file_descriptor.seek(0, os.SEEK_END) - start

    def read_at(offset: int, count: int) -> bytes:
        file_descriptor.seek(start + offset)
        return file_descriptor.read(count)

    return FileBody(read_at, size)


class Backblaze:
    """Client of one account.

    Uploads send the SHA-1 of the data, and downloads verify it. A request whose failure may pass is repeated,
    over another upload URL or with another token if need be.

    OS threads and green threads may share a client, and so its authorisation and its connections; each upload
    has an upload URL of its own.

    :param account_id: ID of the account, or of an application key
    :param application_key: the key
    :param authorization_required: answer of ``b2_authorize_account`` to start with, instead of asking for one
        now
    :param upload_required: answer of ``b2_get_upload_url`` to start with
    :param upload_part: `upload_required` is one of ``b2_get_upload_part_url``
    :param api_url: where to authorise, instead of ``BACKBLAZE_BASE_API_URL``
    :param authorize: False leaves the authorisation to the first call that needs it
    :param connection_timeout: seconds to connect, and without progress while a request is sent
    :param read_timeout: seconds for the head of an answer, for each block of a file, and for any other answer
    :param deadline: monotonic seconds, of the authorisation at construction
    :param ca_certs: PEM file of the authorities to trust, instead of those of ``requests``; servers are
        always verified
    :param backoff: how often requests are repeated, and the pauses in between, see :class:`Backoff`
    :param part_size: bytes of the largest file that is sent at once, and of the parts of larger ones, instead
        of ``BACKBLAZE_MAX_CHUNK_SIZE``; 5,000,000 at least for Backblaze
    :param parallel_parts: how many parts of a file are sent at a time; each of more than 1 MiB that can be
        read only once is kept meanwhile, in a temporary file in the directory of module :mod:`tempfile`
    :param test_mode: value of header ``X-Bz-Test-Mode``, which makes the service fail on purpose
    :raises BackblazeException: the key is refused
    :raises OioNetworkException: the service cannot be reached
    :raises ConfigurationException: the file of authorities cannot be used
    :raises ValueError: an argument is out of range

    >>> backblaze = Backblaze("0a1b2c3d4e5f", "the key", api_url="http://127.0.0.1:8080", authorize=False)
    >>> backblaze.BACKBLAZE_MAX_CHUNK_SIZE
    209715200
    >>> backblaze.close()
    """

    BACKBLAZE_BASE_API_URL = "https://api.backblazeb2.com"
    BACKBLAZE_MAX_CHUNK_SIZE = PART_SIZE

    def __init__(
        self,
        account_id: str,
        application_key: str,
        authorization_required: JsonObject | None = None,
        upload_required: JsonObject | None = None,
        upload_part: bool = False,
        *,
        api_url: str | None = None,
        authorize: bool = True,
        connection_timeout: float = 10.0,
        read_timeout: float = 60.0,
        deadline: float | None = None,
        ca_certs: str | None = None,
        backoff: Backoff | None = None,
        part_size: int | None = None,
        parallel_parts: int = 3,
        test_mode: str | None = None,
    ) -> None:
        for name, value in (("parallel_parts", parallel_parts), ("part_size", part_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1: {value}")
        api_url = api_url or self.BACKBLAZE_BASE_API_URL
        if not api_url.startswith(("http://", "https://")):
            raise ValueError(f"api_url must be like 'https://host:port': {api_url!r}")
        if is_in_clear(api_url):
            raise ValueError(
                f"api_url must be an https URL, so that the key does not travel in clear: {api_url!r}"
            )
        self._session = B2Session(ca_certs, {"X-Bz-Test-Mode": test_mode} if test_mode else None)
        self._limits = _with_timeouts(B2Limits(), connection_timeout, read_timeout)
        self._account = Account(
            account_id,
            application_key,
            self._session,
            api_url,
            backoff or Backoff(),
            authorization_required,
        )
        self._files = Files(self._account, part_size or self.BACKBLAZE_MAX_CHUNK_SIZE, parallel_parts)
        if upload_required:
            self._files.add_upload_url(upload_required, of_part=upload_part)
        if authorize:
            try:
                self._account.grant(self._limits.until(deadline))
            except BaseException:  # Nobody else has the client yet.
                self.close()
                raise

    @property
    def authorization_token(self) -> str:
        """The current token of the account."""
        return self._account.grant(self._limits).token

    # --- whole files, read from and to anything ---

    def put(
        self,
        bucket_name: str,
        name: str,
        source: Data,
        size: int | None = None,
        sha1: str | None = None,
        mime_type: str = DEFAULT_MIME_TYPE,
        info: Mapping[str, str] | None = None,
        *,
        deadline: float | None = None,
        watcher: Watcher | None = None,
    ) -> JsonObject:
        """Store a file: at once, or in parts when it has more than ``part_size`` bytes.

        A part can be sent again. Bytes, a BytesIO and a file that ``open()`` gives are read again for that.
        The data of other sources are kept: in memory, or in a temporary file when a part has more than 1 MiB.

        :param name: name of the file, 1024 bytes of UTF-8 at most
        :param source: bytes, or anything with ``read``. If it can seek, a large file has a SHA-1 that readers
            can verify
        :param size: bytes to take from the source, which must have them; None, or -1, for all that it gives
        :param sha1: SHA-1 that the data must have (hexadecimal)
        :param info: information to store with the file, text under at most eight names
        :param deadline: monotonic seconds, of the whole upload
        :param watcher: is told of the requests, see :mod:`oio.common.events`
        :returns: the answer of the service: ``fileId``, ``contentLength``, ``contentSha1``. The SHA-1 is
            ``none`` for a large file if it was unknown at the start
        :raises BackblazeException: refused
        :raises OioNetworkException: the service has not answered in several attempts
        :raises EtagMismatch: the data have another SHA-1
        :raises SourceReadError: the source failed, has changed, has too few bytes, or gave nothing in time;
            other exceptions of the source than OSError, ValueError and time limits come out as they are
        :raises DeadlineReached: between two requests; within one, OioTimeout. A large file is cancelled
        """
        file = Description(name, mime_type, dict(info or {}))
        wanted = check_limit("size", size)
        readable = _file("source", source)
        limits = self._limits.until(deadline, watcher)
        return self._files.put(bucket_name, file, readable, wanted, sha1, limits)

    def get(
        self,
        bucket_name: str,
        name: str,
        start: int | None = None,
        end: int | None = None,
        *,
        verify: bool = True,
        size: int | None = None,
        deadline: float | None = None,
        watcher: Watcher | None = None,
    ) -> Generator[bytes, None, None]:
        """Read a file, or a range of it: exactly the bytes that were stored, or an exception.

        After a failure, the read is resumed. A file that is read whole is compared with its SHA-1. Nothing is
        sent before the first block is asked for.

        :param start: first byte
        :param end: last byte; by default, and at most, the last one of the file
        :param verify: False compares no SHA-1, but still counts the bytes
        :param size: bytes that the file must have, whatever is read of it
        :param deadline: monotonic seconds, of the whole read
        :param watcher: is told of the requests, see :mod:`oio.common.events`
        :returns: a generator of blocks, which frees its connection when it is closed
        :raises BackblazeException: refused: 404, there is no such file; 416, it ends before `start`
        :raises CorruptedChunk: the data differ from those that were stored, or the file has another size
        :raises OioProtocolError: the answer is not one of Backblaze
        :raises OioNetworkException: the connection broke, and could not be resumed
        :raises DeadlineReached: between two requests; within one, it is an OioTimeout
        """
        limits = self._limits.until(deadline, watcher)
        return Download(
            self._account, bucket_name, check_file_name(name), start, end, limits, verify, size
        ).blocks()

    def head(
        self, bucket_name: str, name: str, *, deadline: float | None = None, watcher: Watcher | None = None
    ) -> FileHead:
        """Describe a file.

        :param deadline: monotonic seconds
        :param watcher: is told of the requests, see :mod:`oio.common.events`
        :returns: ``fileId``, ``contentLength`` (bytes) and ``contentSha1`` (None when it is unknown)
        :raises BackblazeException: refused: 404, there is no such file
        :raises OioNetworkException: the service does not answer
        """
        limits = self._limits.until(deadline, watcher)
        return look_at(self._account, bucket_name, check_file_name(name), limits)

    def remove(
        self, bucket_name: str, name: str, *, deadline: float | None = None, watcher: Watcher | None = None
    ) -> int:
        """Delete all the versions of a file, unfinished ones too.

        :param deadline: monotonic seconds
        :param watcher: is told of the requests, see :mod:`oio.common.events`
        :returns: how many there were, which may be 0
        :raises BackblazeException: refused
        :raises OioNetworkException: the service does not answer
        """
        return self._files.remove(bucket_name, name, self._limits.until(deadline, watcher))

    # --- files named by metadata ---

    def upload(
        self, bucket_name: str, meta: Mapping[str, object], data: Data, sha1: str | None = None
    ) -> JsonObject:
        """Store a file.

        :param meta: ``name``, and maybe ``mime_type`` and ``container_id``: the file is named
            ``<container_id>/<name>``, or just by its name
        :param data: bytes, or anything with ``read``
        :param sha1: SHA-1 that the data must have (hexadecimal)
        :returns: see :meth:`put`, also for the exceptions
        """
        return self._files.put(
            bucket_name, _describe(meta), _file("data", data), None, sha1, self._limits, "data"
        )

    def download(
        self, bucket_name: str, metadata: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Read a file into memory.

        :param metadata: ``name`` and maybe ``container_id``, see :meth:`upload`
        :param headers: ``Range``, like ``bytes=2-5`` or ``bytes=2-``; others are ignored
        :raises OioException: see :meth:`get`
        """
        return self.download_by_path_name(bucket_name, _name_of(metadata), headers)

    def download_by_path_name(
        self, bucket_name: str, link: str, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Read a file into memory.

        :param link: name of the file
        :param headers: see :meth:`download`
        """
        return b"".join(self.get(bucket_name, link, *_range_of(headers)))

    def delete(self, bucket_name: str, metadata: Mapping[str, object]) -> int:
        """Delete all the versions of a file.

        :param metadata: ``name`` and maybe ``container_id``, see :meth:`upload`
        :returns: how many there were
        :raises BackblazeException: 404, there were none; or refused
        """
        name = _name_of(metadata)
        count = self.remove(bucket_name, name)
        if not count:
            raise BackblazeException(404, f"no file {name!r} in bucket {bucket_name!r}", None, None)
        return count

    def delete_by_path_name(self, file_id: str, file_name: str) -> JsonObject:
        """Delete one version of a file.

        :returns: the answer of the service: ``fileId``, ``fileName``
        :raises BackblazeException: 400 ``file_not_present``; or refused
        """
        return self._files.delete_version(file_id, file_name, self._limits)

    # --- large files, step by step ---

    def upload_part_begin(self, bucket_name: str, meta: Mapping[str, object]) -> JsonObject:
        """Begin a large file.

        :param meta: see :meth:`upload`
        :returns: the answer of the service: ``fileId``
        """
        with self._files.using(self._files.bucket_id(bucket_name, self._limits)) as bucket_id:
            return self._files.large.start(bucket_id, _describe(meta), self._limits)

    def upload_part(
        self, file_id: str, data: Data, part_number: int, sha1: str | None = None
    ) -> tuple[JsonObject, str]:
        """Send a part of a large file; another part of the same number replaces it.

        :param data: bytes, or anything with ``read``: 5,000,000 bytes at least, but for the last part
        :param part_number: from 1 to 10000
        :param sha1: SHA-1 that the data must have (hexadecimal)
        :returns: the answer of the service, and the SHA-1 of the part
        """
        return self._files.put_part(file_id, _file("data", data), part_number, sha1, self._limits)

    def upload_part_end(self, file_id: str, sha1_array: Iterable[str]) -> JsonObject:
        """Make a large file of its parts.

        :param sha1_array: SHA-1 of each part, in order
        :returns: the answer of the service: ``fileId``, ``contentLength``
        """
        return self._files.finish(file_id, [sha1.lower() for sha1 in sha1_array], self._limits)

    # --- listings ---

    def get_list_buckets(self) -> list[JsonObject]:
        """List the buckets: ``bucketName``, ``bucketId``, ``bucketType``..."""
        return self._files.buckets(self._limits)

    def get_list_file_names(self, bucket_name: str) -> Iterator[list[JsonObject]]:
        """List the files of a bucket, page by page.

        :returns: a generator of lists of ``fileName``, ``fileId``, ``size``...
        """
        return self.get_list_file_names_by_bucket_id(self._files.bucket_id(bucket_name, self._limits))

    def get_list_file_names_by_bucket_id(self, bucket_id: str) -> Iterator[list[JsonObject]]:
        """List the files of a bucket, see :meth:`get_list_file_names`."""
        return self._files.names(bucket_id, self._limits)

    def get_backblaze_infos(self, bucket_name: str) -> tuple[int, int]:
        """Size (bytes) and number of the files of a bucket; lists them all."""
        size = number = 0
        for page in self.get_list_file_names(bucket_name):
            size += sum(file["size"] for file in page)
            number += len(page)
        return size, number

    def get_size(self, bucket_name: str) -> int:
        """Size of the files of a bucket, in bytes; lists them all."""
        return self.get_backblaze_infos(bucket_name)[0]

    def get_file_number(self, bucket_name: str) -> int:
        """Number of the files of a bucket; lists them all."""
        return self.get_backblaze_infos(bucket_name)[1]

    def with_timeouts(
        self, connection_timeout: float | None = None, read_timeout: float | None = None
    ) -> Backblaze:
        """Get a client with other time limits, which shares everything else with this one.

        :param connection_timeout: seconds to connect; None keeps the limit
        :param read_timeout: seconds for each block of an answer; None keeps the limit
        :returns: this one itself, when both limits are kept
        """
        if connection_timeout is None and read_timeout is None:
            return self
        other = copy.copy(self)
        other._limits = _with_timeouts(self._limits, connection_timeout, read_timeout)
        return other

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def __enter__(self) -> Backblaze:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _with_timeouts(limits: B2Limits, connection_timeout: object, read_timeout: object) -> B2Limits:
    """The same limits with others of these; None keeps one."""
    connect = check_seconds("connection_timeout", connection_timeout)
    read = check_seconds("read_timeout", read_timeout)
    return B2Limits(limits.connect if connect is None else connect, limits.read if read is None else read)


def _file(argument: str, data: Data) -> Readable:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return io.BytesIO(bytes_of(argument, data))
    if not hasattr(data, "read"):
        raise TypeError(f"{argument} must be bytes or a file, not {type(data).__name__}")
    return data


def _name_of(meta: Mapping[str, object]) -> str:
    try:
        name = str(meta["name"])
    except KeyError:
        raise ValueError(f"metadata have no name: {sorted(meta)}") from None
    container_id = meta.get("container_id")
    return f"{container_id}/{name}" if container_id else name


def _describe(meta: Mapping[str, object]) -> Description:
    return Description(_name_of(meta), cast("str", meta.get("mime_type")) or DEFAULT_MIME_TYPE)


def _range_of(headers: Mapping[str, str] | None) -> tuple[int | None, int | None]:
    text = next((value for name, value in (headers or {}).items() if name.lower() == "range"), None)
    if text is None:
        return None, None
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"Range must be like 'bytes=2-5' or 'bytes=2-': {text!r}")
    return int(match[1]), int(match[2]) if match[2] else None
