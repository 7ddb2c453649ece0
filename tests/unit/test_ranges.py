# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.common.ranges import (
    check_range,
    close_range,
    fix_ranges,
    get_meta_ranges,
    obj_range_to_meta_chunk_range,
)

sizes = st.lists(st.integers(0, 12), max_size=8)
bounds = st.none() | st.integers(0, 100)
ranges = st.tuples(bounds, bounds).filter(lambda r: None in r or r[0] <= r[1])


def selected(data: bytes, start: int | None, end: int | None) -> bytes:
    """What a range means, said with slices."""
    if start is None:
        return data if end is None else data[max(len(data) - end, 0) :]
    return data[start:] if end is None else data[start : end + 1]


@given(ranges, st.integers(0, 120))
def test_a_closed_range_selects_the_same_bytes(asked, length):
    data = bytes(range(length))
    closed = close_range(*asked, length)
    got = b"" if closed is None else data[closed[0] : closed[1] + 1]
    assert got == selected(data, *asked)


@pytest.mark.pitfall(43, 47)
@given(ranges, sizes)
def test_metachunk_ranges_select_the_same_bytes(asked, meta_sizes):
    data = bytes(range(sum(meta_sizes)))
    result = obj_range_to_meta_chunk_range(*asked, meta_sizes)
    got = b""
    for pos, (start, end) in result.items():
        assert 0 <= start <= end < meta_sizes[pos]
        offset = sum(meta_sizes[:pos])
        got += data[offset + start : offset + end + 1]
    assert got == selected(data, *asked)
    assert list(result) == sorted(result)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ((0, 24), {0: (0, 9), 1: (0, 9), 2: (0, 4)}),
        ((12, 21), {1: (2, 9), 2: (0, 1)}),
        ((9, 9), {0: (9, 9)}),
        ((None, 7), {1: (8, 9), 2: (0, 4)}),
        ((20, None), {2: (0, 4)}),
        ((30, 40), {}),
        ((5, 1000), {0: (5, 9), 1: (0, 9), 2: (0, 4)}),
        ((None, None), {0: (0, 9), 1: (0, 9), 2: (0, 4)}),
        ((None, 0), {}),
    ],
)
def test_known_metachunk_ranges(asked, expected):
    assert obj_range_to_meta_chunk_range(*asked, [10, 10, 5]) == expected


def test_an_empty_metachunk_is_skipped():
    assert obj_range_to_meta_chunk_range(0, 19, [10, 0, 10]) == {0: (0, 9), 2: (0, 9)}


@pytest.mark.pitfall(43)
def test_metachunks_are_taken_in_the_order_of_numbers():
    chunks = {pos: [{"size": 10}] for pos in reversed(range(12))}
    assert get_meta_ranges([(95, 114)], chunks) == [{9: (5, 9), 10: (0, 9), 11: (0, 4)}]


@pytest.mark.pitfall(61)
def test_each_range_is_mapped_on_its_own_in_the_order_of_the_request():
    chunks = {0: [{"size": 10}], 1: [{"size": 10}]}
    asked = [(15, 16), (0, 3), (0, 3), (8, 11)]
    assert get_meta_ranges(asked, chunks) == [{1: (5, 6)}, {0: (0, 3)}, {0: (0, 3)}, {0: (8, 9), 1: (0, 1)}]


@pytest.mark.parametrize(
    ("asked", "length", "expected"),
    [
        (None, 10, None),
        ([], 10, None),
        ([(0, 1)], None, None),
        ([(0, 4)], 10, [(0, 4)]),
        ([(None, 3)], 10, [(7, 9)]),
        ([(None, 0)], 10, []),
        ([(None, 30)], 10, [(0, 9)]),
        ([(4, None)], 10, [(4, 9)]),
        ([(10, None)], 10, []),
        ([(4, 40)], 10, [(4, 9)]),
        ([(10, 12), (0, 0)], 10, [(0, 0)]),
        ([(0, 0)], 0, []),
    ],
)
def test_ranges_are_fixed_to_the_length(asked, length, expected):
    assert fix_ranges(asked, length) == expected


def test_ranges_may_come_from_a_generator():
    assert fix_ranges(((n, n) for n in range(3)), 2) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("bad", [(-1, 5), (0, -5), (None, -1), (-1, None)])
def test_a_negative_bound_is_refused(bad):
    with pytest.raises(ValueError, match="negative bound"):
        check_range(*bad)


@pytest.mark.parametrize("use", [check_range, lambda s, e: fix_ranges([(s, e)], 100)])
def test_an_inverted_range_is_refused_by_value(use):
    with pytest.raises(ValueError, match=r"range \(6, 5\) ends before it starts"):
        use(6, 5)


def test_sizes_of_metachunks_may_come_one_by_one():
    assert obj_range_to_meta_chunk_range(12, 21, iter([10, 10, 5])) == {1: (2, 9), 2: (0, 1)}
