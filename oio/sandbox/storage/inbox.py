# SPDX-License-Identifier: Apache-2.0
"""Inbox of a service: news of other services, applied when they are due."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from oio.sandbox.storage.database import Clock, Database

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

#: Tables of the inbox, to be added to those of the service.
INBOX: Final = """
CREATE TABLE IF NOT EXISTS inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT, due REAL NOT NULL, news TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS inbox_by_date ON inbox (due);
"""


class Inbox:
    """News for one service, applied when they are due.

    They are kept in its own database, so none is lost when it stops. There is no thread: each opening of
    the database applies the news that are due.

    :param database: where the tables of the service and :data:`INBOX` are.
    :param apply: called with an open transaction and one piece of news, any JSON value.
    :param delay: seconds until news are due; 0 for at once, infinity for when :meth:`settle` is called.
    """

    def __init__(
        self, database: Database, apply: Callable[[sqlite3.Connection, Any], None], delay: float = 0.0
    ) -> None:
        self.clock = Clock()
        self._database = database
        self._apply = apply
        self._delay = delay
        if not delay:
            self.settle()

    def receive(self, news: object) -> None:
        """Apply news now, or when they are due."""
        with self.open() as db:
            if self._delay:
                due = self.clock.now() + self._delay * 1_000_000
                db.execute("INSERT INTO inbox (due, news) VALUES (?, ?)", (due, json.dumps(news)))
            else:
                self._apply(db, news)

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction in which all that is due has been applied."""
        with self._database.transaction() as db:
            self._deliver(db, self.clock.now())
            yield db

    def settle(self) -> None:
        """Apply everything, due or not."""
        with self._database.transaction() as db:
            self._deliver(db, float("inf"))

    def _deliver(self, db: sqlite3.Connection, now: float) -> None:
        due = db.execute("SELECT id, news FROM inbox WHERE due <= ? ORDER BY id", (now,)).fetchall()
        for number, text in due:
            self._apply(db, json.loads(text))
            db.execute("DELETE FROM inbox WHERE id = ?", (number,))
