# SPDX-License-Identifier: Apache-2.0
"""Filesystem of fsspec: ``oio://container/path`` in pandas, pyarrow, zarr, dask and others.

It needs the extra ``fsspec``: ``pip install 'openio-sdk[fsspec]'``.
"""

from __future__ import annotations

from oio.fs.file import OioFile
from oio.fs.filesystem import OioFileSystem

__all__ = ["OioFile", "OioFileSystem"]
