# SPDX-License-Identifier: Apache-2.0
"""A namespace without sockets, at the addresses of the one that was recorded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from oio.sandbox.account import Account
from oio.sandbox.account_store import AccountStore
from oio.sandbox.conscience import Conscience, Service
from oio.sandbox.database import Clock
from oio.sandbox.dialects import ACCOUNT, PROXY, Dialect, Reply
from oio.sandbox.directory import Target
from oio.sandbox.messages import Handler, Request, Response
from oio.sandbox.metadata import Metadata
from oio.sandbox.policies import Policies
from oio.sandbox.proxy import Proxy
from tests.wire.recorded import Exchange

_PORTS = {"oioproxy": 6000, "meta0": 6006, "meta1": 6007, "meta2": 6008, "account": 6027}
_RAWX = range(6009, 6027)
_BEGIN = 1795332000000000


class RecordedClock(Clock):
    """Time begins just before the day of the captures, and passes by one microsecond a look."""

    def __init__(self) -> None:
        super().__init__()
        self._ticks = itertools.count(_BEGIN)

    def now(self) -> int:
        """Return a date in microseconds."""
        return next(self._ticks)


@dataclass
class World:
    """The services of a namespace, and what the arrangement of its state has to remember."""

    metadata: Metadata
    conscience: Conscience
    accounts: AccountStore
    proxy: Proxy
    account: Account
    named: dict[str, Target] = field(default_factory=dict)
    counters: dict[Target, dict[str, str]] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    @classmethod
    def make(cls, path: Path, chunk_size: int) -> World:
        """Make an empty namespace in a directory."""
        conscience = Conscience("OPENIO")
        for kind, port in _PORTS.items():
            tags: dict[str, object] = {"tag.slots": kind, "tag.up": True}
            conscience.register(Service(kind, f"127.0.0.1:{port}", score=60, tags=tags))
        for number, port in enumerate(_RAWX, start=1):
            slots = f"rawx,rawx-{'odd' if number % 2 else 'even'}"
            conscience.register(Service("rawx", f"127.0.0.1:{port}", score=60, tags={"tag.slots": slots}))
        accounts = AccountStore(path / "account.db")
        deleted: list[str] = []
        metadata = Metadata(
            path / "metadata.db",
            namespace="OPENIO",
            meta2="127.0.0.1:6008",
            delete_chunks=deleted.extend,
            report=accounts.report,
        )
        metadata.clock = RecordedClock()
        policies = Policies("THREECOPIES", refused_kinds=frozenset())
        proxy = Proxy(metadata, conscience, policies, chunk_size)
        return cls(metadata, conscience, accounts, proxy, Account(accounts), deleted=deleted)

    def close(self) -> None:
        """Close the databases."""
        self.metadata.close()
        self.accounts.close()

    def chunk_url(self) -> str:
        """Return the URL of a chunk of which nothing is known."""
        return f"http://127.0.0.1:6009/{next(self._numbers):064X}"

    def handler(self, service: str) -> tuple[Handler, Dialect]:
        """Return who answers the requests to a service, and how it speaks."""
        return {"proxy": (self.proxy, PROXY), "account": (self.account, ACCOUNT)}[service]

    def answer(self, exchange: Exchange, request: Request) -> tuple[Response, list[tuple[str, str]], str, bool]:
        """Return the response, its headers as they would be sent, the reason phrase, and whether it keeps alive."""
        handler, dialect = self.handler(exchange.service)
        response = handler.handle(request)
        keep = dialect.keeps(exchange.http_1_0, request.get("connection") or "") and not response.close
        length = len(response.body) if isinstance(response.body, bytes) else response.body.length
        head = dialect.compose(Reply(response, request.method, exchange.http_1_0, keep, length))
        return response, [*head.before, *head.own, *head.after], dialect.phrase(response), keep
