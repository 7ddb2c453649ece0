# SPDX-License-Identifier: Apache-2.0
"""JSON codec of the library: the standard one, whatever the host has."""

from __future__ import annotations

import json

__all__ = ["json"]
