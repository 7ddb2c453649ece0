# SPDX-License-Identifier: Apache-2.0
"""A time limit for calls that might hang: the test fails, and the others go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_PATIENCE = 20.0


def watched(call: Callable[[], Any]) -> Any:
    """Run a call in a thread of its own; return its result, or the exception that it raised."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as err:  # noqa: BLE001 - handed to the test
            results.append(err)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    assert results, f"nothing after {_PATIENCE} seconds"
    thread.join()
    return results[0]
