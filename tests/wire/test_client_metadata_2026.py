# SPDX-License-Identifier: Apache-2.0
"""The client, given what the development head answered about metadata, asks as the recorded client did.

Captures about accounts, containers, listings and deletions, made by the client of the development head.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
import urllib3

from oio.api.object_storage import ObjectStorageApi
from tests.kit.recording import Asked, RecordingPool
from tests.wire.calls import describe
from tests.wire.recorded import DIRECTORY_2026, NAMES_2026, Exchange, load_2026

PATTERN = re.compile(r"(account|container)_.*|object_(list|delete|delete_many)__.*")
#: Flushes, which look at what is left, are made again in ``test_client_links_2026.py``.
NAMES = [name for name in NAMES_2026 if PATTERN.fullmatch(name) and not name.startswith("container_flush")]

DIFFERENT = {
    # name of the capture: (what comes instead of what was recorded, why)
    "account_list__ok": (lambda rows: [row["id"] for row in rows], "names, as from services of 7.3"),
    "object_delete__delete_marker": (lambda result: result[0], "object_delete_ext tells the version"),
    "object_list__versions_limit": (
        lambda page: page | {"objects": [{**row, "content": row["id"]} for row in page["objects"]]},
        "rows have the content ID under both names",
    ),
}
#: Parameters and parts of bodies that need not be as recorded; None for the whole body.
FREE: dict[str, set[str | None]] = {
    # Flags that say the same when they are not there, and versions, which are to be deleted too.
    "container/list": {"properties", "chunks", "all"},
    # Nothing, for both releases.
    "account/containers": {"s3_buckets_only"},
    # In the body for services of 7.3, which do not look at the query; and the date of the day.
    "container/reset": {"name", "mtime"},
    "lb/choose": {"size"},
    # A body that nobody looks at.
    "content/delete": {None},
}


class Services:
    """Gives the answers of a capture, each to a request like the recorded one."""

    def __init__(self, exchanges: list[Exchange]) -> None:
        self._left = list(exchanges)

    def __call__(self, asked: Asked) -> Any:
        found = next(
            e for e in self._left if (e.method, key_of(e.target)) == (asked.method, key_of(asked.url))
        )
        self._left.remove(found)
        assert found.response is not None
        headers = urllib3.HTTPHeaderDict(found.response.headers)
        return urllib3.HTTPResponse(found.response.body, headers, found.response.status)


def key_of(target: str) -> str:
    """The last two parts of a path, by which a route is known."""
    return "/".join(target.partition("?")[0].split("/")[-2:])


def said(method: str, target: str, query: dict[str, str], body: Any) -> str:
    """Make a text of what matters in a request."""
    route = key_of(target)
    free = FREE.get(route, set())
    kept = {name: value for name, value in query.items() if name not in free}
    if None in free:
        body = None
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in free}
    return json.dumps([method, route, kept, body or None], sort_keys=True)


@pytest.mark.pitfall("W7", "W8", "W9", "W13", "W14", "W16", "W18")
@pytest.mark.parametrize("name", NAMES)
def test_client_meets_the_services_of_the_development_head(name: str) -> None:
    recorded = json.loads((DIRECTORY_2026 / f"{name}.json").read_text(encoding="utf-8"))
    exchanges = load_2026(name).exchanges
    pool = RecordingPool(Services(exchanges))
    names = {"A": "hcap-1795935826", "c": "cont", "v": "vers"}
    with ObjectStorageApi("OPENIO", endpoint="127.0.0.1:7010", pool_manager=pool) as api:
        result = json.loads(json.dumps(describe(eval(recorded["call"], {"api": api, **names}))))
    expected = recorded["outcome"]["return"]
    if name in DIFFERENT:
        assert result != expected, "this capture is not different any more"
        expected = DIFFERENT[name][0](expected)
    assert result == expected
    assert Counter(said(one.method, one.url, one.query, one.json) for one in pool.asked) == Counter(
        said(one.method, one.target, one.query, one.request.json) for one in exchanges
    )


@pytest.mark.pitfall("W14")
def test_client_tells_the_mark_that_a_deletion_made() -> None:
    pool = RecordingPool(Services(load_2026("object_delete__delete_marker").exchanges))
    with ObjectStorageApi("OPENIO", endpoint="127.0.0.1:7010", pool_manager=pool) as api:
        known = api.object_delete_ext("hcap-1795935826", "vers", "o")
    assert (known["version"], known["delete_marker"]) == ("1795935828814630", True)


def test_all_the_captures_about_metadata_are_there() -> None:
    assert len(NAMES) == 11
