# SPDX-License-Identifier: Apache-2.0
"""Which code writes and reads the objects of each kind of storage method."""

from __future__ import annotations

import pkgutil
from typing import Any

from oio.common import exceptions as exc
from oio.common.storage_method import StorageMethod

_WRITERS = {
    "repli": "oio.api.replication:ReplicatedWriteHandler",
    "ec": "oio.api.ec:ECWriteHandler",
    "backblaze": "oio.api.backblaze:BackblazeWriteHandler",
}
_READERS = {
    "repli": "oio.common.storage_functions:fetch_stream",
    "ec": "oio.common.storage_functions:fetch_stream_ec",
    "backblaze": "oio.api.backblaze:fetch_stream_backblaze",
}


def write_handler(storage_method: StorageMethod) -> Any:
    """Get the class that uploads objects, see :class:`oio.api.io.WriteHandler`.

    :raises InvalidStorageMethod: there is none
    """
    return _load(_WRITERS, storage_method, "written")


def stream_reader(storage_method: StorageMethod) -> Any:
    """Get the function that reads objects, see :func:`oio.common.storage_functions.fetch_stream`.

    :raises InvalidStorageMethod: there is none
    """
    return _load(_READERS, storage_method, "read")


def _load(strategies: dict[str, str], storage_method: StorageMethod, verb: str) -> Any:
    try:
        # Loaded when it is needed: some depend on libraries that may be absent (pitfalls row 83).
        return pkgutil.resolve_name(strategies[storage_method.name])
    except (LookupError, ImportError, AttributeError) as err:
        raise exc.InvalidStorageMethod(
            f"objects of chunk method {storage_method.type!r} cannot be {verb}: {err}"
        ) from err
