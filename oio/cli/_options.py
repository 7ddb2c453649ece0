# SPDX-License-Identifier: Apache-2.0
"""Global options, which may be anywhere on the line."""

from __future__ import annotations

import argparse
import math

_LONGEST_ID = 63
"""Characters of the longest request ID that services take."""
_PROFILERS = ("cProfile", "profile")


def add_global_options(parser: argparse.ArgumentParser, version: str) -> None:
    """Add the global options.

    :param version: text of ``--version``
    """
    add = parser.add_argument
    add("--version", action="version", version=version, help="print the version")
    add("-h", "--help", dest="deferred_help", action="store_true", help="show this help")
    _add_logging(parser)
    _add_place(parser)
    _add_requests(parser)
    _add_profiling(parser)


def _add_logging(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "-v",
        "--verbose",
        dest="verbose_level",
        action="count",
        default=1,
        help="log more; twice for even more",
    )
    add("-q", "--quiet", dest="verbose_level", action="store_const", const=0, help="log nothing but errors")
    add("--debug", action="store_true", help="show the traceback of errors")
    add("--log-file", metavar="FILE", help="log to this file too")


def _add_place(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--ns", "--oio-ns", dest="ns", metavar="NAMESPACE", help="name of the namespace (OIO_NS)")
    add("-a", "--account", "--oio-account", dest="account", help="name of the account (OIO_ACCOUNT)")
    add(
        "--oio-proxy",
        "--oio-proxyd-url",
        dest="proxy",
        metavar="URL",
        help="address of the proxy (OIO_PROXYD_URL; then the files of the namespace)",
    )


def _add_requests(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--admin-flag", "--admin", dest="admin", action="store_true", help="ask as an administrator")
    add(
        "--request-id",
        "--req-id",
        type=request_id,
        metavar="ID",
        help="ID of the requests, 63 characters at most",
    )
    add(
        "--deadline",
        type=seconds,
        metavar="SECONDS",
        help="time granted to the command; it fails when that is spent",
    )
    add("--dump-perfdata", action="store_true", help="print the time that was spent")


def _add_profiling(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--profile", metavar="FILE", help="write a profile of the command to this file, for pstats")
    add("--profiler", choices=_PROFILERS, default="cProfile", help="what makes it (default: cProfile)")
    add("--profile-early", action="store_true", help="profile the imports, too")


def request_id(text: str) -> str:
    """A request ID.

    >>> request_id("backup-17")
    'backup-17'
    """
    if len(text) > _LONGEST_ID or not text.isascii() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"must be at most {_LONGEST_ID} printable characters: {text!r}")
    return text


def seconds(text: str) -> float:
    """A number of seconds.

    >>> seconds("0.5")
    0.5
    """
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be more than 0: {text!r}")
    return number
