# SPDX-License-Identifier: Apache-2.0
"""Ports for services that must find the same one again after a restart."""

from __future__ import annotations

import itertools
import os
import socket
import threading
from typing import Final

# Below the range from which systems take the ports of outgoing connections: in it, the port of a stopped
# service may be given to any client of the machine, even to the one that tries to reach that very port.
_FIRST: Final = 10_000
_LAST: Final = 32_000
_SPAN: Final = _LAST - _FIRST

_lock = threading.Lock()
# Processes that run side by side (parallel tests) start far from each other, and none uses a port twice soon.
_candidates = itertools.count(os.getpid() * 193)


def free_ports(host: str, count: int) -> list[int]:
    """Return ``count`` different ports of ``host`` on which nobody listens.

    :raises OSError: there are not enough of them, or ``host`` is not an address of this machine.
    """
    found: list[int] = []
    with _lock:
        for candidate in itertools.islice(_candidates, _SPAN):
            port = _FIRST + candidate % _SPAN
            if _is_free(host, port):
                found.append(port)
                if len(found) == count:
                    return found
    raise OSError(f"only {len(found)} of {count} free ports on {host}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
