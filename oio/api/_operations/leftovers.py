# SPDX-License-Identifier: Apache-2.0
"""The buckets of Backblaze B2 that the objects of a namespace are in: access to them, and what is left there.

Chunk servers learn from the namespace which chunks to drop. Of B2, nobody but the client takes care: where it
has credentials, it deletes the files that no version of an object names any more.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from oio.api._facade.call import ApiBase
from oio.b2.credentials import DEFAULT_KEY_FILE
from oio.common import exceptions as exc
from oio.common import green
from oio.common import limits as _limits
from oio.common.answers import reading_answer
from oio.common.deadlines import cleaning_options, renewed_options
from oio.common.storage_method import STORAGE_METHODS, StorageMethod, parse_chunk_method
from oio.common.utils import cid_from_name

if TYPE_CHECKING:
    from oio.api.backblaze_http import Backblaze

_PARALLEL = 8
_UNKNOWN = "No credentials for Backblaze: what it has of %s may stay there"

_Chunk = dict[str, Any]


def is_backblaze(chunk_method: Any) -> bool:
    """Tell whether the data of an object are in a bucket.

    >>> is_backblaze("backblaze/account_id=A,bucket_name=B"), is_backblaze("plain"), is_backblaze(None)
    (True, False, False)
    """
    return parse_chunk_method(str(chunk_method or ""))[0] == "backblaze"


def credentials_are_known(options: Mapping[str, Any]) -> bool:
    """Tell whether there is a file of credentials: without, nobody has objects in Backblaze here."""
    return bool(options.get("key_file")) or os.path.exists(DEFAULT_KEY_FILE)


class Buckets:
    """Clients of the accounts of Backblaze that an API object uses.

    They are made when they are first needed, and shared by its threads.

    :param client_options: of :class:`~oio.api.backblaze_http.Backblaze`
    """

    def __init__(self, **client_options: Any) -> None:
        self._client_options = {"authorize": False, **client_options}
        self._clients: dict[tuple[Any, ...], Backblaze] = {}
        self._lock = threading.Lock()

    def info(self, storage_method: StorageMethod, options: Mapping[str, Any]) -> dict[str, Any]:
        """Get the credentials for a bucket, and a client, as the handlers of Backblaze take them.

        :param options: those of the call: ``key_file``, ``backblaze_api_url``
        :raises ConfigurationException: credentials are missing
        :raises InvalidStorageMethod: a library is missing
        """
        try:
            from oio.api.backblaze import CLIENT
            from oio.api.backblaze_http import Backblaze, BackblazeUtils
        except ImportError as err:
            # It needs a library that others do without (pitfalls row 83).
            raise exc.InvalidStorageMethod(f"objects in Backblaze need a library: {err}") from err
        info = dict(BackblazeUtils.get_credentials(storage_method, options.get("key_file")))
        api_url = options.get("backblaze_api_url") or info.get("backblaze.api_url")
        key = (info["backblaze.account_id"], info["backblaze.application_key"], api_url)
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = Backblaze(
                    info["backblaze.account_id"],
                    info["backblaze.application_key"],
                    api_url=api_url,
                    **self._client_options,
                )
        timeouts = {name: options.get(name) for name in ("connection_timeout", "read_timeout")}
        return {**info, CLIENT: client.with_timeouts(**timeouts)}

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()


def bucket_options(
    api: ApiBase, storage_method: StorageMethod, cid: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Options that reading and writing need for objects in a bucket; none for others.

    :param cid: ID of the container of the object
    :param options: those of the call
    """
    if not storage_method.backblaze:
        return {}
    return {"backblaze_info": api._buckets.info(storage_method, options), "container_id": cid}


def delete_files(
    api: ApiBase, chunks: Iterable[_Chunk], info: Mapping[str, Any], cid: str, options: Mapping[str, Any]
) -> None:
    """Delete the files of chunks, best effort: what fails is logged.

    :param info: credentials
    :param cid: ID of the container of the chunks
    :param options: those of the call
    """
    from oio.api.backblaze import BackblazeDeleteHandler

    handler = BackblazeDeleteHandler({"container_id": cid}, chunks, info, **cleaning_options(options))
    try:
        handler.delete()
    except exc.OioException as err:
        api.logger.warning("Files %s stay in bucket %s: %s", handler.left, info["bucket_name"], err)


def head_file(chunk: _Chunk, info: Mapping[str, Any], cid: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Ask what Backblaze knows of the file of a chunk.

    :param info: credentials
    :param cid: ID of the container of the chunk
    :param options: those of the call
    :returns: a dict with ``chunk_size`` (decimal text)
    :raises NotFound: there is no such file
    """
    from oio.api.backblaze import client_of, file_name
    from oio.api.backblaze_http import BackblazeException

    try:
        with client_of(info) as client:
            found = client.head(
                info["bucket_name"], file_name({"container_id": cid}, chunk), deadline=options.get("deadline")
            )
    except BackblazeException as err:
        if err.status_code == 404:
            raise exc.NotFound(404, None, f"{chunk['url']}: {err}") from err
        raise
    return {"chunk_size": str(found["contentLength"])}


class Leftovers:
    """The files of some versions of objects, of which some may be left when the versions are changed.

    :param api: whose clients are used
    :param options: those of the call
    """

    def __init__(
        self, api: ApiBase, account: str | None, container: str | None, options: Mapping[str, Any]
    ) -> None:
        self._api = api
        self._target = account, container
        self._cid = options.get("cid") or cid_from_name(str(account), str(container))
        # What is gone must not come back empty, and these tell an object which is not always the same.
        unwanted = {"autocreate", "content", "content_id", "version", "meta_pos"}
        self._options = {name: options[name] for name in options if name not in unwanted}
        self._noted: list[tuple[dict[str, Any], list[_Chunk], dict[str, Any]]] = []

    def look_at(self, name: str | None, version: Any = None, **content_ids: Any) -> None:
        """Note the files of a version of an object, if there are some.

        Nothing is asked for where there are no credentials, which is where nobody uses Backblaze.

        :param version: the latest by default
        :param content_ids: ``content`` or ``content_id``, in the place of the name
        :raises ConfigurationException: there are credentials, but not for its bucket
        """
        if not credentials_are_known(self._options):
            return
        try:
            meta, chunks = self._locate(name, version, renewed_options, **content_ids)
        except (exc.NotFound, exc.ContentDrained):
            return
        self.note(meta, chunks)

    def look_at_all(self, versions: Iterable[tuple[str, Any]]) -> None:
        """Note the files of several versions, given by names and versions."""
        _in_parallel(lambda version: self.look_at(*version), versions)

    def look_at_listed(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Note the files of the versions of a listing, which tells those that have some."""
        stored = [row for row in rows if is_backblaze(row.get("chunk_method"))]
        if stored and not credentials_are_known(self._options):
            self._api.logger.warning(_UNKNOWN, [row["name"] for row in stored])
            return
        self.look_at_all((row["name"], row["version"]) for row in stored)

    def note(self, meta: dict[str, Any], chunks: Iterable[_Chunk]) -> None:
        """Note the files of a version, if it has some.

        :param meta: its description
        :raises ConfigurationException: there are credentials, but not for its bucket
        """
        with reading_answer():
            chunk_method = meta["chunk_method"]
        if not is_backblaze(chunk_method):
            return
        try:
            method = STORAGE_METHODS.load(chunk_method)
        except exc.InvalidStorageMethod as err:
            self._api.logger.warning("Nobody knows where the data of %r are: %s", meta["name"], err)
            return
        if credentials_are_known(self._options):
            self._noted.append((meta, list(chunks), self._api._buckets.info(method, self._options)))
        else:
            self._api.logger.warning(_UNKNOWN, [meta["name"]])

    @contextlib.contextmanager
    def swept(self) -> Iterator[None]:
        """Delete, after a change, the files that were noted and that their versions do not name any more."""
        try:
            yield
        except exc.OioException:
            # Nobody knows what was done; the versions tell.
            self.sweep()
            raise
        self.sweep()

    def sweep(self) -> None:
        """Delete the noted files that no version names any more, best effort: what fails is logged."""
        noted, self._noted = self._noted, []
        _in_parallel(lambda known: self._sweep_one(*known), noted)

    def _sweep_one(self, meta: dict[str, Any], chunks: list[_Chunk], info: dict[str, Any]) -> None:
        try:
            _, kept = self._locate(meta["name"], meta["version"], cleaning_options)
        except (exc.NotFound, exc.ContentDrained):
            kept = []
        except exc.OioException as err:
            self._api.logger.warning("Files of %r may stay in Backblaze: %s", meta["name"], err)
            return
        named = {chunk["url"] for chunk in kept}
        doomed = [chunk for chunk in chunks if chunk["url"] not in named]
        if doomed:
            delete_files(self._api, doomed, info, self._cid, self._options)

    def _locate(
        self,
        name: str | None,
        version: Any,
        limited: Callable[[Mapping[str, Any]], dict[str, Any]],
        **content_ids: Any,
    ) -> tuple[dict[str, Any], list[_Chunk]]:
        # A replica that is late would name what is gone, or worse.
        options = {**limited(self._options), **content_ids, "force_master": True}
        return self._api.container.content_locate(
            *self._target, name, version=version, properties=False, **options
        )


def _in_parallel(action: Callable[[Any], None], items: Iterable[Any]) -> None:
    """Do something with each of several things, a few at a time; all of it, whatever fails.

    :raises OioException: the first of the failures
    """
    work = list(items)
    if len(work) < 2:
        for item in work:
            action(item)
        return
    errors: list[BaseException] = []

    def act(item: Any) -> None:
        try:
            action(item)
        except _limits.OWN_THREAD_FAILURES as err:
            errors.append(err)

    green.adopt_thread()
    with green.ContextPool(_PARALLEL) as pool:
        for thread in [pool.spawn(act, item) for item in work]:
            thread.wait()
    if errors:
        raise errors[0]
