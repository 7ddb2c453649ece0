# SPDX-License-Identifier: Apache-2.0
"""Objects of any policy are read exactly, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oio.common import exceptions as exc
from tests.kit.buckets import client_of
from tests.kit.facade import routes
from tests.kit.store import Store, lose, spoil

Ranges = list[tuple[int | None, int | None]]


def data_of(size: int) -> bytes:
    return bytes(number % 251 for number in range(size))


def part_of(data: bytes, first: int | None, last: int | None) -> bytes:
    """What a range of HTTP means."""
    if first is None:
        return data[-last:] if last else data
    return data[first:] if last is None else data[first : last + 1]


def stored(store: Store) -> bytes:
    """Store an object that is in several places for two reasons: its size, and what is appended."""
    data = data_of(2 * store.unit + 300)
    store.create(data[: store.unit + 100])
    store.append(data[store.unit + 100 :])
    return data


@pytest.mark.pitfall(43, 44, 61)
@pytest.mark.parametrize("verify", [True, False, "strict"])
def test_ranges_are_mapped_over_the_parts(store: Store, verify: Any) -> None:
    data = stored(store)
    last, middle, border = len(data) - 1, store.unit + 100, store.unit
    asked: list[Ranges] = [
        [(0, 0)],
        [(0, last)],
        [(border - 1, border)],
        [(middle - 1, middle)],
        [(0, middle)],
        [(5, last - 5)],
        [(middle, last), (5, 9), (1, 2), (5, 9)],
        [(border - 2, border + 1), (0, 1), (border - 1, border), (last, None)],
        [(None, 7)],
        [(None, 10 * len(data))],
        [(last, None)],
        [(last - 2, last + 1000)],
        [(None, None)],
        [],
    ]
    for ranges in asked:
        expected = b"".join(part_of(data, *item) for item in ranges) if ranges else data
        meta, stream = store.api.object_fetch(*store.target(), ranges=ranges, verify_checksum=verify)
        with stream:
            assert b"".join(stream) == expected
        assert int(meta["length"]) == len(data)


@pytest.mark.parametrize("verify", [True, "strict"])
def test_range_goes_over_a_part_that_is_empty(store: Store, verify: Any) -> None:
    store.create(b"hello")
    store.append(b"")
    store.append(b"world")
    assert store.read(ranges=[(3, 7)], verify_checksum=verify) == b"lowor"


def test_ranges_may_come_in_any_collection(store: Store) -> None:
    store.create(b"hello")
    assert store.read(ranges=iter([(0, 1), (4, 4)])) == store.read(ranges=((0, 1), (4, 4))) == b"heo"


AFTER_THE_END: list[Ranges] = [[(5, 5)], [(9, None)], [(None, 0)], [(5, 9), (6, None)]]


@pytest.mark.pitfall(133, "E13")
def test_range_after_the_end_gives_the_description_and_no_byte(store: Store) -> None:
    store.create(b"hello")
    for ranges in AFTER_THE_END:
        store.namespace.forget_requests()
        meta, stream = store.api.object_fetch(*store.target(), ranges=ranges)
        assert (meta["length"], list(stream)) == ("5", [])
        assert routes(store.namespace) == ["proxy GET content/locate"]


@pytest.mark.pitfall(133, "E13")
def test_ranges_that_hold_bytes_come_without_the_others(store: Store) -> None:
    store.create(b"hello")
    ranges = [(9, 12), (3, 9), (5, None), (None, 2), (None, 0), (0, 0)]
    assert store.read(ranges=ranges) == b"lo" + b"lo" + b"h"


@pytest.mark.pitfall(133, "E13")
def test_any_range_of_an_empty_object_gives_no_byte(store: Store) -> None:
    store.create(b"")
    for asked in ((0, None), (0, 9), (None, 5), (None, None)):
        meta, stream = store.api.object_fetch(*store.target(), ranges=[asked])
        assert (meta["length"], list(stream)) == ("0", [])


@pytest.mark.pitfall("E13")
def test_range_after_the_end_is_refused_on_demand(store: Store) -> None:
    store.create(b"hello")
    with client_of(store.namespace, on_unsatisfiable="raise") as strict:
        for ranges in (*AFTER_THE_END, [(0, 1), (5, 9)]):
            store.namespace.forget_requests()
            with pytest.raises(exc.UnsatisfiableRange, match="is not in an object of 5 bytes") as info:
                store.read(ranges=ranges, on_unsatisfiable="raise")
            assert info.value.http_status == 416
            assert routes(store.namespace) == ["proxy GET content/locate"]
            with pytest.raises(exc.UnsatisfiableRange):
                store.by(strict).read(ranges=ranges)
            assert store.by(strict).read(ranges=ranges, on_unsatisfiable="skip") == (
                b"he" if ranges[0] == (0, 1) else b""
            )


@pytest.mark.pitfall("E13c")
def test_each_of_several_ranges_is_one_block(store: Store) -> None:
    data = stored(store)
    border, part = store.unit, min(65_536, store.unit // 2)
    ranges = [(0, part - 1), (part, 2 * part - 1), (border - part, border + part - 1), (0, len(data) - 1)]
    _, stream = store.api.object_fetch(*store.target(), ranges=ranges)
    assert list(stream) == [data[first : last + 1] for first, last in ranges]


@pytest.mark.pitfall(58)
def test_nothing_is_read_before_the_first_block(store: Store) -> None:
    store.create(b"hello")
    store.namespace.forget_requests()
    _, stream = store.api.object_fetch(*store.target())
    assert routes(store.namespace) == ["proxy GET content/locate"]
    for url in store.parts():
        lose(store.namespace, url)
    with pytest.raises(exc.UnrecoverableContent, match="Cannot download position 0"):
        next(stream)
    with pytest.raises(exc.OioException, match="cut short: UnrecoverableContent: Cannot download position 0"):
        next(stream)


@pytest.mark.pitfall(4)
def test_stream_that_is_left_frees_its_connection(store: Store) -> None:
    data = stored(store)
    _, stream = store.api.object_fetch(*store.target())
    assert next(stream)
    stream.close()
    stream.close()
    assert list(stream) == []
    assert store.read() == data


def test_description_comes_with_the_stream(store: Store) -> None:
    created = store.create(b"hello", properties={"k": "v"})
    meta, stream = store.api.object_fetch(*store.target())
    stream.close()
    assert (meta["container_id"], meta["ns"]) == (created["container_id"], "OPENIO")
    assert (meta["length"], meta["id"], meta["properties"]) == ("5", created["id"], {"k": "v"})
    meta, _ = store.api.object_fetch(*store.target(), properties=False)
    assert meta["properties"] == {}


def test_object_is_found_by_its_content_id_and_that_of_its_container(store: Store) -> None:
    created = store.create(b"hello")
    cid = created["container_id"].lower()
    assert store.read(cid=cid) == store.read(None, cid=f"{cid}.1", content=created["id"]) == b"hello"


@pytest.mark.pitfall(119)
def test_versions_are_read_apart(store: Store) -> None:
    store.keep_versions()
    old = store.create(b"old")["version"]
    store.create(b"new")
    assert store.read() == b"new"
    assert store.read(version=old) == store.read(version=int(old)) == b"old"
    with pytest.raises(exc.NoSuchObject):
        store.read(version=42)


@pytest.mark.pitfall(57)
@pytest.mark.parametrize("ranges", [None, [(5, 5)]])
def test_other_object_in_the_place_of_a_cached_one_is_read_and_described(store: Store, ranges: Any) -> None:
    store.create(b"first ")
    with client_of(store.namespace, cache={}) as caching:
        assert store.by(caching).read() == b"first "
        new = store.create(b"second")
        meta, stream = caching.object_fetch(*store.target(), ranges=ranges)
        assert (meta["id"], meta["length"]) == (new["id"], "6")
        assert b"".join(stream) == (b"d" if ranges else b"second")
        store.delete()
        with pytest.raises(exc.NoSuchObject):
            caching.object_fetch(*store.target())


# --- damage and loss ----------------------------------------------------------------------------------

FLIPS: dict[str, Callable[[bytes], bytes]] = {
    "bit in the middle": lambda data: (
        data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]
    ),
    "last bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "cut": lambda data: data[:10],
}


@pytest.mark.pitfall(126)
@pytest.mark.parametrize(("change", "units"), list(zip(FLIPS, (1, 3, 3), strict=True)))
def test_data_that_changed_on_the_disks_are_told(store: Store, units: int, change: str) -> None:
    data = data_of(units * store.unit)
    store.create(data)
    for url in store.parts():
        spoil(store.namespace, url, FLIPS[change])
    told = exc.CorruptedChunk if change != "cut" else (exc.CorruptedChunk, exc.ServiceUnavailable)
    options: list[dict[str, Any]] = [{}, {"verify_checksum": "strict", "ranges": [(5, 20)]}]
    for each in options:
        with pytest.raises(told):
            store.read(**each)


@pytest.mark.parametrize("trust_level", [1, 2])
def test_parts_that_are_gone(store: Store, trust_level: int) -> None:
    stored(store)
    target = store.target()
    assert store.api.object_head(*target, trust_level=trust_level)
    first = [
        chunk["url"] for chunk in store.api.object_locate(*target)[1] if chunk["pos"].split(".")[0] == "0"
    ]
    for url in first:
        lose(store.namespace, url)
    with pytest.raises(exc.UnrecoverableContent) as caught:
        store.read()
    assert all(url in str(caught.value) for url in first)
    assert not store.api.object_head(*target, trust_level=trust_level)
    assert store.api.object_head(*target)
    described = list(store.api.object_locate(*target, chunk_info=True)[1])
    assert sorted(chunk["url"] for chunk in described if "error" in chunk) == sorted(first)


def test_locate_describes_what_is_on_the_disks(store: Store) -> None:
    store.create(data_of(store.unit))
    chunks = list(store.api.object_locate(*store.target(), chunk_info=True)[1])
    size = store.unit // {"EC21": 2, "EC": 6, "ECISAL63": 6}.get(store.policy, 1)
    assert min(int(chunk["chunk_size"]) for chunk in chunks) >= size
    assert {chunk["size"] for chunk in chunks} == {store.unit}
    assert not any("error" in chunk for chunk in chunks)
