# SPDX-License-Identifier: Apache-2.0
"""A namespace without sockets, at the addresses of the one that was recorded."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from oio.sandbox.account.regional_store import RegionalStore
from oio.sandbox.account.service import Account
from oio.sandbox.account.store import AccountStore
from oio.sandbox.events import Events
from oio.sandbox.http.dialects import ACCOUNT, PROXY, RAWX, RDIR, Dialect, Reply
from oio.sandbox.http.injection import HangUp
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
from oio.sandbox.releases import R7_3, R2026, Release
from oio.sandbox.storage.database import Clock
from tests.wire.recorded import Exchange, Message

_BEGIN = 1795332000000000
_CHUNK_META = "x-oio-chunk-meta-"
_VERSION = "x-oio-content-meta-version"


@dataclass(frozen=True)
class Setting:
    """The namespace that was recorded: ports, and how it was set up."""

    release: Release
    policy: str
    ports: dict[str, int]
    rawx: range
    rdir: tuple[int, ...]
    flush_limit: int = 1000


SETTINGS = {
    "7.3": Setting(
        R7_3,
        "THREECOPIES",
        {"oioproxy": 6000, "meta0": 6006, "meta1": 6007, "meta2": 6008, "account": 6027},
        range(6009, 6027),
        (6028, 6029),
    ),
    "2026": Setting(
        R2026,
        "SINGLE",
        {"oioproxy": 7000, "account": 7001, "meta2": 7010},
        range(7011, 7047, 2),
        (7047, 7048, 7049),
        flush_limit=64,
    ),
}


class RecordedClock(Clock):
    """Time begins just before the captures, and passes by one microsecond a look."""

    def __init__(self) -> None:
        super().__init__()
        self._ticks = itertools.count(_BEGIN)
        #: What the next look has to be, if that is known.
        self.foreseen: int | None = None

    def now(self) -> int:
        """Return a date in microseconds."""
        date, self.foreseen = self.foreseen, None
        return next(self._ticks) if date is None else date


class RecordedConscience(Conscience):
    """Chooses the services that were chosen when that is known, and others at random."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self.foreseen: list[str] = []

    def _pick(self, candidates: Sequence[Service], slot: str) -> Service:
        for service in candidates:
            if self.foreseen and service.address == self.foreseen[0]:
                del self.foreseen[0]
                return service
        return super()._pick(candidates, slot)


@dataclass(frozen=True)
class Sent:
    """An answer as it would be on the wire; ``closes`` is whether the connection ends with it."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    closes: bool


#: The connection was closed without an answer.
DROPPED = Sent(0, "", [], b"", closes=True)


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
    def make(cls, path: Path, chunk_size: int, release: str = "7.3") -> World:
        """Make an empty namespace in a directory."""
        setting = SETTINGS[release]
        conscience = _conscience(setting)
        proxy, meta2, account = (
            f"127.0.0.1:{setting.ports[kind]}" for kind in ("oioproxy", "meta2", "account")
        )
        later = setting.release.regions
        accounts = RegionalStore(path / "account.db") if later else AccountStore(path / "account.db")
        accounts.clock = RecordedClock()
        reverse = ReverseDirectory(path / "rdir.db", with_paths=later)
        stores = {f"127.0.0.1:{port}": ChunkStore(path / str(port)) for port in setting.rawx}
        events = Events("OPENIO", meta2, accounts, reverse, {})
        metadata = Metadata(
            path / "metadata.db",
            namespace="OPENIO",
            meta2=meta2,
            release=setting.release,
            report=events.container_changed,
        )
        metadata.clock = RecordedClock()
        policies = Policies(setting.policy, refused_kinds=frozenset())
        backend = Backend(metadata, conscience, policies, chunk_size)
        backend.flush_limit = setting.flush_limit
        services: dict[str, tuple[Handler, Dialect]] = {
            proxy: (Proxy(backend), PROXY),
            account: (Account(accounts), ACCOUNT),
        }
        services |= {f"127.0.0.1:{port}": (Rdir(reverse), RDIR) for port in setting.rdir}
        for address, store in stores.items():
            rawx = Rawx("OPENIO", frozenset({address}), store, events.of_volume(address), setting.release)
            rawx.shallow_copy = True
            services[address] = (rawx, RAWX)
        return cls(metadata, conscience, accounts, reverse, services, stores)

    def close(self) -> None:
        """Close the databases."""
        self.metadata.close()
        self.accounts.close()
        self.reverse.close()

    def foresee(self, exchange: Exchange) -> None:
        """Let the dice fall as they fell: the version and the servers of the next preparation."""
        assert isinstance(self.metadata.clock, RecordedClock)
        assert isinstance(self.conscience, RecordedConscience)
        self.metadata.clock.foreseen, self.conscience.foreseen = None, []
        response = exchange.response
        if response is None or exchange.route not in {"content/prepare", "content/prepare2"}:
            return
        version, body = response.get(_VERSION), response.json
        if version is None:
            return
        self.metadata.clock.foreseen = int(version)
        chunks = body["chunks"] if isinstance(body, dict) else body
        metachunks = itertools.groupby(chunks, lambda chunk: str(chunk["pos"]).partition(".")[0])
        for _, chunks_of_it in metachunks:
            hosts = [urlsplit(chunk["url"]).netloc for chunk in chunks_of_it]
            self.conscience.foreseen += reversed(hosts)

    def chunk_url(self) -> str:
        """Return the URL of a chunk of which nothing is known."""
        return f"http://{next(iter(self.stores))}/{next(self._numbers):064X}"

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
        try:
            response = handler.handle(request)
        except HangUp:
            return DROPPED
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


def _conscience(setting: Setting) -> RecordedConscience:
    conscience = RecordedConscience("OPENIO")
    for kind, port in setting.ports.items():
        tags: dict[str, object] = {"tag.slots": kind, "tag.up": True}
        conscience.register(Service(kind, f"127.0.0.1:{port}", health=60, tags=tags))
    for number, port in enumerate(setting.rawx, start=1):
        even = bool(number % 2) == (setting.release is R2026)
        slots = f"rawx,rawx-{'even' if even else 'odd'}"
        conscience.register(Service("rawx", f"127.0.0.1:{port}", health=60, tags={"tag.slots": slots}))
    return conscience
