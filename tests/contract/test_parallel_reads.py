# SPDX-License-Identifier: Apache-2.0
"""Reads of several metachunks at a time give what reads of one at a time do."""

from __future__ import annotations

import random
from typing import Any

import pytest

from oio.common import exceptions as exc
from tests.contract.conftest import POLICIES
from tests.kit.store import Store, lose

Known = tuple[bytes, str]


@pytest.fixture
def data(policy: str, store: Store) -> bytes:
    data = random.Random(policy).randbytes(POLICIES[policy] * 3 + 123)
    store.create(data)
    return data


def read(store: Store, **options: Any) -> Known:
    """What is given, and the class of the exception after it."""
    given = b""
    _, stream = store.api.object_fetch(*store.target(), **options)
    with stream:
        try:
            for block in stream:
                given += block
        except exc.OioException as err:
            return given, type(err).__name__
    return given, ""


def test_same_data_are_read(store: Store, data: bytes) -> None:
    for verify in (True, False, "strict", "server"):
        for parallel in (1, "2", 16):
            assert store.read(parallel=parallel, verify_checksum=verify) == data


def test_ranges_are_given_in_order(store: Store, data: bytes) -> None:
    size = len(data)
    ranges = [(5, size - 5), (0, 0), (size // 2, None)]
    expected = data[5 : size - 4] + data[:1] + data[size // 2 :]
    assert store.read(parallel=3, ranges=ranges) == expected


def test_metachunk_that_is_lost_is_told_once_all_before_it_is_given(store: Store, data: bytes) -> None:
    _, chunks = store.api.object_locate(*store.target())
    positions = sorted({chunk["pos"].split(".")[0] for chunk in chunks})
    lost = [chunk["url"] for chunk in chunks if chunk["pos"].split(".")[0] == positions[-1]]
    for url in lost:
        lose(store.namespace, url)
    one_by_one = read(store)
    assert one_by_one[1]
    assert read(store, parallel=4) == one_by_one
    store.delete()


def test_stream_that_is_left_leaves_no_connection_open(store: Store, data: bytes) -> None:
    _, stream = store.api.object_fetch(*store.target(), parallel=4, hold_up_to=0)
    with stream:
        assert data.startswith(next(stream))


def test_numbers_that_make_no_sense_are_refused(api: Any) -> None:
    for value in (0, 17, -1, "many", 1 << 70):
        with pytest.raises(ValueError, match="parallel must be a number"):
            api.object_fetch("a", "c", "o", parallel=value)
