# SPDX-License-Identifier: Apache-2.0
"""Durable SQLite database that many threads share, and a clock that never repeats itself."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oio.sandbox.storage.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: New files of each schema: suites make thousands, and a copy takes far less time than the statements.
_EMPTY: dict[str, bytes] = {}


def _connected(path: Path, level: str, schema: str | None = None) -> sqlite3.Connection:
    """Open a file in WAL mode.

    :param level: of what SQLite waits for
    :param schema: statements to run
    """
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {level}")
        if schema is not None:
            # One transaction: each waits for the disk.
            connection.executescript(f"BEGIN; {schema} COMMIT;")
    except BaseException:  # Nobody else would close it.
        connection.close()
        raise
    return connection


class Database:
    """One SQLite file in WAL mode.

    Every transaction is on disk when it returns, so what a service acknowledged survives a power cut. There
    is one connection under one lock: transactions last a fraction of a millisecond, so readers that wait for
    each other cost less than a connection per server thread, which may be hundreds.

    :param path: the file; its directory exists.
    :param schema: statements that create the tables, harmless when they exist.
    :param survives_power_cuts: False is faster, and may lose the last transactions in a power cut (but not
        when the process is killed).
    :raises OSError: the file cannot be opened, or is no database.
    """

    def __init__(self, path: Path, schema: str, *, survives_power_cuts: bool = True) -> None:
        self._lock = threading.RLock()
        # SQLite would apply the journal of a lost file to a copy.
        new = not any(os.path.exists(f"{path}{suffix}") for suffix in ("", "-wal"))
        level = "FULL" if survives_power_cuts else "NORMAL"
        try:
            empty = _EMPTY.get(schema) if new else None
            if empty is not None:
                replace_file(path, empty, mode=0o644)
            self._connection = _connected(path, level, None if new and empty else schema)
            if new and empty is None:
                # To close a file gives up all the locks of the process on it, those of SQLite too.
                self._connection.close()
                # On a full disk, the tables stay in the journal.
                if not os.path.exists(f"{path}-wal"):
                    _EMPTY[schema] = path.read_bytes()
                self._connection = _connected(path, level)
        except (OSError, sqlite3.OperationalError) as exc:
            raise OSError(f"{path} cannot be opened: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            raise OSError(f"{path} cannot be used: {exc}") from exc

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction: all of it is committed, or nothing if the block raises."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:  # No end of the block may leave a transaction open.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Run a block that only reads: it sees one state of the database."""
        with self._lock:
            yield self._connection

    def close(self) -> None:
        """Fold the journal into the file and close it."""
        with self._lock:
            self._connection.close()


class Clock:
    """Wall-clock time in microseconds (or other ticks), each reading greater than the one before.

    :param floor: the last reading known of the same data, which the clock has to exceed.
    :param tick: nanoseconds of a tick.
    """

    def __init__(self, floor: int = 0, tick: int = 1000) -> None:
        self._lock = threading.Lock()
        self._last = floor
        self._tick = tick

    def now(self) -> int:
        """Return the current time in ticks since 1970."""
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // self._tick)
            return self._last
