# SPDX-License-Identifier: Apache-2.0
"""Transfers of many objects: uploads, downloads, copies, and synchronisation of directories and containers.

>>> from oio.transfer import Remote, Transfer, TransferConfig
>>> TransferConfig(workers=4).overwrite
'changed'
"""

from __future__ import annotations

from oio.transfer._config import Remote, TransferConfig
from oio.transfer._results import (
    DataMismatch,
    FileChanged,
    FileRefused,
    NameRefused,
    ObjectChanged,
    Progress,
    Report,
    Result,
    TransferCancelled,
    TransferDeadlineReached,
    TransferError,
    TransfersFailed,
)
from oio.transfer._transfer import Transfer

__all__ = [
    "DataMismatch",
    "FileChanged",
    "FileRefused",
    "NameRefused",
    "ObjectChanged",
    "Progress",
    "Remote",
    "Report",
    "Result",
    "Transfer",
    "TransferCancelled",
    "TransferConfig",
    "TransferDeadlineReached",
    "TransferError",
    "TransfersFailed",
]
