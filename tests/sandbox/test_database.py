# SPDX-License-Identifier: Apache-2.0
"""The files of databases: the second one of a schema is a copy of the first as it was when it was new."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from oio.sandbox.storage.database import Database

SCHEMA = "CREATE TABLE IF NOT EXISTS words (word TEXT NOT NULL);"


def words(database: Database) -> list[str]:
    with database.reading() as db:
        return [row["word"] for row in db.execute("SELECT word FROM words")]


def add(database: Database, word: str) -> None:
    with database.transaction() as db:
        db.execute("INSERT INTO words VALUES (?)", (word,))


def opened(path: Path) -> contextlib.closing[Database]:
    return contextlib.closing(Database(path, SCHEMA))


def test_each_new_database_is_empty_and_has_a_journal_of_its_own(tmp_path: Path) -> None:
    for number in range(3):
        with opened(tmp_path / f"{number}.sqlite") as database:
            assert words(database) == []
            add(database, "word")
            assert (tmp_path / f"{number}.sqlite-wal").stat().st_size > 0


def test_another_process_that_looks_leaves_the_journal(tmp_path: Path) -> None:
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM words').fetchall()"
    schema = f"{SCHEMA} -- of this test alone, whose first file is not a copy"
    for name in ("first", "copy"):
        path = tmp_path / f"{name}.sqlite"
        with contextlib.closing(Database(path, f"{schema}\n")) as database:
            add(database, "word")
            subprocess.run([sys.executable, "-c", look, path], check=True)
            assert path.with_name(f"{path.name}-wal").stat().st_size > 0
            assert stat.S_IMODE(path.stat().st_mode) & 0o022 == 0


def test_database_that_is_there_is_kept(tmp_path: Path) -> None:
    with opened(tmp_path / "first.sqlite"), opened(tmp_path / "second.sqlite") as database:
        add(database, "word")
    with opened(tmp_path / "second.sqlite") as database:
        assert words(database) == ["word"]


def test_journal_of_a_lost_database_is_not_that_of_a_new_one(tmp_path: Path) -> None:
    path, journal = tmp_path / "second.sqlite", tmp_path / "second.sqlite-wal"
    with opened(tmp_path / "first.sqlite"), opened(path) as database:
        add(database, "word")
        left = journal.read_bytes()
    path.unlink()
    journal.write_bytes(left)
    with opened(path) as database:
        assert words(database) == []


def test_directory_that_is_missing_is_told_each_time(tmp_path: Path) -> None:
    with opened(tmp_path / "first.sqlite"):
        pass
    with pytest.raises(OSError, match=r"nowhere/second\.sqlite cannot be opened"):
        Database(tmp_path / "nowhere" / "second.sqlite", SCHEMA)


def test_new_databases_are_no_copies_of_one_whose_tables_are_in_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite cannot fold the journal while somebody reads, or when the disk is full."""
    connect, readers = sqlite3.connect, []

    class Read(sqlite3.Connection):
        def close(self) -> None:
            readers.append(connect(tmp_path / "first"))
            readers[-1].execute("SELECT * FROM sqlite_master").fetchall()
            super().close()

    schema = "CREATE TABLE journaled (number INTEGER);"
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", functools.partial(connect, factory=Read))
        first = Database(tmp_path / "first", schema)
    for database in (first, Database(tmp_path / "second", schema)):
        with contextlib.closing(database), database.transaction() as connection:
            connection.execute("INSERT INTO journaled VALUES (1)")
    for reader in readers:
        reader.close()
