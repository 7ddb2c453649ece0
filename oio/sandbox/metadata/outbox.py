# SPDX-License-Identifier: Apache-2.0
"""Outbox of the metadata: news of changes, kept until they are delivered."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oio.sandbox.metadata.container import ContainerState

if TYPE_CHECKING:
    import sqlite3

_OWNED = "SELECT 1 FROM chunks WHERE base = ? AND url = ?"


@dataclass(frozen=True)
class News:
    """News of one change: the new state of a container, and its chunks that no object has any more."""

    id: int
    state: ContainerState | None
    chunks: Sequence[str]
    #: Older news that left the outbox in the same transaction.
    removed: frozenset[int] = field(default_factory=frozenset)


class Outbox:
    """News of changes of containers, kept in their database.

    They are put in by the transaction of the change, delivered when it is durable, and removed by the next
    one: a transaction of its own would cost each change another wait for the disk. What was delivered but not
    removed is delivered again at the next start, which does no harm.

    :param delete_chunks: called with the URLs of chunks without owner.
    :param report: called with the new state of a container.
    """

    def __init__(
        self,
        delete_chunks: Callable[[Sequence[str]], None],
        report: Callable[[ContainerState], None],
    ) -> None:
        self._delete_chunks = delete_chunks
        self._report = report
        self._lock = threading.Lock()
        self._sent: set[int] = set()

    def put(
        self, db: sqlite3.Connection, base: int, state: ContainerState | None, chunks: Sequence[str] = ()
    ) -> News:
        """Keep news of the container ``base``, in the transaction of ``db``, to be delivered after it."""
        with self._lock:
            removed = frozenset(self._sent)
        self._remove(db, removed)
        text = json.dumps([base, state and vars(state), list(chunks)])
        cursor = db.execute("INSERT INTO outbox (news) VALUES (?)", (text,))
        return News(int(cursor.lastrowid or 0), state, chunks, removed)

    def send(self, news: News) -> None:
        """Deliver news."""
        if news.chunks:
            self._delete_chunks(news.chunks)
        if news.state is not None:
            self._report(news.state)
        with self._lock:
            self._sent = self._sent - news.removed | {news.id}

    def send_again(self, db: sqlite3.Connection) -> None:
        """Deliver what a crash has left."""
        for number, text in db.execute("SELECT id, news FROM outbox ORDER BY id").fetchall():
            base, state, urls = json.loads(text)
            chunks = [url for url in urls if not db.execute(_OWNED, (base, url)).fetchone()]
            self.send(News(number, ContainerState(**state) if state else None, chunks))

    def remove_sent(self, db: sqlite3.Connection) -> None:
        """Remove what has been delivered."""
        self._remove(db, self._sent)

    @staticmethod
    def _remove(db: sqlite3.Connection, numbers: frozenset[int] | set[int]) -> None:
        db.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number in numbers])
