# SPDX-License-Identifier: Apache-2.0
"""Speed of the client against an embedded namespace in another process: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from oio import ObjectStorageApi

ACCOUNT, CONTAINER = "bench", "objects"
BLOCK = 1 << 20


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """Run a namespace; give the address of its proxy."""
    command = [sys.executable, "-m", "oio.sandbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield re.findall(r'endpoint="(.*?)"', process.stdout.readline())[0]
        finally:
            process.terminate()


def blocks(size: int) -> Iterator[bytes]:
    block = bytes(BLOCK)
    for left in range(size, 0, -BLOCK):
        yield block[:left]


def best(repeat: int, work: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[1000, 1_000_000, 100_000_000], metavar="BYTES"
    )
    parser.add_argument("--policies", nargs="+", default=["SINGLE", "THREECOPIES", "EC"], metavar="POLICY")
    parser.add_argument(
        "--repeat", type=int, default=5, help="runs, of which the best counts (default: %(default)s)"
    )
    options = parser.parse_args()
    with namespace() as endpoint, ObjectStorageApi("OPENIO", endpoint=endpoint) as api:
        print(f"{'policy':<12} {'bytes':>12} {'put ms':>9} {'get ms':>9} {'put MB/s':>9} {'get MB/s':>9}")
        for policy in options.policies:
            for size in options.sizes:

                def put(policy: str = policy, size: int = size) -> None:
                    api.object_create(ACCOUNT, CONTAINER, obj_name="o", data=blocks(size), policy=policy)

                def get() -> None:
                    for _ in api.object_fetch(ACCOUNT, CONTAINER, "o")[1]:
                        pass

                put_time, get_time = best(options.repeat, put), best(options.repeat, get)
                rates = [size / seconds / 1e6 for seconds in (put_time, get_time)]
                print(
                    f"{policy:<12} {size:>12,} {put_time * 1e3:>9.1f} {get_time * 1e3:>9.1f}"
                    f" {rates[0]:>9.1f} {rates[1]:>9.1f}"
                )


if __name__ == "__main__":
    main()
