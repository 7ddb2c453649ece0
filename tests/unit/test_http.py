# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.blob.connect import served_range
from oio.common import http
from oio.common.http import HeadersDict
from tests.kit.fakes import FakeResponse


@pytest.mark.parametrize(
    ("host", "port", "addr"),
    [
        ("h", 80, "h:80"),
        ("127.0.0.1", "80", "127.0.0.1:80"),
        ("::1", 80, "[::1]:80"),
        ("[::1]", 80, "[::1]:80"),
    ],
)
def test_address_is_host_and_port(host, port, addr):
    assert http.get_addr(host, port) == addr


@pytest.mark.parametrize(
    ("raw", "params"),
    [
        ("text/plain", []),
        ("text/plain;charset=UTF-8;a=b", [("charset", "UTF-8"), ("a", "b")]),
        ("text/plain ; charset = UTF-8", [("charset", "UTF-8")]),
        (r'text/plain; a="b;c=\"d\""; e=f', [("a", 'b;c="d"'), ("e", "f")]),
        ("multipart/byteranges; boundary=xyz", [("boundary", "xyz")]),
        ("", []),
    ],
)
def test_content_type_comes_back_unchanged_with_its_parameters(raw, params):
    assert http.parse_content_type(raw) == (raw, params)


def test_content_range_is_three_numbers():
    assert http.parse_content_range("bytes 0-9/100") == (0, 9, 100)


@pytest.mark.parametrize("raw", ["bytes 2-9/100", " bytes  2-9/100 ", "bytes\t2-9/100"])
def test_answer_with_a_range_serves_it_whatever_its_blanks(raw):
    assert served_range(FakeResponse(206, headers={"Content-Range": raw})) == (2, 9, 100)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "bytes",
        "bytes 0-9",
        "bytes 0-9/*",
        "bytes */100",
        "items 0-9/100",
        "bytes 0-9/100x",
        "bytes 0-\xb2/9",
    ],
)
def test_another_content_range_is_refused_by_value(raw):
    with pytest.raises(ValueError, match="invalid content range"):
        http.parse_content_range(raw)
    with pytest.raises(ValueError, match="invalid content range"):
        served_range(FakeResponse(206, headers={"Content-Range": raw}))


@pytest.mark.parametrize(
    ("ranges", "header"),
    [
        ([(0, 9)], "bytes=0-9"),
        ([(0, 0)], "bytes=0-0"),
        ([(0, 9), (None, 5), (10, None)], "bytes=0-9,-5,10-"),
    ],
)
def test_ranges_and_header_are_two_forms_of_the_same(ranges, header):
    assert http.http_header_from_ranges(ranges) == header
    assert http.ranges_from_http_header(header) == ranges


bound = st.integers(0, 2**64)
valid_range = (
    st.tuples(bound, bound).filter(lambda r: r[0] <= r[1])
    | st.tuples(bound, st.none())
    | st.tuples(st.none(), bound.filter(bool))
)


@given(st.lists(valid_range, min_size=1))
def test_any_ranges_come_back(ranges):
    assert http.ranges_from_http_header(http.http_header_from_ranges(ranges)) == ranges


@pytest.mark.parametrize("ranges", [[], [(None, None)], [(None, 0)], [(5, 4)], [(0, 1), (-1, 5)]])
def test_a_range_without_bytes_has_no_header(ranges):
    with pytest.raises(ValueError, match="range"):
        http.http_header_from_ranges(ranges)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-4",
        "bytes=0-9,",
        "lines=0-9",
        "bytes=0",
        "bytes=٣-٤",
    ],
)
def test_a_malformed_range_header_is_refused(header):
    with pytest.raises(ValueError, match="range"):
        http.ranges_from_http_header(header)


METADATA = {
    "id": "20BF",
    "version": 1554086800000000,
    "content_path": "sp ace/sl+ash%25é?&=#\n",
    "chunk_method": "plain/nb_copy=3",
    "policy": "THREECOPIES",
    "container_id": "7B6C",
    "full_path": "acct/ref/obj/1554086800000000/20BF",
    "unrelated": "x",
}


@pytest.mark.pitfall(67)
def test_headers_of_a_chunk_are_those_on_the_wire():
    assert http.headers_from_object_metadata(METADATA) == {
        "transfer-encoding": "chunked",
        "x-oio-chunk-meta-content-id": "20BF",
        "x-oio-chunk-meta-content-version": "1554086800000000",
        "x-oio-chunk-meta-content-path": "sp%20ace/sl%2Bash%2525%C3%A9%3F%26%3D%23%0A",
        "x-oio-chunk-meta-content-chunk-method": "plain/nb_copy=3",
        "x-oio-chunk-meta-content-storage-policy": "THREECOPIES",
        "x-oio-chunk-meta-container-id": "7B6C",
        "x-oio-chunk-meta-oio-version": "4.2",
        "x-oio-chunk-meta-full-path": "acct/ref/obj/1554086800000000/20BF",
    }


def test_optional_headers_are_there_when_known():
    more = {"oio_version": "4.3", "metachunk_hash": "AB", "metachunk_size": 12, "chunk_hash": None}
    headers = http.headers_from_object_metadata({**METADATA, **more})
    assert headers["x-oio-chunk-meta-oio-version"] == "4.3"
    assert headers["x-oio-chunk-meta-metachunk-hash"] == "AB"
    assert headers["x-oio-chunk-meta-metachunk-size"] == "12"
    assert "x-oio-chunk-meta-chunk-hash" not in headers


def test_several_full_paths_stay_several():
    headers = http.headers_from_object_metadata({**METADATA, "full_path": ["a", "b"]})
    assert headers["x-oio-chunk-meta-full-path"] == ["a", "b"]


@pytest.mark.pitfall(117)
@pytest.mark.parametrize("key", ["full_path", "id", "policy"])
def test_a_chunk_is_not_stored_without_its_owner(key):
    metadata = {name: METADATA[name] for name in METADATA if name != key}
    with pytest.raises(KeyError, match=key):
        http.headers_from_object_metadata(metadata)


@pytest.mark.pitfall(68)
def test_header_names_match_whatever_their_case():
    headers = HeadersDict({"x-oio-req-id": "A"}, other="B")
    headers["X-OIO-REQ-ID"] = "C"
    assert headers == {"X-Oio-Req-Id": "C", "Other": "B"}
    assert headers["x-oio-REQ-id"] == headers.get("x-oio-req-id") == "C"
    assert "OTHER" in headers
    assert 12 not in headers
    headers.update({"OTHER": "D"}, x="E")
    assert headers.setdefault("oTHER", "F") == "D"
    assert headers.pop("X") == "E"
    assert headers.pop("x", None) is None
    del headers["other"]
    assert list(headers) == ["X-Oio-Req-Id"]


def test_a_header_may_be_none():
    headers = HeadersDict([("a", "1")])
    headers["A"] = None
    assert headers == {"A": None}
    assert HeadersDict(None) == {}


def test_a_missing_header_is_a_missing_key():
    with pytest.raises(KeyError):
        HeadersDict()["nope"]


def test_the_old_name_of_the_connection_warns_and_works():
    with pytest.warns(DeprecationWarning, match="http_eventlet"):
        old = http.CustomHttpConnection
    from oio.common.http_eventlet import CustomHttpConnection

    assert old is CustomHttpConnection


def test_another_name_is_missing():
    with pytest.raises(AttributeError, match="nope"):
        _ = http.nope
