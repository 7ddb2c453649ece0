# SPDX-License-Identifier: Apache-2.0
"""Links to the chunks of a metachunk: second names on their services, which share the data."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from oio.blob.connect import OWN_THREAD_FAILURES
from oio.blob.quorum import check_quorum
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, Outcome
from oio.common.constants import STRLEN_CHUNKID
from oio.common.http_urllib3 import nothing_was_sent
from oio.common.utils import compute_chunk_id

if TYPE_CHECKING:
    from oio.blob.client import BlobClient
    from oio.common.answers import JsonMapping
    from oio.common.chunks import Failure
    from oio.common.options import Options

_LOGGER = logging.getLogger(__name__)
_CONFLICT = 409
_SERVER_ERROR = 500


class MetachunkLinker:
    """Linker of the chunks of one metachunk, all at once.

    :param meta: description of the object that the links are for, with keys ``container_id content_path
        version policy full_path``
    :param targets: the chunks
    :param quorum: how many links must be made at least
    :param blob: sends the requests
    :param options: of the call
    """

    def __init__(
        self,
        meta: JsonMapping,
        targets: Iterable[Chunk],
        quorum: int,
        blob: BlobClient,
        options: Options,
    ) -> None:
        self.targets = list(targets)
        self._quorum = quorum
        self._blob = blob
        self._options = options
        self._full_path = meta["full_path"]
        #: One for each chunk, in the same order: the link, and what became of it.
        self.outcomes: list[Outcome] = [Outcome(link) for link in self._named(meta)]

    def _named(self, meta: JsonMapping) -> Iterator[Chunk]:
        """Describe the links; their IDs are those of namespaces where chunk IDs are predictable."""
        taken = set()
        for target in self.targets:
            chunk_id = compute_chunk_id(
                meta["container_id"], meta["content_path"], meta["version"], target.pos, meta["policy"]
            )
            place = (urlsplit(target.url).netloc, chunk_id)
            # Two chunks of one position may be on the same service.
            yield _link_to(target, _random_id() if place in taken else chunk_id)
            taken.add(place)

    def link(self) -> list[Chunk]:
        """Make the links.

        :returns: those that were made
        :raises oio.common.exceptions.OioException: too few of them could be made, see
            :func:`~oio.blob.quorum.check_quorum`; the others are there
        """
        with green.ContextPool(max(1, len(self.targets))) as pool:
            for thread in [pool.spawn(self._make, index) for index in range(len(self.targets))]:
                thread.wait()
        made = [outcome.chunk for outcome in self.outcomes if not outcome.error]
        failed = [(outcome.chunk.url, outcome.error) for outcome in self.outcomes if outcome.error]
        try:
            check_quorum(self._quorum, len(made), failed, self._options.reqid)
        except exc.OioException as err:
            self._options.limits.blame(err, self._options.reqid)
            raise
        return made

    def _make(self, index: int) -> None:
        """Make one link; a failure is noted, and concerns this link alone."""
        target = self.targets[index]
        self._copy(index)
        if self.outcomes[index].error == f"HTTP {_CONFLICT}":
            # The chunk of this name is not ours: an interrupted call may have left it (pitfall 30).
            self.outcomes[index] = Outcome(_link_to(target, _random_id()))
            self._copy(index)
        if error := self.outcomes[index].error:
            _LOGGER.warning("Failed to link chunk %s: %s (reqid=%s)", target.url, error, self._options.reqid)

    def _copy(self, index: int) -> None:
        target, link = self.targets[index], self.outcomes[index].chunk
        # From here on, the service may have the link, unless it refuses it.
        self.outcomes[index] = Outcome(link, maybe_stored=True)
        error: Failure
        maybe_stored = True
        try:
            self._blob.chunk_link(target.address, link.address, self._full_path, options=self._options)
        except exc.ChunkException as err:
            error, status = err, err.args[0] if err.args else None
            if isinstance(status, int):
                error, maybe_stored = f"HTTP {status}", status >= _SERVER_ERROR
        except exc.DeadlineReached as err:
            error, maybe_stored = err, False
        except exc.OioException as err:
            error, maybe_stored = err, not nothing_was_sent(err)
        except OWN_THREAD_FAILURES as err:
            error = err
        else:
            return
        self.outcomes[index] = Outcome(link, error, maybe_stored)


def _random_id() -> str:
    return secrets.token_hex(STRLEN_CHUNKID // 2).upper()


def _link_to(target: Chunk, chunk_id: str) -> Chunk:
    """Describe a link to a chunk: on the same server, with the same data."""
    url, address = (
        urlunsplit(urlsplit(where)._replace(path=f"/{chunk_id}")) for where in (target.url, target.address)
    )
    return replace(target, url=url, address=address, score=None)
