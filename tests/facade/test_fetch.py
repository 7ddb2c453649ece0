# SPDX-License-Identifier: Apache-2.0
"""Objects are read exactly, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oio.api import io
from oio.api._download import locate_bytes
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, create, read, routes

LAST = len(LARGE) - 1


@pytest.mark.pitfall(61)
@pytest.mark.parametrize("policy", ["SINGLE", "THREECOPIES", "EC21"])
@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([(0, 0)], LARGE[:1]),
        ([(5, 9), (1, 2), (5, 9)], LARGE[5:10] + LARGE[1:3] + LARGE[5:10]),
        ([(CHUNK_SIZE - 1, CHUNK_SIZE)], LARGE[CHUNK_SIZE - 1 : CHUNK_SIZE + 1]),
        (
            [(CHUNK_SIZE - 2, CHUNK_SIZE + 1), (0, 1), (CHUNK_SIZE - 1, CHUNK_SIZE), (LAST, None)],
            LARGE[CHUNK_SIZE - 2 : CHUNK_SIZE + 2]
            + LARGE[:2]
            + LARGE[CHUNK_SIZE - 1 : CHUNK_SIZE + 1]
            + LARGE[LAST:],
        ),
        ([(None, 7)], LARGE[-7:]),
        ([(None, 10 * len(LARGE))], LARGE),
        ([(LAST, None)], LARGE[LAST:]),
        ([(LAST - 2, LAST + 1000)], LARGE[LAST - 2 :]),
        ([(None, None)], LARGE),
        ([], LARGE),
        (((0, 3), (2, 2)), LARGE[:4] + LARGE[2:3]),
    ],
)
def test_ranges_come_in_the_order_of_the_request(api: Any, ranges: Any, expected: bytes, policy: str) -> None:
    create(api, "o", LARGE, policy=policy)
    meta, stream = api.object_fetch(ACCOUNT, CONTAINER, "o", ranges=ranges)
    with stream:
        assert b"".join(stream) == expected
    assert int(meta["length"]) == len(LARGE)


def test_ranges_may_come_from_an_iterator(api: Any) -> None:
    create(api, "o")
    assert read(api, "o", ranges=iter([(0, 1), (4, 4)])) == b"heo"


@pytest.mark.pitfall(47, 48)
def test_only_closed_ranges_are_asked_of_the_rawx(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE)
    namespace.forget_requests()
    read(api, "o", ranges=[(None, 3), (LAST - 1, None), (CHUNK_SIZE - 2, CHUNK_SIZE + 1)])
    asked = [
        value
        for record in namespace.requests
        for name, value in record.headers
        if (record.service, name.lower()) == ("rawx", "range")
    ]
    end = CHUNK_SIZE - 1
    assert asked == [
        f"bytes={end - 2}-{end}",
        f"bytes={end - 1}-{end}",
        f"bytes={end - 1}-{end}",
        "bytes=0-1",
    ]


@pytest.mark.pitfall(133)
@pytest.mark.parametrize("ranges", [[(5, 5)], [(9, None)], [(None, 0)], [(0, 1), (5, 9)]])
def test_range_after_the_end_is_refused_before_the_rawx_are_asked(
    api: Any, namespace: Namespace, ranges: Any
) -> None:
    create(api, "o", b"hello")
    namespace.forget_requests()
    with pytest.raises(exc.UnsatisfiableRange, match="is not in an object of 5 bytes") as info:
        api.object_fetch(ACCOUNT, CONTAINER, "o", ranges=ranges)
    assert info.value.http_status == 416
    assert routes(namespace) == ["proxy GET content/locate"]


def test_any_range_of_an_empty_object_is_refused(api: Any) -> None:
    create(api, "o", b"")
    assert read(api, "o") == b""
    with pytest.raises(exc.UnsatisfiableRange):
        api.object_fetch(ACCOUNT, CONTAINER, "o", ranges=[(0, None)])


@pytest.mark.pitfall(58)
def test_nothing_is_asked_of_the_rawx_before_the_first_block(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    namespace.forget_requests()
    with namespace.faults(Fault("status", operation="GET", status=404)):
        _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
        assert routes(namespace) == ["proxy GET content/locate"]
        with pytest.raises(exc.UnrecoverableContent, match="Cannot download position 0"):
            next(stream)
    with pytest.raises(exc.OioException, match="cut short: UnrecoverableContent: Cannot download position 0"):
        next(stream)


def test_stream_has_one_reader(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    create(api, "o")
    problems: list[Exception] = []

    def intrude(*args: Any, **kwargs: Any) -> Any:
        for act in (stream.close, lambda: next(stream)):
            with pytest.raises(exc.OioException, match="another thread") as caught:
                act()
            problems.append(caught.value)
        return connect(*args, **kwargs)

    connect = io.http_connect
    monkeypatch.setattr(io, "http_connect", intrude)
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    assert b"".join(stream) == b"hello"
    assert len(problems) == 2


@pytest.mark.pitfall(4)
def test_stream_that_is_left_frees_its_connection(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE)
    api.close()
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    assert next(stream)
    stream.close()
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)


def test_description_comes_with_the_stream(api: Any) -> None:
    created = create(api, "o", properties={"k": "v"})
    meta, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    stream.close()
    assert (meta["container_id"], meta["ns"]) == (created["container_id"], "OPENIO")
    assert (meta["length"], meta["id"], meta["properties"]) == ("5", created["id"], {"k": "v"})
    meta, _ = api.object_fetch(ACCOUNT, CONTAINER, "o", properties=False)
    assert meta["properties"] == {}


def test_object_is_found_by_its_content_id_and_that_of_its_container(api: Any) -> None:
    created = create(api, "o")
    cid = created["container_id"].lower()
    assert read(api, "o", cid=cid) == b"hello"
    _, stream = api.object_fetch(None, None, None, cid=f"{cid}.1", content=created["id"])
    assert b"".join(stream) == b"hello"


@pytest.mark.pitfall(119)
def test_versions_are_read_apart(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    old = create(api, "o", b"old")["version"]
    create(api, "o", b"new")
    assert read(api, "o") == b"new"
    assert read(api, "o", version=old) == b"old"
    assert read(api, "o", version=int(old)) == b"old"
    with pytest.raises(exc.NoSuchObject):
        api.object_fetch(ACCOUNT, CONTAINER, "o", version=42)


@pytest.mark.pitfall(55)
def test_rawx_out_of_reach_make_no_object_unrecoverable(api: Any, namespace: Namespace) -> None:
    create(api, "o", policy="THREECOPIES")
    faults = [
        Fault("refuse", address=namespace.rawx[0].address),
        Fault("status", operation="GET", status=404),
    ]
    with namespace.faults(*faults), pytest.raises(exc.ServiceUnavailable):
        read(api, "o")


# --- the cache of locations --------------------------------------------------------------------------


def test_cached_location_saves_a_request(namespace: Namespace) -> None:
    with namespace.api(cache={}) as api:
        create(api, "o")
        assert read(api, "o") == b"hello"
        namespace.forget_requests()
        assert read(api, "o", ranges=[(1, 2)]) == b"el"
        assert routes(namespace) == [f"rawx GET {namespace.requests[0].target}"]


@pytest.mark.pitfall(57)
def test_stale_location_of_the_same_object_is_looked_up_again(namespace: Namespace) -> None:
    cache: dict[str, Any] = {}
    with namespace.api(cache=cache) as api:
        create(api, "o", policy="SINGLE")
        read(api, "o")
        (entry,) = cache.values()
        for chunk in entry["chunks"]:
            chunk["url"] = chunk["real_url"] = chunk["url"][:-8] + "00000000"
        assert read(api, "o") == b"hello"


@pytest.mark.pitfall(57)
@pytest.mark.parametrize("ranges", [None, [(5, 5)]])
def test_other_object_in_the_place_of_the_cached_one_is_read_and_described(
    namespace: Namespace, ranges: Any
) -> None:
    with namespace.api(cache={}) as api, namespace.api() as other:
        create(api, "o", b"first", policy="SINGLE")
        read(api, "o")
        new = create(other, "o", b"second", policy="SINGLE")
        meta, stream = api.object_fetch(ACCOUNT, CONTAINER, "o", ranges=ranges)
        assert (meta["id"], meta["length"]) == (new["id"], "6")
        assert b"".join(stream) == (b"d" if ranges else b"second")


@pytest.mark.pitfall(57)
def test_object_that_is_not_there_any_more_is_told_so(namespace: Namespace) -> None:
    with namespace.api(cache={}) as api, namespace.api() as other:
        create(api, "o", policy="SINGLE")
        read(api, "o")
        other.object_delete(ACCOUNT, CONTAINER, "o")
        with pytest.raises(exc.NoSuchObject):
            api.object_fetch(ACCOUNT, CONTAINER, "o")


@pytest.mark.pitfall(57)
def test_object_is_located_again_once_and_never_after_the_first_byte(namespace: Namespace) -> None:
    end = Fault("truncate", operation="GET", after_bytes=CHUNK_SIZE // 2)
    with namespace.api(cache={}) as api:
        create(api, "o", LARGE, policy="SINGLE")
        read(api, "o")
        namespace.forget_requests()
        with namespace.faults(Fault("status", operation="GET")), pytest.raises(exc.ServiceUnavailable):
            read(api, "o")
        assert [route for route in routes(namespace) if "locate" in route] == ["proxy GET content/locate"]
        namespace.forget_requests()
        with namespace.faults(end) as plan, pytest.raises(exc.ServiceUnavailable):
            read(api, "o")
        plan.assert_met()
        assert "proxy GET content/locate" not in routes(namespace)


def test_changes_drop_the_cached_location(namespace: Namespace) -> None:
    with namespace.api(cache={}) as api:
        create(api, "o", b"first")
        read(api, "o")
        create(api, "o", b"second")
        assert read(api, "o") == b"second"
        api.object_set_properties(ACCOUNT, CONTAINER, "o", {"k": "v"})
        assert api.object_locate(ACCOUNT, CONTAINER, "o")[0]["properties"] == {"k": "v"}
        api.object_del_properties(ACCOUNT, CONTAINER, "o", ["k"])
        assert api.object_locate(ACCOUNT, CONTAINER, "o")[0]["properties"] == {}
        api.object_delete(ACCOUNT, CONTAINER, "o")
        with pytest.raises(exc.NoSuchObject):
            read(api, "o")


# --- descriptions that do not add up -----------------------------------------------------------------


def chunk(pos: str, size: int) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:1/{pos}", "pos": pos, "size": size, "hash": "0" * 32, "score": 1}


@pytest.mark.parametrize(
    "chunks", [[], [chunk("0", 5)], [chunk("0", 5), chunk("1", 6)], [chunk("0", 5), chunk("2", 5)]]
)
def test_chunks_that_do_not_make_up_the_object_are_refused(chunks: list[dict[str, Any]]) -> None:
    meta = {"length": "10", "chunk_method": "plain/nb_copy=1", "name": "o"}
    with pytest.raises(exc.UnrecoverableContent, match="bytes, not 10"):
        locate_bytes(meta, chunks, [], None)


def test_description_without_a_length_is_refused() -> None:
    with pytest.raises(exc.OioProtocolError, match="length"):
        locate_bytes({"chunk_method": "plain"}, [], [], None)


_bounds = st.one_of(st.none(), st.integers(0, 40))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(1, 30), bounds=st.lists(st.tuples(_bounds, _bounds), max_size=4))
def test_closed_ranges_hold_the_bytes_that_were_asked_for(
    length: int, bounds: list[tuple[int | None, int | None]]
) -> None:
    data = bytes(range(length))
    bounds = [(a, b) for a, b in bounds if a is None or b is None or a <= b]
    meta = {"length": str(length), "chunk_method": "plain"}

    def wanted(start: int | None, end: int | None) -> bytes:
        if start is None:
            return data if end is None else data[-end:] if end else b""
        return data[start:] if end is None else data[start : end + 1]

    expected = [wanted(*item) for item in bounds]
    if b"" in expected:
        with pytest.raises(exc.UnsatisfiableRange):
            locate_bytes(meta, [chunk("0", length)], bounds, None)
        return
    location = locate_bytes(meta, [chunk("0", length)], bounds, None)
    closed = location.ranges or [(0, length - 1)]
    assert b"".join(data[a : b + 1] for a, b in closed) == (b"".join(expected) if bounds else data)
    assert location.size == sum(b - a + 1 for a, b in closed)
