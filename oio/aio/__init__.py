# SPDX-License-Identifier: Apache-2.0
"""The object storage API for asyncio.

>>> from oio.aio import AsyncObjectStorageApi
>>> import inspect
>>> inspect.iscoroutinefunction(AsyncObjectStorageApi.object_create)
True
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.aio._api import AsyncObjectStorageApi
from oio.aio._base import AsyncData
from oio.aio._files import AsyncObjectReader, AsyncObjectWriter, Opening
from oio.aio._streams import AsyncItems, AsyncObjectStream

if TYPE_CHECKING:
    from oio.aio._transfers import AsyncTransfer

__all__ = [
    "AsyncData",
    "AsyncItems",
    "AsyncObjectReader",
    "AsyncObjectStorageApi",
    "AsyncObjectStream",
    "AsyncObjectWriter",
    "AsyncTransfer",
    "Opening",
]


def __getattr__(name: str) -> object:
    if name != "AsyncTransfer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Loaded when it is used: most programs transfer no directories.
    from oio.aio._transfers import AsyncTransfer

    return AsyncTransfer
