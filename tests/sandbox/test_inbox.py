# SPDX-License-Identifier: Apache-2.0
"""News that take their time reach a service in order, once, and never get lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oio.sandbox.storage.database import Clock, Database
from oio.sandbox.storage.inbox import INBOX, Inbox

SECOND = 1_000_000
TABLES = f"{INBOX} CREATE TABLE IF NOT EXISTS known (number INTEGER NOT NULL);"


class FakeClock(Clock):
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1700000000 * SECOND

    def now(self) -> int:
        return self.time


def note(db: sqlite3.Connection, news: int) -> None:
    db.execute("INSERT INTO known VALUES (?)", (news,))


@contextmanager
def opened(path: Path, delay: float) -> Iterator[Inbox]:
    database = Database(path / "a.db", TABLES)
    inbox = Inbox(database, note, delay)
    inbox.clock = FakeClock()
    yield inbox
    database.close()


def known(inbox: Inbox) -> list[int]:
    with inbox.open() as db:
        return [row["number"] for row in db.execute("SELECT number FROM known ORDER BY rowid")]


def let_pass(inbox: Inbox, seconds: float) -> None:
    assert isinstance(inbox.clock, FakeClock)
    inbox.clock.time += int(seconds * SECOND)


def test_without_delay_news_are_known_at_once(tmp_path: Path) -> None:
    with opened(tmp_path, 0) as inbox:
        inbox.receive(1)
        assert known(inbox) == [1]


def test_news_are_known_when_their_time_has_come(tmp_path: Path) -> None:
    with opened(tmp_path, 2.5) as inbox:
        inbox.receive(1)
        let_pass(inbox, 2)
        inbox.receive(2)
        assert known(inbox) == []
        let_pass(inbox, 0.5)
        assert known(inbox) == [1]
        let_pass(inbox, 2)
        assert known(inbox) == [1, 2]


def test_settling_makes_everything_known_in_order(tmp_path: Path) -> None:
    with opened(tmp_path, float("inf")) as inbox:
        for number in range(20):
            inbox.receive(number)
        let_pass(inbox, 10**9)
        assert known(inbox) == []
        inbox.settle()
        assert known(inbox) == list(range(20))
        inbox.settle()
        assert known(inbox) == list(range(20))


def test_news_on_their_way_survive_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path, 10) as inbox:
        inbox.receive(1)
    with opened(tmp_path, 10) as inbox:
        assert known(inbox) == []
        let_pass(inbox, 10)
        assert known(inbox) == [1]


def test_a_service_that_starts_without_delay_knows_what_was_on_its_way(tmp_path: Path) -> None:
    with opened(tmp_path, 3600) as inbox:
        inbox.receive(1)
    with opened(tmp_path, 0) as inbox:
        assert known(inbox) == [1]


def test_news_are_not_lost_when_the_request_that_would_deliver_them_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, 1) as inbox:
        inbox.receive(1)
        let_pass(inbox, 1)
        with suppress(ZeroDivisionError), inbox.open():
            raise ZeroDivisionError
        assert known(inbox) == [1]
