# SPDX-License-Identifier: Apache-2.0
"""Directory of a namespace: references, their properties and linked services."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from oio.sandbox.refusals import ALREADY_LINKED, NO_REFERENCE, REFERENCE_IN_USE, Refusal, bad_request

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Mapping

#: Type of the service that holds containers.
META2: Final = "meta2"

_ACCOUNT_BYTES: Final = 63
_REFERENCE_BYTES: Final = 1023
_CID_DIGITS: Final = 64


@dataclass(frozen=True)
class Target:
    """The container that a request is about; ``account`` and ``name`` are empty when it is named by ID.

    ``exact`` is False for an ID that was not written in capitals: the directory finds it, but its container
    is missing (pitfalls row 146).
    """

    cid: str
    account: str = ""
    name: str = ""
    exact: bool = True

    @classmethod
    def named(cls, account: str, name: str) -> Target:
        """Return the target of two names, cut silently as the real service does (pitfalls row 147).

        >>> Target.named("acct", "ref").cid[:8]
        '7B6C0811'
        """
        account, name = _cut(account, _ACCOUNT_BYTES), _cut(name, _REFERENCE_BYTES)
        digest = hashlib.sha256(account.encode() + b"\0" + name.encode())
        return cls(digest.hexdigest().upper(), account, name)

    @classmethod
    def by_id(cls, text: str) -> Target:
        """Return the target of a container ID, ``.sequence`` or not, or of its first 4 digits at most."""
        digits = text.partition(".")[0]
        if not re.fullmatch(r"[0-9a-fA-F]+", digits) or 4 < len(digits) != _CID_DIGITS:
            raise bad_request("Invalid oio url")
        return cls(digits.upper().ljust(_CID_DIGITS, "0"), exact=digits == digits.upper())


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore")


class Link(NamedTuple):
    """A service linked to a reference."""

    seq: int
    type: str
    host: str
    args: str


class Directory:
    """The directory inside one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def find(self, target: Target) -> Target | None:
        """Return the target with its names, or None when the directory does not know it."""
        row = self._db.execute('SELECT * FROM "references" WHERE cid = ?', (target.cid,)).fetchone()
        return None if row is None else Target(row["cid"], row["account"], row["name"])

    def get(self, target: Target) -> Target:
        """As :meth:`find`, raising :class:`Refusal` when it is unknown."""
        found = self.find(target)
        if found is None:
            raise Refusal(NO_REFERENCE, "META1 error: no such user")
        return found

    def named(self, target: Target) -> Target:
        """Return the target with its names, looked up in the directory if the request gave an ID."""
        return target if target.name else self.get(target)

    def create(self, target: Target, properties: Mapping[str, str]) -> bool:
        """Create a reference; return False, and leave its properties, when it exists."""
        if self.find(target):
            return False
        self._db.execute(
            'INSERT INTO "references" VALUES (?, ?, ?)', (target.cid, target.account, target.name)
        )
        self.set_properties(target, properties)
        return True

    def destroy(self, target: Target, *, force: bool) -> None:
        """Delete a reference, which must have neither links nor properties unless ``force``."""
        self.get(target)
        if not force and self.links(target):
            raise Refusal(REFERENCE_IN_USE, "User still linked to services", 403)
        if not force and self.properties(target):
            raise Refusal(REFERENCE_IN_USE, "User still has properties", 403)
        for table in ('"references"', "reference_properties", "links"):
            self._db.execute(f"DELETE FROM {table} WHERE cid = ?", (target.cid,))

    # -- properties

    def properties(self, target: Target, names: Collection[str] = ()) -> dict[str, str]:
        """Return the properties of a reference: those of ``names``, or all."""
        rows = self._db.execute("SELECT key, value FROM reference_properties WHERE cid = ?", (target.cid,))
        return {row["key"]: row["value"] for row in rows if not names or row["key"] in names}

    def set_properties(self, target: Target, properties: Mapping[str, str], *, flush: bool = False) -> None:
        """Set properties, removing those of an empty value, and all the others first if ``flush``."""
        if flush:
            self.delete_properties(target, ())
        for key, value in properties.items():
            if value:
                self._db.execute(
                    "INSERT OR REPLACE INTO reference_properties VALUES (?, ?, ?)", (target.cid, key, value)
                )
            else:
                self.delete_properties(target, (key,))

    def delete_properties(self, target: Target, names: Collection[str]) -> None:
        """Remove properties; all of them when ``names`` is empty."""
        for key in names or self.properties(target):
            self._db.execute("DELETE FROM reference_properties WHERE cid = ? AND key = ?", (target.cid, key))

    # -- links

    def links(self, target: Target, kind: str | None = None) -> list[Link]:
        """Return the services linked to a reference, of one type or of all."""
        rows = self._db.execute("SELECT * FROM links WHERE cid = ? ORDER BY type, seq", (target.cid,))
        return [Link(r["seq"], r["type"], r["host"], r["args"]) for r in rows if kind in {None, r["type"]}]

    def link(self, target: Target, kind: str, host: str) -> list[Link]:
        """Link a service, unless there is one of that type already."""
        if not self.links(target, kind):
            self.force(target, Link(1, kind, host, ""), replace=False)
        return self.links(target, kind)

    def force(self, target: Target, link: Link, *, replace: bool) -> None:
        """Link the service that the caller has chosen."""
        taken = any(known.seq == link.seq for known in self.links(target, link.type))
        if taken and not replace:
            raise Refusal(ALREADY_LINKED, "META1 error: already linked", 403)
        self._db.execute(
            "INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?, ?)",
            (target.cid, link.type, link.seq, link.host, link.args),
        )

    def unlink(self, target: Target, kind: str) -> None:
        """Remove the links of a type."""
        self._db.execute("DELETE FROM links WHERE cid = ? AND type = ?", (target.cid, kind))
