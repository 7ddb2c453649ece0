# SPDX-License-Identifier: Apache-2.0
"""The calls of the object storage API that make copies which share the chunks of their original."""

from __future__ import annotations

from oio.api._calls import ApiBase


class LinkApi(ApiBase):
    """Calls that make copies without copying data."""
