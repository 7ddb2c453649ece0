# SPDX-License-Identifier: Apache-2.0
"""Client library for OpenIO SDS, a distributed object store.

>>> from oio import ObjectStorageApi
>>> ObjectStorageApi.__module__
'oio.api.object_storage'
"""

from __future__ import annotations

from oio._version import __version__

# Importing this costs next to nothing: even `typing` would take most of the time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from oio.api.object_storage import ObjectStorageApi

__all__ = ["ObjectStorageApi", "__version__"]


def __getattr__(name: str) -> object:
    """Import the facade at first use: ``import oio`` alone must stay free of green threads and of EC."""
    if name == "ObjectStorageApi":
        from oio.api.object_storage import ObjectStorageApi

        return ObjectStorageApi
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "ObjectStorageApi"})
