# SPDX-License-Identifier: Apache-2.0
"""Helpers for tests of objects in Backblaze: files in the B2 of a namespace, and damage to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oio.api.backblaze_http import Backoff
from oio.b2.clients import B2Clients
from oio.sandbox import Namespace
from oio.sandbox.b2.versions import Version, Wanted

PART_SIZE = 100_000
"""Bytes of a part for the clients of these tests, so that large files need not be large."""
IMPATIENT = Backoff(first=0.01, longest=0.02, patience=5.0)


@contextlib.contextmanager
def client_of(namespace: Namespace, **kwargs: Any) -> Iterator[Any]:
    """A client with short pauses between attempts, and small parts."""
    namespace.b2.limits.minimum_part_size = PART_SIZE
    with namespace.api(**kwargs) as client:
        client._b2_clients = B2Clients(part_size=PART_SIZE, backoff=IMPATIENT)
        yield client


def versions(namespace: Namespace) -> list[Version]:
    """All versions in the bucket for objects, including unfinished large files."""
    bucket = namespace.b2.store.buckets.named(namespace.b2.bucket_name).id
    return namespace.b2.store.versions.versions(Wanted(bucket, limit=1_000_000))[0]


def listed(api: Any, *target: str, **kwargs: Any) -> list[str]:
    """Names of the files of an object."""
    meta, chunks = api.object_fetch(*target, **kwargs)[0], api.object_locate(*target, **kwargs)[1]
    return [f"{meta['container_id']}/{chunk['url'].removeprefix('b2/')}" for chunk in chunks]


def spoil(namespace: Namespace, change: Any) -> None:
    """Change the data of the only file of the bucket on the disk."""
    (version,) = versions(namespace)
    for path in paths_of(namespace, version):
        path.write_bytes(change(path.read_bytes()))


def paths_of(namespace: Namespace, version: Version) -> list[Path]:
    """Files on the disk with the data of a version."""
    store = namespace.b2.store
    return [store.disk.path(name) for name, _ in store.versions.pieces(str(version.id))]


def asked(namespace: Namespace, service: str = "b2") -> list[str]:
    """Last parts of the routes of the requests so far."""
    operations = []
    for record in namespace.requests:
        if record.service == service:
            path = record.target.partition("?")[0]
            operations.append("download" if path.startswith("/file/") else _operation(path))
    return operations


def _operation(path: str) -> str:
    parts = path.split("/")
    return next((part for part in parts if part.startswith("b2_")), "/".join(parts[-2:]))
