# SPDX-License-Identifier: Apache-2.0
"""One container in a transaction: its properties, status and counters."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from oio.sandbox.refusals import CONTAINER_FROZEN, CONTAINER_FULL, Refusal
from oio.sandbox.releases import R7_3, Release

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping

    from oio.sandbox.metadata.directory import Target
    from oio.sandbox.storage.database import Clock

ENABLED: Final = 0
FROZEN: Final = 4294967295
DISABLED: Final = 4294967294

_USER: Final = "user."
_STATUS_NAMES: Final = {FROZEN: "frozen", DISABLED: "disabled"}
_BY_POLICY: Final = ("objects", "usage")
_TABLES_WITH_VERSION: Final = ("admin", "aliases", "chunks", "contents", "properties")


def initial_properties(namespace: str, target: Target, now: int, release: Release = R7_3) -> dict[str, str]:
    """Return the system properties of a new container, created at ``now`` (microseconds)."""
    counters = ("sys.m2.shards",) if release.shards else ("sys.m2.chunks.missing", "sys.m2.objects.damaged")
    tables = [*_TABLES_WITH_VERSION, *(["shard_ranges"] if release.shards else [])]
    return (
        {
            "schema_version": "1.8",
            "sys.account": target.account,
            "sys.m2.ctime": str(now),
            "sys.m2.init": "1",
            "sys.m2.objects": "0",
            "sys.m2.usage": "0",
            "sys.m2.version": "0",
            "sys.name": f"{target.cid}.1",
            "sys.ns": namespace,
            "sys.status": str(ENABLED),
            "sys.type": "meta2",
            "sys.user.name": target.name,
        }
        | {f"version:main.{table}": "1:0" for table in tables}
        | dict.fromkeys(counters, "0")
    )


class Container:
    """A container open in a transaction.

    ``orphans`` collects the URLs of the chunks that objects have lost.

    :param root: the container through which this one, a shard of it, was asked for.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        base: int,
        target: Target,
        *,
        clock: Clock,
        max_versions: int,
        release: Release = R7_3,
        root: Target | None = None,
    ) -> None:
        self.db = db
        self.base = base
        self.target = target
        self.clock = clock
        self.release = release
        self.orphans: list[str] = []
        #: Whether locks of the mode GOVERNANCE do not count.
        self.bypasses_governance = False
        #: URLs of chunks that the transaction has added.
        self.added: set[str] = set()
        self._root = root
        #: Versions kept when the container does not say.
        self.kept_versions = max_versions
        #: Bytes that the transaction has added.
        self._added = 0

    @property
    def shard(self) -> str | None:
        """The ID of this container, if it was asked for through its root."""
        return self.target.cid if self._root else None

    @cached_property
    def chunks_cid(self) -> str:
        """The container that the IDs of chunks are computed of: for a shard, its root."""
        if self._root:
            return self._root.cid
        root = self.get("sys.m2.sharding.root") if self.release.shards else None
        return root or self.target.cid

    # -- properties

    def get(self, key: str) -> str | None:
        """Return one raw property (``sys.m2.quota``, ``user.color``)."""
        row = self.db.execute(
            "SELECT value FROM base_properties WHERE base = ? AND key = ?", (self.base, key)
        ).fetchone()
        return None if row is None else str(row["value"])

    def number(self, key: str) -> int:
        """Return a numeric property, 0 when it is absent; a client may have stored any text there."""
        try:
            return int(self.get(key) or 0)
        except ValueError:
            return 0

    def set(self, key: str, value: str) -> None:
        """Set one raw property."""
        self.db.execute("INSERT OR REPLACE INTO base_properties VALUES (?, ?, ?)", (self.base, key, value))

    def remove(self, keys: Iterable[str]) -> None:
        """Remove raw properties."""
        self.db.executemany(
            "DELETE FROM base_properties WHERE base = ? AND key = ?", [(self.base, key) for key in keys]
        )

    def update(self, properties: Mapping[str, str], *, keep_empty: bool = False) -> None:
        """Set raw properties; an empty value removes, unless ``keep_empty``."""
        for key, value in properties.items():
            if value or keep_empty:
                self.set(key, value)
            else:
                self.remove([key])

    def properties(self) -> dict[str, str]:
        """Return all raw properties, sorted by key."""
        rows = self.db.execute(
            "SELECT key, value FROM base_properties WHERE base = ? ORDER BY key", (self.base,)
        )
        return {row["key"]: row["value"] for row in rows}

    def user_properties(self) -> dict[str, str]:
        """Return the user's properties, without prefix."""
        return {key[len(_USER) :]: value for key, value in self.properties().items() if key.startswith(_USER)}

    def system_properties(self) -> dict[str, str]:
        """Return all the others."""
        return {key: value for key, value in self.properties().items() if not key.startswith(_USER)}

    def statistics(self) -> dict[str, str]:
        """Return the statistics of the database, which is shared by all containers."""
        names = ("page_count", "freelist_count", "page_size", "journal_mode")
        return {f"stats.{name}": str(self.db.execute(f"PRAGMA {name}").fetchone()[0]) for name in names}

    def set_user_properties(self, properties: Mapping[str, str], *, flush: bool) -> None:
        """Set the user's properties, after removing those that exist if ``flush``."""
        if flush:
            self.remove_user_properties(self.user_properties())
        self.update({_USER + key: value for key, value in properties.items()})

    def remove_user_properties(self, names: Iterable[str]) -> None:
        """Remove the user's properties of these names."""
        self.remove([_USER + name for name in names])

    # -- status

    @property
    def status(self) -> int:
        """:data:`ENABLED`, :data:`FROZEN` or :data:`DISABLED`."""
        return self.number("sys.status")

    def refuse_when(self, *statuses: int) -> None:
        """Raise :class:`Refusal` when the container has one of these statuses."""
        status = self.status
        if status in statuses:
            raise Refusal(CONTAINER_FROZEN, f"Invalid status: {_STATUS_NAMES[status]}")

    # -- versioning

    @property
    def max_versions(self) -> int:
        """How many versions of an object are kept: < 0 no limit, 0 and 1 versioning is off."""
        text = self.get("sys.m2.policy.version")
        if text is None:
            return self.kept_versions
        try:
            return int(text)
        except ValueError:
            return self.kept_versions

    @property
    def versioned(self) -> bool:
        """Whether a new version of an object leaves the older ones."""
        return not 0 <= self.max_versions <= 1

    # -- counters

    def count(self, objects: int = 0, usage: int = 0, policy: str = "") -> None:
        """Add to the counters of objects and bytes."""
        self.set("sys.m2.objects", str(self.number("sys.m2.objects") + objects))
        self.set("sys.m2.usage", str(self.number("sys.m2.usage") + usage))
        if self.release.regions and policy:
            for counter, more in (("objects", objects), ("usage", usage)):
                key = f"sys.m2.{counter}.{policy}"
                sum_ = self.number(key) + more
                self.update({key: str(sum_) if sum_ else ""})
        self._added += usage

    def details(self, counter: str) -> dict[str, int]:
        """Return one counter by storage policy."""
        prefix = f"sys.m2.{counter}."
        return {
            key[len(prefix) :]: self.number(key)
            for key in self.properties()
            if self.release.regions and key.startswith(prefix)
        }

    def check_quota(self) -> None:
        """Raise :class:`Refusal` when the transaction takes the container over its quota."""
        quota = self.number("sys.m2.quota")
        if self._added > 0 and self.number("sys.m2.usage") > quota > 0:
            raise Refusal(CONTAINER_FULL, f"Container's quota reached ({quota} bytes)")

    def bump(self) -> None:
        """Increase the version of the container."""
        self.set("sys.m2.version", str(self.number("sys.m2.version") + 1))

    def recount(self, damaged_objects: int, missing_chunks: int) -> None:
        """Count objects and bytes again from the rows."""
        row = self.db.execute(
            "SELECT count(*) AS objects, coalesce(sum(size), 0) AS usage FROM headers WHERE base = ?",
            (self.base,),
        ).fetchone()
        self.set("sys.m2.objects", str(row["objects"]))
        self.set("sys.m2.usage", str(row["usage"]))
        if self.release.regions:
            self.remove(
                f"sys.m2.{counter}.{policy}" for counter in _BY_POLICY for policy in self.details(counter)
            )
            for row in self.db.execute(
                "SELECT policy, count(*) AS objects, sum(size) AS usage FROM headers WHERE base = ? "
                "GROUP BY policy",
                (self.base,),
            ).fetchall():
                self.update({f"sys.m2.{name}.{row['policy']}": str(row[name] or "") for name in _BY_POLICY})
        else:
            self.set("sys.m2.objects.damaged", str(damaged_objects))
            self.set("sys.m2.chunks.missing", str(missing_chunks))
        self.bump()

    def has_chunks(self) -> bool:
        """Whether some object has data: a container of delete markers and drained objects counts as empty."""
        return (
            self.db.execute("SELECT 1 FROM chunks WHERE base = ? LIMIT 1", (self.base,)).fetchone()
            is not None
        )

    def unowned(self) -> list[str]:
        """Return the orphans that no object of this container has."""
        owned = "SELECT 1 FROM chunks WHERE base = ? AND url = ?"
        return [
            url
            for url in self.orphans
            if url not in self.added and not self.db.execute(owned, (self.base, url)).fetchone()
        ]


#: Names of the counters of a container.
COUNTERS: Final = ("objects", "bytes", "damaged_objects", "missing_chunks")


@dataclass(frozen=True)
class ContainerState:
    """State of a container after a change, as it is reported to the account service.

    ``mtime`` and ``dtime`` are microseconds since 1970; ``dtime`` is 0 unless the container was destroyed.
    """

    account: str
    name: str
    mtime: int = 0
    dtime: int = 0
    objects: int = 0
    bytes: int = 0
    damaged_objects: int = 0
    missing_chunks: int = 0
    bucket: str | None = None
    region: str | None = None
    objects_details: Mapping[str, int] = field(default_factory=dict)
    bytes_details: Mapping[str, int] = field(default_factory=dict)

    @property
    def counters(self) -> dict[str, int]:
        """The counters that the account service sums up, by name."""
        return {counter: getattr(self, counter) for counter in COUNTERS}

    @classmethod
    def of(cls, container: Container, mtime: int) -> ContainerState:
        """Return the state of a container that exists."""
        return cls(
            container.target.account,
            container.target.name,
            mtime,
            objects=container.number("sys.m2.objects"),
            bytes=container.number("sys.m2.usage"),
            damaged_objects=container.number("sys.m2.objects.damaged"),
            missing_chunks=container.number("sys.m2.chunks.missing"),
            bucket=container.get("sys.m2.bucket.name"),
            region=container.get("sys.m2.bucket.region"),
            objects_details=container.details("objects"),
            bytes_details=container.details("usage"),
        )
