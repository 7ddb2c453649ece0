# SPDX-License-Identifier: Apache-2.0
"""Services of the measurements, in other processes: metadata by the sandbox, chunks by bare servers."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from benchmarks.bare import Bare
from benchmarks.worker import ACCOUNT, DROPPED, KEPT, LISTED, listed_name

RAWX: Final = 9
"""Chunk servers: as many as a metachunk of 6+3 has fragments."""
_ROOM: Final = 6 << 30


@dataclass(frozen=True)
class Services:
    """Addresses of the services.

    :param proxy: ``host:port``
    :param key_file: credentials of their B2; empty without one
    :param rawx: addresses of the bare chunk servers; none when the namespace is not ours
    :param database: that of the metadata of the sandbox
    """

    proxy: str
    namespace: str
    key_file: str = ""
    rawx: tuple[str, ...] = ()
    database: Path | None = None

    def make_containers(self) -> None:
        with contextlib.closing(Bare(self.proxy, self.namespace, ACCOUNT)) as bare:
            for name in (KEPT, DROPPED):
                bare.create_container(name)

    def fill(self, count: int) -> None:
        """Make a container with ``count`` objects, unless it exists.

        Rows are written to the database of the sandbox: that many creations would take minutes.
        """
        assert self.database is not None
        with contextlib.closing(Bare(self.proxy, self.namespace, ACCOUNT)) as bare:
            bare.create_container(f"{LISTED}-{count}")
            if next(bare.list_names(f"{LISTED}-{count}"), None) is not None:
                return
        with contextlib.closing(sqlite3.connect(self.database, timeout=60)) as db, db:
            base = db.execute(
                'SELECT bases.id FROM bases JOIN "references" USING (cid) WHERE account = ? AND name = ?',
                (ACCOUNT, f"{LISTED}-{count}"),
            ).fetchone()[0]
            ids = [f"{number:032X}" for number in range(count)]
            rows = [(base, listed_name(number), 1, ids[number], 0, 1, 1) for number in range(count)]
            db.executemany("INSERT INTO aliases VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            rest = (4096, "0" * 31 + "1", "SINGLE", "plain/nb_copy=1", "application/octet-stream")
            db.executemany(
                "INSERT INTO headers VALUES (?, ?, ?, ?, ?, ?, ?)", [(base, id_, *rest) for id_ in ids]
            )

    def slow_down(self, address: str, seconds: float) -> None:
        """Make one chunk server wait before each answer."""
        _post(address or self.rawx[0], "/delay", {"X-Seconds": str(seconds)})

    def hurry(self) -> None:
        """Make all chunk servers answer at once."""
        for address in self.rawx:
            self.slow_down(address, 0)

    def forget(self) -> None:
        """Remove all chunks."""
        for address in self.rawx[:1]:
            _post(address, "/forget", {})


def _post(netloc: str, path: str, headers: dict[str, str], body: object = None) -> None:
    connection = HTTPConnection(netloc)
    with contextlib.closing(connection):
        connection.request("POST", path, b"" if body is None else json.dumps(body).encode(), headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise OSError(f"{netloc}{path}: HTTP {response.status} {answer!r}")


@contextlib.contextmanager
def embedded(chunk_size: int) -> Iterator[Services]:
    """Run a sandbox that has no chunks, and bare chunk servers that it knows.

    :param chunk_size: bytes of the chunks of new objects
    """
    with (
        tempfile.TemporaryDirectory(prefix="benchmarks-", dir=_roomy()) as directory,
        running("benchmarks.rawx", "--count", str(RAWX), "--directory", directory) as rawx,
        running(
            *("oio.sandbox", "--path", f"{directory}/sandbox", "--rawx", "1"),
            *("--chunk-size", str(chunk_size)),
        ) as sandbox,
    ):
        addresses = json.loads(_line(rawx))
        _line(sandbox)
        found = re.search(r'"(.*?)", endpoint="http://(.*?)", key_file="(.*?)"', _line(sandbox))
        assert found
        namespace, proxy, key_file = found.groups()
        database = Path(directory, "sandbox", "metadata.sqlite")
        services = Services(proxy, namespace, key_file, tuple(addresses), database)
        _register(services)
        services.make_containers()
        yield services


def _register(services: Services) -> None:
    """Register the bare servers as the only ones for new chunks."""
    root = f"/v3.0/{services.namespace}/conscience"
    connection = HTTPConnection(services.proxy)
    with contextlib.closing(connection):
        connection.request("GET", f"{root}/list?type=rawx")
        others = [item["addr"] for item in json.loads(connection.getresponse().read())]
    locked = [{"addr": address, "type": "rawx", "score": 0} for address in others]
    _post(services.proxy, f"{root}/lock", {}, locked)
    for number, address in enumerate(services.rawx):
        tags = {"tag.slots": f"rawx,rawx-{'odd' if number % 2 else 'even'}", "tag.loc": f"bare.{number}"}
        _post(services.proxy, f"{root}/register", {}, {"addr": address, "type": "rawx", "tags": tags})


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module in another process, until the end of the block."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise OSError(f"{' '.join(map(str, process.args[2:]))} did not start")  # type: ignore[index]
    return line


def _roomy() -> str | None:
    """A directory in memory, if there is room: disks are not measured."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > _ROOM else None
