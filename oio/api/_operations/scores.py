# SPDX-License-Identifier: Apache-2.0
"""Scores of the chunk servers, for chunks that come from a cache, where scores would soon be wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.background import Background
from oio.common.limits import Limits
from oio.common.retry import Retry

if TYPE_CHECKING:
    from logging import Logger

    from oio.common.chunks import ChunkDict
    from oio.common.options import Options
    from oio.conscience.client import ConscienceClient

REFRESH_DELAY = 30.0
"""Seconds for which scores hold."""
_PATIENCE = 5.0
"""Seconds that the conscience has to answer, while no call waits for it."""


class Scores:
    """Scores of the chunk servers, known from chunks that services have located, and from the conscience.

    The conscience is asked in the background, once a call has found the score of a server missing or too old.
    No call waits for its answer, or fails with it: all use the scores that are known. Unknown servers have 0.

    :param get_conscience: gives the client of the conscience
    :param delay: seconds for which a score holds, and at least between two requests, even when the first
        fails
    :param clock: gives the time, in seconds
    """

    def __init__(
        self,
        get_conscience: Callable[[], ConscienceClient],
        delay: float,
        logger: Logger,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._get_conscience = get_conscience
        self._delay = delay
        self._logger = logger
        self._clock = clock
        self._due = clock()
        self._background = Background("Scores of the chunk servers", logger)
        #: Server -> its score, and the time until which it holds.
        self._known: dict[str, tuple[int, float]] = {}

    def learn(self, chunks: Iterable[ChunkDict]) -> None:
        """Note the scores of chunks that services have just located."""
        expiry = self._clock() + self._delay
        for chunk in chunks:
            score = chunk.get("score")
            if isinstance(score, int):
                self._known[_server(chunk)] = score, expiry

    def put_back(self, chunks: Iterable[ChunkDict], options: Options) -> list[ChunkDict]:
        """Give chunks the present scores of their servers."""
        servers = [(chunk, _server(chunk)) for chunk in chunks]
        now = self._clock()
        scored = [chunk | {"score": self._known.get(server, (0, now))[0]} for chunk, server in servers]
        if now >= self._due and any(self._known.get(server, (0, now))[1] <= now for _, server in servers):
            # Other threads may be here too: one of them asks.
            self._due = now + self._delay
            self._background.start(partial(self._refresh, options))
        return scored

    def close(self) -> None:
        """Stop asking for scores, until another call needs some."""
        self._background.close()

    def _refresh(self, options: Options) -> None:
        clock = options.limits.clock
        # The limits, retries and figures of the caller's request are not for this one.
        asking = replace(
            options,
            limits=Limits(deadline=clock() + _PATIENCE, clock=clock),
            retry=Retry(attempts=1),
            autocreate=None,
            perfdata=None,
            timeout=None,
        )
        try:
            conscience = self._get_conscience()
            listed = conscience.all_services("rawx", options=asking)
            expiry = self._clock() + self._delay
            with reading_answer(conscience.proxy_netloc):
                self._known = {
                    str(name).lower(): (int(service["score"]), expiry)
                    for service in listed
                    for name in (service["addr"], service["id"])
                }
        except exc.OioException as err:
            self._logger.info("The scores of the chunk servers are not known: %s", err)


def _server(chunk: ChunkDict) -> str:
    """Address or ID of the server of a chunk."""
    return urlsplit(chunk["url"]).netloc.lower()
