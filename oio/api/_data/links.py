# SPDX-License-Identifier: Apache-2.0
"""Links to the chunks of a metachunk: second names on their services, which share the data, or copies."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from oio.api._data.ownership import is_owned
from oio.blob.connect import OWN_THREAD_CANDIDATES, reraise_foreign
from oio.blob.events import report_failure
from oio.blob.quorum import check_quorum
from oio.common import exceptions as exc
from oio.common import green, http_stack
from oio.common.chunks import Chunk, Outcome
from oio.common.constants import STRLEN_CHUNKID
from oio.common.interruptions import reraise_interruption
from oio.common.utils import compute_chunk_id

if TYPE_CHECKING:
    from oio.blob.client import BlobClient
    from oio.common.answers import JsonMapping
    from oio.common.chunks import Failure
    from oio.common.options import Options
    from oio.common.ttl_cache import TTLCache

_LOGGER = logging.getLogger(__name__)
_DISABLED, _SERVER_ERROR = 405, 500
_MISSING, _IN_THE_WAY = "HTTP 404", "HTTP 409"
"""Texts of failures, as outcomes have them."""


class MetachunkLinker:
    """Linker of the chunks of one metachunk, all at once.

    The IDs of links are computed from the object that they are for: many namespaces keep no other IDs. The
    data are copied where a server makes no links.

    :param meta: description of the object that the links are for, with keys ``container_id content_path
        version policy full_path``
    :param targets: the chunks
    :param quorum: how many links must be made at least
    :param blob: sends the requests
    :param options: of the call
    :param renames: give a link another ID when there is a chunk in its place; otherwise, replace a chunk that
        an interrupted call has left there for the same object
    """

    def __init__(
        self,
        meta: JsonMapping,
        targets: Iterable[Chunk],
        quorum: int,
        blob: BlobClient,
        options: Options,
        *,
        renames: bool = True,
    ) -> None:
        self.targets = list(targets)
        self._quorum = quorum
        self._blob = blob
        self._options = options
        self._renames = renames
        # Fake clients of applications may know nothing but links.
        self._refusing: TTLCache[bool] | None = getattr(blob, "link_refusals", None)
        self._full_path = meta["full_path"]
        #: Chunks whose links have other IDs than the computed ones.
        self.renamed: list[Chunk] = []
        #: Chunks that are not lost, and have no link: their servers make none, or a chunk is in the way.
        self._refused: list[Chunk] = []
        #: Links and their outcomes, one for each chunk, in the same order.
        self.outcomes: list[Outcome] = []
        self._name(meta)

    def _name(self, meta: JsonMapping) -> None:
        taken = set()
        for target in self.targets:
            chunk_id = compute_chunk_id(
                meta["container_id"], meta["content_path"], meta["version"], target.pos, meta["policy"]
            )
            place = (urlsplit(target.url).netloc, chunk_id)
            # Two chunks of one position may be on the same service.
            link = self._with_random_id(target) if place in taken else with_id(target, chunk_id)
            self.outcomes.append(Outcome(link))
            taken.add(place)

    def _with_random_id(self, target: Chunk) -> Chunk:
        """Give a link another ID than the computed one."""
        self.renamed.append(target)
        return with_id(target, secrets.token_hex(STRLEN_CHUNKID // 2).upper())

    def link(self) -> list[Chunk]:
        """Make the links.

        :returns: those that were made
        :raises oio.common.exceptions.OioException: too few of them could be made, see
            :func:`~oio.blob.quorum.check_quorum`, or a server refuses to link or copy a chunk that is not
            known to be lost; the others are there
        """
        with green.ContextPool(max(1, len(self.targets))) as pool:
            for thread in [pool.spawn(self._make, index) for index in range(len(self.targets))]:
                thread.wait()
        made = [outcome.chunk for outcome in self.outcomes if not outcome.error]
        failed = [(outcome.chunk.url, outcome.error) for outcome in self.outcomes if outcome.error]
        # There must not be fewer links than chunks only because servers do not want them.
        quorum = len(made) + len(self._refused) if self._refused else self._quorum
        try:
            check_quorum(quorum, [link.url for link in made], failed, self._options.reqid)
        except exc.OioException as err:
            self._options.limits.raise_if_late(err, self._options.reqid)
            raise
        return made

    def _make(self, index: int) -> None:
        """Make one link; a failure is noted, and concerns this link alone."""
        target = self.targets[index]
        self._try(index)
        if self.outcomes[index].error == _IN_THE_WAY:
            if self._renames:
                # The chunk in its place is not ours: an interrupted call may have left it (pitfall 30).
                self.outcomes[index] = Outcome(self._with_random_id(target))
                self._try(index)
            elif self._clear(self.outcomes[index].chunk):
                self._try(index)
        error = self.outcomes[index].error
        if not error:
            return
        event = report_failure(self._options, "COPY", target, error)
        text = "Failed to link chunk %s: %s (reqid=%s)"
        _LOGGER.warning(text, target.url, error, self._options.reqid, extra=event.fields())
        in_the_way = error == _IN_THE_WAY and not self._renames
        if (in_the_way or self._copies_from(target)) and error != _MISSING and not self._is_lost(target):
            self._refused.append(target)

    def _copies_from(self, target: Chunk) -> bool:
        """Tell whether chunks are copied because their server makes no links."""
        return self._refusing is not None and self._refusing.get(target.netloc) is True

    def _is_lost(self, target: Chunk) -> bool:
        """Tell whether a chunk is known not to be there, or to be damaged."""
        try:
            self._blob.chunk_head(target.address, xattr=False, check_hash=True, options=self._options)
        except (exc.NotFound, exc.ClientPreconditionFailed):
            return True
        except exc.OioException as err:
            reraise_foreign(err)
        return False

    def _clear(self, link: Chunk) -> bool:
        """Remove the chunk in the place of a link, if an interrupted call has left it for the same object.

        :returns: False when it is still there
        """
        try:
            if not is_owned(self._blob, self._full_path, link, self._options):
                return False
            self._blob.chunk_delete(link.address, options=self._options)
        except exc.NotFound:
            return True
        except (exc.OioException, KeyError, ValueError) as err:
            reraise_interruption(err)
            _LOGGER.warning("Failed to look at chunk %s: %s (reqid=%s)", link.url, err, self._options.reqid)
            return False
        return True

    def _send(self, target: Chunk, link: Chunk) -> None:
        """Make a link, or a copy where links are refused; such a server is remembered for a while."""
        if not self._copies_from(target):
            try:
                self._blob.chunk_link(target.address, link.address, self._full_path, options=self._options)
                return
            except exc.ChunkException as err:
                if err.args[:1] != (_DISABLED,) or self._refusing is None:
                    raise
            self._refusing.set(target.netloc, True)
        self._blob.chunk_copy(target.address, link.address, fullpath=self._full_path, options=self._options)

    def _try(self, index: int) -> None:
        target, link = self.targets[index], self.outcomes[index].chunk
        # From here on, the service may have the link, or get it later, whatever stops us.
        self.outcomes[index] = Outcome(link, "interrupted before its answer", maybe_stored=True)
        error: Failure
        maybe_stored = True
        try:
            self._send(target, link)
        except exc.ChunkException as err:
            error, status = err, err.args[0] if err.args else None
            if isinstance(status, int):
                error, maybe_stored = f"HTTP {status}", status >= _SERVER_ERROR
        except (exc.NotFound, exc.Conflict) as err:
            error, maybe_stored = _MISSING if isinstance(err, exc.NotFound) else _IN_THE_WAY, False
        except exc.DeadlineReached as err:
            # That of a copy that was under way has a cause.
            error, maybe_stored = err, err.__cause__ is not None
        except exc.OioException as err:
            reraise_foreign(err)
            error, maybe_stored = err, not http_stack.nothing_was_sent(err)
        except OWN_THREAD_CANDIDATES as err:
            reraise_foreign(err)
            error = err
        else:
            self.outcomes[index] = Outcome(link, maybe_stored=True)
            return
        self.outcomes[index] = Outcome(link, error, maybe_stored)


def with_id(target: Chunk, chunk_id: str) -> Chunk:
    """Describe a chunk of the same data, on the same server, with another ID."""
    url, address = (
        urlunsplit(urlsplit(where)._replace(path=f"/{chunk_id}")) for where in (target.url, target.address)
    )
    return replace(target, url=url, address=address, score=None)
