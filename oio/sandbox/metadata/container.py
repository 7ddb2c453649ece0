# SPDX-License-Identifier: Apache-2.0
"""One container in a transaction: its properties, status and counters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oio.sandbox.refusals import CONTAINER_FROZEN, CONTAINER_FULL, Refusal

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
_TABLES_WITH_VERSION: Final = ("admin", "aliases", "chunks", "contents", "properties")


def initial_properties(namespace: str, target: Target, now: int) -> dict[str, str]:
    """Return the system properties of a new container, created at ``now`` (microseconds)."""
    return {
        "schema_version": "1.8",
        "sys.account": target.account,
        "sys.m2.chunks.missing": "0",
        "sys.m2.ctime": str(now),
        "sys.m2.init": "1",
        "sys.m2.objects": "0",
        "sys.m2.objects.damaged": "0",
        "sys.m2.usage": "0",
        "sys.m2.version": "0",
        "sys.name": f"{target.cid}.1",
        "sys.ns": namespace,
        "sys.status": str(ENABLED),
        "sys.type": "meta2",
        "sys.user.name": target.name,
    } | {f"version:main.{table}": "1:0" for table in _TABLES_WITH_VERSION}


class Container:
    """A container open in a transaction.

    ``orphans`` collects the URLs of the chunks that objects have lost.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        base: int,
        target: Target,
        *,
        clock: Clock,
        max_versions: int,
    ) -> None:
        self.db = db
        self.base = base
        self.target = target
        self.clock = clock
        self.orphans: list[str] = []
        self._max_versions = max_versions
        #: Bytes that the transaction has added.
        self._added = 0

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
            return self._max_versions
        try:
            return int(text)
        except ValueError:
            return self._max_versions

    @property
    def versioned(self) -> bool:
        """Whether a new version of an object leaves the older ones."""
        return not 0 <= self.max_versions <= 1

    # -- counters

    def count(self, objects: int = 0, usage: int = 0) -> None:
        """Add to the counters of objects and bytes."""
        self.set("sys.m2.objects", str(self.number("sys.m2.objects") + objects))
        self.set("sys.m2.usage", str(self.number("sys.m2.usage") + usage))
        self._added += usage

    def check_quota(self) -> None:
        """Raise :class:`Refusal` when the transaction has made the container exceed its quota."""
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
        return [url for url in self.orphans if not self.db.execute(owned, (self.base, url)).fetchone()]


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
        )
