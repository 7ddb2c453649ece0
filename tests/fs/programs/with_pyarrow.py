# SPDX-License-Identifier: Apache-2.0
"""A program that stores a data set of many files with pyarrow; the environment tells where."""

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds

files = fsspec.filesystem("oio")
table = pa.table({"year": [2025, 2026, 2026], "value": [1, 2, 3]})
ds.write_dataset(table, "box/set", filesystem=files, format="parquet", partitioning=["year"])
assert len(files.find("box/set")) == 2
found = ds.dataset("box/set", filesystem=files, format="parquet", partitioning=["year"]).to_table()
assert sorted(found.to_pydict()["value"]) == [1, 2, 3]
print("OK")
