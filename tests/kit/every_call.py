# SPDX-License-Identifier: Apache-2.0
"""All calls of the API about a container or an object, with arguments for an object "o"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.facade import ACCOUNT

Call = Callable[..., Any]


def drawn(stream_of: Call) -> Call:
    """Wrap a call, so that the generator or the stream that it returns is read to its end."""

    def call(*args: Any, **kwargs: Any) -> Any:
        result = stream_of(*args, **kwargs)
        meta, stream = result if isinstance(result, tuple) else (None, result)
        return meta, list(stream)

    return call


CONTAINER_CALLS: dict[str, Call] = {
    "container_check": lambda api, *c, **o: list(api.container_check(*c, **o)),
    "container_del_properties": lambda api, *c, **o: api.container_del_properties(*c, ["k"], **o),
    "container_delete": lambda api, *c, **o: api.container_delete(*c, force=True, **o),
    "container_flush": lambda api, *c, **o: api.container_flush(*c, **o),
    "container_flush, fast": lambda api, *c, **o: api.container_flush(*c, fast=True, **o),
    "container_get_properties": lambda api, *c, **o: api.container_get_properties(*c, **o),
    "container_purge": lambda api, *c, **o: api.container_purge(*c, **o),
    "container_refresh": lambda api, *c, **o: api.container_refresh(*c, **o),
    "container_repair": lambda api, *c, **o: list(api.container_repair(*c, **o)),
    "container_set_properties": lambda api, *c, **o: api.container_set_properties(*c, {"k": "v"}, **o),
    "container_show": lambda api, *c, **o: api.container_show(*c, **o),
    "container_snapshot": lambda api, *c, **o: api.container_snapshot(*c, ACCOUNT, "copy", **o),
    "container_touch": lambda api, *c, **o: api.container_touch(*c, **o),
    "container_touch, recompute": lambda api, *c, **o: api.container_touch(*c, recompute=True, **o),
    "container_update": lambda api, *c, **o: api.container_update(*c, {"k": "v"}, **o),
    "object_create": lambda api, *c, **o: api.object_create(*c, obj_name="new", data=b"new", **o),
    "object_create, append": lambda api, *c, **o: api.object_create(
        *c, obj_name="o", data=b"new", append=True, **o
    ),
    "object_create_ext": lambda api, *c, **o: api.object_create_ext(*c, obj_name="new", data=b"new", **o),
    "object_delete_many": lambda api, *c, **o: api.object_delete_many(*c, ["o", "p"], **o),
    "object_delete_many_ext": lambda api, *c, **o: api.object_delete_many_ext(*c, ["o", ("p", 1)], **o),
    "object_list": lambda api, *c, **o: api.object_list(*c, **o),
    "object_list_all": lambda api, *c, **o: drawn(api.object_list_all)(*c, **o),
}
"""Calls about a container."""


def _content(file: Any) -> bytes:
    with file:
        return bytes(file.read())


OBJECT_CALLS: dict[str, Call] = {
    "object_analyze": lambda api, *t, **o: api.object_analyze(*t, **o),
    "object_change_policy": lambda api, *t, **o: api.object_change_policy(*t, "SINGLE", **o),
    "object_check": lambda api, *t, **o: api.object_check(*t, **o),
    "object_del_properties": lambda api, *t, **o: api.object_del_properties(*t, ["k"], **o),
    "object_delete": lambda api, *t, **o: api.object_delete(*t, **o),
    "object_delete_ext": lambda api, *t, **o: api.object_delete_ext(*t, **o),
    "object_drain": lambda api, *t, **o: api.object_drain(*t, **o),
    "object_fetch": lambda api, *t, **o: drawn(api.object_fetch)(*t, **o),
    "object_get_properties": lambda api, *t, **o: api.object_get_properties(*t, **o),
    "object_head": lambda api, *t, **o: api.object_head(*t, **o),
    "object_head, chunks": lambda api, *t, **o: api.object_head(*t, trust_level=2, **o),
    "object_locate": lambda api, *t, **o: api.object_locate(*t, **o),
    "object_locate, chunks": lambda api, *t, **o: drawn(api.object_locate)(*t, chunk_info=True, **o),
    "object_open": lambda api, *t, **o: _content(api.object_open(*t, **o)),
    "object_repair": lambda api, *t, **o: api.object_repair(*t, **o),
    "object_set_properties": lambda api, *t, **o: api.object_set_properties(*t, {"k": "v"}, **o),
    "object_show": lambda api, *t, **o: api.object_show(*t, **o),
    "object_touch": lambda api, *t, **o: api.object_touch(*t, **o),
    "object_truncate": lambda api, *t, **o: api.object_truncate(*t, size=2, **o),
    "object_update": lambda api, *t, **o: api.object_update(*t, {"k": "v"}, **o),
}
"""Calls about an object."""


def make(call: str, calls: dict[str, Call], api: Any, *target: Any, **options: Any) -> Any:
    """Make a call of a table; ignore the warning of deprecated ones."""
    if call.partition(",")[0] in ("container_update", "object_analyze", "object_show", "object_update"):
        with pytest.deprecated_call():
            return calls[call](api, *target, **options)
    return calls[call](api, *target, **options)
