# SPDX-License-Identifier: Apache-2.0
"""Store of the metadata: the directory and all containers in one durable database."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from oio.sandbox.metadata import sharding, shards
from oio.sandbox.metadata.container import (
    DISABLED,
    ENABLED,
    FROZEN,
    Container,
    ContainerState,
    initial_properties,
)
from oio.sandbox.metadata.directory import META2, Directory, Target
from oio.sandbox.metadata.outbox import News, Outbox
from oio.sandbox.metadata.schema import BASE_TABLES, METADATA
from oio.sandbox.refusals import (
    CONSTRAINT,
    CONTAINER_DISABLED,
    CONTAINER_ENABLED,
    CONTAINER_FROZEN,
    CONTAINER_NOT_EMPTY,
    NO_CONTAINER,
    NO_REFERENCE,
    Refusal,
    bad_request,
)
from oio.sandbox.releases import R7_3, Release
from oio.sandbox.storage.database import Clock, Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path


class Metadata:
    """Containers and objects; safe from many threads.

    :param path: file of the database.
    :param namespace: name of the namespace.
    :param meta2: address that the directory gives as the service of containers.
    :param release: release of the services to imitate.
    :param max_versions: versions kept of an object when its container does not say (1: versioning is off).
    :param strict: enforce quotas, and refuse malformed system properties; real services only store them.
    :param delete_chunks: called with the URLs of chunks without owner after a change, when it is durable.
    :param report: called with the new state of a container after a change, when it is durable.
    """

    def __init__(
        self,
        path: Path,
        *,
        namespace: str,
        meta2: str,
        release: Release = R7_3,
        max_versions: int = 1,
        strict: bool = False,
        delete_chunks: Callable[[Sequence[str]], None] = lambda _urls: None,
        report: Callable[[ContainerState], None] = lambda _state: None,
    ) -> None:
        self.namespace = namespace
        self.meta2 = meta2
        self.release = release
        self.max_versions = max_versions
        self.strict = strict
        self._outbox = Outbox(delete_chunks, report)
        self._database = Database(path, METADATA)
        with self._transaction() as db:
            (last,) = db.execute("SELECT coalesce(max(changed), 0) FROM bases").fetchone()
            self._outbox.send_again(db)
            self._outbox.remove_sent(db)
        self.clock = Clock(last)
        self._closed = False

    def close(self) -> None:
        """Close the database."""
        if not self._closed:
            # News that a full disk keeps here are delivered again at the next start.
            with suppress(sqlite3.OperationalError), self._transaction() as db:
                self._outbox.remove_sent(db)
            self._database.close()
        self._closed = True

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction; raise :class:`Refusal` when a row would be there twice."""
        try:
            with self._database.transaction() as db:
                yield db
        except sqlite3.IntegrityError as exc:
            raise Refusal(CONSTRAINT, f"Step error: (19) {exc}") from exc

    # -- the directory

    @contextmanager
    def directory(self) -> Iterator[Directory]:
        """Open the directory for one transaction."""
        with self._transaction() as db:
            yield Directory(db)

    # -- containers

    @contextmanager
    def reading(
        self, target: Target, name: str | None = None, *, even_disabled: bool = False
    ) -> Iterator[Container]:
        """Open a container to read it; raise :class:`Refusal` when it is missing or disabled.

        :param name: the object that it is opened for, which may be in a shard of it.
        """
        with self._database.reading() as db:
            container = self._open(db, target)
            if not even_disabled:
                container.refuse_when(DISABLED)
            yield container if name is None else shards.part_of(container, name)

    @contextmanager
    def writing(
        self, target: Target, name: str | None = None, *, even: Sequence[int] = (), silent: bool = False
    ) -> Iterator[Container]:
        """Open a container to change it in one transaction.

        Chunks without owner are deleted, and the state is reported, only when the change is durable.

        :param name: the object that it is opened for, which may be in a shard of it.
        :param even: statuses, besides enabled, in which the change is allowed.
        :param silent: do not report the state.
        """
        with self._transaction() as db:
            container = self._open(db, target)
            container.refuse_when(*({FROZEN, DISABLED} - set(even)))
            if name is not None:
                container = shards.part_of(container, name)
                if container.shard and container.status in {FROZEN, DISABLED} - set(even):
                    raise shards.ShardFrozen(container.shard)
            yield container
            if self.strict:
                container.check_quota()
            changed = self.clock.now()
            db.execute("UPDATE bases SET changed = ? WHERE id = ?", (changed, container.base))
            state = None if silent else ContainerState.of(container, changed)
            news = self._outbox.put(db, container.base, state, container.unowned())
        self._outbox.send(news)

    def create(self, target: Target, properties: Mapping[str, str], system: Mapping[str, str]) -> bool:
        """Create a container; return False, and leave its properties, when it exists.

        The caller has checked the storage policy of ``system``.
        """
        now = self.clock.now()
        with self._transaction() as db:
            directory = Directory(db)
            target = directory.named(target)
            directory.create(target, {})
            directory.link(target, META2, self.meta2)
            if db.execute("SELECT 1 FROM bases WHERE cid = ?", (target.cid,)).fetchone():
                return False
            container = self._insert(db, target, now)
            container.update({**initial_properties(self.namespace, target, now, self.release), **system})
            container.update({f"user.{key}": value for key, value in properties.items()}, keep_empty=True)
            news = self._outbox.put(db, container.base, ContainerState.of(container, now))
        self._outbox.send(news)
        return True

    def leave_half_made(self, target: Target) -> None:
        """Create the reference of a container without its base, as a creation that fails half-way does."""
        with self._transaction() as db:
            directory = Directory(db)
            directory.create(target, {})
            directory.link(target, META2, self.meta2)

    def destroy(self, target: Target, *, force: bool) -> None:
        """Destroy a container; a frozen one that still has chunks is refused, and enabled."""
        now = self.clock.now()
        with self._transaction() as db:
            container = self._open(db, target)
            news = None
            divided = bool(shards.ranges(container))
            if not force and (divided or container.has_chunks()):
                container.set("sys.status", str(ENABLED))
            else:
                self._drop(db, container)
                state = ContainerState(container.target.account, container.target.name, mtime=0, dtime=now)
                news = self._outbox.put(db, container.base, state)
        if news is None:
            message = "Table 'shard_ranges' not empty" if divided else "Container not empty"
            raise Refusal(CONTAINER_NOT_EMPTY, message)
        self._outbox.send(news)

    def divide(
        self, target: Target, names: Sequence[str], places: Sequence[Target] | None = None
    ) -> list[str]:
        """Divide a container into shards; return their IDs.

        :param names: the last name of each shard but the last one, in ascending order.
        :param places: the names of the shards, None for the usual ones.
        :raises ValueError: the container is divided, is a shard, or the names are not in order.
        """
        made, news = [], []
        with self._transaction() as db:
            root = self._open(db, target)
            if shards.ranges(root) or root.get("sys.m2.sharding.root"):
                raise ValueError(f"{root.target.name!r} is divided already")
            now = self.clock.now()
            for index, (lower, upper) in enumerate(shards.bounds(names)):
                place = places[index] if places else shards.target_of(root.target, now, index)
                directory = Directory(db)
                directory.create(place, {})
                directory.link(place, META2, self.meta2)
                shard = self._insert(db, place, now)
                shard.update(initial_properties(self.namespace, place, now, self.release))
                shards.move(root, shard, lower, upper, self.meta2)
                made.append(place.cid)
                news.append(self._changed(db, shard))
            shards.mark(root, len(made))
            news.append(self._changed(db, root))
        for item in news:
            self._outbox.send(item)
        return made

    def create_shard(self, place: Target, parent: Target, bounds: tuple[str, str], timestamp: str) -> None:
        """Make an empty shard of a container that is prepared to be divided."""
        with self._transaction() as db:
            source = self._open(db, parent)
            directory = Directory(db)
            directory.create(place, {})
            directory.link(place, META2, self.meta2)
            shard = self._insert(db, place, self.clock.now())
            shard.update(initial_properties(self.namespace, place, self.clock.now(), self.release))
            shard.set("sys.peers", self.meta2)
            sharding.describe_new(source, shard, *bounds, timestamp)

    def _changed(self, db: sqlite3.Connection, container: Container) -> News:
        """Date a change of a container, and return its news."""
        changed = self.clock.now()
        db.execute("UPDATE bases SET changed = ? WHERE id = ?", (changed, container.base))
        return self._outbox.put(db, container.base, ContainerState.of(container, changed))

    def freeze_shard(self, target: Target, name: str) -> None:
        """Freeze the shard of an object, if it has one and its root is frozen."""
        with self._transaction() as db:
            root = self._open(db, target)
            part = shards.part_of(root, name)
            if part.shard and root.status == FROZEN:
                shards.freeze(part)

    def change_status(self, target: Target, action: str) -> None:
        """Freeze, enable or disable a container."""
        with self._transaction() as db:
            container = self._open(db, target)
            if action == "enable":
                if container.status == ENABLED:
                    raise Refusal(CONTAINER_ENABLED, "Already enabled")
                container.set("sys.status", str(ENABLED))
                return
            if container.status == DISABLED:
                raise Refusal(CONTAINER_DISABLED, "Container disabled")
            if action == "freeze" and container.status == FROZEN:
                raise Refusal(CONTAINER_FROZEN, "Container frozen")
            container.set("sys.status", str(FROZEN if action == "freeze" else DISABLED))

    def snapshot(self, source: Target, copy: Target) -> None:
        """Copy a container, with the URLs of its chunks."""
        with self._transaction() as db:
            original = self._open(db, source)
            directory = Directory(db)
            if copy.cid == original.target.cid:
                raise bad_request(
                    "The snapshot must either have a different name or be placed in another account"
                )
            if directory.find(copy):
                raise bad_request("Container already exists")
            directory.create(copy, {})
            directory.link(copy, META2, self.meta2)
            made = self._insert(db, copy, self.clock.now())
            for table in BASE_TABLES:
                columns = [row["name"] for row in db.execute(f"PRAGMA table_info({table})")]
                others = ", ".join(column for column in columns if column != "base")
                db.execute(
                    f"INSERT INTO {table} (base, {others}) SELECT ?, {others} FROM {table} WHERE base = ?",
                    (made.base, original.base),
                )
            made.update(
                {
                    "sys.account": copy.account,
                    "sys.user.name": copy.name,
                    "sys.name": f"{copy.cid}.1",
                    "sys.peers": self.meta2,
                }
            )

    def _open(self, db: sqlite3.Connection, target: Target) -> Container:
        directory = Directory(db)
        named = directory.find(target)
        if named is None:
            raise Refusal(NO_REFERENCE, "Directory error: no such user")
        base = db.execute("SELECT id FROM bases WHERE cid = ?", (named.cid,)).fetchone()
        if base is None or not target.exact or not directory.links(named, META2):
            raise Refusal(NO_CONTAINER, "No service located")
        return self._container(db, base["id"], named)

    def _container(self, db: sqlite3.Connection, base: int, target: Target) -> Container:
        return Container(
            db, base, target, clock=self.clock, max_versions=self.max_versions, release=self.release
        )

    def _insert(self, db: sqlite3.Connection, target: Target, now: int) -> Container:
        cursor = db.execute("INSERT INTO bases (cid, changed) VALUES (?, ?)", (target.cid, now))
        return self._container(db, int(cursor.lastrowid or 0), target)

    @staticmethod
    def _drop(db: sqlite3.Connection, container: Container) -> None:
        Directory(db).unlink(container.target, META2)
        for table in BASE_TABLES:
            db.execute(f"DELETE FROM {table} WHERE base = ?", (container.base,))
        db.execute("DELETE FROM bases WHERE id = ?", (container.base,))
