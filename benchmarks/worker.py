# SPDX-License-Identifier: Apache-2.0
"""One client in a process of its own, driven by lines of JSON."""

from __future__ import annotations

import argparse
import cProfile
import hashlib
import io
import json
import logging
import pstats
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Protocol, cast

from benchmarks.cases import POLICIES, Case
from benchmarks.data import md5, on_disk, part, source

if TYPE_CHECKING:
    from benchmarks.bare import Bare

ACCOUNT: Final = "benchmarks"
KEPT: Final = "kept"
"""Container whose chunks the bare chunk servers keep."""
DROPPED: Final = "dropped"
"""Container whose chunks they drop."""
LISTED: Final = "listed"
"""First part of the names of containers that are listed; the number of their objects follows."""
STORED: Final = "stored"
"""Name of the object that is read."""
Verify = bool | Literal["strict", "server"]


class Client(Protocol):
    """Methods that both clients have."""

    def close(self) -> None: ...

    def put(
        self, container: str, name: str, policy: str, data: bytes | IO[bytes], size: int, algorithm: str = ...
    ) -> None: ...

    def get(self, container: str, name: str, verify: Verify = ...) -> Iterator[bytes]: ...

    def get_range(self, container: str, name: str, first: int, last: int, verify: Verify = ...) -> bytes: ...

    def list_names(self, container: str, prefix: str = ...) -> Iterator[str]: ...

    def head(self, container: str, name: str) -> dict[str, str]: ...

    def set_properties(self, container: str, name: str, properties: dict[str, str]) -> None: ...

    def delete(self, container: str, name: str) -> None: ...

    def delete_many(self, container: str, names: Sequence[str]) -> list[tuple[str, bool]]: ...


@dataclass(frozen=True)
class Setting:
    """Settings that a worker starts with.

    :param side: which client it is: ``ours`` or ``bare``
    :param proxy: ``host:port``
    """

    side: str
    case: Case
    proxy: str
    namespace: str
    key_file: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> Setting:
        found = json.loads(text)
        return cls(**{**found, "case": Case(**found["case"])})

    def client(self) -> Client:
        """Make the client; only its own module is imported."""
        where = (self.proxy, self.namespace, ACCOUNT, self.key_file)
        if self.side == "bare":
            from benchmarks.bare import Bare

            return Bare(*where)
        from benchmarks.ours import Ours

        return Ours(*where)


def listed_name(number: int) -> str:
    """Name of an object of a listing."""
    return f"object-{number:08d}"


def label_of(side: str, case: Case) -> str:
    """Prefix of the names of new objects of a case.

    Cases must not replace objects of earlier ones: replacing costs more than creating.

    >>> label_of("ours", Case("put", "B2", 4096))
    'ours-put-4-KiB-B2'
    """
    return f"{side}-{re.sub('[^A-Za-z0-9]+', '-', case.name)}"


class Operations:
    """The operation of a case, by number.

    :param client: of the calling thread
    :param label: prefix of the names of new objects, different for each client
    """

    def __init__(self, case: Case, client: Callable[[], Client], label: str) -> None:
        self._case = case
        self._client = client
        self._label = label
        kinds: dict[str, Callable[[int], object]] = {
            "put": self._put,
            "get": self._get,
            "range": self._range,
            "list": self._list,
            "head": lambda _: self._client().head(KEPT, STORED),
            "set properties": self._set_properties,
            "delete": lambda number: self._client().delete(DROPPED, self.name(number)),
            "delete_many": lambda number: self._client().delete_many(DROPPED, self.names(number)),
        }
        #: Runs the operation of a number.
        self.do = kinds[case.operation]

    def name(self, number: int) -> str:
        """Name of the object of one operation."""
        return f"{self._label}-{number}"

    def names(self, number: int) -> list[str]:
        """Names of the objects that one operation deletes."""
        return [f"{self.name(number)}-{index}" for index in range(self._case.count)]

    def doomed(self, numbers: Sequence[int]) -> list[str]:
        """Names of the objects that the operations need, and delete."""
        if self._case.operation == "delete":
            return [self.name(number) for number in numbers]
        if self._case.operation == "delete_many":
            return [name for number in numbers for name in self.names(number)]
        return []

    def _put(self, number: int, container: str = DROPPED) -> None:
        case = self._case
        data: Any = on_disk(case.size) if case.on_disk else source(case.size)
        policy = POLICIES[case.policy]
        self._client().put(container, self.name(number), policy, data, case.size, case.algorithm)

    def _get(self, _: int) -> None:
        size = 0
        for block in self._client().get(KEPT, STORED, self._case.verify):
            size += len(block)
        _expect("bytes", size, self._case.size)

    def _range(self, number: int) -> bytes:
        first = self._first(number)
        data = self._client().get_range(KEPT, STORED, first, first + self._case.size - 1, self._case.verify)
        _expect("bytes", len(data), self._case.size)
        return data

    def _first(self, number: int) -> int:
        return random.Random(number).randrange(self._case.whole - self._case.size + 1)

    def _list(self, _: int) -> None:
        count = 0
        for _name in self._client().list_names(f"{LISTED}-{self._case.count}"):
            count += 1
        _expect("names", count, self._case.count)

    def _set_properties(self, number: int) -> None:
        self._client().set_properties(KEPT, STORED, {"color": self.name(number)})

    # --- once, with checks of the results

    def check(self, number: int) -> None:
        """Run the operation of a number, and check its whole result.

        :raises ValueError: it is wrong
        """
        case = self._case
        if case.operation == "put":
            self._put(number, KEPT)
        elif case.operation == "get":
            digest = hashlib.md5(usedforsecurity=False)
            for block in self._client().get(KEPT, STORED, case.verify):
                digest.update(block)
            _expect("MD5", digest.hexdigest(), md5(case.size))
        elif case.operation == "range":
            _expect("range", self._range(number) == part(self._first(number), case.size), True)
        elif case.operation == "list":
            names = list(self._client().list_names(f"{LISTED}-{case.count}"))
            _expect("names", names == [listed_name(index) for index in range(case.count)], True)
        elif case.operation == "delete_many":
            found = self._client().delete_many(DROPPED, self.names(number))
            _expect("names", found, [(name, True) for name in self.names(number)])
        elif case.operation == "head":
            _expect("properties", self._client().head(KEPT, STORED), {"shape": "round"})
        else:
            self.do(number)

    def verify(self, name: str) -> None:
        """Check, with this client, the change of an object by another one.

        :raises ValueError: it is wrong
        """
        case, client = self._case, self._client()
        if case.operation == "put":
            digest = hashlib.md5(usedforsecurity=False)
            for block in client.get(KEPT, name):
                digest.update(block)
            _expect("MD5", digest.hexdigest(), md5(case.size))
        elif case.operation == "set properties":
            _expect("properties", client.head(KEPT, STORED).get("color"), name)
        elif case.operation in {"delete", "delete_many"}:
            alike = client.list_names(DROPPED, name)
            left = [item for item in alike if re.fullmatch(f"{name}(-.*)?", item)]
            _expect("objects left", left, [])


def _expect(what: str, found: object, right: object) -> None:
    if found != right:
        raise ValueError(f"{what}: {str(found)[:200]}, not {str(right)[:200]}")


class Worker:
    """A client, and the commands that drive it."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._case = case = setting.case
        self._number = 0
        self._own = threading.local()
        self._shared = setting.client() if setting.side == "ours" else None
        self._operations = Operations(case, self._client, label_of(setting.side, case))
        self._map = self._mapping()
        self._client()
        self._idle = _memory("VmRSS")

    def _client(self) -> Client:
        if self._shared is not None:
            return self._shared
        client: Client | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = self._setting.client()
        return client

    def _bare(self) -> Bare:
        return cast("Bare", self._client())

    def _mapping(self) -> Callable[[Sequence[int]], None]:
        """Return a function that runs the operations of several numbers."""
        do, case = self._operations.do, self._case

        def one_by_one(numbers: Sequence[int]) -> None:
            for number in numbers:
                do(number)

        if case.concurrency == 1:
            return one_by_one
        if case.threads == "green" and self._setting.side == "ours":
            from eventlet import GreenPool

            green = GreenPool(case.concurrency)
            return lambda numbers: _exhaust(green.imap(do, numbers))
        threads = ThreadPoolExecutor(case.concurrency)
        return lambda numbers: _exhaust(threads.map(do, numbers))

    def _next(self, count: int) -> range:
        """Numbers of the next operations."""
        self._number += count
        return range(self._number - count, self._number)

    # --- commands

    def store(self) -> dict[str, object]:
        """Store the object that is read; the bare client only."""
        case, bare = self._case, self._bare()
        size = case.whole or case.size
        if case.operation in {"get", "range"}:
            data: Any = source(size)
            bare.put(KEPT, STORED, POLICIES[case.policy], data, size, case.algorithm)
        elif case.operation in {"head", "set properties"}:
            bare.create_entry(KEPT, STORED)
            bare.set_properties(KEPT, STORED, {"shape": "round"})
        if case.lost:
            bare.lose_chunks(KEPT, STORED, case.lost)
        if not case.delay:
            return {}
        if case.operation == "put":
            return {"slow": ""}
        return {"slow": bare.address_of(KEPT, STORED)}

    def prepare(self, names: Sequence[str]) -> dict[str, object]:
        """Create objects to be deleted; the bare client only."""
        bare = self._bare()
        for name in names:
            bare.create_entry(DROPPED, name)
        return {}

    def sweep(self) -> dict[str, object]:
        """Remove all files from the bucket; the bare client only."""
        self._bare().empty_bucket()
        return {}

    def plan(self, count: int) -> dict[str, object]:
        """Name the objects that the next operations will delete."""
        return {"names": self._operations.doomed(range(self._number, self._number + count))}

    def run(self, count: int) -> dict[str, object]:
        """Run the next operations, and return their times."""
        numbers = self._next(count)
        cpu, wall = time.process_time(), time.perf_counter()
        self._map(numbers)
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    def check(self) -> dict[str, object]:
        """Run the next operation, and check its result."""
        number = self._next(1)[0]
        self._operations.check(number)
        return {"name": self._operations.name(number)}

    def verify(self, name: str) -> dict[str, object]:
        """Check the change of an object by another client."""
        self._operations.verify(name)
        return {}

    def memory(self) -> dict[str, object]:
        """Return the memory before the operations, and the peak (bytes)."""
        return {"idle": self._idle, "peak": _memory("VmHWM")}

    def calls(self) -> dict[str, object]:
        """Count the functions that the next operation calls."""
        counts = {"call": 0, "c_call": 0}

        def count(_frame: FrameType, event: str, _argument: object) -> None:
            if event in counts:
                counts[event] += 1

        number = self._next(1)[0]
        threading.setprofile(count)
        sys.setprofile(count)
        try:
            self._operations.do(number)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
        return {"python": counts["call"], "c": counts["c_call"]}

    def profile(self, count: int, lines: int) -> dict[str, object]:
        """Profile the next operations."""
        numbers = self._next(count)
        # CPU time: waits for the services do not matter.
        profiler = cProfile.Profile(time.process_time)
        profiler.runcall(self._map, numbers)
        text = io.StringIO()
        pstats.Stats(profiler, stream=text).sort_stats("tottime").print_stats(lines)
        return {"text": text.getvalue()}


def _exhaust(results: Iterator[object]) -> None:
    for _ in results:
        pass


def _memory(name: str) -> int:
    """Bytes of this process alone: ``ru_maxrss`` would start from the peak of its parent."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


def main() -> None:
    """Run the commands on standard input until its end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=__doc__)
    parser.add_argument("setting", help="in JSON")
    answers = sys.stdout
    # Anything that a library prints must not mix with the answers.
    sys.stdout = sys.stderr
    # A program would write warnings to its own log; here they would be printed.
    logging.getLogger("oio").addHandler(logging.NullHandler())
    worker = Worker(Setting.of_json(parser.parse_args().setting))
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = getattr(worker, asked.pop("do"))(**asked)
        except (Exception, SystemExit) as err:  # noqa: BLE001 - reported to the caller
            answer = {"error": f"{type(err).__name__}: {err}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
