# SPDX-License-Identifier: Apache-2.0
"""Command line of the sandbox (``python -m oio.sandbox``), and its demonstration (``... demo``)."""

from __future__ import annotations

import argparse
import importlib
import random
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from oio.sandbox.metadata.policies import STORAGE_POLICY

_FAILED = 1
_USAGE_ERROR = 2
_INTERRUPTED = 130
#: Signals of Ctrl-C, of those who end processes, and of a terminal that is closed.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        importlib.import_module("oio.sandbox.namespace")
    except ModuleNotFoundError as err:
        if err.name != "h11":
            raise
        print(err, file=sys.stderr)
        return _USAGE_ERROR
    if options.command == "demo":
        return _demonstrate(options.files)
    if options.command == "chaos":
        return _torment(options)
    return _run(options)


def _demonstrate(files: Sequence[Path]) -> int:
    from oio.sandbox.demo import demonstrate

    _end_in_good_order()
    try:
        return demonstrate(files)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _torment(options: argparse.Namespace) -> int:
    from oio.sandbox.chaos.run import Settings, run

    _end_in_good_order()
    try:
        settings = Settings(
            seed=random.randrange(10**6) if options.seed is None else options.seed,
            release=options.release,
            threads=options.threads,
            policies=tuple(options.policies or Settings.policies),
            seconds=options.seconds,
            operations=options.operations,
            cache=options.cache,
            record=options.record,
            damage=options.damage,
        )
        return 0 if run(settings, lambda line: print(line, flush=True)) else _FAILED
    except (ValueError, OSError, ImportError) as exc:
        print(_explanation(exc), file=sys.stderr)
        return _USAGE_ERROR
    except KeyboardInterrupt:
        return _INTERRUPTED


def _end_in_good_order() -> None:
    """Make signals that end processes raise an exception, so that no file and no process is left behind."""
    for end in _ENDS:
        # A shell makes background jobs ignore Ctrl-C, and nohup the end of the terminal.
        if signal.getsignal(end) is not signal.SIG_IGN:
            signal.signal(end, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # An interruption may come between the opening of a file and the `with` that closes it.
    warnings.simplefilter("ignore", ResourceWarning)
    signal.default_int_handler(number, frame)


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
    add("--release", default="7.3", help="what the services answer like: 7.3 or 2026 (default: %(default)s)")
    commands = parser.add_subparsers(title="instead of running one", dest="command", metavar="[demo|chaos]")
    demo = commands.add_parser("demo", help="store files with each policy, stop a node, read them back")
    demo.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="default: some made for the occasion"
    )
    _add_chaos(commands)
    return parser


def _add_chaos(commands: Any) -> None:
    chaos = commands.add_parser(
        "chaos", help="let threads do everything at once while services fail, and check all results"
    )
    add = chaos.add_argument
    add(
        "--release",
        # "--release" before "chaos" counts as well.
        default=argparse.SUPPRESS,
        help="what the services answer like: 7.3 or 2026 (default: 7.3)",
    )
    add("--seconds", type=_duration, default=60.0, help="how long (default: %(default)s)")
    add("--operations", type=_positive, metavar="N", help="how many operations, instead of seconds")
    add("--seed", type=int, help="of all choices (default: any; it is printed)")
    add("--threads", type=_positive, default=8, help="that share one client (default: %(default)s)")
    add(
        "--policy",
        action="append",
        dest="policies",
        choices=sorted(STORAGE_POLICY),
        metavar="POLICY",
        help="of the objects; may be given several times (default: THREECOPIES and EC)",
    )
    add("--cache", action="store_true", help="give the client a cache of locations")
    add(
        "--damage",
        action="store_true",
        help="at the end, damage chunks on the disks, repair all objects, and check them again",
    )
    add("--record", type=Path, metavar="FILE", help="gets phases, failures and problems, as lines of JSON")


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be 1 or more: {text!r}")
    return int(text)


def _duration(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0: {text!r}")
    return seconds


def _run(options: argparse.Namespace) -> int:
    from oio.sandbox.namespace import Namespace

    ends = set(_ENDS)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # nohup; sigwait() would get it all the same.
        ends.remove(signal.SIGHUP)
    # Blocked before there are threads, so that they all leave these signals to sigwait().
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)
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
            release=options.release,
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
            print(
                f"# In a shell: export OIO_NS={namespace.name} OIO_PROXYD_URL={namespace.endpoint} "
                "OIO_ACCOUNT=me",
                file=sys.stderr,
            )
            print("# Ctrl-C ends it.", file=sys.stderr)
            signal.sigwait(ends)
    except (ValueError, OSError, ImportError) as exc:
        print(_explanation(exc), file=sys.stderr)
        return _USAGE_ERROR
    finally:
        while signal.sigtimedwait(ends, 0):
            pass  # A second Ctrl-C must not strike after the first has ended the namespace.
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return 0


def _explanation(exc: Exception) -> str:
    if not isinstance(exc, OSError) or not exc.strerror:
        return str(exc)
    return f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror


if __name__ == "__main__":
    sys.exit(main())
