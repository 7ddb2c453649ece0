# SPDX-License-Identifier: Apache-2.0
"""Backup of a directory in a container, and back. Repeat a run that was interrupted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from oio import ObjectStorageApi
from oio.transfer import Progress, Remote, Transfer, TransferConfig


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("container")
    parser.add_argument("prefix", nargs="?", default="")
    parser.add_argument("--restore", action="store_true", help="from the container to the directory")
    parser.add_argument("--delete", action="store_true", help="also delete what the source has not")
    parser.add_argument("--workers", type=int, default=8)
    given = parser.parse_args(arguments)
    remote = Remote(os.environ["OIO_ACCOUNT"], given.container, given.prefix)
    ends = (remote, given.directory) if given.restore else (given.directory, remote)
    config = TransferConfig(workers=given.workers)
    api = ObjectStorageApi(os.environ["OIO_NS"], endpoint=os.environ["OIO_PROXYD_URL"])
    with api, Transfer(api, config, on_progress=show) as transfer:
        report = transfer.sync(*ends, delete=given.delete)
    for failure in report.failures:
        print(f"{failure.name}: {failure.error}", file=sys.stderr)
    print(f"{report.done} done, {report.skipped} there already, {report.failed} failed, {report.bytes} bytes")
    return 1 if report.failed else 0


def show(progress: Progress) -> None:
    if sys.stderr.isatty():
        print(f"\r{progress.objects} objects, {progress.bytes} bytes ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
