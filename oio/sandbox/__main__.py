# SPDX-License-Identifier: Apache-2.0
"""Command line of the sandbox (``python -m oio.sandbox``), and its demonstration (``... demo``)."""

from __future__ import annotations

import argparse
import importlib.util
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_USAGE_ERROR = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    if importlib.util.find_spec("h11") is None:
        print("The sandbox needs h11: pip install 'openio-sdk[sandbox]'", file=sys.stderr)
        return _USAGE_ERROR
    if options.command == "demo":
        return _demonstrate(options.files)
    return _run(options)


def _demonstrate(files: Sequence[Path]) -> int:
    from oio.sandbox.demo import demonstrate

    # Ended in good order, a demonstration leaves no file and no process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return demonstrate(files)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m oio.sandbox", description="An embedded OpenIO SDS namespace."
    )
    parser.set_defaults(command="run")
    add = parser.add_argument
    add("--path", type=Path, help="directory of the data; default: a temporary one, removed at the end")
    add("--name", default="OPENIO", help="name of the namespace (default: %(default)s)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=0, help="port of the proxy (default: any, or as before)")
    add("--rawx", type=int, default=18, help="number of chunk servers (default: %(default)s)")
    add("--chunk-size", type=int, default=10 * 1024 * 1024, help="bytes in a chunk (default: %(default)s)")
    add("--policy", default="THREECOPIES", help="default storage policy (default: %(default)s)")
    add(
        "--max-versions",
        type=int,
        default=1,
        help="versions kept of an object when its container does not say; -1: all (default: %(default)s)",
    )
    add("--strict", action="store_true", help="enforce quotas; refuse properties that make no sense")
    add("--worm", action="store_true", help="let only administrators delete objects")
    add(
        "--event-delay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="until the account service and the rdir know of a change (default: at once)",
    )
    commands = parser.add_subparsers(title="instead of running one", dest="command", metavar="[demo]")
    demo = commands.add_parser("demo", help="store files with each policy, stop a node, read them back")
    demo.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="default: some made for the occasion"
    )
    return parser


def _run(options: argparse.Namespace) -> int:
    from oio.sandbox.namespace import Namespace

    ends = {signal.SIGINT, signal.SIGTERM}
    # Blocked before there are threads, so that they all leave these signals to sigwait().
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        namespace = Namespace(
            options.path,
            name=options.name,
            rawx=options.rawx,
            chunk_size=options.chunk_size,
            host=options.host,
            port=options.port,
            default_policy=options.policy,
            max_versions=options.max_versions,
            strict=options.strict,
            worm=options.worm,
            event_delay=options.event_delay,
        )
        with namespace:
            print("from oio import ObjectStorageApi")
            print(
                f'api = ObjectStorageApi("{namespace.name}", endpoint="{namespace.endpoint}", '
                f'key_file="{namespace.b2_key_file}")',
                flush=True,
            )
            print(
                f"# Its B2: {namespace.b2_endpoint}, account {namespace.b2.account_id}, "
                f"bucket {namespace.b2.bucket_name}",
                file=sys.stderr,
            )
            print("# Ctrl-C ends it.", file=sys.stderr)
            signal.sigwait(ends)
    except (ValueError, OSError) as exc:
        print(_explanation(exc), file=sys.stderr)
        return _USAGE_ERROR
    return 0


def _explanation(exc: Exception) -> str:
    if not isinstance(exc, OSError) or not exc.strerror:
        return str(exc)
    return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror


if __name__ == "__main__":
    sys.exit(main())
