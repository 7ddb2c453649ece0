# SPDX-License-Identifier: Apache-2.0
"""Containers with many versions of objects without data, made in one request."""

from __future__ import annotations

from typing import Any

from tests.kit.facade import ACCOUNT, CONTAINER

_BATCH = 2000


def alias(name: str, version: int, deleted: bool = False) -> dict[str, Any]:
    """Row of one version of an object, or of a delete marker."""
    content = "44454C45544544" if deleted else f"{version:032X}"
    return {"type": "alias", "name": name, "version": version, "header": content, "deleted": deleted}


def versions_of(name: str, count: int, first: int = 1) -> list[dict[str, Any]]:
    """Rows of the versions of an object."""
    return [alias(name, version) for version in range(first, first + count)]


def fill(api: Any, *rows: dict[str, Any], container: str = CONTAINER, system: Any = None) -> None:
    """Make a container with these rows; the objects have no chunks."""
    api.container_create(ACCOUNT, container, system=system)
    headers = {
        row["header"]: {
            "type": "header",
            "id": row["header"],
            "hash": "0" * 32,
            "size": 0,
            "chunk-method": "plain/nb_copy=1",
            "mime-type": "",
        }
        for row in rows
        if not row["deleted"]
    }
    beans = [*headers.values(), *rows]
    for begin in range(0, len(beans), _BATCH):
        api.container.container_raw_insert(
            beans[begin : begin + _BATCH], ACCOUNT, container, path="o", content_id="AB" * 16
        )


def left(api: Any, container: str = CONTAINER) -> list[tuple[str, int, bool]]:
    """All versions in a container: name, version, whether it is a delete marker."""
    rows = api.object_list_all(ACCOUNT, container, versions=True)
    return [(row["name"], row["version"], row["deleted"]) for row in rows]
