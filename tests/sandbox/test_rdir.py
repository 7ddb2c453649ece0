# SPDX-License-Identifier: Apache-2.0
"""The indexes of volumes: pages, incidents, what lasts, and answers to any request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.sandbox.messages import Request, Response
from oio.sandbox.rdir.service import ROUTES, Rdir
from oio.sandbox.rdir.store import ReverseDirectory

KEYS = st.tuples(st.sampled_from("AB"), st.sampled_from("CD"), st.sampled_from("0123456789"))
WORDS = st.sampled_from(["", "v", "1", "-1", "x", "true", "9" * 25, "%ff"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("container_id", "content_id", "chunk_id", "mtime", "limit", "start_after", "rebuild"),
                    *("who", "date", "container_url", "prefix", "marker"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=6,
)


@pytest.fixture
def reverse(tmp_path: Path) -> Iterator[ReverseDirectory]:
    reverse = ReverseDirectory(tmp_path / "rdir.db")
    yield reverse
    reverse.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReverseDirectory]:
    reverse = ReverseDirectory(tmp_path_factory.mktemp("rdir") / "rdir.db")
    yield reverse
    reverse.close()


def ask(reverse: ReverseDirectory, method: str, route: str, query: str = "", body: object = None) -> Response:
    data = b"" if body is None else json.dumps(body).encode()
    return Rdir(reverse).handle(Request(method, f"/v1/rdir/{route}?vol=v&{query}", (), data))


def asked(reverse: ReverseDirectory, method: str, route: str, query: str = "", body: object = None) -> Any:
    """Return the JSON of an answer that must be a success."""
    answer = ask(reverse, method, route, query, body)
    assert answer.status in {200, 201, 204}, answer
    return json.loads(answer.body) if answer.body else None  # type: ignore[arg-type]


def push(reverse: ReverseDirectory, container: str, content: str, chunk: str, mtime: int = 0) -> None:
    body = {"container_id": container, "content_id": content, "chunk_id": chunk, "mtime": mtime}
    asked(reverse, "POST", "push", "create=1", body)


def keys_of(page: list[list[Any]]) -> list[str]:
    return [key for key, _ in page]


@settings(deadline=None, max_examples=60)
@given(keys=st.sets(KEYS), limit=st.integers(1, 5), container=st.sampled_from(["", "A", "B"]))
def test_pages_show_together_all_the_chunks(
    shared: ReverseDirectory, keys: set[tuple[str, str, str]], limit: int, container: str
) -> None:
    asked(shared, "POST", "create")
    asked(shared, "POST", "admin/clear", "all=1")
    for key in keys:
        push(shared, *key)
    body: dict[str, object] = {"limit": limit} | ({"container_id": container} if container else {})
    found: list[str] = []
    while True:
        answer = ask(shared, "POST", "fetch", "", body)
        headers = dict(answer.headers)
        page = keys_of(json.loads(answer.body))  # type: ignore[arg-type]
        # Only the first page may be empty, and none repeats another.
        assert found[-1:] < page[:1] or not (found or page)
        found += page
        if headers["x-oio-list-truncated"] == "false":
            break
        assert len(page) == limit
        assert headers["x-oio-list-marker"] == page[-1]
        body["start_after"] = page[-1]
    assert found == sorted("|".join(key) for key in keys if container in {"", key[0]})


def test_an_incident_says_what_is_to_be_rebuilt(reverse: ReverseDirectory) -> None:
    for chunk, mtime in (("1", 10), ("2", 20), ("3", 30)):
        push(reverse, "A", "C", chunk, mtime)
    asked(reverse, "POST", "admin/incident", "", {"date": 20})
    assert keys_of(asked(reverse, "POST", "fetch", "", {"rebuild": True})) == ["A|C|1", "A|C|2"]
    assert asked(reverse, "GET", "status") == {
        "chunk": {"total": 3, "to_rebuild": 2},
        "container": {"A": {"total": 3, "to_rebuild": 2}},
        "rebuild": {"incident_date": 20},
    }
    assert asked(reverse, "POST", "admin/clear", "before_incident=1")["removed"] == 2
    assert asked(reverse, "GET", "admin/incident") == {"date": 0}
    assert keys_of(asked(reverse, "POST", "fetch")) == ["A|C|3"]


def test_everything_is_there_again_after_it_was_reopened(tmp_path: Path) -> None:
    before = ReverseDirectory(tmp_path / "rdir.db")
    push(before, "A", "C", "1", 5)
    asked(before, "POST", "admin/lock", "", {"who": "me"})
    asked(before, "POST", "admin/incident", "", {"date": 7})
    asked(before, "POST", "meta2/create")
    asked(before, "POST", "meta2/push", "", {"container_url": "NS/a/c", "container_id": "AB"})
    before.close()
    after = ReverseDirectory(tmp_path / "rdir.db")
    assert asked(after, "POST", "fetch") == [["A|C|1", {"mtime": 5}]]
    assert asked(after, "GET", "admin/show") == {"lock": "me"}
    assert asked(after, "GET", "admin/incident") == {"date": 7}
    assert asked(after, "POST", "meta2/fetch")["records"][0]["container_url"] == "NS/a/c"
    after.close()


def test_containers_come_in_pages_after_a_marker_and_below_a_prefix(reverse: ReverseDirectory) -> None:
    asked(reverse, "POST", "meta2/create")
    urls = [f"NS/{account}/{number:04}" for account in "ab" for number in range(150)]
    for url in urls:
        asked(reverse, "POST", "meta2/push", "", {"container_url": url, "container_id": "AB", "mtime": 1})
    first = asked(reverse, "POST", "meta2/fetch", "", {"prefix": "NS/b", "limit": 100})
    assert [record["container_url"] for record in first["records"]] == urls[150:250]
    assert first["truncated"]
    marker = first["records"][-1]["container_url"]
    second = asked(reverse, "POST", "meta2/fetch", "", {"prefix": "NS/b", "limit": 100, "marker": marker})
    assert [record["container_url"] for record in second["records"]] == urls[250:]
    assert not second["truncated"]


@settings(deadline=None, max_examples=300)
@given(
    route=st.sampled_from(sorted(ROUTES)),
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT"]),
    query=st.dictionaries(st.sampled_from(["vol", "create", "max", "prefix", "marker", "all"]), WORDS),
    body=st.just(b"") | st.binary(max_size=6) | JSON.map(lambda value: json.dumps(value).encode()),
)
def test_any_request_gets_an_answer(
    shared: ReverseDirectory, route: str, method: str, query: dict[str, str], body: bytes
) -> None:
    target = f"/{route}?" + "&".join(f"{key}={value}" for key, value in query.items())
    answer = Rdir(shared).handle(Request(method, target, (), body))
    assert answer.status in {200, 201, 204, 400, 403, 404, 405}
