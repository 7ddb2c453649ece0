# SPDX-License-Identifier: Apache-2.0
"""JSON codec of the library: ``simplejson`` where the host has it, else the standard one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import json
else:
    try:
        import simplejson as json
    except ImportError:
        import json

__all__ = ["json"]
