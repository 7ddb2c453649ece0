# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oio.common import cache as oio_cache
from oio.common.utils import cid_from_name

CID = cid_from_name("acct", "ref")
META = {"name": "o", "policy": "SINGLE", "properties": {"k": "v"}}
CHUNKS = [{"url": "http://h/1", "pos": "0", "score": 12}]


def put(cache, properties=True, **kwargs):
    given = {"properties": properties, "cache": cache, **kwargs}
    oio_cache.set_cached_object_metadata(META, CHUNKS, "acct", "ref", "o", **given)


def get(cache, properties=True, **kwargs):
    given = {"properties": properties, "cache": cache, **kwargs}
    return oio_cache.get_cached_object_metadata("acct", "ref", "o", **given)


def test_what_is_put_comes_back_but_for_the_scores():
    cache = {}
    put(cache)
    assert get(cache) == (META, [{"url": "http://h/1", "pos": "0"}])
    assert list(cache) == [f"meta/{CID}/o"]
    assert CHUNKS[0]["score"] == 12


@pytest.mark.pitfall(146, "E4")
@pytest.mark.parametrize("cid", [CID, CID.lower(), CID + ".1"])
def test_container_id_and_names_lead_to_the_same_entry(cid):
    cache = {}
    put(cache)
    known, _ = oio_cache.get_cached_object_metadata(cid=cid, path="o", cache=cache, properties=True)
    assert known == META
    assert oio_cache._get_object_metadata_cache_key(path="o", cid=cid) == f"meta/{CID}/o"
    assert oio_cache._get_container_metadata_cache_key(cid=cid) == f"meta/{CID}"


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
    with pytest.raises(ValueError, match="cid is required, or both account and reference"):
        oio_cache.get_cached_object_metadata("acct", None, "o", cache={})
    with pytest.raises(ValueError, match="path is required"):
        oio_cache._get_object_metadata_cache_key("acct", "ref")


@pytest.mark.pitfall("E4")
def test_tools_compute_the_same_keys():
    assert oio_cache._get_object_metadata_cache_key("acct", "ref", "a/b", None) == f"meta/{CID}/a/b"
    assert oio_cache._get_container_metadata_cache_key("acct", "ref", None) == f"meta/{CID}"


@pytest.mark.pitfall("E7")
def test_entries_have_the_shape_that_other_clients_read():
    cache = {}
    put(cache)
    chunks = [{"url": "http://h/1", "pos": "0"}]
    meta = {"name": "o", "policy": "SINGLE", "properties": {}}
    assert cache[f"meta/{CID}/o"] == {"meta": meta, "chunks": chunks, "properties": {"k": "v"}}
    put(cache, properties=False)
    assert cache[f"meta/{CID}/o"] == {"meta": meta, "chunks": chunks}
    oio_cache.set_cached_object_metadata(META, None, "acct", "ref", "o", properties=True, cache=cache)
    assert cache[f"meta/{CID}/o"] == {"meta": meta, "properties": {"k": "v"}}
    assert get(cache) == (META, None)


@pytest.mark.pitfall("E9")
def test_properties_are_neither_kept_nor_wanted_unless_one_says_so():
    cache = {}
    oio_cache.set_cached_object_metadata(META, None, "acct", "ref", "o", cache=cache)
    assert "properties" not in cache[f"meta/{CID}/o"]
    meta, chunks = oio_cache.get_cached_object_metadata("acct", "ref", "o", cache=cache)
    assert (meta, chunks) == ({**META, "properties": {}}, None)


#: Items that another program may have put there, or another release of this one.
STRANGE = [
    "text",
    7,
    [],
    {},
    {"meta": None},
    {"meta": []},
    {"meta": {}, "chunks": {"url": "x"}},
    {"meta": {}, "chunks": ["x"]},
    {"meta": {}, "chunks": [{"pos": "0"}]},
    {"meta": {}, "chunks": [{"url": None}]},
    {"meta": {}, "properties": ["x"]},
    {"content_meta": {}, "content_chunks": []},
]


@pytest.mark.pitfall("E7")
@pytest.mark.parametrize("item", STRANGE)
def test_item_of_another_shape_is_not_there(item):
    cache = {f"meta/{CID}/o": item, f"meta/{CID}": item if isinstance(item, str) else []}
    assert get(cache, properties=False) == (None, None)
    assert oio_cache.get_cached_container_metadata("acct", "ref", cache=cache) is None


@pytest.mark.pitfall("E7")
def test_item_of_an_earlier_release_has_no_properties():
    item = {"meta": META, "chunks": CHUNKS, "has_properties": True}
    cache = {f"meta/{CID}/o": item}
    assert get(cache) == (None, None)
    assert get(cache, properties=False) == ({**META, "properties": {}}, [{"url": "http://h/1", "pos": "0"}])


@pytest.mark.pitfall("E7")
@pytest.mark.parametrize("missing", ["id", "version", "length", "chunk_method"])
def test_description_that_lacks_what_all_have_tells_nothing(missing):
    whole = {"id": "ID", "version": "1", "length": "3", "chunk_method": "plain"}
    assert oio_cache.ObjectEntry(whole).tells(properties=False)
    assert not oio_cache.ObjectEntry(whole | {missing: None}).tells(properties=False)


# --- changes while something is asked ----------------------------------------------------------------


@pytest.mark.pitfall("S5")
@pytest.mark.parametrize(
    ("forget", "args"),
    [
        (oio_cache.del_cached_object_metadata, ("acct", "ref", "o")),
        (oio_cache.forget_object, ("acct", "ref", "o")),
        (oio_cache.forget_object, ("acct", "ref", None)),
        (oio_cache.forget_container, ("acct", "ref")),
    ],
)
@pytest.mark.parametrize("same", [True, False], ids=["same cache", "another view of it"])
def test_answer_is_not_kept_when_the_object_has_changed_meanwhile(forget, args, same):
    stored = []

    class Recording(dict):
        def __setitem__(self, key, value):
            stored.append(value)
            super().__setitem__(key, value)

    cache = Recording()
    key = oio_cache.object_key("acct", "ref", "o")
    with oio_cache.Question(cache, key) as question:
        forget(*args, cache=cache if same else {})
        question.keep("old")
    # Not even for a moment: others read it meanwhile.
    assert stored == []
    with oio_cache.Question(cache, key) as question:
        question.keep("new")
    assert stored == ["new"]


@pytest.mark.pitfall("S5")
def test_answer_that_becomes_old_while_it_is_kept_is_removed():
    class Slow(dict):
        def __setitem__(self, key, value):
            oio_cache.forget_object("acct", "ref", "o", cache=self)
            super().__setitem__(key, value)

    cache = Slow()
    with oio_cache.Question(cache, oio_cache.object_key("acct", "ref", "o")) as question:
        question.keep("old")
    assert cache == {}


def test_change_of_another_object_does_not_matter():
    cache = {}
    with oio_cache.Question(cache, oio_cache.object_key("acct", "ref", "o")) as question:
        oio_cache.forget_object("acct", "ref", "p", cache=cache)
        oio_cache.forget_container("acct", "other", cache=cache)
        question.keep("new")
    assert list(cache.values()) == ["new"]


def test_question_is_forgotten_when_it_fails():
    with pytest.raises(KeyError), oio_cache.Question({}, "meta/x"):
        raise KeyError("x")
    assert not oio_cache._QUESTIONS
