# SPDX-License-Identifier: Apache-2.0
"""Transfers on a large scale: ``python -m benchmarks.transfers sync`` and ``... range``.

``sync`` synchronises many files under faults, in a process that is killed in the middle, and then again, both
ways. ``range`` downloads one large object from services that answer late, as one stream and in parts.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oio.sandbox import Fault, Namespace
from oio.transfer import Remote, Result, Transfer, TransferConfig

_BOX = Remote("account", "box")
_SMALL = (0, 1, 1000, 50_000, 200_000)
_BLOCK = random.Random(1).randbytes(1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfers", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    sync = kinds.add_parser("sync")
    sync.add_argument("--files", type=int, default=200)
    sync.add_argument("--largest", type=int, default=5_000_000, help="bytes; one file of 100 is that large")
    sync.add_argument("--workers", type=int, default=8)
    late = kinds.add_parser("range")
    late.add_argument("--size", type=int, default=200_000_000, help="bytes")
    late.add_argument("--latency", type=float, default=0.2, help="seconds of each request")
    late.add_argument("--workers", type=int, default=16)
    late.add_argument("--part-size", type=int, default=16 << 20)
    child = kinds.add_parser("child")
    child.add_argument("job", choices=["up", "down", "range", "stream"])
    for name in ("endpoint", "name", "directory"):
        child.add_argument(name)
    child.add_argument("--workers", type=int, default=8)
    child.add_argument("--part-size", type=int, default=16 << 20)
    given = parser.parse_args()
    {"sync": _sync, "range": _range, "child": _child}[given.kind](given)


# --- processes that move the data -----------------------------------------------------------------------


def _child(given: argparse.Namespace) -> None:
    from oio import ObjectStorageApi

    def tell(result: Result) -> None:
        print(result.outcome, result.name, flush=True)

    config = TransferConfig(workers=given.workers, part_size=given.part_size, retry_delay=0.1)
    limits: dict[str, Any] = {"read_timeout": 5, "write_timeout": 5, "connection_timeout": 2}
    with ObjectStorageApi(given.name, endpoint=given.endpoint, **limits) as api:
        before, begin = _memory(), time.monotonic()
        if given.job == "stream":
            config = TransferConfig(workers=1, part_size=1 << 40)
        with Transfer(api, config, on_result=tell) as transfer:
            if given.job in {"range", "stream"}:
                transfer.download_file(_BOX, "o", f"{given.directory}/{given.job}")
            else:
                ends = (given.directory, _BOX) if given.job == "up" else (_BOX, given.directory)
                report = transfer.sync(*ends)
                for result in report.failures:
                    print("why", result.name, repr(result.error), flush=True)
        print("took", time.monotonic() - begin, "memory", before, _memory(), flush=True)


def _memory() -> int:
    """Peak memory of this program in MB, without that of its parent."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


def _start(
    namespace: Namespace, job: str, directory: Path, given: argparse.Namespace
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.transfers", "child", job]
    command += [namespace.endpoint, namespace.name, str(directory), "--workers", str(given.workers)]
    if "part_size" in given:
        command += ["--part-size", str(given.part_size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


# --- many files under faults ----------------------------------------------------------------------------


def _fill(directory: Path, count: int, largest: int) -> int:
    total = 0
    for number in range(count):
        size = largest if number % 100 == 50 else _SMALL[number % len(_SMALL)] + number % 7
        path = directory / f"{number % 23}" / f"{number % 5}" / f"file {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(number.to_bytes(8, "big")[: min(8, size)])
            while file.tell() < size:
                file.write(_BLOCK[: size - file.tell()])
        total += size
    return total


def _faults(operation: str, count: int) -> Iterator[Fault]:
    """Faults that strike about one request in 25."""
    for turn, nth in enumerate(range(5, 3 * count, 25)):
        action = ("reset", "corrupt", "status", "truncate")[turn % 4]
        yield Fault(action, operation=operation, nth=nth, after_bytes=0 if action == "status" else 1)
    for nth in range(50, 3 * count, 500):
        yield Fault("stall", operation=operation, nth=nth, after_bytes=1)


def _sync(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "target")
        source.mkdir()
        target.mkdir()
        total = _fill(source, given.files, given.largest)
        print(f"{given.files} files, {total} bytes")
        with Namespace(Path(scratch, "namespace"), rawx=6) as namespace:
            for job, directory, operation in (("up", source, "PUT"), ("down", target, "GET")):
                told = _killed(namespace, job, directory, operation, given)
                with namespace.faults(*_faults(operation, given.files), _refusing(namespace)):
                    again, words = _ended(_start(namespace, job, directory, given))
                moved = {name for outcome, name in again if outcome == "done"}
                twice = moved & {name for outcome, name in told if outcome == "done"}
                failed = [line for line in again if line[0] in {"failed", "why"}]
                print(f"{job}: {len(told)} told before the kill; then {len(moved)} done", *words)
                print(f"    twice: {len(twice)}, failed: {failed}")
            identical = _digests(source) == _digests(target)
            print("identical:", identical)


def _refusing(namespace: Namespace) -> Fault:
    """One chunk server refuses connections: three copies still find a quorum."""
    return Fault("refuse", address=namespace.rawx[0].address)


def _killed(
    namespace: Namespace, job: str, directory: Path, operation: str, given: argparse.Namespace
) -> list[list[str]]:
    with (
        namespace.faults(*_faults(operation, given.files)),
        _start(namespace, job, directory, given) as process,
    ):
        told = _told(process, given.files // 2)
        process.send_signal(signal.SIGKILL)
    return told


def _told(process: subprocess.Popen[str], count: int) -> list[list[str]]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n").split(" ", 1) for _ in range(count)]


def _ended(process: subprocess.Popen[str]) -> tuple[list[list[str]], list[str]]:
    with process:
        assert process.stdout is not None
        lines = [line.rstrip("\n").split(" ", 1) for line in process.stdout]
    took = [rest for word, rest in lines if word == "took"]
    return lines, took


def _digests(directory: Path) -> dict[str, str]:
    found = {}
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            found[str(path.relative_to(directory))] = hashlib.md5(
                file.read(), usedforsecurity=False
            ).hexdigest()
    return found


# --- one large object, and latency ----------------------------------------------------------------------


def _range(given: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        namespace = stack.enter_context(Namespace(Path(scratch, "namespace"), rawx=6))
        api = stack.enter_context(namespace.api())
        blocks = (_BLOCK[: given.size - place] for place in range(0, given.size, len(_BLOCK)))
        api.object_create("account", "box", obj_name="o", data=blocks, policy="SINGLE")
        late = [
            Fault("slow", service=service, phase="head", seconds=given.latency)
            for service in ("rawx", "proxy")
        ]
        with namespace.faults(*late):
            for job in ("stream", "range"):
                process = _start(namespace, job, Path(scratch), given)
                _, words = _ended(process)
                print(job, *words, "seconds and MB")
                os.remove(Path(scratch, job))


if __name__ == "__main__":
    main()
