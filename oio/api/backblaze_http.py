# SPDX-License-Identifier: Apache-2.0
"""Client of Backblaze B2, native API version 1."""

from __future__ import annotations

from oio.b2.client import Backblaze, Requests
from oio.b2.credentials import BackblazeUtils
from oio.b2.errors import BackblazeException, BackblazeUtilsException
from oio.b2.retry import Backoff

__all__ = [
    "Backblaze",
    "BackblazeException",
    "BackblazeUtils",
    "BackblazeUtilsException",
    "Backoff",
    "Requests",
]
