# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.common.fullpath import (
    decode_fullpath,
    decode_old_fullpath,
    encode_fullpath,
    encode_old_fullpath,
)

names = st.text(st.characters(codec="utf-8"), min_size=1)
versions = st.integers(min_value=1).map(str)


def test_known_full_path():
    parts = ("my acct", "c/1", "é t.txt", "1554086800000000", "20BF2194FD420500CD4729AE0B5CBC07")
    text = "my%20acct/c%2F1/%C3%A9%20t.txt/1554086800000000/20BF2194FD420500CD4729AE0B5CBC07"
    assert encode_fullpath(*parts) == text
    assert decode_fullpath(text) == parts


@pytest.mark.pitfall(118)
@given(st.tuples(names, names, names, versions, names))
def test_any_name_comes_back(parts):
    text = encode_fullpath(*parts)
    assert text.isascii()
    assert text.count("/") == 4
    assert decode_fullpath(text) == parts


@pytest.mark.pitfall(119)
def test_a_version_may_be_a_number():
    assert encode_fullpath("a", "c", "o", 12, "AB") == encode_fullpath("a", "c", "o", "12", "AB")


@given(st.tuples(names, names, names, versions))
def test_old_format_comes_back(parts):
    assert decode_old_fullpath(encode_old_fullpath(*parts)) == parts


def test_old_format_writes_a_space_as_plus():
    assert encode_old_fullpath("a", "c", "a b", 1) == "a/c/a+b/1"


@pytest.mark.parametrize("missing", range(5))
@pytest.mark.parametrize("nothing", ["", None])
def test_a_missing_part_is_refused_by_name(missing, nothing):
    parts = ["a", "c", "o", "1", "AB"]
    parts[missing] = nothing
    name = ("account", "container", "path", "version", "content_id")[missing]
    with pytest.raises(ValueError, match=name):
        encode_fullpath(*parts)
    if missing < 4:
        with pytest.raises(ValueError, match=name):
            encode_old_fullpath(*parts[:4])


@pytest.mark.parametrize("text", ["", "a/c/o/1", "a/c/o/1/AB/x"])
def test_a_full_path_has_five_parts(text):
    with pytest.raises(ValueError, match="instead of 5"):
        decode_fullpath(text)


def test_an_old_full_path_has_four_parts():
    with pytest.raises(ValueError, match="instead of 4"):
        decode_old_fullpath("a/c/o/1/AB")
