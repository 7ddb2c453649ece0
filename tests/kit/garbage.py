# SPDX-License-Identifier: Apache-2.0
"""Objects that calls leave to the garbage collector."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from typing import Any


def garbage_of(call: Callable[[Any], Any], api: Any) -> list[type]:
    """Types of the objects that a call leaves, except those of the sandbox and hubs of ended threads."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        result = call(api)
        if isinstance(result, Iterator):
            list(result)
        del result
        gc.collect()
        kinds = [type(item) for item in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    return [kind for kind in kinds if re.match(r"oio\.(?!sandbox|common\.green)", kind.__module__)]
