# SPDX-License-Identifier: Apache-2.0
"""The snapshot of a container: a copy of its database, then links instead of the chunks that both name.

Until all its chunks are links, the copy must not be used, nor emptied: it names the chunks of the source.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from oio.api._facade.call import ApiBase
from oio.api._operations.cleaning import delete_chunks, is_definitive
from oio.api._operations.emptying import listed_versions
from oio.api._operations.leftovers import credentials_are_known, is_backblaze
from oio.api._operations.link import LinkHandler, linkable
from oio.api._operations.paging import all_versions, make_page, patiently
from oio.common import exceptions as exc
from oio.common import green
from oio.common import limits as _limits
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.constants import M2_PROP_CTIME
from oio.common.deadlines import (
    cleaning_options,
    deadline_to_timeout,
    hard_deadline,
    renewed_options,
)
from oio.common.decorators import handle_container_not_found
from oio.common.fullpath import encode_fullpath
from oio.common.storage_method import DRAINED
from oio.common.utils import cid_from_name

_DISABLED, _ENABLED = 437, 439
"""Statuses of a container that somebody else has disabled, or enabled."""
_LEFT = (
    "Half-made snapshot %s may be left: %s. Destroy it with container_delete(force=True): deleting its "
    "objects would delete the chunks of its source"
)
_ATTEMPTS = 3
"""How often a service that is busy, out of reach or in trouble is asked to enable the source."""
_PARALLEL_OBJECTS = 8
"""The source is frozen until all are done."""

_Chunk = dict[str, Any]
_Bean = dict[str, Any]


class Snapshot:
    """One snapshot.

    :param api: whose clients are used
    :param source: account and name of the container; both are None when option ``cid`` tells it
    :param copy: account and name of the snapshot
    :param batch: how many chunks are noted by one request
    :param options: those of the call
    """

    def __init__(
        self, api: ApiBase, source: tuple[str, str], copy: tuple[str, str], batch: int, **options: Any
    ) -> None:
        self.api = api
        self.source = source
        self.copy = copy
        self.batch = batch
        self._cid = cid_from_name(*copy)
        self._source_options = options
        # The replicas of the copy, if any, are as young as it is.
        self._options = {**options, "force_master": True}
        self._options.pop("cid", None)
        #: Rows to be replaced, and those that replace them.
        self._beans: list[tuple[_Bean, _Bean]] = []
        #: Addresses of the links that the copy may name already, and of those that it does not.
        self._named: list[str] = []
        self._unnamed: list[str] = []

    def take(self) -> None:
        """Take the snapshot.

        :raises OioException: it could not be taken, and nothing is left of it, as far as the services can be
            reached
        """
        if credentials_are_known(self._options):
            self._ask_source(self._refuse_buckets)
        is_new = self._date(self.copy, self._options) is None
        with self._frozen_source():
            self._copy_database(is_new)
            try:
                self._take_over()
                self.api.container.container_touch(*self.copy, **renewed_options(self._options))
            except BaseException:  # A half-made copy names the chunks of its source.
                self._remove()
                raise

    # --- the databases ---

    def _refuse_buckets(self, account: str, container: str, **_options: Any) -> None:
        """Refuse what cannot have links, before anything is done.

        Where nobody uses Backblaze, this is not worth a listing: what is there all the same is refused later.

        :raises InvalidStorageMethod: there is an object in Backblaze
        """
        for row in listed_versions(self.api, account, container, self._source_options):
            if is_backblaze(row.get("chunk_method")):
                linkable(row)

    @contextlib.contextmanager
    def _frozen_source(self) -> Iterator[None]:
        """Freeze the source, and enable it again whatever happens (pitfalls row 97).

        That keeps its objects as they are for a while, but anybody may enable it (row 156): the chunks to
        link are those that the copy names.
        """
        frozen = True
        try:
            try:
                self._ask_source(self.api.container.container_freeze)
            except exc.OioException as err:
                # What somebody else has frozen, or disabled, must stay so.
                frozen = not _is_refusal(err) and getattr(err, "status", None) != _DISABLED
                raise
            yield
        finally:
            if frozen:
                self._enable_source()

    def _enable_source(self) -> None:
        options = cleaning_options(self._source_options)
        options["request_attempts"] = max(_ATTEMPTS, int(options.get("request_attempts") or 0))
        if hard_deadline(options) is not None:
            # One attempt that stalls must not be the last one.
            share = deadline_to_timeout(options["deadline"]) / _ATTEMPTS
            options["read_timeout"] = min(share, options.get("read_timeout") or share)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.api.container.container_enable(*self.source, **options)
            except exc.OioException as err:
                if getattr(err, "status", None) == _ENABLED:
                    return
                # It may be done twice. A service that was busy has been asked again already.
                if attempt < _ATTEMPTS and not isinstance(err, exc.ServiceBusy):
                    continue
                self._tell_of_freeze(err)
            return

    def _tell_of_freeze(self, err: exc.OioException) -> None:
        name = self._source_options.get("cid") or "/".join(self.source)
        self.api.logger.error("Container %s stays frozen: %s", name, err)

    def _ask_source(self, request: Callable[..., None], *args: str) -> None:
        # The second try would be refused because of the first, as if somebody else had frozen the source, or
        # made the copy (pitfalls row 33).
        options = {**renewed_options(self._source_options), "request_attempts": 1}
        _about(*self.source, request, *args, **options)

    def _copy_database(self, is_new: bool) -> None:
        """Make the copy.

        :param is_new: it was not there before
        """
        try:
            self._ask_source(self.api.container.container_snapshot, *self.copy)
        except BaseException as err:
            if is_new and not _is_refusal(err):
                self._remove_if_ours()
            raise

    def _date(self, names: tuple[str, str], options: dict[str, Any]) -> str | None:
        """When a container was created, None if it does not exist; a copy has the date of its source."""
        try:
            known = self.api.container.container_get_properties(*names, **options)
        except exc.NotFound:
            return None
        with reading_answer():
            return str(known["system"].get(M2_PROP_CTIME))

    def _remove_if_ours(self) -> None:
        """Remove the copy that may have been made, or not, or be somebody else's."""
        try:
            date = self._date(self.copy, cleaning_options(self._options))
            ours = date is not None and date == self._date(
                self.source, cleaning_options(self._source_options)
            )
        except exc.OioException as err:
            self.api.logger.warning("Failed to look for snapshot %s: %s", "/".join(self.copy), err)
            ours = False
        if ours:
            self._remove()
        else:
            self.api.logger.warning(_LEFT, "/".join(self.copy), "nobody knows if it was made, or will be")

    def _remove(self) -> None:
        """Remove the copy and its links, best effort."""
        doomed = self._unnamed
        try:
            # Without its objects: their chunks may be those of the source.
            self.api.container.container_delete(*self.copy, force=True, **cleaning_options(self._options))
        except exc.OioException as err:
            # The links that it names stay too, for as long as it does.
            self.api.logger.error(_LEFT, "/".join(self.copy), err)
        else:
            doomed = [*doomed, *self._named]
            self._forget_name()
        delete_chunks(self.api, [{"url": url} for url in doomed], self._cid, self._options)

    def _forget_name(self) -> None:
        """Remove the copy from the directory: a snapshot can only have a name that is not there."""
        try:
            self.api.directory.delete(*self.copy, **cleaning_options(self._options))
        except exc.OioException as err:
            self.api.logger.warning("Failed to remove %s from the directory: %s", "/".join(self.copy), err)

    # --- the chunks ---

    def _take_over(self) -> None:
        """Replace the chunks of the copy by links of its own."""
        versions = all_versions(patiently(self._list_page, hard_deadline(self._options)))
        while group := list(itertools.islice(versions, _PARALLEL_OBJECTS)):
            self._take_over_group(group)
            while len(self._beans) >= self.batch:
                self._note_links()
        if self._beans:
            self._note_links()

    def _take_over_group(self, group: list[dict[str, Any]]) -> None:
        """Link the chunks of several versions of objects, at once."""
        errors: list[BaseException] = []

        def take_over(obj: dict[str, Any]) -> list[tuple[_Bean, _Bean]]:
            try:
                return self._take_over_one(obj)
            except _limits.OWN_THREAD_FAILURES as err:
                errors.append(err)
                return []

        with green.ContextPool(_PARALLEL_OBJECTS) as pool:
            # All of them to the end: a link that is made after its removal would stay.
            for thread in [pool.spawn(take_over, obj) for obj in group]:
                self._beans += thread.wait()
        if errors:
            raise errors[0]

    def _take_over_one(self, obj: dict[str, Any]) -> list[tuple[_Bean, _Bean]]:
        """Link the chunks of one version of an object; get their rows, and those that replace them."""
        if obj["deleted"] or obj.get("chunk_method") == DRAINED:
            return []
        try:
            meta, chunks = self.api.container.content_locate(
                *self.copy,
                obj["name"],
                version=obj["version"],
                properties=False,
                **renewed_options(self._options),
            )
        except exc.ContentDrained:
            return []
        # A link that failed counts as a lost chunk of the copy, which must not name the original.
        return [(_bean(meta, old), _bean(meta, new)) for old, new in self._link(meta, chunks)]

    def _list_page(self, **page: Any) -> dict[str, Any]:
        options = renewed_options(self._options)
        account, container = self.copy
        return make_page(
            *self.api.container.content_list(account, container, versions=True, **page, **options)
        )

    def _link(self, meta: dict[str, Any], chunks: list[_Chunk]) -> list[tuple[_Chunk, _Chunk]]:
        """Link chunks; get each with the link to it."""
        storage_method = linkable(meta)
        with reading_answer():
            sysmeta = {
                "container_id": self._cid,
                "content_path": meta["name"],
                "version": meta["version"],
                "policy": meta["policy"],
                "full_path": encode_fullpath(*self.copy, meta["name"], meta["version"], meta["id"]),
            }
            metachunks: dict[int, list[_Chunk]] = {}
            for chunk in chunks:
                metachunks.setdefault(int(str(chunk["pos"]).partition(".")[0]), []).append(chunk)
        options = dict(self._options)
        if hard_deadline(options) is None:
            # The read timeout is that of each request.
            options.pop("deadline", None)
        handler = LinkHandler(sysmeta, metachunks, storage_method, self.api.blob_client, **options)
        try:
            handler.link()
        finally:
            self._unnamed += [
                link["real_url"] for link in handler.all_chunks_so_far() if link.get("maybe_stored")
            ]
            forget_object(*self.copy, meta["name"], **self._options)
        return handler.pairs

    def _note_links(self) -> None:
        """Tell the copy about links, as many as a batch has."""
        old, new = zip(*self._beans[: self.batch], strict=True)
        del self._beans[: self.batch]
        self._named += self._unnamed
        self._unnamed = []
        # The second try would not find the rows that the first has replaced.
        options = {**renewed_options(self._options), "request_attempts": 1}
        self.api.container.container_raw_update(list(old), list(new), *self.copy, frozen=True, **options)


def _is_refusal(err: BaseException) -> bool:
    return isinstance(err, exc.OioException) and (isinstance(err, exc.NoSuchContainer) or is_definitive(err))


@handle_container_not_found
def _about(account: str, container: str, request: Callable[..., None], *args: str, **kwargs: Any) -> None:
    request(account, container, *args, **kwargs)


def _bean(meta: dict[str, Any], chunk: _Chunk) -> _Bean:
    return {
        "type": "chunk",
        "id": chunk["url"],
        "hash": chunk["hash"],
        "size": chunk["size"],
        "pos": chunk["pos"],
        "content": meta["id"],
    }
