# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oio.common import cache as oio_cache
from oio.common.utils import cid_from_name

CID = cid_from_name("acct", "ref")
META = {"name": "o", "policy": "SINGLE", "properties": {"k": "v"}}
CHUNKS = [{"url": "http://h/1", "pos": "0", "score": 12}]


def put(cache, **kwargs):
    oio_cache.set_cached_object_metadata(META, CHUNKS, "acct", "ref", "o", cache=cache, **kwargs)


def get(cache, **kwargs):
    return oio_cache.get_cached_object_metadata("acct", "ref", "o", cache=cache, **kwargs)


def test_what_is_put_comes_back_but_for_the_scores():
    cache = {}
    put(cache)
    assert get(cache) == (META, [{"url": "http://h/1", "pos": "0"}])
    assert list(cache) == [f"meta/{CID}/o"]
    assert CHUNKS[0]["score"] == 12


@pytest.mark.pitfall(146)
@pytest.mark.parametrize("cid", [CID, CID.lower(), CID + ".1"])
def test_container_id_and_names_lead_to_the_same_entry(cid):
    cache = {}
    put(cache)
    assert oio_cache.get_cached_object_metadata(cid=cid, path="o", cache=cache)[0] == META


@pytest.mark.pitfall(71)
def test_changing_what_comes_out_changes_nothing_inside():
    cache = {}
    put(cache)
    meta, chunks = get(cache)
    meta["name"] = "x"
    meta["properties"]["k"] = "x"
    chunks[0]["offset"] = 12
    assert get(cache) == (META, [{"url": "http://h/1", "pos": "0"}])


def test_metadata_without_properties_are_not_enough_for_who_wants_them():
    cache = {}
    put(cache, properties=False)
    assert get(cache) == (None, None)
    assert get(cache, properties=False)[0]["name"] == "o"


def test_properties_are_left_out_when_they_are_not_wanted():
    cache = {}
    put(cache)
    assert get(cache, properties=False)[0]["properties"] == {}


def test_a_call_with_a_version_neither_reads_nor_writes_the_cache():
    cache = {}
    put(cache, version=12)
    assert cache == {}
    put(cache)
    assert get(cache, version=12) == (None, None)


def test_a_change_of_any_version_drops_the_entry():
    cache = {}
    put(cache)
    for _ in range(2):
        oio_cache.del_cached_object_metadata("acct", "ref", "o", version=12, cache=cache)
    assert cache == {}


def test_containers_have_entries_too():
    cache = {}
    oio_cache.set_cached_container_metadata({"a": 1}, "acct", "ref", cache=cache)
    assert list(cache) == [f"meta/{CID}"]
    assert oio_cache.get_cached_container_metadata(cid=CID, cache=cache) == {"a": 1}
    for _ in range(2):
        oio_cache.del_cached_container_metadata("acct", "ref", cache=cache)
    assert oio_cache.get_cached_container_metadata("acct", "ref", cache=cache) is None


def test_without_a_cache_nothing_happens():
    put(None)
    assert get(None) == (None, None)
    oio_cache.del_cached_object_metadata("acct", "ref", "o")
    oio_cache.set_cached_container_metadata({}, "acct", "ref")
    assert oio_cache.get_cached_container_metadata("acct", "ref") is None
    oio_cache.del_cached_container_metadata("acct", "ref")


def test_an_entry_needs_a_container():
    with pytest.raises(ValueError, match="cid, or both account and reference"):
        oio_cache.get_cached_object_metadata("acct", None, "o", cache={})
