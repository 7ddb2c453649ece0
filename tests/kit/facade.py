# SPDX-License-Identifier: Apache-2.0
"""Objects for tests of the API, and helpers that look at chunks and requests."""

from __future__ import annotations

import random
from typing import Any

from oio.sandbox import Namespace

CHUNK_SIZE = 1 << 18
ACCOUNT, CONTAINER = "acct", "box"
LARGE = random.Random(1).randbytes(2 * CHUNK_SIZE)
"""Two metachunks."""


def create(api: Any, name: str, data: Any = b"hello", **kwargs: Any) -> dict[str, Any]:
    """Store an object, and return its description."""
    return api.object_create_ext(ACCOUNT, CONTAINER, data=data, obj_name=name, **kwargs)[3]  # type: ignore[no-any-return]


def read(api: Any, name: str, **kwargs: Any) -> bytes:
    """Return the data of an object."""
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, name, **kwargs)
    with stream:
        return b"".join(stream)


def chunks_on_disk(namespace: Namespace) -> list[str]:
    """IDs of all chunks on the disks."""
    return [chunk for rawx in namespace.rawx for chunk in rawx.chunks()]


def header(record: Any, name: str) -> str | None:
    """Value of a header of a recorded request."""
    return next((value for key, value in record.headers if key.lower() == name), None)


def routes(namespace: Namespace) -> list[str]:
    """Service, method and route of the requests so far."""
    return [
        f"{record.service} {record.method} {record.target.partition('?')[0].rpartition('/v3.0/OPENIO/')[2]}"
        for record in namespace.requests
    ]
