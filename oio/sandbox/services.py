# SPDX-License-Identifier: Apache-2.0
"""The services of a namespace as programs hold them: where each one is, its switch, and its score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from oio.sandbox.b2.buckets import PRIVATE, PUBLIC
from oio.sandbox.b2.store import B2Store, Limits
from oio.sandbox.b2.versions import Wanted
from oio.sandbox.http.server import Server
from oio.sandbox.messages import Handler
from oio.sandbox.proxy.registry import Conscience
from oio.sandbox.proxy.registry import Service as Registered
from oio.sandbox.rawx.chunks import ChunkStore
from oio.sandbox.storage.files import replace_file

_BEST: Final = 100


class Service:
    """One service of a namespace.

    :param server: where it listens.
    :param conscience: where it is registered while it runs.
    :param registered: as what; one that does the work of several others is there once for each.
    """

    def __init__(self, server: Server, conscience: Conscience, *registered: Registered) -> None:
        self.kind = server.dialect.kind
        self._server = server
        self._conscience = conscience
        self._registered = registered
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
        """Switch it on, and register it if the conscience has forgotten it."""
        self._running = True
        self.apply_faults()
        for service in self._registered:
            self._conscience.register(service)
        self._rate(_BEST)

    def stop(self) -> None:
        """Switch it off: connections are cut, new ones refused; its data stay, its score is 0."""
        self._running = False
        self._rate(0)
        self._server.stop()

    def _rate(self, health: int) -> None:
        for service in self._registered:
            self._conscience.rate(service.kind, service.name, health)

    # -- score

    @property
    def score(self) -> int:
        """How often it is chosen for new data, from 0, never, to 100; 0 too when the conscience forgot it."""
        known = self._conscience.find(self._rated, self.address)
        return 0 if known is None else known.score

    def lock(self, score: int = 0) -> None:
        """Fix its score, whatever its state; with 0 it gets nothing new, though it goes on serving.

        It holds until :meth:`unlock`, over stops and starts.

        :param score: 0 to 100.
        :raises ValueError: the score is out of bounds.

        >>> from oio.sandbox import Namespace
        >>> with Namespace(rawx=4) as namespace:
        ...     namespace.rawx[3].lock()
        ...     locked = namespace.rawx[3].score
        ...     namespace.rawx[3].unlock()
        ...     locked, namespace.rawx[3].score
        (0, 100)
        """
        if not 0 <= score <= _BEST:
            raise ValueError(f"score={score!r}: must be 0 to {_BEST}")
        self._conscience.lock(self._rated, self.address, score)

    def unlock(self) -> None:
        """Let its score be that of its state again: 100 while it is switched on, else 0."""
        self._conscience.unlock(self._rated, self.address)

    @property
    def _rated(self) -> str:
        """The type by which the conscience knows it."""
        if not self._registered:
            raise ValueError(f"the {self.kind} at {self.address} is not in the conscience: it has no score")
        return self._registered[0].kind

    # -- wiring

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
    """A rawx of a namespace.

    :param volume: its directory.
    """

    def __init__(self, server: Server, conscience: Conscience, registered: Registered, volume: Path) -> None:
        super().__init__(server, conscience, registered)
        self.volume = volume
        #: The chunks in its directory.
        self.store = ChunkStore(volume)

    def chunks(self) -> list[str]:
        """Return the IDs of the chunks on disk."""
        return self.store.names()


class B2Service(Service):
    """The B2 of a namespace: one account, with a bucket for the objects of the policy BACKBLAZE.

    The conscience knows nothing of it, so it has no score.

    :param directory: where its files are.
    :param account: ID of the account, which is that of its master key too.
    """

    def __init__(self, server: Server, conscience: Conscience, directory: Path, account: str) -> None:
        super().__init__(server, conscience)
        self.account_id = account
        #: Name of the bucket for objects.
        self.bucket_name = f"openio-{account}"
        #: A credentials file with the key of the account, made when it starts, readable by its owner only.
        self.key_file = directory / "b2-appkey.conf"
        #: Lives of tokens and sizes of parts; they may be changed at any time.
        self.limits = Limits()
        self._directory = directory
        self._store: B2Store | None = None

    @property
    def endpoint(self) -> str:
        """Its URL, from which clients learn all others."""
        return f"http://{self.address}"

    @property
    def store(self) -> B2Store:
        """What it keeps, while the namespace runs.

        :raises ValueError: the namespace does not run.
        """
        if self._store is None:
            raise ValueError(f"the B2 at {self.address} is not running")
        return self._store

    @property
    def application_key(self) -> str:
        """The master key."""
        return self.store.keys.master().secret

    def open(self) -> B2Store:
        """Open its files, made at the first time."""
        store = B2Store(self._directory, self.account_id, self.limits)
        try:
            if not store.buckets.exists(self.bucket_name):
                store.buckets.create(self.bucket_name)
            self._write_key_file(store.keys.master().secret)
        except BaseException:
            store.close()
            raise
        self._store = store
        return store

    def close(self) -> None:
        """Close its files."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _write_key_file(self, key: str) -> None:
        place = f"{self.account_id}.{self.bucket_name}"
        lines = ["[backblaze]", f"{place}.application_key = {key}", f"{place}.api_url = {self.endpoint}", ""]
        replace_file(self.key_file, "\n".join(lines), mode=0o600)

    # -- for tests

    def expire_tokens(self) -> None:
        """End the life of all authorisations given out; new ones can be had."""
        self.store.keys.expire()

    def expire_upload_urls(self) -> None:
        """End the life of all upload URLs given out."""
        self.store.places.expire()

    def make_bucket(self, name: str, *, public: bool = False) -> str:
        """Make a bucket; return its ID."""
        return self.store.buckets.create(name, PUBLIC if public else PRIVATE).id

    def make_key(
        self, *capabilities: str, bucket: str | None = None, prefix: str | None = None
    ) -> tuple[str, str]:
        """Make a key; return its ID and the key.

        :param capabilities: what it allows, such as ``readFiles``.
        :param bucket: name of the only bucket it is for.
        :param prefix: how the names of the only files it is for begin.
        """
        bucket_id = None if bucket is None else self.store.buckets.named(bucket).id
        key = self.store.keys.create("made", capabilities, bucket_id, prefix)
        return key.id, key.secret

    def file_names(self, bucket: str | None = None) -> list[str]:
        """Return the names of the files that are there, in a bucket (default: that of objects)."""
        wanted = Wanted(self.store.buckets.named(bucket or self.bucket_name).id, limit=sys.maxsize - 1)
        return [version.name for version in self.store.versions.names(wanted)[0]]
