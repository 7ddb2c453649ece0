# SPDX-License-Identifier: Apache-2.0
"""An embedded namespace: proxy, account and rawx services on loopback, durable on disk, with fault injection.

>>> from oio.sandbox import Namespace
>>> with Namespace() as namespace:  # doctest: +SKIP
...     api = namespace.api()
...     api.object_create("account", "container", obj_name="name", data=b"bytes")

Needs the extra ``sandbox`` (``pip install 'openio-sdk[sandbox]'``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oio.sandbox.faults import Fault, FaultPlan
    from oio.sandbox.namespace import Namespace

__all__ = ["Fault", "FaultPlan", "Namespace"]

_HOMES = {
    "Fault": "oio.sandbox.faults",
    "FaultPlan": "oio.sandbox.faults",
    "Namespace": "oio.sandbox.namespace",
}


def __getattr__(name: str) -> Any:
    # Lazy: `python -m oio.sandbox` must be able to say that h11 is missing.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
