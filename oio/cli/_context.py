# SPDX-License-Identifier: Apache-2.0
"""Context of commands: settings, and clients, which the commands of a batch share."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from oio.common.exceptions import CommandError

if TYPE_CHECKING:
    from oio import ObjectStorageApi
    from oio.api.types import CallOptions, ClientOptions
    from oio.cli._storage import CommandStorage
    from oio.common.options import Options
    from oio.common.perfdata import Perfdata
    from oio.conscience.client import ConscienceClient
    from oio.rdir.client import RdirDispatcher


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting, and its source."""

    value: str | None
    source: str

    @classmethod
    def of(cls, given: str | None, option: str, variable: str) -> Setting:
        """Take the value of the option, else of the variable."""
        if given:
            return cls(given, f"option {option}")
        known = os.environ.get(variable)
        return cls(known, f"variable {variable}") if known else cls(None, "not set")

    def needed(self, what: str, option: str, variable: str) -> str:
        """Its value.

        :raises CommandError: there is none
        """
        if not self.value:
            raise CommandError(f"Missing {what}: give {option}, or set {variable}")
        return self.value


class Clients:
    """Clients of namespaces, each made at its first use."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], CommandStorage] = {}

    def storage(self, namespace: str, options: ClientOptions) -> CommandStorage:
        """The client of a namespace with these options."""
        from oio.cli._storage import CommandStorage

        key = (namespace, *sorted(options.items()))
        if key not in self._known:
            self._known[key] = CommandStorage(namespace, **options)
        return self._known[key]

    def close(self) -> None:
        while self._known:
            self._known.popitem()[1].close()


class Context:
    """Settings and clients of one command.

    :param given: the global options
    :param clients: those of the program
    :param perfdata: gets timings, if they are wanted
    """

    def __init__(self, given: argparse.Namespace, clients: Clients, perfdata: Perfdata) -> None:
        self._given = given
        self._clients = clients
        self.ns = Setting.of(given.ns, "--ns", "OIO_NS")
        self.acct = Setting.of(given.account, "--account", "OIO_ACCOUNT")
        self.proxy = Setting.of(given.proxy, "--oio-proxy", "OIO_PROXYD_URL")
        #: Keywords that every call of :attr:`api` has by default.
        self.call: CallOptions = {}
        if given.deadline is not None:
            self.call["deadline"] = time.monotonic() + given.deadline
        if given.request_id:
            self.call["reqid"] = given.request_id
        if given.dump_perfdata:
            self.call["perfdata"] = perfdata

    @property
    def namespace(self) -> str:
        return self.ns.needed("namespace", "--ns", "OIO_NS")

    @property
    def account(self) -> str:
        return self.acct.needed("account", "--account", "OIO_ACCOUNT")

    @cached_property
    def api(self) -> ObjectStorageApi:
        return self.client({})

    def client(self, options: ClientOptions, *, for_transfer: bool = False) -> ObjectStorageApi:
        """The client with these options.

        :param for_transfer: it makes many calls
        """
        options = options | {"endpoint": self.proxy.value}
        if self._given.admin:
            options["admin_mode"] = True
        client = self._clients.storage(self.namespace, options)
        client.of_command = self.call
        client.figures_by_chunk = not for_transfer
        return client

    @cached_property
    def options(self) -> Options:
        """The same options, for the clients of services."""
        from oio.common.options import Options

        return Options.of(self.call)

    @cached_property
    def conscience(self) -> ConscienceClient:
        """The client of the conscience, which shares the connections of :attr:`api`."""
        from oio.conscience.client import ConscienceClient

        return ConscienceClient(
            {"namespace": self.namespace},
            endpoint=self.proxy.value,
            pool_manager=self.api.container.pool_manager,
        )

    @cached_property
    def dispatcher(self) -> RdirDispatcher:
        """The dispatcher, which assigns rdir services to volumes; its ``rdir`` is their client."""
        from oio.rdir.client import RdirDispatcher

        return RdirDispatcher(
            {"namespace": self.namespace},
            endpoint=self.proxy.value,
            pool_manager=self.api.container.pool_manager,
        )
