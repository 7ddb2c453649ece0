# SPDX-License-Identifier: Apache-2.0
"""A namespace without sockets, at the addresses of the one that was recorded."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from oio.sandbox.account.service import Account
from oio.sandbox.account.store import AccountStore
from oio.sandbox.events import Events
from oio.sandbox.http.dialects import ACCOUNT, PROXY, RAWX, RDIR, Dialect, Reply
from oio.sandbox.messages import FileSlice, Handler, Request
from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.policies import Policies
from oio.sandbox.metadata.store import Metadata
from oio.sandbox.proxy.backend import Backend
from oio.sandbox.proxy.registry import Conscience, Service
from oio.sandbox.proxy.service import Proxy
from oio.sandbox.rawx.chunks import Attributes, ChunkStore
from oio.sandbox.rawx.service import Rawx
from oio.sandbox.rdir.service import Rdir
from oio.sandbox.rdir.store import ReverseDirectory
from oio.sandbox.storage.database import Clock
from tests.wire.recorded import Exchange, Message

_PORTS = {"oioproxy": 6000, "meta0": 6006, "meta1": 6007, "meta2": 6008, "account": 6027}
_RAWX = range(6009, 6027)
_RDIR = (6028, 6029)
_BEGIN = 1795332000000000
_CHUNK_META = "x-oio-chunk-meta-"


class RecordedClock(Clock):
    """Time begins just before the captures, and passes by one microsecond a look."""

    def __init__(self) -> None:
        super().__init__()
        self._ticks = itertools.count(_BEGIN)

    def now(self) -> int:
        """Return a date in microseconds."""
        return next(self._ticks)


@dataclass(frozen=True)
class Sent:
    """An answer as it would be on the wire; ``closes`` is whether the connection ends with it."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    closes: bool


@dataclass
class World:
    """The services of a namespace, and what the arrangement of its state has to remember."""

    metadata: Metadata
    conscience: Conscience
    accounts: AccountStore
    reverse: ReverseDirectory
    services: dict[str, tuple[Handler, Dialect]]
    stores: dict[str, ChunkStore]
    counters: dict[Target, dict[str, str]] = field(default_factory=dict)
    chunks: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)

    @classmethod
    def make(cls, path: Path, chunk_size: int) -> World:
        """Make an empty namespace in a directory."""
        conscience = _conscience()
        accounts = AccountStore(path / "account.db")
        accounts.clock = RecordedClock()
        reverse = ReverseDirectory(path / "rdir.db")
        stores = {f"127.0.0.1:{port}": ChunkStore(path / str(port)) for port in _RAWX}
        events = Events("OPENIO", "127.0.0.1:6008", accounts, reverse, {})
        metadata = Metadata(
            path / "metadata.db",
            namespace="OPENIO",
            meta2="127.0.0.1:6008",
            report=events.container_changed,
        )
        metadata.clock = RecordedClock()
        policies = Policies("THREECOPIES", refused_kinds=frozenset())
        services: dict[str, tuple[Handler, Dialect]] = {
            "127.0.0.1:6000": (Proxy(Backend(metadata, conscience, policies, chunk_size)), PROXY),
            "127.0.0.1:6027": (Account(accounts), ACCOUNT),
        }
        services |= {f"127.0.0.1:{port}": (Rdir(reverse), RDIR) for port in _RDIR}
        for address, store in stores.items():
            rawx = Rawx("OPENIO", frozenset({address}), store, events.of_volume(address))
            services[address] = (rawx, RAWX)
        return cls(metadata, conscience, accounts, reverse, services, stores)

    def close(self) -> None:
        """Close the databases."""
        self.metadata.close()
        self.accounts.close()
        self.reverse.close()

    def chunk_url(self) -> str:
        """Return the URL of a chunk of which nothing is known."""
        return f"http://127.0.0.1:6009/{next(self._numbers):064X}"

    def store_chunk(self, address: str, chunk_id: str, described: Message) -> None:
        """Store a chunk as the headers of an answer describe it, with other data, unless it is there."""
        if (address, chunk_id) in self.chunks:
            return
        meta = {name.lower().removeprefix(_CHUNK_META): value for name, value in described.headers}
        total = (meta.get("content-range") or meta.get("content-length") or "0").rpartition("/")[2]
        attributes = Attributes(
            meta.get("full-path", "a/c/o/1/AB"),
            meta.get("chunk-pos", "0"),
            meta.get("content-chunk-method", "plain"),
            meta.get("content-storage-policy", "SINGLE"),
            meta.get("chunk-hash", "0" * 32),
            int(meta.get("chunk-size", total)),
            meta.get("metachunk-hash"),
            int(meta["metachunk-size"]) if "metachunk-size" in meta else None,
        )
        with self.stores[address].create(chunk_id) as upload:
            upload.write(bytes(itertools.islice(itertools.cycle(described.head or b"\0"), int(total))))
            self.stores[address].commit(upload, attributes)

    def send(self, exchange: Exchange, address: str, request: Request) -> Sent:
        """Have a service answer a request that was recorded with it."""
        handler, dialect = self.services[address]
        response = handler.handle(request)
        keep = dialect.keeps(exchange.http_1_0, request.get("connection") or "") and not response.close
        if isinstance(response.body, FileSlice):
            with response.body.file as file:
                file.seek(response.body.offset)
                body = file.read(response.body.length)
        else:
            body = response.body
        head = dialect.compose(Reply(response, request.method, exchange.http_1_0, keep, len(body)))
        headers = [
            (as_latin(name), as_latin(value)) for name, value in (*head.before, *head.own, *head.after)
        ]
        return Sent(response.status, dialect.phrase(response), headers, body, not keep)


def as_latin(text: str) -> str:
    """Return a header as the captures have it: its bytes read as Latin-1."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _conscience() -> Conscience:
    conscience = Conscience("OPENIO")
    for kind, port in _PORTS.items():
        tags: dict[str, object] = {"tag.slots": kind, "tag.up": True}
        conscience.register(Service(kind, f"127.0.0.1:{port}", health=60, tags=tags))
    for number, port in enumerate(_RAWX, start=1):
        slots = f"rawx,rawx-{'odd' if number % 2 else 'even'}"
        conscience.register(Service("rawx", f"127.0.0.1:{port}", health=60, tags={"tag.slots": slots}))
    return conscience
