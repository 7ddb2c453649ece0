# SPDX-License-Identifier: Apache-2.0
"""Objects are read exactly, or not at all."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oio.api import io
from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, create, read, routes
from tests.kit.fakes import FakeConnection, FakeResponse, at_the_seam

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
        if b"" in expected:
            with pytest.raises(exc.UnsatisfiableRange):
                read(offline_api, "o", ranges=bounds)
        else:
            given_out = read(offline_api, "o", ranges=bounds, verify_checksum=False)
            assert given_out == (b"".join(expected) if bounds else data)
