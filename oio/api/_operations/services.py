# SPDX-License-Identifier: Apache-2.0
"""Services: the clients and pools that an operation may use."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger

    from oio.account.client import AccountClient
    from oio.api._operations.scores import Scores
    from oio.b2.clients import B2Clients
    from oio.blob.client import BlobClient
    from oio.common.client import ProxyClient
    from oio.container.client import ContainerClient
    from oio.directory.client import DirectoryClient


class Services(abc.ABC):
    """An API object as its operations see it.

    The clients are looked up where they are used: an application may have replaced some.
    """

    namespace: str
    logger: Logger
    account: AccountClient
    container: ContainerClient

    @property
    @abc.abstractmethod
    def blob_client(self) -> BlobClient:
        """A low-level client to rawx services."""

    @property
    @abc.abstractmethod
    def directory(self) -> DirectoryClient:
        """A client of the directory."""

    @property
    @abc.abstractmethod
    def proxy_client(self) -> ProxyClient:
        """A client of the routes of the proxy that have no namespace."""

    @property
    @abc.abstractmethod
    def _b2_clients(self) -> B2Clients:
        """The clients of Backblaze."""

    @property
    @abc.abstractmethod
    def _scores(self) -> Scores:
        """The scores of the chunk servers."""
