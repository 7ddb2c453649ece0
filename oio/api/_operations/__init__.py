# SPDX-License-Identifier: Apache-2.0
"""Steps of each call of the object storage API.

The facade uses these modules as attributes of the package, and each is imported when a call first needs it:
together, they take as long as what a client is made of.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from oio.common import green

if TYPE_CHECKING:
    from oio.api._operations import (
        commit,
        download,
        emptying,
        files,
        link,
        location,
        orphan_files,
        paging,
        presence,
        recount,
        upload,
    )

__all__ = [
    "commit",
    "download",
    "emptying",
    "files",
    "link",
    "location",
    "orphan_files",
    "paging",
    "presence",
    "recount",
    "upload",
]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # A fork waits for that. None of them uses names of `green` at its top level, see there.
    with green.LOADING:
        return importlib.import_module(f"{__name__}.{name}")
