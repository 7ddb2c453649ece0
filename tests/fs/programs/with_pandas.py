# SPDX-License-Identifier: Apache-2.0
"""A program that stores tables with pandas; the environment tells where."""

import pandas as pd

frame = pd.DataFrame({"a": range(1000), "b": [str(number) for number in range(1000)]})
frame.to_csv("oio://box/frame.csv", index=False)
frame.to_parquet("oio://box/frame.parquet")
assert pd.read_csv("oio://box/frame.csv", dtype={"b": str}).equals(frame)
assert pd.read_parquet("oio://box/frame.parquet", columns=["a"]).equals(frame[["a"]])
print("OK")
