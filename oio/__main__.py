# SPDX-License-Identifier: Apache-2.0
"""The command ``openio``, as ``python -m oio``."""

from __future__ import annotations

import sys

from oio.cli import main

if __name__ == "__main__":
    sys.exit(main())
