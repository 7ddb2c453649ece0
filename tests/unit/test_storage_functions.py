# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.common.storage_functions import (
    _make_object_metadata,
    _sort_chunks,
    get_meta_ranges,
    obj_range_to_meta_chunk_range,
    wrand_choice_index,
)

LOGGER = logging.getLogger("oio.test.storage_functions")


def chunk(pos, score=50, hash_="AA", size=10, url=None):
    return {"url": url or f"http://h/{pos}-{score}", "pos": pos, "score": score, "hash": hash_, "size": size}


def test_range_arithmetic_is_offered_here_too():
    assert obj_range_to_meta_chunk_range(12, 21, [10, 10, 5]) == {1: (2, 9), 2: (0, 1)}
    assert get_meta_ranges([(0, 3)], {0: [{"size": 10}]}) == [{0: (0, 3)}]


@pytest.mark.pitfall(43)
def test_metachunks_are_in_the_order_of_numbers_with_their_offset_in_the_object():
    chunks = _sort_chunks([chunk(str(pos), size=100 + pos) for pos in (10, 9, 2, 0, 1)], False)
    assert list(chunks) == [0, 1, 2, 9, 10]
    assert [chunks[pos][0]["offset"] for pos in chunks] == [0, 100, 201, 303, 412]


def test_chunks_are_the_dictionaries_of_the_caller():
    mine = chunk("0")
    assert _sort_chunks([mine], False)[0][0] is mine


def test_positions_of_fragments_become_numbers():
    chunks = _sort_chunks([chunk("0.10"), chunk("0.2"), chunk("1.0")], True)
    assert sorted(c["num"] for c in chunks[0]) == [2, 10]
    assert chunks[1][0]["num"] == 0


@pytest.mark.pitfall(56)
def test_the_best_services_come_first_and_the_dead_ones_last():
    for _ in range(20):
        chunks = _sort_chunks([chunk("0", score) for score in (0, 20, 90, 55)], False)
        assert [c["score"] for c in chunks[0]] == [90, 55, 20, 0]


@pytest.mark.pitfall(56)
def test_services_with_close_scores_share_the_load():
    firsts = Counter(
        _sort_chunks([chunk("0", score) for score in (90, 91, 92)], False)[0][0]["score"] for _ in range(500)
    )
    assert set(firsts) == {90, 91, 92}


def test_chunks_may_have_no_score():
    scoreless = chunk("0")
    del scoreless["score"]
    assert [c.get("score") for c in _sort_chunks([scoreless, chunk("0", 1)], False)[0]] == [1, None]


@pytest.mark.pitfall(63)
@pytest.mark.parametrize("odd", [{"hash_": "BB"}, {"size": 9}])
def test_chunks_that_differ_from_most_of_the_others_are_left_out(odd, caplog):
    raw = [chunk("0", 99, url="http://h/odd", **odd), chunk("0", 50), chunk("0", 40, hash_="aa")]
    with caplog.at_level(logging.WARNING, LOGGER.name):
        chunks = _sort_chunks(raw, False, logger=LOGGER)
    assert [c["score"] for c in chunks[0]] == [50, 40]
    assert "http://h/odd" in caplog.text


@pytest.mark.pitfall(54)
def test_fragments_that_come_twice_are_spares_after_all_the_others(caplog):
    raw = [chunk("0.0", 90), chunk("0.0", 60), chunk("0.1", 30), chunk("0.2", 0)]
    with caplog.at_level(logging.WARNING, LOGGER.name):
        chunks = _sort_chunks(raw, True, logger=LOGGER)
    assert [(c["num"], c["score"]) for c in chunks[0]] == [(0, 90), (1, 30), (2, 0), (0, 60)]
    assert "http://h/0.0-60" in caplog.text


@given(
    st.lists(
        st.builds(
            chunk,
            st.integers(0, 3).map(str),
            st.integers(0, 100),
            st.sampled_from("ABC"),
            st.just(10),
        ),
        max_size=20,
    )
)
def test_every_metachunk_keeps_a_largest_group_of_equal_chunks(raw):
    result = _sort_chunks(raw, False)
    assert set(result) == {int(c["pos"]) for c in raw}
    for pos, chunks in result.items():
        counts = Counter(c["hash"] for c in raw if c["pos"] == str(pos))
        assert {c["hash"] for c in chunks} <= set(counts)
        assert len(chunks) == counts[chunks[0]["hash"]] == max(counts.values())


def test_no_chunk_makes_no_metachunk():
    assert _sort_chunks([], False) == {}


def test_the_random_numbers_of_the_host_are_not_used_up():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    _sort_chunks([chunk("0", 50), chunk("0", 51)], False)
    wrand_choice_index([1, 2])
    assert random.random() == expected


def test_choice_follows_the_scores():
    choices = Counter(wrand_choice_index([0, 1, 99]) for _ in range(300))
    assert choices[0] == 0
    assert choices[2] > choices[1]


def test_choice_is_even_when_all_scores_are_zero():
    assert {wrand_choice_index([0, 0]) for _ in range(100)} == {0, 1}


def test_object_headers_become_metadata_and_properties():
    meta = _make_object_metadata(
        {
            "Content-Length": "12",
            "x-oio-content-meta-name": "sp%20ace%2F%C3%A9%0A",
            "x-oio-content-meta-hash-method": "md5",
            "X-Oio-Content-Meta-Mime-Type": "text/plain",
            "x-oio-content-meta-length": "12",
            "x-oio-content-meta-Color": "dark%20red",
        }
    )
    assert meta == {
        "name": "sp ace/é\n",
        "hash_method": "md5",
        "mime_type": "text/plain",
        "length": "12",
        "properties": {"Color": "dark red"},
    }


@pytest.mark.pitfall(101)
def test_a_property_that_starts_with_x_is_a_property():
    meta = _make_object_metadata({"x-oio-content-meta-x-size": "1", "x-oio-content-meta-x-foo": "2"})
    assert meta == {"properties": {"x-size": "1", "x-foo": "2"}}
