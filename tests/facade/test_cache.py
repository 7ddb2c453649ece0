# SPDX-License-Identifier: Apache-2.0
"""What is kept in the caller's cache saves requests, and is never served once a call has changed it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.sandbox import Fault, Namespace
from tests.kit.every_call import CONTAINER_CALLS, OBJECT_CALLS, make
from tests.kit.facade import ACCOUNT, CONTAINER, create, read, routes

CID = cid_from_name(ACCOUNT, CONTAINER)
TARGET = (ACCOUNT, CONTAINER, "o")


class Minimal:
    """A cache that has no more than what is needed."""

    def __init__(self) -> None:
        self._items: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self._items.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._items[key] = value

    def __delitem__(self, key: str) -> None:
        del self._items[key]


class Remote(dict[str, Any]):
    """A dictionary in front of a memcached, as gateways have it: it holds nothing itself."""

    def __init__(self) -> None:
        super().__init__()
        self.items_there: dict[str, str] = {}

    def __getitem__(self, key: str) -> Any:
        return json.loads(self.items_there[key])

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.items_there[key]) if key in self.items_there else default

    def __setitem__(self, key: str, value: Any) -> None:
        self.items_there[key] = json.dumps(value)

    def __delitem__(self, key: str) -> None:
        # A memcached does not tell whether there was something.
        self.items_there.pop(key, None)

    def _refuse(self, *_args: Any) -> Any:
        raise AssertionError("such a dictionary knows nothing of it")

    __contains__ = __iter__ = __len__ = __eq__ = __or__ = _refuse  # type: ignore[assignment]
    pop = popitem = setdefault = update = keys = values = items = copy = clear = _refuse  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


@pytest.fixture(params=[dict, Remote], ids=["dict", "remote"])
def cache(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture
def cached(namespace: Namespace, cache: dict[str, Any]) -> Iterator[Any]:
    """A client with a cache."""
    with namespace.api(cache=cache) as client:
        yield client


def keys(cache: Any) -> list[Any]:
    """What is in a cache, however it hides it."""
    return list(getattr(cache, "items_there", cache))


def attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except exc.OioException as err:
        return type(err)


def locate(api: Any, name: str) -> Any:
    meta, chunks = api.object_locate(ACCOUNT, CONTAINER, name)
    # Scores change all the time.
    return meta, sorted((chunk["pos"], chunk["url"], chunk["size"], chunk["hash"]) for chunk in chunks)


def look(api: Any) -> list[Any]:
    """All that a client can see of the container and its objects."""
    seen = [attempt(lambda: api.container_get_properties(ACCOUNT, CONTAINER))]
    for name in ("o", "p", "new"):
        seen += [
            attempt(lambda name=name: api.object_get_properties(ACCOUNT, CONTAINER, name)),
            attempt(lambda name=name: locate(api, name)),
            attempt(lambda name=name: read(api, name)),
        ]
    return seen


def fill(api: Any, **system: str) -> str:
    """Store objects, and look at everything; content ID of the first one."""
    api.container_create(ACCOUNT, CONTAINER, {"k": "v"}, system=system)
    content_id = str(create(api, "o", b"older", properties={"k": "v"})["id"])
    create(api, "p", b"other")
    look(api)
    return content_id


def assert_up_to_date(api: Any, namespace: Namespace) -> None:
    with namespace.api() as other:
        assert look(api) == look(other)


# --- changes -----------------------------------------------------------------------------------------

MORE_CALLS = {
    "container_create_many": lambda api, **o: api.container_create_many(ACCOUNT, [CONTAINER, "more"], **o),
    "container_create": lambda api, **o: api.container_create(ACCOUNT, CONTAINER, {"other": "x"}, **o),
    "object_create over another": lambda api, **o: create(api, "o", b"replaced", **o),
    "object_link over another": lambda api, **o: api.object_link(ACCOUNT, CONTAINER, "p", *TARGET, **o),
    "object_truncate at a boundary": lambda api, **o: api.object_truncate(*TARGET, size=5, **o),
    "object_truncate to nothing": lambda api, **o: api.object_truncate(*TARGET, size=0, **o),
    "object_del_properties of all": lambda api, **o: api.object_set_properties(*TARGET, {}, clear=True, **o),
    "container_set_properties of none": lambda api, **o: api.container_set_properties(
        ACCOUNT, CONTAINER, {}, clear=True, **o
    ),
}


# The kind of cache, that of the container and how it is named do not depend on each other.
@pytest.mark.parametrize(
    ("cache", "versions"),
    [(dict, "1"), (Remote, "-1")],
    ids=["one version", "all versions"],
    indirect=["cache"],
)
@pytest.mark.parametrize("call", MORE_CALLS)
@pytest.mark.pitfall(57, "A10", "E6")
def test_nothing_old_is_served_after_a_change(
    cached: Any, namespace: Namespace, call: str, versions: str
) -> None:
    fill(cached, **{"sys.m2.policy.version": versions})
    MORE_CALLS[call](cached)
    assert_up_to_date(cached, namespace)


@pytest.mark.parametrize(("cache", "by"), [(dict, "names"), (Remote, "ID")], indirect=["cache"])
@pytest.mark.parametrize("call", CONTAINER_CALLS)
@pytest.mark.pitfall(57, "A10", "E6")
def test_nothing_old_is_served_after_a_call_about_a_container(
    cached: Any, namespace: Namespace, call: str, by: str
) -> None:
    fill(cached)
    if by == "ID":
        make(call, CONTAINER_CALLS, cached, None, None, cid=CID.lower())
    else:
        make(call, CONTAINER_CALLS, cached, ACCOUNT, CONTAINER)
    assert_up_to_date(cached, namespace)


#: Each call with another name of its object than the usual ones, which take turns.
OTHERWISE_NAMED = list(zip(OBJECT_CALLS, itertools.cycle(["ID", "content ID", "version"]), strict=False))


# Only changes of all objects of a container tell a plain dictionary from other caches.
@pytest.mark.parametrize("cache", [Remote], indirect=True)
@pytest.mark.parametrize(("call", "by"), [*((call, "names") for call in OBJECT_CALLS), *OTHERWISE_NAMED])
@pytest.mark.pitfall(57, "A10", "E6")
def test_nothing_old_is_served_after_a_call_about_an_object(
    cached: Any, namespace: Namespace, call: str, by: str
) -> None:
    content_id = fill(cached)
    if by == "ID":
        make(call, OBJECT_CALLS, cached, None, None, "o", cid=CID.lower())
    elif by == "content ID":
        make(call, OBJECT_CALLS, cached, ACCOUNT, CONTAINER, None, content_id=content_id)
    elif by == "version":
        version = cached.object_get_properties(*TARGET)["version"]
        make(call, OBJECT_CALLS, cached, *TARGET, version=version)
    else:
        make(call, OBJECT_CALLS, cached, *TARGET)
    assert_up_to_date(cached, namespace)


@pytest.mark.parametrize(
    ("call", "route"),
    [
        ("object_delete", "content/delete"),
        ("object_set_properties", "content/set_properties"),
        ("object_drain", "content/drain"),
        ("object_truncate", "content/update"),
        ("object_change_policy", "content/create"),
    ],
)
def test_change_whose_answer_was_lost_may_have_been_made(
    cached: Any, namespace: Namespace, call: str, route: str
) -> None:
    fill(cached)
    lost = Fault("commit-then-reset", service="proxy", operation=route)
    # Nor can it be looked up.
    blind = Fault("status", service="proxy", operation="content/locate", nth=2)
    with namespace.faults(lost, blind), pytest.raises(exc.OioException):
        make(call, OBJECT_CALLS, cached, *TARGET, request_attempts=1)
    assert_up_to_date(cached, namespace)


def test_container_that_is_made_again_has_its_new_properties(
    cached: Any, namespace: Namespace, api: Any
) -> None:
    fill(cached)
    api.container_delete(ACCOUNT, CONTAINER, force=True)
    create(cached, "o", b"again", container_properties={"properties": {"new": "x"}})
    assert cached.container_get_properties(ACCOUNT, CONTAINER)["properties"] == {"new": "x"}
    assert read(cached, "o") == b"again"


# --- what is saved -----------------------------------------------------------------------------------


def test_what_is_cached_is_not_asked_for(cached: Any, namespace: Namespace) -> None:
    fill(cached)
    namespace.forget_requests()
    located = cached.object_locate(*TARGET)
    assert located[0]["properties"] == {"k": "v"}
    assert cached.object_locate(*TARGET, properties=False)[0]["properties"] == {}
    assert cached.object_locate(None, None, "o", cid=CID.lower()) == located
    assert cached.container_get_properties(ACCOUNT, CONTAINER)["properties"] == {"k": "v"}
    assert routes(namespace) == []


def test_properties_that_are_not_cached_are_asked_for(cached: Any, namespace: Namespace) -> None:
    create(cached, "o", properties={"k": "v"})
    cached.object_locate(*TARGET, properties=False)
    namespace.forget_requests()
    assert cached.object_locate(*TARGET, properties=False)[0]["properties"] == {}
    assert routes(namespace) == []
    assert cached.object_locate(*TARGET)[0]["properties"] == {"k": "v"}
    assert routes(namespace) == ["proxy GET content/locate"]


@pytest.mark.parametrize("trust_level", [0, 1, 2])
def test_presence_is_always_asked_for(cached: Any, namespace: Namespace, api: Any, trust_level: int) -> None:
    fill(cached)
    api.object_change_policy(*TARGET, "EC21")
    assert cached.object_head(*TARGET, trust_level=trust_level)
    api.object_delete(*TARGET)
    assert not cached.object_head(*TARGET, trust_level=trust_level)


@pytest.mark.pitfall("E10")
def test_versions_and_content_ids_are_not_cached(cached: Any, cache: Any) -> None:
    meta = create(cached, "o")
    for call in (cached.object_locate, cached.object_get_properties):
        call(*TARGET, version=meta["version"])
        call(ACCOUNT, CONTAINER, None, content_id=meta["id"])
    assert keys(cache) == []


@pytest.mark.pitfall(71)
def test_caller_may_do_what_it_likes_with_results(cached: Any) -> None:
    cached.container_create(ACCOUNT, CONTAINER, {"k": "v"})
    create(cached, "o", b"older", properties={"k": "v"})
    for _ in range(2):
        meta, chunks = cached.object_locate(*TARGET)
        described = cached.object_get_properties(*TARGET)
        assert described["properties"] == {"k": "v"}
        described["properties"].clear()
        container = cached.container_get_properties(ACCOUNT, CONTAINER)
        assert (meta["properties"], meta["length"], len(chunks)) == ({"k": "v"}, "5", 3)
        assert container["properties"] == {"k": "v"}
        meta["properties"]["k"] = meta["length"] = container["properties"]["k"] = "changed"
        for chunk in chunks:
            chunk["url"] = "changed"
        del chunks[1:]


# --- caches ------------------------------------------------------------------------------------------


@pytest.mark.pitfall("E6")
def test_cache_need_not_be_a_dict(namespace: Namespace) -> None:
    with namespace.api(cache=Minimal()) as api:
        fill(api)
        namespace.forget_requests()
        api.object_locate(*TARGET)
        assert routes(namespace) == []
        api.object_delete(*TARGET)
        create(api, "p", b"replaced")
        api.container_set_properties(ACCOUNT, CONTAINER, {"k": "w"})
        assert_up_to_date(api, namespace)
        api.container_flush(ACCOUNT, CONTAINER)
        assert_up_to_date(api, namespace)


def test_cache_of_a_call_is_used_by_this_call(api: Any, namespace: Namespace) -> None:
    cache: dict[str, Any] = {}
    create(api, "o")
    api.object_locate(*TARGET, cache=cache)
    assert list(cache) == [f"meta/{CID}/o"]
    namespace.forget_requests()
    api.object_locate(*TARGET, cache=cache)
    assert routes(namespace) == []
    api.object_locate(*TARGET)
    assert routes(namespace) == ["proxy GET content/locate"]
    api.object_delete(*TARGET, cache=cache)
    assert cache == {}


@pytest.mark.parametrize("fast", [False, True])
def test_entries_of_other_containers_stay(cached: Any, cache: Any, fast: bool) -> None:
    fill(cached)
    cached.object_create(ACCOUNT, "other", obj_name="o", data=b"x")
    cached.object_locate(ACCOUNT, "other", "o")
    cache["somebody else's"] = cache[5] = 1
    cached.container_flush(ACCOUNT, CONTAINER, fast=fast)
    assert keys(cache) == [f"meta/{cid_from_name(ACCOUNT, 'other')}/o", "somebody else's", 5]
