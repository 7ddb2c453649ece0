# SPDX-License-Identifier: Apache-2.0
"""Namespaces that refuse more than the usual ones: strict and WORM ones."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from oio.sandbox.messages import Request, Response
from oio.sandbox.metadata.policies import Policies
from oio.sandbox.metadata.store import Metadata
from oio.sandbox.proxy.backend import Backend
from oio.sandbox.proxy.registry import Conscience
from oio.sandbox.proxy.service import Proxy
from tests.sandbox.asking import ask, status

_versions = itertools.count(1)


@contextlib.contextmanager
def opened(path: Path, *, strict: bool = False, worm: bool = False) -> Iterator[Proxy]:
    metadata = Metadata(path / "metadata.db", namespace="NS", meta2="h:1", strict=strict)
    yield Proxy(Backend(metadata, Conscience("NS"), Policies("THREECOPIES"), 1000, worm))
    metadata.close()


def create(proxy: Proxy, name: str, size: int, query: str = "") -> Response:
    """Create an object of one chunk in the container ``c``."""
    identity = hashlib.md5(name.encode()).hexdigest()
    chunk = {"url": f"http://h:1/{identity}", "pos": "0", "size": size, "hash": "00" * 16}
    meta = {"size": str(size), "id": identity, "version": str(next(_versions)), "policy": "SINGLE"}
    return ask(proxy, "POST", "content/create", f"acct=a&ref=c&path={name[0]}{query}", [chunk], **meta)


def test_a_strict_namespace_lets_no_container_grow_beyond_its_quota(tmp_path: Path) -> None:
    with opened(tmp_path, strict=True) as proxy:
        ask(proxy, "POST", "container/create", "acct=a&ref=c", {"system": {"sys.m2.quota": "100"}})
        assert create(proxy, "a", 60).status == 204
        assert status(create(proxy, "b", 41)) == (500, 445)
        assert status(create(proxy, "a, longer", 41, "&append=1")) == (500, 445)
        assert status(ask(proxy, "GET", "content/locate", "acct=a&ref=c&path=b")) == (404, 420)
        # One that takes the place of another counts for the difference.
        assert create(proxy, "a, again", 100).status == 204
        # What is over its quota already may shrink, and be looked at.
        less = {"system": {"sys.m2.quota": "10"}}
        assert ask(proxy, "POST", "container/set_properties", "acct=a&ref=c", less).status == 200
        assert create(proxy, "a, smaller", 50).status == 204
        assert ask(proxy, "POST", "container/touch", "acct=a&ref=c&recompute=1").status == 204
        assert ask(proxy, "POST", "content/delete", "acct=a&ref=c&path=a").status == 204


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("sys.m2.quota", "much", (400, 400)),
        ("sys.m2.policy.version", "1.5", (400, 400)),
        ("sys.m2.keep_deleted_delay", "a week", (400, 400)),
        ("sys.m2.policy.storage", "NOPE", (500, 480)),
    ],
)
def test_only_a_strict_namespace_refuses_properties_that_make_no_sense(
    tmp_path: Path, name: str, value: str, expected: tuple[int, int]
) -> None:
    body = {"system": {name: value}}
    for strict in (False, True):
        path = tmp_path / str(strict)
        path.mkdir()
        with opened(path, strict=strict) as proxy:
            ask(proxy, "POST", "container/create", "acct=a&ref=c")
            changed = ask(proxy, "POST", "container/set_properties", "acct=a&ref=c", body)
            shown = ask(proxy, "POST", "container/get_properties", "acct=a&ref=c")
            assert isinstance(shown.body, bytes)
            assert (name in json.loads(shown.body)["system"]) == (not strict)
            assert status(changed) == expected if strict else changed.status == 200


def test_nothing_is_deleted_from_a_worm_namespace_but_by_administrators(tmp_path: Path) -> None:
    with opened(tmp_path, worm=True) as proxy:
        ask(proxy, "POST", "container/create", "acct=a&ref=c")
        create(proxy, "a", 10)
        refused = ask(proxy, "POST", "content/delete", "acct=a&ref=c&path=a")
        assert status(refused) == (405, 405)
        assert ("Allow", "GET, HEAD, PUT") in refused.headers
        # What is wrong with a request comes first.
        assert status(ask(proxy, "POST", "content/delete", "acct=a&ref=c&path=a&version=x")) == (400, 400)
        many = ask(proxy, "POST", "content/delete_many", "acct=a&ref=c", {"contents": [{"name": "a"}]})
        assert isinstance(many.body, bytes)
        assert [item["status"] for item in json.loads(many.body)["contents"]] == [405]
        assert ask(proxy, "GET", "content/locate", "acct=a&ref=c&path=a").status == 200
        query, admin = "acct=a&ref=c&path=a", [("x-oio-admin", "1")]
        deleted = proxy.handle(Request("POST", f"/v3.0/NS/content/delete?{query}", admin))
        assert deleted.status == 204
