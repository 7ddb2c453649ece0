# SPDX-License-Identifier: Apache-2.0
"""Files of Backblaze B2: each metachunk is one file of a bucket, and B2 takes care of its copies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Container, Generator, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from oio.api._data.inspection import failure
from oio.api._data.metachunks import UploadRequest, checksum_of
from oio.api._data.strategies import Stores, Strategy
from oio.b2.errors import BackblazeException, NotBackblaze
from oio.b2.names import DEFAULT_MIME_TYPE
from oio.b2.sizes import MAX_FILE_SIZE
from oio.common import exceptions as exc
from oio.common import green
from oio.common.checksums import Checksum
from oio.common.chunks import Chunk, Outcome
from oio.common.constants import STRLEN_CHUNKID
from oio.common.health import Damage
from oio.common.sources import Portion

if TYPE_CHECKING:
    from oio.api._data.inspection import Expected, Findings
    from oio.api._data.layout import Metachunk
    from oio.api._data.source import Source
    from oio.api._data.strategies import OwnerCheck
    from oio.b2.clients import Bucket
    from oio.common.answers import JsonObject
    from oio.common.options import Options
    from oio.common.storage_method import BackblazeStorageMethod, StorageMethod

_T = TypeVar("_T")


def file_name(cid: str, chunk: Chunk) -> str:
    """Name the file of a chunk.

    >>> file_name("C0FFEE", Chunk.of({"url": "b2/0A1B"}))
    'C0FFEE/0A1B'
    """
    return f"{cid}/{chunk.id}"


def _limited(request: Callable[..., _T], options: Options) -> Callable[..., _T]:
    """A request of a client that ends in time, and is watched where somebody listens."""
    limited = partial(request, deadline=options.limits.deadline)
    # Fake clients of applications only take the keywords that are needed.
    return limited if options.on_event is None else partial(limited, watcher=options.watcher)


def delete_files(
    remove: Callable[[str, str], object], bucket_name: str, names: Iterable[str]
) -> tuple[list[str], exc.OioException | None]:
    """Delete files, all their versions included; those that do not exist are no failure.

    :returns: the files that are left, and the first of the failures
    """
    left = []
    first: exc.OioException | None = None
    for name in dict.fromkeys(names):
        try:
            remove(bucket_name, name)
        except exc.OioException as err:
            first = first or err
            left.append(name)
    return left, first


class FileWriter:
    """Writer of the file of a metachunk, see :class:`~oio.api._data.metachunks.MetachunkWriter`."""

    def __init__(self, bucket: Bucket, name: str, request: UploadRequest) -> None:
        self._bucket = bucket
        self._name = name
        self._request = request
        self.outcomes: list[Outcome] = []

    def write(self, source: Source, size: int | None) -> tuple[int, str]:
        """Write at most `size` bytes of a source, or all of it.

        :returns: number of bytes, and their MD5 (hexadecimal)
        :raises BackblazeException: refused
        :raises OioNetworkException: Backblaze does not answer
        :raises DeadlineReached: the deadline has passed
        :raises OioException: the source failed, or not all of its bytes were stored
        """
        chunk = self._request.chunks[0]
        of_object = self._request.checksum
        checksum = checksum_of(self._request, "md5")
        data = Portion(source, size, [checksum] if checksum is of_object else [checksum, of_object])
        # From now on, the bucket may hold a part of the file.
        self.outcomes = [Outcome(chunk, "not stored", maybe_stored=True)]
        stored = self._put(chunk, data)
        if stored != data.taken:
            raise exc.OioException(f"Backblaze has {stored} bytes of {chunk.url}, not {data.taken}")
        digest = checksum.hexdigest()
        self.outcomes = [Outcome(chunk.stored(data.taken, digest.upper()), maybe_stored=True)]
        return data.taken, digest

    def _put(self, chunk: Chunk, data: Portion) -> int:
        """Store the file; returns its size (bytes)."""
        begin = time.monotonic()
        options = self._request.options
        try:
            put = _limited(self._bucket.client.put, options)
            mime_type = self._request.meta.get("mime_type") or DEFAULT_MIME_TYPE
            answer = put(self._bucket.name, self._name, data, mime_type=mime_type)
        except (BackblazeException, exc.OioNetworkException) as err:
            if err is not data.source.error:
                options.limits.raise_if_late(err, options.reqid or None)
            raise
        finally:
            if options.perfdata is not None:
                options.add_step("upload", chunk, begin, "b2")
        return int(answer["contentLength"])


class FileSource:
    """The file of a metachunk, see :class:`~oio.api._data.read.MetachunkSource`."""

    def __init__(self, bucket: Bucket, name: str, chunk: Chunk, options: Options) -> None:
        self._bucket = bucket
        self._name = name
        self._url = chunk.url
        self._size = chunk.size
        self._options = options
        # The MD5 in the metadata is that of the data of the writer, and a file that is read whole is compared
        # with it. The SHA-1 of the same bytes comes from B2, where they may be damaged: it can tell no more.
        self._verify = bool(options.verify_checksum) and chunk.md5 is None
        self._may_reread = True
        self.used: list[str] = []

    def open(self, start: int, end: int) -> Generator[bytes, None, None]:
        self.used = [self._url]
        left = end - start + 1
        get = _limited(self._bucket.client.get, self._options)
        blocks = get(self._bucket.name, self._name, start, end, verify=self._verify, size=self._size)
        try:
            for block in blocks:
                left -= len(block)
                yield block
        except NotBackblaze:
            raise
        except (BackblazeException, exc.OioNetworkException) as err:
            raise self._failure(err) from err
        finally:
            blocks.close()
        if left:
            raise self._shorter()

    def _shorter(self) -> exc.CorruptedChunk:
        return exc.CorruptedChunk(f"The file of {self._url} is shorter than what was stored")

    def _failure(self, err: exc.OioException) -> exc.OioException:
        """Make the exception that sources of any kind raise."""
        status = err.status_code if isinstance(err, BackblazeException) else None
        if status == 404:
            return exc.NotFound(404, None, f"{self._url}: {err}")
        if status == 416:
            return self._shorter()
        self._options.limits.raise_if_late(err)
        return exc.ServiceUnavailable(f"{self._url}: {err}", service=err.service)

    def find_damaged(self) -> list[str]:
        return self.used

    def exclude_damaged(self) -> bool:
        # There is no other copy, but data that were damaged on the way may arrive intact the next time.
        again, self._may_reread = self._may_reread, False
        return again


class BucketStrategy(Strategy):
    """Backblaze B2.

    An object is one file, whatever the size of the chunks of the namespace: that size spreads an object over
    drives, which B2 does by itself, and each file costs requests. Only objects larger than the largest file
    are several files.

    :raises InvalidStorageMethod: a library is missing
    """

    def __init__(self, method: StorageMethod, stores: Stores, cid: str, options: Options) -> None:
        super().__init__(method, stores, cid, options)
        self.bucket = stores._b2_clients.bucket(method, options)

    @staticmethod
    def family(method: BackblazeStorageMethod) -> tuple[str, str]:
        return method.account_id, method.bucket_name

    def metachunk_size(self, chunk_size: int) -> int:
        return MAX_FILE_SIZE

    def writer(
        self, meta: JsonObject, chunks: list[Chunk], checksum: Checksum, first: bool, options: Options
    ) -> FileWriter:
        # The names that the services prepare may depend on the version, which the caller can choose. A chunk
        # server refuses a chunk that it has; B2 would hide an existing file behind the new one.
        chunks = [chunk.named(f"b2/{os.urandom(STRLEN_CHUNKID // 2).hex().upper()}") for chunk in chunks]
        request = UploadRequest(meta, chunks, checksum, first, self.method.quorum, options)
        return FileWriter(self.bucket, file_name(self.cid, chunks[0]), request)

    def source(self, metachunk: Metachunk, suspects: set[str], options: Options) -> FileSource:
        chunk = metachunk.chunks[0]
        return FileSource(self.bucket, file_name(self.cid, chunk), chunk, options)

    def head(self, chunk: Chunk, xattr: bool, options: Options) -> dict[str, str]:
        try:
            found = _limited(self.bucket.client.head, options)(self.bucket.name, file_name(self.cid, chunk))
        except BackblazeException as err:
            if err.status_code == 404:
                raise exc.NotFound(404, None, f"{chunk.url}: {err}") from err
            raise
        size = found["contentLength"]
        if chunk.size not in (None, size):
            raise exc.CorruptedChunk(f"The file of {chunk.url} has {size} bytes, not {chunk.size}")
        return {"chunk_size": str(size)}

    def examine(self, chunk: Chunk, expected: Expected, deep: bool, options: Options) -> Findings:
        # Backblaze cannot compare a file with its checksum: only a read can.
        try:
            self.head(replace(chunk, size=expected.size), True, options)
        except exc.CorruptedChunk as err:
            return [(Damage.WRONG_SIZE, str(err))]
        except exc.OioException as err:
            return [failure(err, options)]
        return []

    def delete(
        self,
        chunks: Iterable[Chunk],
        options: Options,
        late: Container[str] = (),
        is_ours: OwnerCheck | None = None,
    ) -> list[Chunk]:
        # Nobody else has a file of such a name, see `prepared`: they need no look at their owners.
        named = {file_name(self.cid, chunk): chunk for chunk in chunks}
        remove = _limited(self.bucket.client.remove, options.for_cleaning())
        with green.Insistence():
            left, error = delete_files(remove, self.bucket.name, named)
        if error is not None:
            self.stores.logger.warning("Files %s stay in bucket %s: %s", left, self.bucket.name, error)
        return [named[name] for name in left]
