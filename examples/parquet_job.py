# SPDX-License-Identifier: Apache-2.0
"""Mean value of each sensor: reads two columns of a table of measurements, and writes a table of means.

Paths are URLs such as ``oio://container/measures.parquet``.
"""

from __future__ import annotations

import sys

import pandas as pd


def main(source: str, target: str) -> None:
    # Only these columns are downloaded, by ranges of the object.
    measures = pd.read_parquet(source, columns=["sensor", "value"])
    means = measures.groupby("sensor", as_index=False)["value"].mean()
    means.to_parquet(target)
    print(f"{len(means)} sensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
