# SPDX-License-Identifier: Apache-2.0
"""All that calls import when they first need it, for servers that fork their workers.

>>> import oio.preload
"""

from __future__ import annotations

import oio.api._data.copies
import oio.api._data.ec.strategy
import oio.api.object_storage
import oio.blob.client  # noqa: F401 - with urllib3 and eventlet
from oio.api import _operations

for _name in _operations.__all__:
    getattr(_operations, _name)
