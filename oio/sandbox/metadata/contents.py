# SPDX-License-Identifier: Apache-2.0
"""Objects of a container: lookup, creation, append, update, truncation and properties."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from oio.sandbox.http.values import is_true
from oio.sandbox.metadata.layout import Chunk, Owner, metachunk_sizes
from oio.sandbox.refusals import (
    CONSTRAINT,
    CONTENT_DELETED,
    CONTENT_DRAINED,
    CONTENT_EXISTS,
    CONTENT_PRECONDITION,
    NO_CONTENT,
    Refusal,
    bad_request,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from oio.sandbox.metadata.container import Container

#: Content ID of delete markers: "DELETED" in hexadecimal.
MARKER_ID: Final = "44454C45544544"
MARKER_MIME_TYPE: Final = "application/x-deleted;swift_versions_deleted=1"
DRAINED: Final = "drained"

_NAME_BYTES: Final = 1023
#: Property of containers whose objects may be locked, and prefix of the properties that lock them.
_LOCKS: Final = "sys.m2.bucket.objectlock.enabled"
_LOCK: Final = "x-object-sysmeta-s3api-"
_COLUMNS: Final = (
    "aliases.name, aliases.version, aliases.content, aliases.deleted, aliases.ctime, aliases.mtime, "
    "headers.size, headers.hash, headers.policy, headers.chunk_method, headers.mime_type"
)
_HEADERS: Final = "LEFT JOIN headers ON headers.base = aliases.base AND headers.id = aliases.content"


@dataclass(frozen=True)
class Content:
    """One version of an object as it is stored; a delete marker has neither size, hash nor policy."""

    name: str
    version: int
    id: str
    deleted: bool
    ctime: int
    mtime: int
    size: int | None = None
    hash: str | None = None
    policy: str | None = None
    chunk_method: str | None = None
    mime_type: str | None = None

    @property
    def drained(self) -> bool:
        """Whether its data was thrown away."""
        return self.chunk_method == DRAINED

    @classmethod
    def of(cls, row: sqlite3.Row) -> Content:
        """Return the content of a row of the columns above."""
        name, version, content, deleted, ctime, mtime, *rest = row
        return cls(name, version, content, bool(deleted), ctime, mtime, *rest)


@dataclass(frozen=True)
class NewContent:
    """An object to be stored, as a client describes it; ``version`` and ``id`` are checked where needed."""

    name: str
    size: int
    hash: str
    policy: str
    chunk_method: str
    mime_type: str
    chunks: Sequence[Chunk]
    version: int | None = None
    query_version: int | None = None
    id: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


def new_content_id() -> str:
    """Return a random content ID."""
    return os.urandom(16).hex().upper()


# -- reading


def contents(container: Container, condition: str, *values: object) -> Iterable[Content]:
    """Yield the contents that a SQL condition selects, in the order of listings."""
    rows = container.db.execute(
        f"SELECT {_COLUMNS} FROM aliases {_HEADERS} WHERE aliases.base = ? AND {condition} "
        "ORDER BY aliases.name, aliases.version DESC",
        (container.base, *values),
    )
    return map(Content.of, rows)


def latest(container: Container, name: str) -> Content | None:
    """Return the latest version of an object, which may be a delete marker."""
    return next(iter(contents(container, "aliases.name = ?", name)), None)


def find(
    container: Container, name: str | None, version: int | None = None, content_id: str | None = None
) -> Content:
    """Return an object by its name (and version, else the latest) or, without a name, by its content ID."""
    if name:
        if version is None:
            found = latest(container, name)
        else:
            found = next(
                iter(contents(container, "aliases.name = ? AND aliases.version = ?", name, version)), None
            )
    else:
        found = _by_id(container, content_id)
    if found is None:
        raise Refusal(NO_CONTENT, "Alias not found")
    return found


def _by_id(container: Container, content_id: str | None) -> Content | None:
    # Without the hint SQLite reads the whole container.
    row = container.db.execute(
        f"SELECT {_COLUMNS} FROM aliases INDEXED BY aliases_by_content {_HEADERS} "
        "WHERE aliases.base = ? AND aliases.content = ?",
        (container.base, content_id),
    ).fetchone()
    return None if row is None else Content.of(row)


def refuse_drained(content: Content) -> None:
    """Raise :class:`Refusal` when the content has no data any more."""
    if content.drained:
        raise Refusal(CONTENT_DRAINED, "The content is drained")


def chunks_of(container: Container, content: Content) -> list[Chunk]:
    """Return the chunks of a content."""
    rows = container.db.execute(
        "SELECT url, pos, size, hash FROM chunks WHERE base = ? AND content = ?", (container.base, content.id)
    )
    owner = _owner(container, content.name, content.version, content.policy or "")
    return [owner.shown(Chunk(*row)) for row in rows]


def _owner(container: Container, name: str, version: int, policy: str) -> Owner:
    return Owner(container.chunks_cid, name, version, policy)


def properties_of(container: Container, content: Content) -> dict[str, str]:
    """Return the user's properties of an object."""
    rows = container.db.execute(
        "SELECT key, value FROM properties WHERE base = ? AND name = ? AND version = ?",
        (container.base, content.name, content.version),
    )
    return {row["key"]: row["value"] for row in rows}


# -- rows


def insert_chunks(container: Container, content_id: str, chunks: Iterable[Chunk]) -> None:
    """Add chunks to a content."""
    added = list(chunks)
    container.db.executemany(
        "INSERT INTO chunks (base, content, url, pos, size, hash) VALUES (?, ?, ?, ?, ?, ?)",
        [(container.base, content_id, chunk.key, chunk.pos, chunk.size, chunk.hash) for chunk in added],
    )
    container.added |= {chunk.url for chunk in added}


def _insert_new_chunks(container: Container, new: NewContent, content_id: str, version: int) -> None:
    """Add the chunks of a new content; computed chunk IDs replace those given."""
    owner = _owner(container, new.name, version, new.policy)
    computed = container.release.computed_ids
    insert_chunks(
        container, content_id, [owner.computed(chunk) if computed else chunk for chunk in new.chunks]
    )


def drop_chunks(container: Container, content_id: str, chunks: Iterable[Chunk]) -> None:
    """Remove chunks from a content; they are deleted once that is durable."""
    doomed = list(chunks)
    container.db.executemany(
        "DELETE FROM chunks WHERE base = ? AND content = ? AND url = ?",
        [(container.base, content_id, chunk.key) for chunk in doomed],
    )
    container.orphans += [chunk.url for chunk in doomed]


def drop(container: Container, content: Content) -> None:
    """Remove one version of an object with its chunks and properties, unless it is locked."""
    _refuse_locked(container, content)
    key = (container.base, content.name, content.version)
    container.db.execute("DELETE FROM aliases WHERE base = ? AND name = ? AND version = ?", key)
    container.db.execute("DELETE FROM properties WHERE base = ? AND name = ? AND version = ?", key)
    if not content.deleted:
        drop_chunks(container, content.id, chunks_of(container, content))
        _drop_header(container, content)
        container.count(objects=-1, usage=-(content.size or 0), policy=content.policy or "")


def _refuse_locked(container: Container, content: Content) -> None:
    """Raise :class:`Refusal` when the version of an object is under legal hold, or has to be retained."""
    if not (container.release.locks and is_true(container.get(_LOCKS) or "")):
        return
    held = properties_of(container, content)
    if held.get(f"{_LOCK}legal-hold-status") == "ON":
        raise _locked("legal hold")
    until = _date(held.get(f"{_LOCK}retention-retainuntildate", ""))
    bypassed = container.bypasses_governance and held.get(f"{_LOCK}retention-mode") == "GOVERNANCE"
    if until * 1_000_000 > container.clock.now() and not bypassed:
        raise _locked("retain-until-date")


def _locked(reason: str) -> Refusal:
    return Refusal(CONSTRAINT, f"Step error: (19) object locked: deletion prevented by {reason}", 403)


def _date(text: str) -> float:
    """Return a date in seconds since 1970, 0 when there is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0


def _drop_header(container: Container, content: Content) -> None:
    container.db.execute("DELETE FROM headers WHERE base = ? AND id = ?", (container.base, content.id))
    if container.release.transitions:
        key = (container.base, content.id)
        container.db.execute("DELETE FROM transitions WHERE base = ? AND content = ?", key)


def insert_alias(
    container: Container, name: str, version: int, content_id: str, *, ctime: int | None = None
) -> None:
    """Add a version of a name; with the ID of delete markers it is one."""
    now = container.clock.now() // 1_000_000
    container.db.execute(
        "INSERT INTO aliases (base, name, version, content, deleted, ctime, mtime) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            container.base,
            name,
            version,
            content_id,
            content_id == MARKER_ID,
            now if ctime is None else ctime,
            now,
        ),
    )


def _insert(
    container: Container, new: NewContent, content_id: str, version: int, *, ctime: int | None = None
) -> None:
    insert_alias(container, new.name, version, content_id, ctime=ctime)
    _insert_header(container, new, content_id)
    _insert_new_chunks(container, new, content_id, version)
    _insert_properties(container, new.name, version, new.properties)
    container.count(objects=1, usage=new.size, policy=new.policy)


def _insert_header(container: Container, new: NewContent, content_id: str) -> None:
    described = (new.size, new.hash, new.policy, new.chunk_method, new.mime_type)
    container.db.execute(
        "INSERT INTO headers (base, id, size, hash, policy, chunk_method, mime_type) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (container.base, content_id, *described),
    )


def _insert_properties(container: Container, name: str, version: int, properties: Mapping[str, str]) -> None:
    container.db.executemany(
        "INSERT INTO properties (base, name, version, key, value) VALUES (?, ?, ?, ?, ?)",
        [(container.base, name, version, key, value) for key, value in properties.items()],
    )


def _resize(container: Container, content: Content, size: int) -> None:
    """Set the size of a content whose data has changed, and empty its hash."""
    container.db.execute(
        "UPDATE headers SET size = ?, hash = '' WHERE base = ? AND id = ?", (size, container.base, content.id)
    )
    container.db.execute(
        "UPDATE aliases SET mtime = ? WHERE base = ? AND name = ? AND version = ?",
        (container.clock.now() // 1_000_000, container.base, content.name, content.version),
    )
    container.count(usage=size - (content.size or 0), policy=content.policy or "")
    container.bump()


# -- creating


def create(container: Container, new: NewContent, *, versioned: bool | None = None) -> None:
    """Create an object, or a new version of it.

    :param versioned: whether older versions stay, when the request says so instead of the container.
    """
    check_name(new.name)
    if versioned is None:
        versioned = container.versioned
    version, content_id = _checked_version(new), _checked_id(container, new)
    former = latest(container, new.name)
    if any(contents(container, "aliases.name = ? AND aliases.version = ?", new.name, version)):
        raise Refusal(CONTENT_EXISTS, "Alias already saved")
    if former is not None and version < former.version and not versioned:
        raise Refusal(CONTENT_PRECONDITION, "New object version is older than latest version")
    replaced = None if versioned else former
    # An object keeps its date of creation through replacements.
    _insert(container, new, content_id, version, ctime=replaced.ctime if replaced else None)
    if replaced is not None:
        drop(container, replaced)
    elif container.get("sys.m2.policy.version.delete_exceeding") and container.max_versions > 1:
        versions = [
            content for content in contents(container, "aliases.name = ?", new.name) if not content.deleted
        ]
        for content in versions[container.max_versions :]:
            drop(container, content)
    container.bump()


def check_name(name: str) -> None:
    """Refuse a name that an object cannot have."""
    if not 0 < len(name.encode()) <= _NAME_BYTES:
        raise bad_request("Missing fully qualified path")


def _checked_version(new: NewContent) -> int:
    if new.version is None or new.version <= 0:
        raise bad_request("Missing or invalid alias bean (no version found)")
    if new.query_version not in {None, new.version}:
        raise bad_request(f"URL version is present ({new.query_version})")
    return new.version


def _checked_id(container: Container, new: NewContent) -> str:
    if new.id is None:
        raise bad_request("Invalid URL (missing content ID)")
    if container.db.execute(
        "SELECT 1 FROM headers WHERE base = ? AND id = ?", (container.base, new.id)
    ).fetchone():
        raise Refusal(CONTENT_EXISTS, "A content exists with this ID")
    return new.id


def append(container: Container, new: NewContent) -> None:
    """Add metachunks after the last one of an object, or create it when there is none."""
    content = latest(container, new.name)
    if content is None or content.deleted:
        create(container, new)
        return
    refuse_drained(content)
    existing = chunks_of(container, content)
    if {chunk.url for chunk in existing} & {chunk.url for chunk in new.chunks}:
        raise bad_request("The content has one of these chunks already")
    offset = max((chunk.metachunk for chunk in existing), default=-1) + 1
    insert_chunks(container, content.id, [chunk.moved(offset) for chunk in new.chunks])
    _resize(container, content, (content.size or 0) + sum(metachunk_sizes(new.chunks).values()))


def change_policy(container: Container, new: NewContent) -> None:
    """Replace the chunks of an object by others that hold the same data."""
    if new.version is None or new.version <= 0:
        raise bad_request("Invalid alias version")
    content = find(container, new.name, new.version)
    if content.deleted:
        raise bad_request("Delete marker")
    if container.release.transitions and target_policy(container, content) != new.policy:
        raise bad_request(f"Invalid policy (does not match target policy {new.policy})")
    if (content.size, content.hash) != (new.size, new.hash):
        raise bad_request(
            f"Different content (current: size={content.size}, hash={content.hash} ; "
            f"new: size={new.size}, hash={new.hash})"
        )
    content_id = _checked_id(container, new)
    drop_chunks(container, content.id, chunks_of(container, content))
    _drop_header(container, content)
    _insert_header(container, new, content_id)
    _insert_new_chunks(container, new, content_id, content.version)
    container.count(objects=-1, usage=-new.size, policy=content.policy or "")
    container.count(objects=1, usage=new.size, policy=new.policy)
    container.db.execute(
        "UPDATE aliases SET content = ? WHERE base = ? AND name = ? AND version = ?",
        (content_id, container.base, content.name, content.version),
    )
    container.bump()


def target_policy(container: Container, content: Content) -> str | None:
    """Return the policy of a pending change, None without one."""
    if not container.release.transitions:
        return None
    row = container.db.execute(
        "SELECT policy FROM transitions WHERE base = ? AND content = ?", (container.base, content.id)
    ).fetchone()
    return None if row is None else str(row["policy"])


def begin_transition(container: Container, content: Content, policy: str, *, internal: bool) -> None:
    """Announce a change of policy; announcing the present policy takes it back.

    :param internal: leave no trace among the properties of the object.
    """
    if content.deleted:
        raise bad_request("Delete marker")
    key = (container.base, content.id)
    container.db.execute("DELETE FROM transitions WHERE base = ? AND content = ?", key)
    if policy != content.policy:
        container.db.execute(
            "INSERT INTO transitions (base, content, policy) VALUES (?, ?, ?)", (*key, policy)
        )
    if not internal:
        date = str(container.clock.now() // 1_000_000)
        set_properties(container, content, {"ttime": date}, flush=False)


def force(container: Container, new: NewContent) -> None:
    """Create an object under a random ID, or add chunks and properties to the one that exists."""
    check_name(new.name)
    content = latest(container, new.name)
    if content is None:
        _insert(container, new, new_content_id(), _checked_version(new))
    else:
        insert_chunks(container, content.id, new.chunks)
        _insert_properties(container, content.name, content.version, new.properties)
    container.bump()


# -- changing


def update(container: Container, content: Content, chunks: Sequence[Chunk]) -> None:
    """Replace the chunks of some metachunks."""
    existing = chunks_of(container, content)
    given = metachunk_sizes(chunks)
    sizes = metachunk_sizes(existing) | given
    drop_chunks(container, content.id, [chunk for chunk in existing if chunk.metachunk in given])
    insert_chunks(container, content.id, chunks)
    _resize(container, content, sum(sizes.values()))


def truncate(container: Container, content: Content, size: int) -> None:
    """Cut an object at the end of a metachunk, the first one staying."""
    if content.deleted:
        raise Refusal(CONTENT_DELETED, "Alias deleted")
    refuse_drained(content)
    if size > (content.size or 0):
        raise bad_request("truncate operation cannot grow contents")
    chunks = chunks_of(container, content)
    end = 0
    kept: set[int] = set()
    for index, metachunk_size in metachunk_sizes(chunks).items():
        if kept and end >= size:
            break
        kept.add(index)
        end += metachunk_size
    if end != size:
        raise bad_request(f"Cannot truncate at {size} bytes, nearest metachunk boundary is at {end} bytes.")
    drop_chunks(container, content.id, [chunk for chunk in chunks if chunk.metachunk not in kept])
    _resize(container, content, size)


def set_properties(
    container: Container, content: Content, properties: Mapping[str, str], *, flush: bool
) -> None:
    """Set the user's properties of an object; an empty value removes."""
    if flush:
        _remove_properties(container, content, properties_of(container, content))
    _remove_properties(container, content, properties)
    kept = {key: value for key, value in properties.items() if value}
    _insert_properties(container, content.name, content.version, kept)
    container.bump()


def delete_properties(container: Container, content: Content, names: Collection[str]) -> None:
    """Remove the user's properties of these names; all of them when there are no names."""
    _remove_properties(container, content, names or properties_of(container, content))
    container.bump()


def _remove_properties(container: Container, content: Content, names: Iterable[str]) -> None:
    container.db.executemany(
        "DELETE FROM properties WHERE base = ? AND name = ? AND version = ? AND key = ?",
        [(container.base, content.name, content.version, key) for key in names],
    )
