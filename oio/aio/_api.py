# SPDX-License-Identifier: Apache-2.0
"""The object storage API for event loops."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from oio.aio._face import Face
from oio.aio._workers import Workers
from oio.api.object_storage import ObjectStorageApi
from oio.common.arguments import WrongValue

if TYPE_CHECKING:
    import logging

    from typing_extensions import Unpack

    from oio.api.types import ClientOptions
    from oio.common.perfdata import Perfdata

MOST_WORKERS = 16
"""Calls at a time, by default."""


class AsyncObjectStorageApi(Face):
    """The Object Storage API, for asyncio.

    Each method is that of :class:`~oio.api.object_storage.ObjectStorageApi`, with the same arguments, options
    and exceptions: it runs in a thread, and is awaited. Iterators are for ``async for``. The loop is never
    blocked.

    When the task of a call is cancelled, the call ends: its connections are closed, the chunks that it has
    stored are removed, then the task goes on. A call whose last step was under way may have been done, as
    when a deadline is reached.

    Several loops may use one client, one after the other or in several threads.

    :param namespace: name of the namespace
    :param logger: where to log
    :param perfdata: default of the keyword of this name
    :param workers: most calls that run at a time; others wait for their turn. As many uploads of async
        iterables run beside them. Threads start when they are needed, and stay until the client is closed
    :param kwargs: options of :class:`~oio.api.object_storage.ObjectStorageApi`
    :raises ConfigurationException: there is no `endpoint`, and the namespace is not configured

    >>> import asyncio
    >>> async def main() -> str:
    ...     async with AsyncObjectStorageApi("OPENIO", endpoint="http://127.0.0.1:6000") as storage:
    ...         return storage.namespace
    >>> asyncio.run(main())
    'OPENIO'
    """

    def __init__(
        self,
        namespace: str,
        logger: logging.Logger | None = None,
        perfdata: Perfdata | None = None,
        *,
        workers: int = MOST_WORKERS,
        **kwargs: Unpack[ClientOptions],
    ) -> None:
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise WrongValue(f"workers must be a number of threads, 1 at least: {workers!r}")
        #: The client underneath. Other threads may use it, too.
        self.sync = ObjectStorageApi(namespace, logger, perfdata, **kwargs)
        self._workers = Workers(workers)
        self._opened = weakref.WeakSet()

    @property
    def namespace(self) -> str:
        """Name of the namespace."""
        return self.sync.namespace

    async def aclose(self) -> None:
        """End all calls that are under way, which raise, and close streams, files, connections and threads.

        Files that are being written are not stored. A call made later starts new threads.
        """
        await self._workers.close(*self._endings(), self.sync.close)

    close = aclose

    async def __aenter__(self) -> AsyncObjectStorageApi:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()
