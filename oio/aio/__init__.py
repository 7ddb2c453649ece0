# SPDX-License-Identifier: Apache-2.0
"""The object storage API for asyncio.

>>> from oio.aio import AsyncObjectStorageApi
>>> import inspect
>>> inspect.iscoroutinefunction(AsyncObjectStorageApi.object_create)
True
"""

from __future__ import annotations

from oio.aio._api import AsyncObjectStorageApi
from oio.aio._base import AsyncData
from oio.aio._files import AsyncObjectReader, AsyncObjectWriter, Opening
from oio.aio._streams import AsyncItems, AsyncObjectStream

__all__ = [
    "AsyncData",
    "AsyncItems",
    "AsyncObjectReader",
    "AsyncObjectStorageApi",
    "AsyncObjectStream",
    "AsyncObjectWriter",
    "Opening",
]
