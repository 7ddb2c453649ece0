# SPDX-License-Identifier: Apache-2.0
"""The embedded namespace: puts the proxy, the account service and the rawx together on one directory."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import ipaddress
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from oio.sandbox import conscience
from oio.sandbox.account import Account
from oio.sandbox.chunks import ChunkMissing, ChunkStore
from oio.sandbox.conscience import Conscience
from oio.sandbox.faults import Fault, FaultBoard, FaultPlan
from oio.sandbox.http.dialects import ACCOUNT, PROXY, RAWX, Dialect
from oio.sandbox.http.log import RequestLog, RequestRecord
from oio.sandbox.messages import Handler
from oio.sandbox.metadata import Metadata
from oio.sandbox.policies import Policies
from oio.sandbox.ports import free_ports
from oio.sandbox.proxy import Proxy
from oio.sandbox.rawx import Rawx
from oio.sandbox.routes.backend import Backend
from oio.sandbox.server import Server
from oio.sandbox.store.accounts import AccountStore

_LAYOUT: Final = "namespace.json"
#: How data are kept in the directory; to be raised when what an earlier version has left cannot be read.
_FORMAT: Final = 1
_BEST_SCORE: Final = 100


class Service:
    """One service of a namespace: where it is, and a switch.

    :param dialect: which kind of service it is.
    :param namespace: the namespace it belongs to.
    :param port: where it listens.
    """

    def __init__(self, dialect: Dialect, namespace: Namespace, port: int) -> None:
        self.kind = dialect.kind
        self._namespace = namespace
        self._server = Server(dialect, namespace.host, port, namespace.log, namespace.board)
        self._running = False

    @property
    def address(self) -> str:
        """``host:port``."""
        return self._server.address

    @property
    def running(self) -> bool:
        """Whether it is switched on."""
        return self._running

    def start(self) -> None:
        """Switch it on."""
        self._running = True
        self.apply_faults()
        self._namespace.rate(self, _BEST_SCORE)

    def stop(self) -> None:
        """Switch it off: connections are cut, new ones refused; its data stay, its score is 0."""
        self._running = False
        self._namespace.rate(self, 0)
        self._server.stop()

    def open_connections(self) -> int:
        """Return the number of connections that it has not closed yet."""
        return self._server.open_connections()

    def serve(self, handler: Handler) -> None:
        """Say who answers the requests."""
        self._server.handler = handler

    def apply_faults(self) -> None:
        """Receive connections as the open fault plans have it."""
        if self._running:
            self._server.apply_faults()

    def __repr__(self) -> str:
        return f"<{self.kind} {self.address} {'running' if self._running else 'stopped'}>"


class RawxService(Service):
    """A rawx of a namespace; ``volume`` is its directory, ``store`` the chunks in it."""

    def __init__(self, namespace: Namespace, port: int, volume: Path) -> None:
        super().__init__(RAWX, namespace, port)
        self.volume = volume
        self.store = ChunkStore(volume)
        self.serve(Rawx(namespace.name, frozenset({self.address}), self.store))

    def chunks(self) -> list[str]:
        """Return the IDs of the chunks on disk."""
        return self.store.ids()


class Namespace:
    """A namespace that runs in this process, on loopback unless told otherwise.

    :param path: directory for everything that must be there again after a restart, ports included; None for a
        temporary one, removed at the end.
    :param name: name of the namespace.
    :param rawx: number of rawx; a namespace that is there already never gets fewer than it has.
    :param chunk_size: size in bytes of the chunks of new objects.
    :param host: IPv4 address to listen on, by which clients reach the services.
    :param port: port of the proxy; 0 for any free one (or the same as before).
    :param default_policy: storage policy of objects created without one.
    :param max_versions: versions kept of an object when its container does not say; -1 for all.
    :param strict: enforce quotas (real services only store them).
    :raises ValueError: an argument cannot be used.
    :raises OSError: the directory cannot be written, or holds what this version cannot read.

    >>> with Namespace(rawx=3) as namespace:
    ...     len(namespace.rawx)
    3
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        name: str = "OPENIO",
        rawx: int = 18,
        chunk_size: int = 10 * 1024 * 1024,
        host: str = "127.0.0.1",
        port: int = 0,
        default_policy: str = "THREECOPIES",
        max_versions: int = 1,
        strict: bool = False,
    ) -> None:
        _check(name=name, rawx=rawx, chunk_size=chunk_size, host=host, port=port)
        self.name = name
        self.host = host
        self.log = RequestLog()
        self.board = FaultBoard(self._apply_faults)
        self._policies = Policies(default_policy)
        self._chunk_size = chunk_size
        self._max_versions = max_versions
        self._strict = strict
        self._conscience = Conscience(name)
        self._running = contextlib.ExitStack()
        self._temporary = path is None
        self.path = Path(tempfile.mkdtemp(prefix="oio-sandbox-") if path is None else path).absolute()
        try:
            self._lay_out(rawx, port)
        except BaseException:
            self.close()
            raise

    def _lay_out(self, rawx: int, port: int) -> None:
        """Place the services: where they were, or on free ports."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._found = self._read_layout()
        for key, value in (("name", self.name), ("host", self.host)):
            if self._found.get(key, value) != value:
                raise ValueError(
                    f"{key}={value!r}: the namespace in {self.path} has {key} {self._found[key]!r}"
                )
        ports = list(self._found.get("ports", []))
        ports += free_ports(self.host, rawx + 2 - len(ports)) if rawx + 2 > len(ports) else []
        ports[0] = port or ports[0]
        self._layout = {"format": _FORMAT, "name": self.name, "host": self.host, "ports": ports}
        self.proxy = Service(PROXY, self, ports[0])
        self.account = Service(ACCOUNT, self, ports[1])
        self.rawx = [
            RawxService(self, port, self.path / f"rawx-{number}")
            for number, port in enumerate(ports[2:], start=1)
        ]

    def _read_layout(self) -> dict[str, Any]:
        file = self.path / _LAYOUT
        try:
            layout = json.loads(file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as exc:
            raise OSError(f"{file} is damaged: {exc}") from exc
        found = layout.get("format") if isinstance(layout, dict) else None
        if found != _FORMAT:
            raise OSError(f"{file}: a namespace of format {found!r}, this version reads format {_FORMAT}")
        return dict(layout)

    def _write_layout(self) -> None:
        if self._layout != self._found:
            new = self.path / f"{_LAYOUT}.new"
            with new.open("w", encoding="utf-8") as file:
                json.dump(self._layout, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path / _LAYOUT)
            self._found = self._layout

    # Life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the services; data and addresses are those of the last time.

        :raises OSError: a port is taken, another process runs a namespace on the same directory, or its files
            are damaged.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock(self.path / "lock"))
            if self._read_layout() != self._found:
                raise OSError(f"another namespace has run in {self.path} since this one was made")
            self._conscience = Conscience(self.name)
            self._register()
            accounts = AccountStore(self.path / "account.sqlite")
            stack.callback(accounts.close)
            metadata = Metadata(
                self.path / "metadata.sqlite",
                namespace=self.name,
                meta2=self.proxy.address,
                max_versions=self._max_versions,
                strict=self._strict,
                delete_chunks=self._delete_chunks,
                report=accounts.report,
            )
            stack.callback(metadata.close)
            backend = Backend(metadata, self._conscience, self._policies, self._chunk_size)
            self.proxy.serve(Proxy(backend))
            self.account.serve(Account(accounts))
            for service in [*self.rawx, self.account, self.proxy]:
                if isinstance(service, RawxService):
                    service.store.remove_leftovers()
                stack.callback(service.stop)
                service.start()
            # Not before: the layout of a start that fails, on a port that is taken, is nobody's.
            self._write_layout()
            self._running = stack.pop_all()

    def stop(self) -> None:
        """Stop everything: when this returns, no thread, socket or file of the namespace is left open."""
        self._running.close()

    def close(self) -> None:
        """Stop everything, and remove the directory if it is a temporary one."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self) -> Namespace:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Use --------------------------------------------------------------------------------------------------

    @property
    def endpoint(self) -> str:
        """URL of the proxy."""
        return f"http://{self.proxy.address}"

    def api(self, **kwargs: Any) -> Any:
        """Return a new ``ObjectStorageApi`` of this namespace; ``kwargs`` are passed on to it."""
        # By name: the sandbox is also useful without the client, and shares no code with it.
        module = importlib.import_module("oio.api.object_storage")
        return module.ObjectStorageApi(self.name, endpoint=self.endpoint, **kwargs)

    @property
    def services(self) -> list[Service]:
        """All services."""
        return [self.proxy, self.account, *self.rawx]

    @property
    def requests(self) -> list[RequestRecord]:
        """The last requests received by all services, in order."""
        return self.log.records()

    def forget_requests(self) -> None:
        """Empty :attr:`requests`."""
        self.log.clear()

    def open_connections(self, kind: str | None = None) -> int:
        """Return the number of connections of clients, to services of one kind or to all."""
        return sum(service.open_connections() for service in self.services if kind in {None, service.kind})

    def faults(self, *faults: Fault) -> FaultPlan:
        """Return a plan of faults, to be used in a ``with`` statement.

        :raises ValueError: a fault is meant for an address at which this namespace has no such service.
        """
        plan = FaultPlan(faults, self.board)
        known = {(service.kind, service.address) for service in self.services}
        for fault in faults:
            if fault.address is not None and (fault.service, fault.address) not in known:
                raise ValueError(f"address={fault.address!r}: no {fault.service} of {self.name} is there")
        return plan

    def rate(self, service: Service, score: int) -> None:
        """Tell the conscience how good a service is, from 0 to 100."""
        self._conscience.rate(_REGISTERED[service.kind], service.address, score)

    # Wiring -----------------------------------------------------------------------------------------------

    def _register(self) -> None:
        for number, rawx in enumerate(self.rawx, start=1):
            slots = f"rawx,rawx-{'odd' if number % 2 else 'even'}"
            self._conscience.register(_described("rawx", rawx, slots, f"sandbox.{number}", rawx.volume))
        self._conscience.register(_described("account", self.account, "account", "sandbox.1", self.path))
        self._conscience.register(_described("oioproxy", self.proxy, "oioproxy", "sandbox.1", self.path))
        # The proxy does the work of these itself; clients may still ask who does it.
        for kind in ("meta0", "meta1", "meta2"):
            self._conscience.register(conscience.Service(kind, self.proxy.address, tags={"tag.slots": kind}))

    def _apply_faults(self) -> None:
        for service in self.services:
            service.apply_faults()

    def _delete_chunks(self, urls: Iterable[str]) -> None:
        """Remove chunks that no object has any more.

        Straight from the disks: a real namespace does it by events, which wait for a rawx that is down.
        """
        stores = {service.address: service.store for service in self.rawx}
        for url in urls:
            parts = urlsplit(url)
            store = stores.get(parts.netloc)
            if store is not None:
                with contextlib.suppress(ChunkMissing):
                    store.delete(parts.path.lstrip("/").upper())


_REGISTERED: Final = {"proxy": "oioproxy", "account": "account", "rawx": "rawx"}


def _described(kind: str, service: Service, slots: str, location: str, volume: Path) -> conscience.Service:
    """Return what the conscience knows of a service that is not up yet."""
    tags: dict[str, object] = {
        "tag.slots": slots,
        "tag.loc": location,
        "tag.up": True,
        "tag.vol": str(volume),
        "stat.cpu": 100.0,
        "stat.space": 100.0,
    }
    return conscience.Service(kind, service.address, score=0, tags=tags)


def _check(*, name: str, rawx: int, chunk_size: int, host: str, port: int) -> None:
    if not name or "/" in name:
        raise ValueError(f"name={name!r}: must be a name without slash")
    if rawx < 1:
        raise ValueError(f"rawx={rawx!r}: there must be one at least")
    if chunk_size < 1:
        raise ValueError(f"chunk_size={chunk_size!r}: must be positive")
    if not 0 <= port < 65536:
        raise ValueError(f"port={port!r}: not a port")
    try:
        unspecified = ipaddress.IPv4Address(host).is_unspecified
    except ValueError:
        raise ValueError(f"host={host!r}: must be an IPv4 address") from None
    if unspecified:
        raise ValueError(f"host={host!r}: must be an address by which clients reach the services")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Keep other processes from running a namespace on the same files."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise OSError(exc.errno, f"another namespace runs in {path.parent}") from exc
        yield
