# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import pytest

from oio.common.timestamp import Timestamp


@pytest.mark.parametrize("value", [1554086800.5, "1554086800.5", 1554086800500000, "1554086800500000"])
def test_seconds_and_microseconds_as_number_or_text(value):
    stamp = Timestamp(value)
    assert float(stamp) == stamp.timestamp == 1554086800.5
    assert int(stamp) == 1554086800
    assert stamp.normal == repr(stamp) == "1554086800.50000"
    assert stamp.isoformat == "2019-04-01T02:46:40.500000"


def test_the_greatest_number_of_seconds_is_not_taken_for_microseconds():
    assert Timestamp(31494784780800).timestamp == 31494784780800
    assert Timestamp(31494784780801).timestamp == 31494784.780801


def test_the_default_is_now():
    before = time.time()
    assert before <= Timestamp().timestamp <= time.time()


def test_texts_sort_like_times():
    stamps = [Timestamp(n) for n in (0, 9.5, 10, 1554086800)]
    assert sorted(stamp.normal for stamp in stamps) == [stamp.normal for stamp in stamps]
    assert stamps[0].normal == "0000000000.00000"


def test_order_and_equality_with_times_numbers_and_texts():
    stamp = Timestamp(10)
    assert stamp == Timestamp("10")
    assert stamp == 10
    assert stamp == "10.0"
    assert hash(stamp) == hash(Timestamp(10.0))
    assert stamp < Timestamp(11)
    assert stamp <= 10.0
    assert stamp > "9.5"
    assert stamp != 11
    assert stamp != []
    assert bool(stamp) is not bool(Timestamp(0))
    with pytest.raises(TypeError):
        sorted([stamp, []])


def test_a_time_can_be_copied():
    assert Timestamp(Timestamp(12)) == 12


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="yesterday"):
        Timestamp("yesterday")
