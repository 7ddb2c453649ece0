# SPDX-License-Identifier: Apache-2.0
"""A program that stores an array in pieces with zarr; the environment tells where."""

import fsspec
import zarr

array = zarr.open_array("oio://box/array.zarr", mode="w", shape=(100, 10), chunks=(30, 10), dtype="i4")
array[:] = 7
again = zarr.open_array("oio://box/array.zarr", mode="r")
assert (again.shape, int(again[50:60].sum())) == ((100, 10), 700)
assert len(fsspec.filesystem("oio").find("box/array.zarr")) > 4
print("OK")
