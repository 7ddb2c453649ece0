# SPDX-License-Identifier: Apache-2.0
"""Services: the clients and pools that an operation may use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from logging import Logger

    from oio.account.client import AccountClient
    from oio.api._operations.scores import Scores
    from oio.b2.clients import B2Clients
    from oio.blob.client import BlobClient
    from oio.common.client import ProxyClient
    from oio.container.client import ContainerClient
    from oio.directory.client import DirectoryClient


class Services(NamedTuple):
    """What the operations of one API object share.

    :param namespace: its name
    :param logger: where to tell what is not worth an exception
    :param get_directory: gives the client of the directory
    :param get_blob: gives the client of the chunk servers, which is made when it is first needed
    :param get_proxy: gives the client of the routes of the proxy that have no namespace
    :param get_b2: gives the clients of Backblaze
    :param get_scores: gives the scores of the chunk servers
    """

    namespace: str
    logger: Logger
    account: AccountClient
    container: ContainerClient
    get_directory: Callable[[], DirectoryClient]
    get_blob: Callable[[], BlobClient]
    get_proxy: Callable[[], ProxyClient]
    get_b2: Callable[[], B2Clients]
    get_scores: Callable[[], Scores]

    @property
    def directory(self) -> DirectoryClient:
        """Client of the directory."""
        return self.get_directory()

    @property
    def blob(self) -> BlobClient:
        """Client of the chunk servers."""
        return self.get_blob()

    @property
    def proxy(self) -> ProxyClient:
        """Client of the routes of the proxy that have no namespace."""
        return self.get_proxy()

    @property
    def b2(self) -> B2Clients:
        """Clients of Backblaze."""
        return self.get_b2()

    @property
    def scores(self) -> Scores:
        """Scores of the chunk servers."""
        return self.get_scores()
