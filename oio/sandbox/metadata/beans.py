# SPDX-License-Identifier: Apache-2.0
"""Single rows of a container, written as repair tools do, without checks across rows."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from oio.sandbox.metadata.layout import host_only
from oio.sandbox.refusals import CONTENT_EXISTS, NO_CONTENT, Refusal

if TYPE_CHECKING:
    from oio.sandbox.metadata.container import Container


@dataclass(frozen=True)
class Alias:
    """One version of a name; dates are seconds, None for now."""

    name: str
    version: int
    content: str
    ctime: int | None = None
    mtime: int | None = None
    deleted: bool = False


@dataclass(frozen=True)
class Header:
    """Content that an alias points at; it has no policy."""

    id: str
    hash: str
    size: int
    chunk_method: str
    mime_type: str


@dataclass(frozen=True)
class ChunkRow:
    """One chunk of a content."""

    url: str
    hash: str
    size: int
    content: str
    pos: str


Bean = Alias | Header | ChunkRow

_UNSUPPORTED: Final = 1
_COPIES: Final = re.compile(r"\bnb_copy=(\d+)")


def insert(container: Container, bean: Bean, *, replace: bool) -> None:
    """Add a row, in the place of the one that has its key if ``replace``."""
    bean = _kept(container, bean)
    if replace:
        delete(container, bean)
    elif _exists(container, bean):
        raise Refusal(CONTENT_EXISTS, "Bean already present")
    elif isinstance(bean, ChunkRow) and _complete(container, bean):
        raise Refusal(CONTENT_EXISTS, "Too many copies of the same chunk")
    table, row = _row(container, bean)
    columns, marks = ", ".join(["base", *row]), ", ".join("?" * (len(row) + 1))
    container.db.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", (container.base, *row.values()))


def delete(container: Container, bean: Bean) -> None:
    """Remove the row of a bean, if it is there; rows that depend on it stay."""
    bean = _found(container, bean)
    table, key = _key(bean)
    condition = " AND ".join(f"{column} = ?" for column in ["base", *key])
    container.db.execute(f"DELETE FROM {table} WHERE {condition}", (container.base, *key.values()))


def update(container: Container, old: Bean, new: Bean) -> None:
    """Replace a row by another."""
    if isinstance(old, Header):
        raise Refusal(_UNSUPPORTED, "Headers cannot be updated")
    old = _found(container, old)
    if not _exists(container, old):
        raise Refusal(NO_CONTENT, "bean not found")
    delete(container, old)
    insert(container, new, replace=True)


def _kept(container: Container, bean: Bean) -> Bean:
    """Return a row as the container keeps it: computed chunk IDs replace those given."""
    if isinstance(bean, ChunkRow) and container.release.computed_ids:
        return dataclasses.replace(bean, url=host_only(bean.url, bean.pos))
    return bean


def _found(container: Container, bean: Bean) -> Bean:
    """Return the row that a bean names: its URL may be kept whole, or computed."""
    return bean if _exists(container, bean) else _kept(container, bean)


def _complete(container: Container, row: ChunkRow) -> bool:
    """Whether a metachunk has all its copies already; only releases with computed chunk IDs check that."""
    header = container.db.execute(
        "SELECT chunk_method FROM headers WHERE base = ? AND id = ?", (container.base, row.content)
    ).fetchone()
    copies = _COPIES.search(header["chunk_method"]) if header and container.release.computed_ids else None
    if copies is None:
        return False
    (count,) = container.db.execute(
        "SELECT count(*) FROM chunks WHERE base = ? AND content = ? AND pos = ?",
        (container.base, row.content, row.pos),
    ).fetchone()
    return int(count) >= int(copies[1])


def _exists(container: Container, bean: Bean) -> bool:
    table, key = _key(bean)
    condition = " AND ".join(f"{column} = ?" for column in ["base", *key])
    query = f"SELECT 1 FROM {table} WHERE {condition}"
    return container.db.execute(query, (container.base, *key.values())).fetchone() is not None


def _key(bean: Bean) -> tuple[str, dict[str, object]]:
    if isinstance(bean, Alias):
        return "aliases", {"name": bean.name, "version": bean.version}
    if isinstance(bean, Header):
        return "headers", {"id": bean.id}
    return "chunks", {"content": bean.content, "url": bean.url}


def _row(container: Container, bean: Bean) -> tuple[str, dict[str, object]]:
    table, key = _key(bean)
    if isinstance(bean, Alias):
        now = container.clock.now() // 1_000_000
        ctime = now if bean.ctime is None else bean.ctime
        mtime = now if bean.mtime is None else bean.mtime
        return table, key | {"content": bean.content, "deleted": bean.deleted, "ctime": ctime, "mtime": mtime}
    if isinstance(bean, Header):
        described = {"chunk_method": bean.chunk_method, "mime_type": bean.mime_type}
        return table, key | {"size": bean.size, "hash": bean.hash, "policy": ""} | described
    return table, key | {"pos": bean.pos, "size": bean.size, "hash": bean.hash}
