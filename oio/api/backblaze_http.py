# SPDX-License-Identifier: Apache-2.0
"""A client of Backblaze B2, native API version 1.

Uploads send the SHA-1 of all that they store, downloads verify it; what fails in a way that may pass is
repeated, over other upload URLs and with other tokens where these are what failed.
"""

from __future__ import annotations

import copy
import io
import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, ClassVar

from oio.b2.account import Account
from oio.b2.credentials import Credentials, bucket_of, key_file_path, read_credentials
from oio.b2.errors import BackblazeException, BackblazeUtilsException
from oio.b2.files import Files
from oio.b2.names import DEFAULT_MIME_TYPE, Description
from oio.b2.retry import Backoff
from oio.b2.session import B2Session, FileBody, Limits, decode_json

__all__ = [
    "Backblaze",
    "BackblazeException",
    "BackblazeUtils",
    "BackblazeUtilsException",
    "Backoff",
    "Requests",
]

_RANGE = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)


class BackblazeUtils:
    """The credentials for buckets of Backblaze."""

    b2_authorization_list: ClassVar[dict[str, dict[str, Any]]] = {}
    """Credentials that were read, under ``<account ID>.<bucket name>``."""

    @staticmethod
    def get_credentials(
        storage_method: Any, application_key_path: str | None = None, renew: bool = False
    ) -> dict[str, Any]:
        """Get the credentials for the bucket of a storage method.

        They are in section ``backblaze`` of an INI file, where option
        ``<account ID>.<bucket name>.application_key`` is the key, and
        ``<account ID>.<bucket name>.api_url`` the address of the service, if it is not Backblaze's own.

        :param storage_method: anything with ``account_id`` and ``bucket_name``
        :param application_key_path: the file; ``/etc/oio/sds/b2-appkey.conf`` by default
        :param renew: read the file even if it was read before, and is as it was
        :returns: a dictionary of ``backblaze.account_id``, ``backblaze.application_key``,
            ``backblaze.api_url`` (None by default), ``bucket_name``, ``authorization`` and ``upload_token``:
            the last two are None until somebody sets them, and suit the constructor of :class:`Backblaze`
        :raises BackblazeUtilsException: something is missing; the message tells what
        """
        account_id, bucket_name = bucket_of(storage_method)
        path = key_file_path(application_key_path)
        known = BackblazeUtils.b2_authorization_list.get(f"{account_id}.{bucket_name}")
        if known is not None and not renew and _suits(known, path):
            return known
        found: Credentials = read_credentials(path, account_id, bucket_name)
        BackblazeUtils.b2_authorization_list[f"{account_id}.{bucket_name}"] = found
        return found


def _suits(known: Mapping[str, Any], path: str) -> bool:
    """Tell whether credentials are those of a file; what somebody else has put there comes from no file."""
    return not isinstance(known, Credentials) or (known.path == path and known.are_current())


class Requests:
    """Single requests, which are never repeated.

    :param error_handler: called with the :class:`BackblazeException` of an answer that is none of success;
        what it returns is the result, unless it raises. By default, the exception is raised.

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
        file_descriptor: Any = None,
        json: bool = False,
    ) -> Any:
        """Send a request, and read its answer.

        :param content_type: the method of the request: ``GET``, ``POST``...
        :param headers: of the request
        :param file_descriptor: its body: bytes, text, or a seekable binary file, sent from where it is
        :param json: decode the answer
        :returns: bytes, or what was decoded
        :raises BackblazeException: the status is none of success
        :raises OioNetworkException: there is no answer, or none in JSON
        """
        what = f"{content_type} {url.partition('?')[0]}"
        try:
            raw = self._session.ask(content_type, url, headers, _body(file_descriptor), Limits(), what)
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


def _body(file_descriptor: Any) -> Any:
    """The body of a request that is sent once."""
    if file_descriptor is None or isinstance(file_descriptor, bytes):
        return file_descriptor
    if isinstance(file_descriptor, str):
        return file_descriptor.encode("utf-8")
    start = file_descriptor.tell()
    size = file_descriptor.seek(0, os.SEEK_END) - start
    return FileBody(file_descriptor, size, start)


class Backblaze:
    """A client of one account.

    OS threads and green threads may share it: they share its authorisation and its connections, and each of
    their uploads has an upload URL for itself.

    :param account_id: ID of the account, or of an application key
    :param application_key: the key
    :param authorization_required: an answer of ``b2_authorize_account`` to begin with, instead of asking for
        one right now
    :param upload_required: an answer of ``b2_get_upload_url`` to begin with
    :param upload_part: `upload_required` is one of ``b2_get_upload_part_url``
    :param api_url: where to authorise, instead of ``BACKBLAZE_BASE_API_URL``
    :param authorize: False leaves the authorisation to the first call that needs it
    :param connection_timeout: seconds to connect, and to get rid of some bytes over a new connection
    :param read_timeout: seconds without a byte of the service
    :param deadline: monotonic seconds, of the authorisation at construction
    :param ca_certs: PEM file of the authorities to trust, instead of those of ``requests``; a server is
        always verified
    :param backoff: how often requests are repeated, and the pauses in between, see :class:`Backoff`
    :param part_size: bytes of the largest file that is sent at once, and of the parts of larger ones, instead
        of ``BACKBLAZE_MAX_CHUNK_SIZE``; 5,000,000 at least for Backblaze
    :param parallel_parts: how many parts of a file are sent at a time; as many temporary files of the size of
        a part exist meanwhile, in the directory of module :mod:`tempfile`
    :param test_mode: value of header ``X-Bz-Test-Mode``, which makes the service fail on purpose
    :raises BackblazeException: the key is refused
    :raises OioNetworkException: the service cannot be reached
    :raises ConfigurationException: the file of authorities cannot be used
    :raises ValueError: an option makes no sense

    >>> backblaze = Backblaze("0a1b2c3d4e5f", "the key", api_url="http://127.0.0.1:8080", authorize=False)
    >>> backblaze.BACKBLAZE_MAX_CHUNK_SIZE
    209715200
    >>> backblaze.close()
    """

    BACKBLAZE_BASE_API_URL = "https://api.backblazeb2.com"
    BACKBLAZE_MAX_CHUNK_SIZE = 209715200

    def __init__(
        self,
        account_id: str,
        application_key: str,
        authorization_required: Mapping[str, Any] | None = None,
        upload_required: Mapping[str, Any] | None = None,
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
        if parallel_parts < 1 or (part_size is not None and part_size < 1):
            raise ValueError(f"parallel_parts {parallel_parts} and part_size {part_size} must be positive")
        api_url = api_url or self.BACKBLAZE_BASE_API_URL
        if not api_url.startswith(("http://", "https://")):
            raise ValueError(f"api_url must be like 'https://host:port': {api_url!r}")
        self._session = B2Session(ca_certs, {"X-Bz-Test-Mode": test_mode} if test_mode else None)
        self._limits = Limits(float(connection_timeout), float(read_timeout))
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
            except BaseException:
                # Nobody else could.
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
        source: Any,
        size: int | None = None,
        sha1: str | None = None,
        mime_type: str = DEFAULT_MIME_TYPE,
        info: Mapping[str, str] | None = None,
        *,
        deadline: float | None = None,
    ) -> dict[str, Any]:
        """Store a file: at once, or as a large file in parts when it has more than ``part_size`` bytes.

        The data are set aside in temporary files, one for each part, so that a part can be sent again.

        :param name: name of the file, 1024 bytes of UTF-8 at most
        :param source: bytes, or anything with ``read``, read once; one that can seek is read twice when it
            makes a large file, so that the file has a SHA-1 that whoever reads it can verify
        :param size: bytes to take of the source, which must have them; by default, all that it gives
        :param sha1: SHA-1 that the data are expected to have (hexadecimal)
        :param info: information to store with the file, text under at most eight names
        :param deadline: monotonic seconds, of all of it
        :returns: the answer of the service: ``fileId``, ``contentLength``, ``contentSha1``, which is ``none``
            for a large file whose SHA-1 was not known at its start
        :raises BackblazeException: refused
        :raises OioNetworkException: the service does not answer, and did not in several attempts
        :raises EtagMismatch: the data have another SHA-1
        :raises SourceReadError: the source failed, or has too few bytes
        :raises DeadlineReached: between two requests; within one, OioTimeout. Nothing is left of a large file
        """
        file = Description(name, mime_type, dict(info or {}))
        return self._files.put(bucket_name, file, _file(source), size, sha1, self._limits.until(deadline))

    def get(
        self,
        bucket_name: str,
        name: str,
        start: int | None = None,
        end: int | None = None,
        *,
        verify: bool = True,
        deadline: float | None = None,
    ) -> Generator[bytes, None, None]:
        """Read a file, or a range of it: exactly the bytes that were stored, or an exception.

        After a failure, reading goes on where it was. A file that is read whole is compared with its SHA-1.
        Nothing is asked for before the first block is.

        :param start: first byte
        :param end: last byte; by default, and at most, the last one of the file
        :param verify: False compares nothing with the SHA-1, but still counts
        :param deadline: monotonic seconds, of all of it
        :returns: a generator of blocks, which frees its connection when it is closed
        :raises BackblazeException: refused: 404, there is no such file; 416, it ends before `start`
        :raises CorruptedChunk: the data are not those that were stored
        :raises OioNetworkException: the connection broke, and no attempt brought more
        :raises DeadlineReached: between two requests; within one, it is an OioTimeout
        """
        return self._files.get(bucket_name, name, start, end, self._limits.until(deadline), verify)

    def head(self, bucket_name: str, name: str, *, deadline: float | None = None) -> dict[str, Any]:
        """Look at a file.

        :param deadline: monotonic seconds
        :returns: ``fileId``, ``contentLength`` (bytes) and ``contentSha1``, None when nobody knows it
        :raises BackblazeException: refused: 404, there is no such file
        :raises OioNetworkException: the service does not answer
        """
        return self._files.head(bucket_name, name, self._limits.until(deadline))

    def remove(self, bucket_name: str, name: str, *, deadline: float | None = None) -> int:
        """Delete all the versions of a file, unfinished ones too.

        :param deadline: monotonic seconds
        :returns: how many there were; none is no failure
        :raises BackblazeException: refused
        :raises OioNetworkException: the service does not answer
        """
        return self._files.remove(bucket_name, name, self._limits.until(deadline))

    # --- what is named by metadata ---

    def upload(
        self, bucket_name: str, meta: Mapping[str, Any], data: Any, sha1: str | None = None
    ) -> dict[str, Any]:
        """Store a file.

        :param meta: ``name`` and, if it has one, ``container_id``, which comes before the name and a slash;
            ``mime_type``
        :param data: bytes, or anything with ``read``
        :param sha1: that the data are expected to have (hexadecimal)
        :returns: see :meth:`put`, as for what is raised
        """
        return self._files.put(bucket_name, _describe(meta), _file(data), None, sha1, self._limits)

    def download(
        self, bucket_name: str, metadata: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Read a file into memory.

        :param metadata: ``name`` and maybe ``container_id``, see :meth:`upload`
        :param headers: ``Range``, as ``bytes=2-5`` or ``bytes=2-``; others are ignored
        :returns: see :meth:`get`, as for what is raised
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

    def delete(self, bucket_name: str, metadata: Mapping[str, Any]) -> int:
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

    def delete_by_path_name(self, file_id: str, file_name: str) -> dict[str, Any]:
        """Delete one version of a file.

        :returns: the answer of the service: ``fileId``, ``fileName``
        :raises BackblazeException: 400 ``file_not_present``; or refused
        """
        return self._files.delete_version(file_id, file_name, self._limits)

    # --- large files, step by step ---

    def upload_part_begin(self, bucket_name: str, meta: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a large file.

        :param meta: see :meth:`upload`
        :returns: the answer of the service: ``fileId``
        """
        bucket_id = self._files.bucket_id(bucket_name, self._limits)
        return self._files.large.start(bucket_id, _describe(meta), self._limits)

    def upload_part(
        self, file_id: str, data: Any, part_number: int, sha1: str | None = None
    ) -> tuple[dict[str, Any], str]:
        """Send a part of a large file; the same number again replaces it.

        :param data: bytes, or anything with ``read``: 5,000,000 bytes at least, but for the last part
        :param part_number: from 1 to 10000
        :param sha1: that the data are expected to have (hexadecimal)
        :returns: the answer of the service, and the SHA-1 of the part
        """
        return self._files.put_part(file_id, _file(data), part_number, sha1, self._limits)

    def upload_part_end(self, file_id: str, sha1_array: Iterable[str]) -> dict[str, Any]:
        """Make a large file of its parts.

        :param sha1_array: SHA-1 of each part, in order
        :returns: the answer of the service: ``fileId``, ``contentLength``
        """
        return self._files.finish(file_id, [sha1.lower() for sha1 in sha1_array], self._limits)

    # --- listings ---

    def get_list_buckets(self) -> list[dict[str, Any]]:
        """List the buckets: ``bucketName``, ``bucketId``, ``bucketType``..."""
        return self._files.buckets(self._limits)

    def get_list_file_names(self, bucket_name: str) -> Iterator[list[dict[str, Any]]]:
        """List the files of a bucket, in lists of what the service gives at once.

        :returns: a generator of lists of ``fileName``, ``fileId``, ``size``...
        """
        return self.get_list_file_names_by_bucket_id(self._files.bucket_id(bucket_name, self._limits))

    def get_list_file_names_by_bucket_id(self, bucket_id: str) -> Iterator[list[dict[str, Any]]]:
        """List the files of a bucket, see :meth:`get_list_file_names`."""
        return self._files.names(bucket_id, self._limits)

    def get_backblaze_infos(self, bucket_name: str) -> tuple[int, int]:
        """Size (bytes) and number of the files of a bucket, which are all listed."""
        size = number = 0
        for page in self.get_list_file_names(bucket_name):
            size += sum(file["size"] for file in page)
            number += len(page)
        return size, number

    def get_size(self, bucket_name: str) -> int:
        """Bytes of the files of a bucket."""
        return self.get_backblaze_infos(bucket_name)[0]

    def get_file_number(self, bucket_name: str) -> int:
        """Number of the files of a bucket."""
        return self.get_backblaze_infos(bucket_name)[1]

    def with_timeouts(
        self, connection_timeout: float | None = None, read_timeout: float | None = None
    ) -> Backblaze:
        """Get a client with other time limits, which shares everything else with this one.

        :param connection_timeout: seconds to connect; None for what this one has
        :param read_timeout: seconds without a byte of the service; None for what this one has
        """
        other = copy.copy(self)
        other._limits = Limits(
            self._limits.connect if connection_timeout is None else float(connection_timeout),
            self._limits.read if read_timeout is None else float(read_timeout),
        )
        return other

    def close(self) -> None:
        """Close the idle connections."""
        self._session.close()

    def __enter__(self) -> Backblaze:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _file(data: Any) -> Any:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return io.BytesIO(data)
    if not hasattr(data, "read"):
        raise TypeError(f"data must be bytes or a file, not {type(data).__name__}")
    return data


def _name_of(meta: Mapping[str, Any]) -> str:
    try:
        name = str(meta["name"])
    except KeyError:
        raise ValueError(f"metadata have no name: {sorted(meta)}") from None
    container_id = meta.get("container_id")
    return f"{container_id}/{name}" if container_id else name


def _describe(meta: Mapping[str, Any]) -> Description:
    return Description(_name_of(meta), meta.get("mime_type") or DEFAULT_MIME_TYPE)


def _range_of(headers: Mapping[str, str] | None) -> tuple[int | None, int | None]:
    text = next((value for name, value in (headers or {}).items() if name.lower() == "range"), None)
    if text is None:
        return None, None
    match = _RANGE.fullmatch(text)
    if match is None:
        raise ValueError(f"Range must be like 'bytes=2-5' or 'bytes=2-': {text!r}")
    return int(match[1]), int(match[2]) if match[2] else None
