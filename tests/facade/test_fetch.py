# SPDX-License-Identifier: Apache-2.0
"""Objects are read exactly, or not at all."""

from __future__ import annotations

import threading
import time
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from oio.api import io
from oio.common import exceptions as exc
from oio.common.http_eventlet import POOL
from oio.sandbox import Fault, Namespace
from tests.kit.buckets import client_of
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, chunks_on_disk, create, read, routes
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam
from tests.kit.greenlets import in_turns, wait_outside
from tests.kit.objects import eventually

LAST = len(LARGE) - 1


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


@pytest.mark.parametrize("name", ["Range", "range", "RANGE"])
@pytest.mark.parametrize("policy", ["THREECOPIES", "EC21"])
def test_headers_that_each_request_has_of_its_own_are_not_those_of_the_caller(
    api: Any, policy: str, name: str
) -> None:
    # Gateways pass on what their own clients send.
    frame = {
        "Content-Length": "5",
        "content-length": "",
        "Expect": "100-continue",
        "HOST": "gateway",
        "Trailer": "x-a",
        "Transfer-Encoding": "chunked",
    }
    given = {"headers": {**frame, name: "bytes=0-1", "x-more": "1"}}
    create(api, "o", LARGE, policy=policy, **given)
    assert read(api, "o", **given) == LARGE
    assert read(api, "o", ranges=[(2, 9)], **given) == LARGE[2:10]
    assert api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2, **given)
    api.object_link(ACCOUNT, CONTAINER, "o", ACCOUNT, CONTAINER, "link", **given)
    api.object_truncate(ACCOUNT, CONTAINER, "o", size=LAST, **given)
    assert (read(api, "o"), read(api, "link")) == (LARGE[:-1], LARGE)


def test_header_that_was_added_twice_keeps_both_values(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    namespace.forget_requests()
    read(api, "o", headers=HTTPHeaderDict([("X-More", "1"), ("x-more", "2")]))
    sent = [[value for name, value in record.headers if name == "X-More"] for record in namespace.requests]
    assert len(sent) == 2
    assert all(values == ["1, 2"] for values in sent)


def test_stream_has_one_reader(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    create(api, "o")
    problems: list[Exception] = []

    def intrude(*args: Any, **kwargs: Any) -> Any:
        with pytest.raises(exc.OioException, match="another thread") as caught:
            next(stream)
        problems.append(caught.value)
        return connect(*args, **kwargs)

    connect = io.http_connect
    monkeypatch.setattr(io, "http_connect", intrude)
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    assert b"".join(stream) == b"hello"
    assert len(problems) == 1


class Reader(threading.Thread):
    """Thread that reads a stream to its end."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._stream = stream
        self.blocks: list[bytes] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.blocks.extend(self._stream)
        except exc.OioException as err:
            self.error = err


@pytest.mark.pitfall("B6")
@pytest.mark.parametrize(
    "policy", ["SINGLE", "EC21", pytest.param("BACKBLAZE", marks=pytest.mark.on_release("7.3"))]
)
@pytest.mark.parametrize("phase", ["head", "body"])
def test_close_by_another_thread_ends_a_read_that_waits(
    namespace: Namespace, policy: str, phase: str
) -> None:
    service = "b2" if policy == "BACKBLAZE" else "rawx"
    with client_of(namespace) as api:
        create(api, "o", LARGE, policy=policy)
        stall = Fault("stall", service=service, operation="GET", phase=phase)
        if service == "b2":
            stall = Fault("stall", service=service, operation="download", phase=phase)
        with namespace.faults(stall) as plan:
            _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
            reader = Reader(stream)
            reader.start()
            eventually(lambda: plan.hits(stall) > 0)
            stream.close()
            reader.join(30)
        assert not reader.is_alive()
        assert isinstance(reader.error, exc.OioException)
        assert "closed by another thread" in str(reader.error)
        assert reader.error.reqid
        assert read(api, "o") == LARGE


@pytest.mark.pitfall("B6")
def test_stream_that_another_thread_has_closed_does_not_look_ended(api: Any) -> None:
    create(api, "o", LARGE)
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    assert next(stream)
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join()
    for _ in range(2):
        with pytest.raises(exc.OioException, match=r"closed by another thread, after \d+ of"):
            next(stream)
    stream.close()
    assert list(stream) == []


@pytest.mark.pitfall("B6")
def test_stream_that_another_greenlet_has_closed_does_not_look_ended(api: Any) -> None:
    create(api, "o", LARGE)
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")

    def read_on() -> Exception:
        assert next(stream)
        wait_outside()
        with pytest.raises(exc.OioException, match=r"closed by another thread, after \d+ of") as caught:
            next(stream)
        return caught.value

    def close() -> list[bytes]:
        stream.close()
        return list(stream)

    problem, after = in_turns(read_on, close)
    assert isinstance(problem, exc.OioException)
    assert after == []


@pytest.mark.pitfall("B6")
def test_stream_that_was_read_to_its_end_stays_ended_when_another_thread_closes_it(api: Any) -> None:
    create(api, "o")
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    assert list(stream) == [b"hello"]
    closer = threading.Thread(target=stream.close)
    closer.start()
    closer.join()
    assert list(stream) == []


# --- objects that are replaced before the first byte -------------------------------------------------


@pytest.mark.pitfall("S3")
@pytest.mark.parametrize("policy", ["SINGLE", "THREECOPIES", "EC21"])
@pytest.mark.parametrize("ranges", [None, [(1, 3)]])
def test_object_that_is_replaced_before_its_first_byte_is_read_as_it_is_now(
    namespace: Namespace, policy: str, ranges: Any
) -> None:
    for cache in (None, {}):
        with namespace.api(cache=cache) as api:
            create(api, "o", b"first ", policy=policy)
            meta, stream = api.object_fetch(ACCOUNT, CONTAINER, "o", ranges=ranges)
            new = create(api, "o", b"second one", policy=policy)
            eventually(lambda: len(chunks_on_disk(namespace)) == len(located(api)))
            assert b"".join(stream) == (b"eco" if ranges else b"second one")
            assert (meta["id"], meta["length"], meta["ns"]) == (new["id"], "10", "OPENIO")


def located(api: Any) -> list[Any]:
    return api.object_locate(ACCOUNT, CONTAINER, "o")[1]  # type: ignore[no-any-return]


@pytest.mark.pitfall("S3")
def test_object_that_is_deleted_before_its_first_byte_is_told(namespace: Namespace, api: Any) -> None:
    create(api, "o")
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    api.object_delete(ACCOUNT, CONTAINER, "o")
    eventually(lambda: chunks_on_disk(namespace) == [])
    with pytest.raises(exc.NoSuchObject):
        next(stream)
    with pytest.raises(exc.OioException, match="cut short: NoSuchObject"):
        next(stream)


@pytest.mark.pitfall("S3")
def test_object_that_was_begun_is_never_continued_with_another(namespace: Namespace, api: Any) -> None:
    create(api, "o", LARGE, policy="SINGLE")
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    reader = Reader(stream)
    reader.blocks.append(next(stream))
    create(api, "o", bytes(len(LARGE)), policy="SINGLE")
    eventually(lambda: len(chunks_on_disk(namespace)) == 2)
    reader.run()
    assert isinstance(reader.error, exc.UnrecoverableContent)
    assert LARGE.startswith(b"".join(reader.blocks))


@pytest.mark.pitfall("S3")
def test_object_is_located_again_once_before_its_first_byte(namespace: Namespace, api: Any) -> None:
    create(api, "o", policy="SINGLE")
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o")
    namespace.forget_requests()
    for rawx in namespace.rawx:
        for chunk_id in rawx.chunks():
            rawx.store.delete(chunk_id)
    with pytest.raises(exc.UnrecoverableContent):
        next(stream)
    assert routes(namespace).count("proxy GET content/locate") == 1
    assert len([route for route in routes(namespace) if route.startswith("rawx")]) == 1


# --- the cache of locations --------------------------------------------------------------------------


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
def test_object_is_located_again_once_and_never_after_the_first_byte(namespace: Namespace) -> None:
    end = Fault("truncate", operation="GET", after_bytes=70_000)
    with namespace.api(cache={}) as api:
        create(api, "o", LARGE, policy="SINGLE")
        read(api, "o")
        namespace.forget_requests()
        with namespace.faults(Fault("status", operation="GET")), pytest.raises(exc.ServiceUnavailable):
            read(api, "o")
        assert [route for route in routes(namespace) if "locate" in route] == ["proxy GET content/locate"]
        namespace.forget_requests()
        with namespace.faults(end) as plan, pytest.raises(exc.ServiceUnavailable):
            read(api, "o", hold_up_to=0)
        plan.assert_met()
        assert "proxy GET content/locate" not in routes(namespace)


# --- descriptions that do not add up -----------------------------------------------------------------


def chunk(pos: str, size: int) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:1/{pos}", "pos": pos, "size": size, "hash": "0" * 32, "score": 1}


def described(api: Any, length: str | None, *chunks: dict[str, Any]) -> None:
    """Let the proxy describe an object so."""
    meta = {"chunk_method": "plain/nb_copy=1", "name": "o", "length": length}
    meta = {key: value for key, value in meta.items() if value is not None}
    api.container.content_locate = Mock(return_value=(meta, list(chunks)))


@pytest.mark.parametrize(
    "chunks", [[], [chunk("0", 5)], [chunk("0", 5), chunk("1", 6)], [chunk("0", 5), chunk("2", 5)]]
)
def test_chunks_that_do_not_make_up_the_object_are_refused(
    offline_api: Any, chunks: list[dict[str, Any]]
) -> None:
    described(offline_api, "10", *chunks)
    with pytest.raises(exc.UnrecoverableContent, match="bytes, not 10"):
        read(offline_api, "o")


def test_description_without_a_length_is_refused(offline_api: Any) -> None:
    described(offline_api, None)
    with pytest.raises(exc.OioProtocolError, match="length"):
        read(offline_api, "o")


_bounds = st.one_of(st.none(), st.integers(0, 40))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(length=st.integers(1, 30), bounds=st.lists(st.tuples(_bounds, _bounds), max_size=4))
def test_ranges_give_the_bytes_that_were_asked_for(
    offline_api: Any, length: int, bounds: list[tuple[int | None, int | None]]
) -> None:
    data = bytes(range(length))
    bounds = [(a, b) for a, b in bounds if a is None or b is None or a <= b]

    def wanted(start: int | None, end: int | None) -> bytes:
        if start is None:
            return data if end is None else data[-end:] if end else b""
        return data[start:] if end is None else data[start : end + 1]

    def connect(netloc: str, method: str, path: str, headers: dict[str, Any]) -> FakeConnection:
        if "Range" not in headers:
            return FakeConnection(FakeResponse(200, data))
        first, last = map(int, headers["Range"].removeprefix("bytes=").split("-"))
        told = {"Content-Range": f"bytes {first}-{last}/{length}"}
        return FakeConnection(FakeResponse(206, data[first : last + 1], told))

    expected = [wanted(*item) for item in bounds]
    described(offline_api, str(length), chunk("0", length))
    with at_the_seam(connect):
        given_out = read(offline_api, "o", ranges=bounds, verify_checksum=False)
        assert given_out == (b"".join(expected) if bounds else data)
        if b"" in expected:
            with pytest.raises(exc.UnsatisfiableRange):
                read(offline_api, "o", ranges=bounds, on_unsatisfiable="raise")


@pytest.mark.pitfall("S2")
def test_any_call_closes_what_was_idle_for_too_long(
    api: Any, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(api, "o", b"data", policy="THREECOPIES")
    assert POOL._idle
    late = time.monotonic() + POOL.max_idle_seconds
    monkeypatch.setattr(POOL, "_clock", lambda: late)
    # Which asks nothing of chunk servers.
    api.object_list(ACCOUNT, CONTAINER)
    assert not POOL._idle
