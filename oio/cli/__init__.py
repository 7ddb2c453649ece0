# SPDX-License-Identifier: Apache-2.0
"""The command ``openio``: accounts, containers, objects, references and services, from a shell.

It needs the extra ``cli``; :doc:`/command` shows how to use it. Commands of other programs can derive from
``Command``, ``Lister`` and ``ShowOne``, classes of cliff, which can be imported from here, too.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence

__all__ = ["main"]

_BASES = {"Command": "cliff.command", "Lister": "cliff.lister", "ShowOne": "cliff.show"}
"""Classes that commands of gateways are made of, and their modules."""
_FAILED = 1
_INTERRUPTED = 130


def __getattr__(name: str) -> object:
    # The extra is not needed to import this module.
    if name not in _BASES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_BASES[name]), name)
    except ModuleNotFoundError as err:
        raise ImportError(f"{err}: pip install 'openio-sdk[cli]'", name=err.name) from err


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status: 0, 1 after an error, 2 for bad usage, 130 after Ctrl-C.

    :param arguments: the words after ``openio``, by default those of this process

    >>> main(["sandbox", "run", "--rawx", "0"])
    2
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except KeyboardInterrupt:
        # Pressed while modules were imported; the program handles later ones itself.
        return _INTERRUPTED


def _run(words: list[str]) -> int:
    if words == ["--version"] and sys.stdout is not None:
        # Answered before the imports below, for scripts that look for it. The program tells why it cannot be.
        from oio._version import __version__

        with contextlib.suppress(OSError, ValueError):
            sys.stdout.write(f"openio {__version__}\n")
            sys.stdout.flush()
            return 0
    if words[:1] == ["sandbox"] and words[1:2] in (["run"], ["demo"], ["chaos"]):
        # The sandbox has options of its own, and does not need cliff.
        from oio.sandbox.__main__ import main as run_sandbox

        return run_sandbox(words[2:] if words[1] == "run" else words[1:])
    try:
        from oio.cli._app import Openio
    except ModuleNotFoundError as err:
        if (err.name or "").partition(".")[0] not in {"cliff", "stevedore"}:
            raise
        sys.stderr.write(f"{err}: pip install 'openio-sdk[cli]'\n")
        return _FAILED
    return int(Openio().run(words))
