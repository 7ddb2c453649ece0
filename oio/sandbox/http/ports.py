# SPDX-License-Identifier: Apache-2.0
"""Allocation of ports that services keep over restarts."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

# Below the range from which systems take the ports of outgoing connections: in it, the port of a stopped
# service may be given to any client of the machine, even to the one that tries to reach that very port.
_FIRST: Final = 10_000
_LAST: Final = 32_000


def free_ports(host: str, count: int) -> list[int]:
    """Return ``count`` different ports of ``host`` on which nobody listens.

    All namespaces of a user take their ports from one counter, a file in the temporary directory, so that
    those of a namespace that is being started, or of a stopped service, are not given to another one.

    :raises OSError: there are not enough of them, or ``host`` is not an address of this machine.
    """
    found: list[int] = []
    if not count:
        return found
    with _last_port() as file:
        text = file.read()
        port = int(text) if text.isdecimal() else random.randint(_FIRST, _LAST)
        for _ in range(_FIRST, _LAST):
            port = port + 1 if _FIRST <= port < _LAST else _FIRST
            if _is_free(host, port):
                found.append(port)
            if len(found) == count:
                break
        else:
            raise OSError(f"only {len(found)} of {count} free ports on {host}")
        file.seek(0)
        file.truncate()
        file.write(f"{port}")
    return found


@contextlib.contextmanager
def _last_port() -> Iterator[TextIO]:
    """Open the file that holds the last port given, locked."""
    path = Path(tempfile.gettempdir()) / f"oio-sandbox-{os.getuid()}.port"
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRNOTAVAIL:
                raise OSError(exc.errno, f"cannot listen on {host}: {exc.strerror}") from exc
            return False
        return True
