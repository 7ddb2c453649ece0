# SPDX-License-Identifier: Apache-2.0
"""The embedded namespace: its directory, its services, start and stop."""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import importlib.util
import ipaddress
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from oio.sandbox import operations
from oio.sandbox.account.regional_store import RegionalStore
from oio.sandbox.account.service import Account
from oio.sandbox.account.store import AccountStore
from oio.sandbox.b2.service import B2
from oio.sandbox.events import Events
from oio.sandbox.faults import Fault, FaultBoard, FaultPlan
from oio.sandbox.http.dialects import ACCOUNT, PROXY, RAWX, RDIR, Dialect
from oio.sandbox.http.dialects import B2 as B2_DIALECT
from oio.sandbox.http.log import RequestLog, RequestRecord
from oio.sandbox.http.ports import free_ports
from oio.sandbox.http.server import Server
from oio.sandbox.layout import FORMAT, read_layout, write_layout
from oio.sandbox.metadata.directory import Target
from oio.sandbox.metadata.policies import REFUSED_KINDS, Policies
from oio.sandbox.metadata.store import Metadata
from oio.sandbox.proxy.backend import Backend
from oio.sandbox.proxy.registry import Conscience
from oio.sandbox.proxy.registry import Service as Registered
from oio.sandbox.proxy.service import Proxy
from oio.sandbox.rawx.service import Rawx
from oio.sandbox.rdir.service import Rdir
from oio.sandbox.rdir.store import ReverseDirectory
from oio.sandbox.releases import R7_3, release_named
from oio.sandbox.services import B2Service, RawxService, Service
from oio.sandbox.storage.inbox import Inbox

#: Account whose references name the rdir that indexes each volume.
_RDIR_ACCOUNT: Final = "_RDIR"


class Namespace:
    """A namespace that runs in this process, on loopback by default.

    :param path: directory for everything that must be there again after a restart, ports included; None for a
        temporary one, removed at the end.
    :param name: name of the namespace.
    :param rawx: number of rawx; a namespace that is there already never gets fewer than it has.
    :param chunk_size: size in bytes of the chunks of new objects.
    :param host: IPv4 address to listen on, by which clients reach the services.
    :param port: port of the proxy; 0 for any free one (or the same as before).
    :param default_policy: storage policy of objects created without one.
    :param max_versions: versions kept of an object when its container does not say; -1 for all.
    :param strict: enforce quotas, and refuse properties of containers that make no sense (real services only
        store them).
    :param worm: objects cannot be deleted, but by administrators (``admin_mode``).
    :param release: what the services answer like: ``"7.3"``, or ``"2026"`` for the development head of April
        2026, which needs the package ``blake3``. A directory may go from 7.3 to 2026, and not back.
    :param shallow_copy: whether the rawx make links (``COPY``); None for what is usual: they do in 7.3, and
        do not in 2026. ``namespace.rawx[0].shallow_copy`` is that of one of them.
    :param event_delay: seconds until the account service and the rdir know of a change, about 1 in a cluster;
        0: before it is answered; infinity: not before :meth:`settle`.
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
        worm: bool = False,
        event_delay: float = 0.0,
        release: str = "7.3",
        shallow_copy: bool | None = None,
    ) -> None:
        _check(name=name, rawx=rawx, chunk_size=chunk_size, host=host, port=port, event_delay=event_delay)
        self._release = release_named(release)
        if self._release.chunk_hashes and importlib.util.find_spec("blake3") is None:
            raise ImportError(f"release={release!r} needs blake3: pip install 'openio-sdk[sandbox]'")
        self._shallow_copy = self._release.shallow_copy if shallow_copy is None else shallow_copy
        self.name = name
        self.host = host
        self.log = RequestLog()
        self.board = FaultBoard(self._apply_faults)
        self._default_policy = Policies(default_policy).default
        self._chunk_size = chunk_size
        self._max_versions = max_versions
        self._strict = strict
        self._worm = worm
        self._event_delay = event_delay
        #: Registry of the services and their scores.
        self.conscience = Conscience(name)
        self._inboxes: list[Inbox] = []
        self._metadata: Metadata | None = None
        self._running = contextlib.ExitStack()
        self._owner = os.getpid()
        self._temporary = path is None
        self.path = Path(tempfile.mkdtemp(prefix="oio-sandbox-") if path is None else path).absolute()
        try:
            self._lay_out(rawx, port)
        except BaseException:  # Nobody else has the namespace yet.
            self.close()
            raise

    def _lay_out(self, rawx: int, port: int) -> None:
        """Place the services: where they were, or on free ports."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._found = read_layout(self.path)
        for key, value in (("name", self.name), ("host", self.host)):
            if self._found.get(key, value) != value:
                raise ValueError(
                    f"{key}={value!r}: the namespace in {self.path} has {key} {self._found[key]!r}"
                )
        if self._found.get("release", R7_3.name) != R7_3.name and self._release is R7_3:
            raise ValueError(f"release={self.release!r}: the namespace in {self.path} is of a later release")
        ports = list(self._found.get("ports", []))
        missing = max(rawx + 2 - len(ports), 0)
        rdir, b2 = self._found.get("rdir"), self._found.get("b2")
        free = free_ports(self.host, missing + (rdir is None) + (b2 is None))
        ports += free[:missing]
        ports[0] = port or ports[0]
        rdir = rdir or free[missing]
        b2 = b2 or {"port": free[-1], "account": os.urandom(6).hex()}
        self._layout = {
            "format": FORMAT,
            "name": self.name,
            "host": self.host,
            "ports": ports,
            "rdir": rdir,
            "b2": b2,
        }
        if self._release is not R7_3:
            self._layout["release"] = self.release
        self.proxy = self._service(PROXY, ports[0], "oioproxy", *_BEHIND_THE_PROXY)
        self.account = self._service(ACCOUNT, ports[1], "account")
        self.rdir = self._service(RDIR, rdir, "rdir")
        self.rawx = [self._rawx(port, number) for number, port in enumerate(ports[2:], start=1)]
        server = Server(B2_DIALECT, self.host, b2["port"], self.log, self.board)
        self.b2 = B2Service(server, self.conscience, self.path / "b2", b2["account"])
        self._policies = Policies(
            self._default_policy,
            refused_kinds=REFUSED_KINDS if self._release.later_fields else frozenset(),
            bucket=(self.b2.account_id, self.b2.bucket_name),
        )

    def _service(self, dialect: Dialect, port: int, *kinds: str) -> Service:
        server = Server(dialect, self.host, port, self.log, self.board)
        registered = [_described(kind, server.address, kind, "sandbox.1", self.path) for kind in kinds]
        return Service(server, self.conscience, *registered)

    def _rawx(self, port: int, number: int) -> RawxService:
        server = Server(RAWX, self.host, port, self.log, self.board)
        volume = self.path / f"rawx-{number}"
        slots = f"rawx,rawx-{'odd' if number % 2 else 'even'}"
        registered = _described("rawx", server.address, slots, f"sandbox.{number}", volume)
        return RawxService(server, self.conscience, registered, volume, shallow_copy=self._shallow_copy)

    def _write_layout(self) -> None:
        if self._layout != self._found:
            write_layout(self.path, self._layout)
            self._found = self._layout

    # Start and stop ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the services; data and addresses are those of the last time.

        :raises OSError: a port is taken, another process runs a namespace on the same directory, or its files
            are damaged, or its disk is full.
        """
        try:
            self._start()
        except sqlite3.Error as exc:
            raise OSError(f"the namespace in {self.path} cannot be started: {exc}") from exc

    def _start(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_lock(self.path / "lock"))
            if read_layout(self.path) != self._found:
                raise OSError(f"another namespace has run in {self.path} since this one was made")
            store = RegionalStore if self._release.regions else AccountStore
            accounts = store(self.path / "account.sqlite", self._event_delay)
            stack.callback(accounts.close)
            reverse = ReverseDirectory(
                self.path / "rdir.sqlite", self._event_delay, with_paths=self._release.paths_in_rdir
            )
            stack.callback(reverse.close)
            self._inboxes[:] = [accounts.inbox, reverse.inbox]
            stack.callback(self._inboxes.clear)
            events = Events(
                self.name,
                self.proxy.address,
                accounts,
                reverse,
                {rawx.address: rawx.store for rawx in self.rawx},
            )
            metadata = Metadata(
                self.path / "metadata.sqlite",
                namespace=self.name,
                meta2=self.proxy.address,
                release=self._release,
                max_versions=self._max_versions,
                strict=self._strict,
                delete_chunks=events.chunks_unowned,
                report=events.container_changed,
            )
            stack.callback(metadata.close)
            self._metadata = metadata
            stack.callback(setattr, self, "_metadata", None)
            self._assign_volumes(metadata)
            backend = Backend(metadata, self.conscience, self._policies, self._chunk_size, self._worm)
            self.proxy.serve(Proxy(backend))
            self.account.serve(Account(accounts))
            self.rdir.serve(Rdir(reverse))
            for rawx in self.rawx:
                rawx.store.remove_leftovers()
                names = frozenset({rawx.address})
                index = events.of_volume(rawx.address)
                rawx.serve_chunks(Rawx(self.name, names, rawx.store, index, self._release))
            stack.callback(self.b2.close)
            self.b2.serve(B2(self.b2.open(), self.b2.endpoint))
            for service in [self.b2, *self.rawx, self.rdir, self.account, self.proxy]:
                stack.callback(service.stop)
                service.start()
            # Last, so that a start that fails, on a port that is taken, leaves no layout behind.
            self._write_layout()
            self._owner = os.getpid()
            self._running = stack.pop_all()

    def stop(self) -> None:
        """Stop everything; no thread, socket or open file of the namespace is left when this returns.

        In a process that was forked while the namespace ran, nothing happens: it runs in the other one.
        """
        if self._is_owned:
            self._running.close()

    def close(self) -> None:
        """Stop everything, and remove the directory if it is a temporary one; see :meth:`stop`."""
        self.stop()
        if self._temporary and self._is_owned:
            shutil.rmtree(self.path, ignore_errors=True)

    @property
    def _is_owned(self) -> bool:
        """Whether this process runs it, rather than one that has forked this one."""
        return self._owner == os.getpid()

    def __enter__(self) -> Namespace:
        try:
            self.start()
        except BaseException:  # The block does not begin, so __exit__ is not called.
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

    @property
    def b2_endpoint(self) -> str:
        """URL of the B2 service."""
        return self.b2.endpoint

    @property
    def b2_key_file(self) -> str:
        """Path of the file with the key of its account."""
        return str(self.b2.key_file)

    def api(self, **kwargs: Any) -> Any:
        """Return a new ``ObjectStorageApi`` of this namespace; ``kwargs`` are passed on to it."""
        # Imported by name: the sandbox also works without the client, and shares no code with it.
        module = importlib.import_module("oio.api.object_storage")
        b2 = {"key_file": self.b2_key_file, "backblaze_api_url": self.b2_endpoint}
        return module.ObjectStorageApi(self.name, endpoint=self.endpoint, **(b2 | kwargs))

    @property
    def release(self) -> str:
        """What the services answer like."""
        return self._release.name

    def shard(self, account: str, container: str, *bounds: str) -> list[str]:
        """Divide the objects of a container among shards, as operators do with those that grow too large.

        :param bounds: the last name of each shard but the last one, in ascending order.
        :return: the IDs of the shards, in order.
        :raises ValueError: the release has no shards, the namespace does not run, the container is divided
            already, or the bounds are not in order.

        >>> with Namespace(rawx=3, release="2026") as namespace, namespace.api() as api:
        ...     for name in ("a", "z"):
        ...         _ = api.object_create("account", "container", obj_name=name, data=b"data")
        ...     shards = namespace.shard("account", "container", "m")
        ...     listed = api.object_list("account", "container")["objects"]
        ...     len(shards), [item["name"] for item in listed]
        (2, ['a', 'z'])
        """
        if not self._release.shards:
            raise ValueError(f"release={self.release!r}: it has no shards")
        if self._metadata is None:
            raise ValueError(f"namespace {self.name} is not running")
        return self._metadata.divide(Target.named(account, container), bounds)

    @property
    def services(self) -> list[Service]:
        """All services."""
        return [self.proxy, self.account, self.rdir, self.b2, *self.rawx]

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

        :raises ValueError: a fault is meant for an address at which this namespace has no such service, or
            for an operation that the service does not have.
        """
        plan = FaultPlan(faults, self.board)
        known = {(service.kind, service.address) for service in self.services}
        for fault in faults:
            if fault.address is not None and (fault.service, fault.address) not in known:
                raise ValueError(f"address={fault.address!r}: no {fault.service} of {self.name} is there")
            operations.check(fault)
        return plan

    def settle(self) -> None:
        """Deliver all events now, whatever ``event_delay`` is.

        >>> with Namespace(rawx=3, event_delay=3600) as namespace, namespace.api() as api:
        ...     _ = api.object_create("account", "container", obj_name="name", data=b"data")
        ...     before = api.account_list()
        ...     namespace.settle()
        ...     before, api.account_show("account")["bytes"]
        ([], 4)
        """
        for inbox in self._inboxes:
            inbox.settle()

    # Wiring -----------------------------------------------------------------------------------------------

    def _assign_volumes(self, metadata: Metadata) -> None:
        """Link each volume to the rdir that indexes it, unless the directory links it to another one."""
        with metadata.directory() as directory:
            for service in [self.proxy, *self.rawx]:
                volume = Target.named(_RDIR_ACCOUNT, service.address)
                directory.create(volume, {})
                directory.link(volume, "rdir", self.rdir.address)

    def _apply_faults(self) -> None:
        for service in self.services:
            service.apply_faults()


#: Types of services that the proxy stands in for; clients may still look them up.
_BEHIND_THE_PROXY: Final = ("meta0", "meta1", "meta2")


def _described(kind: str, address: str, slots: str, location: str, volume: Path) -> Registered:
    """Return the registration of a service."""
    tags: dict[str, object] = {
        "tag.slots": slots,
        "tag.loc": location,
        "tag.up": True,
        "tag.vol": str(volume),
        "stat.cpu": 100.0,
        "stat.space": 100.0,
    }
    return Registered(kind, address, tags=tags)


def _check(*, name: str, rawx: int, chunk_size: int, host: str, port: int, event_delay: float) -> None:
    if not name or "/" in name:
        raise ValueError(f"name={name!r}: must be a name without slash")
    if rawx < 1:
        raise ValueError(f"rawx={rawx!r}: there must be one at least")
    if chunk_size < 1:
        raise ValueError(f"chunk_size={chunk_size!r}: must be positive")
    if not 0 <= port < 65536:
        raise ValueError(f"port={port!r}: not a port")
    if not event_delay >= 0:
        raise ValueError(f"event_delay={event_delay!r}: must not be negative")
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
        # Forked processes share the lock, so closing is not enough. A `finally` in them would unlock it.
        fcntl.flock(file, fcntl.LOCK_UN)
