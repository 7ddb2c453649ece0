# SPDX-License-Identifier: Apache-2.0
"""Services of a namespace as programs hold them: address, start and stop, score."""

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
from oio.sandbox.rawx.service import Rawx
from oio.sandbox.storage.files import replace_file

_BEST: Final = 100


class Service:
    """One service of a namespace.

    :param server: where it listens.
    :param conscience: where it is registered while it runs.
    :param registered: its registrations, several when it does the work of several services.
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
        """Whether it is started."""
        return self._running

    def start(self) -> None:
        """Start it, and register it if the conscience has forgotten it."""
        self._running = True
        self.apply_faults()
        for service in self._registered:
            self._conscience.register(service)
        self._rate(_BEST)

    def stop(self) -> None:
        """Stop it: connections are cut and refused, its score is 0; its data stay."""
        self._running = False
        self._rate(0)
        self._server.stop()

    def _rate(self, health: int) -> None:
        for service in self._registered:
            self._conscience.rate(service.kind, service.name, health)

    # -- score

    @property
    def score(self) -> int:
        """Weight in the choice of services for new data, from 0 (never chosen, or not registered) to 100."""
        known = self._conscience.find(self._rated, self.address)
        return 0 if known is None else known.score

    def lock(self, score: int = 0) -> None:
        """Lock its score, whatever its state; with 0 it gets no new data, but goes on serving.

        The lock holds until :meth:`unlock`, over stops and starts.

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
        """Give it back the score of its state: 100 while it runs, else 0."""
        self._conscience.unlock(self._rated, self.address)

    @property
    def _rated(self) -> str:
        """The type that it is registered with."""
        if not self._registered:
            raise ValueError(f"the {self.kind} at {self.address} is not in the conscience: it has no score")
        return self._registered[0].kind

    # -- wiring

    def open_connections(self) -> int:
        """Return the number of connections that it has not closed yet."""
        return self._server.open_connections()

    def serve(self, handler: Handler) -> None:
        """Set the handler of requests."""
        self._server.handler = handler

    def apply_faults(self) -> None:
        """Accept, refuse or block connections, as the open fault plans say."""
        if self._running:
            self._server.apply_faults()

    def __repr__(self) -> str:
        return f"<{self.kind} {self.address} {'running' if self._running else 'stopped'}>"


class RawxService(Service):
    """A rawx of a namespace.

    :param volume: its directory.
    :param shallow_copy: whether it makes links.
    """

    def __init__(
        self,
        server: Server,
        conscience: Conscience,
        registered: Registered,
        volume: Path,
        *,
        shallow_copy: bool = True,
    ) -> None:
        super().__init__(server, conscience, registered)
        self.volume = volume
        self._shallow_copy = shallow_copy
        self._rawx: Rawx | None = None
        #: The chunks in its directory.
        self.store = ChunkStore(volume)

    def serve_chunks(self, rawx: Rawx) -> None:
        """Set the handler of requests."""
        self._rawx = rawx
        rawx.shallow_copy = self._shallow_copy
        self.serve(rawx)

    @property
    def shallow_copy(self) -> bool:
        """Whether it makes links (``COPY``), or answers 405; may be changed at any time."""
        return self._shallow_copy

    @shallow_copy.setter
    def shallow_copy(self, value: bool) -> None:
        self._shallow_copy = value
        if self._rawx is not None:
            self._rawx.shallow_copy = value

    def chunks(self) -> list[str]:
        """Return the IDs of the chunks on disk."""
        return self.store.names()


class B2Service(Service):
    """The B2 of a namespace: one account, with a bucket for the objects of the policy BACKBLAZE.

    It is not registered in the conscience, so it has no score.

    :param directory: where it keeps its files.
    :param account: ID of the account, which is that of its master key too.
    """

    def __init__(self, server: Server, conscience: Conscience, directory: Path, account: str) -> None:
        super().__init__(server, conscience)
        self.account_id = account
        #: Name of the bucket for objects.
        self.bucket_name = f"openio-{account}"
        #: A credentials file with the key of the account, made when it starts, readable by its owner only.
        self.key_file = directory / "b2-appkey.conf"
        #: Lifetimes of tokens and sizes of parts; they may be changed at any time.
        self.limits = Limits()
        self._directory = directory
        self._store: B2Store | None = None

    @property
    def endpoint(self) -> str:
        """Its URL, from which clients learn all others."""
        return f"http://{self.address}"

    @property
    def store(self) -> B2Store:
        """Its store, while the namespace runs.

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
        """Open its store, which is made the first time."""
        store = B2Store(self._directory, self.account_id, self.limits)
        try:
            if not store.buckets.exists(self.bucket_name):
                store.buckets.create(self.bucket_name)
            self._write_key_file(store.keys.master().secret)
        except BaseException:  # Nobody else has the store yet.
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
        """Let all authorisation tokens expire; clients can get new ones."""
        self.store.keys.expire()

    def expire_upload_urls(self) -> None:
        """Let all upload URLs expire."""
        self.store.upload_urls.expire()

    def make_bucket(self, name: str, *, public: bool = False) -> str:
        """Make a bucket; return its ID."""
        return self.store.buckets.create(name, PUBLIC if public else PRIVATE).id

    def make_key(
        self, *capabilities: str, bucket: str | None = None, prefix: str | None = None
    ) -> tuple[str, str]:
        """Make a key; return its ID and the key.

        :param capabilities: what the key allows, such as ``readFiles``.
        :param bucket: name of the only bucket that the key is for.
        :param prefix: prefix of the names of files that the key is for.
        """
        bucket_id = None if bucket is None else self.store.buckets.named(bucket).id
        key = self.store.keys.create("made", capabilities, bucket_id, prefix)
        return key.id, key.secret

    def file_names(self, bucket: str | None = None) -> list[str]:
        """Return the names of the files in a bucket (default: the one for objects)."""
        wanted = Wanted(self.store.buckets.named(bucket or self.bucket_name).id, limit=sys.maxsize - 1)
        return [version.name for version in self.store.versions.names(wanted)[0]]
