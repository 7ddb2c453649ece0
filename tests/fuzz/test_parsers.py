# SPDX-License-Identifier: Apache-2.0
"""Parsers of headers, descriptions and fragments: any input gives a value, or a documented exception."""

from __future__ import annotations

import contextlib
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.api._data.ec.codec import HEADER_SIZE, codec_of
from oio.api._data.layout import lay_out
from oio.b2.download import known_sha1, locate_answer
from oio.blob.description import extract_headers_meta
from oio.common import exceptions as exc
from oio.common.chunks import Chunk
from oio.common.constants import CHUNK_HEADERS
from oio.common.easy_value import boolean_value, float_value, int_value
from oio.common.fullpath import decode_fullpath
from oio.common.http import parse_content_range, parse_content_type, ranges_from_http_header
from oio.common.perfdata import add_request
from oio.common.storage_method import STORAGE_METHODS
from oio.container._description import check_chunks, extract_chunk_qualities, extract_content_headers_meta
from tests.kit.ec_fakes import DATA, EC
from tests.kit.fuzzing import JSON, TEXTS, examples, spoilt_json

_NUMBERS = st.sampled_from(("0", "1", "9", "10", "99", "9" * 25, "9" * 5000, "", "-1", "٣", " 5 "))
_RANGES = st.builds(
    "{}{}-{}/{}".format, st.sampled_from(("bytes ", "bytes=", "")), _NUMBERS, _NUMBERS, _NUMBERS
)
_METHODS = st.builds(
    "{}/{}={},{}={},algo={}".format,
    st.sampled_from(("plain", "ec", "backblaze", "x", "")),
    st.sampled_from(("nb_copy", "k", "account_id")),
    _NUMBERS,
    st.sampled_from(("m", "bucket_name", "k")),
    _NUMBERS,
    st.sampled_from(("isa_l_rs_vand", "liberasurecode_rs_vand", "none", "")),
)

#: Parsers of one text, and the exceptions that they document.
PARSERS: dict[str, tuple[Any, tuple[type[Exception], ...]]] = {
    "content range": (parse_content_range, (ValueError,)),
    "content type": (parse_content_type, ()),
    "range header": (ranges_from_http_header, (ValueError,)),
    "full path": (decode_fullpath, (ValueError,)),
    "chunk method": (STORAGE_METHODS.load, (exc.InvalidStorageMethod,)),
    "boolean": (boolean_value, (ValueError,)),
    "number": (int_value, (ValueError,)),
    "fraction": (float_value, (ValueError,)),
    "performance": (lambda text: add_request({}, "proxy", 0.1, f"{text},a={text}"), ()),
    "length for B2": (lambda text: locate_answer(200, {"Content-Length": text}), (exc.OioProtocolError,)),
    "range for B2": (
        lambda text: locate_answer(206, {"Content-Length": "10", "Content-Range": text}),
        (exc.OioProtocolError,),
    ),
    "SHA-1": (lambda text: known_sha1({"X-Bz-Content-Sha1": text, "X-Bz-Info-large_file_sha1": text}), ()),
}


@pytest.mark.parametrize("name", PARSERS)
def test_any_text_is_parsed_or_refused(name: str) -> None:
    parse, documented = PARSERS[name]
    inputs = {"chunk method": _METHODS | TEXTS}.get(name, _RANGES | TEXTS | st.text(max_size=20))

    @examples(80)
    @given(inputs)
    def try_one(text: str) -> None:
        with contextlib.suppress(*documented):
            parse(*((text, 1) if name in {"number", "fraction", "boolean"} else (text,)))

    try_one()


@examples(150)
@given(st.dictionaries(st.sampled_from([*CHUNK_HEADERS.values(), "X-Other"]), TEXTS))
def test_headers_of_a_chunk_are_a_description_or_faulty(headers: dict[str, str]) -> None:
    try:
        extract_headers_meta(headers)
    except exc.FaultyChunk as err:
        str(err)
    extract_headers_meta(headers, check=False)


@examples(150)
@given(
    st.dictionaries(
        st.sampled_from(
            ("x-oio-content-meta-size", "X-Oio-Content-Meta-Hash", "x-oio-content-meta-x-a", "x")
        ),
        TEXTS,
    )
)
def test_headers_of_an_object_are_a_description(headers: dict[str, str]) -> None:
    assert isinstance(extract_content_headers_meta(headers)["properties"], dict)


_LOCATED = [
    {"url": "http://127.0.0.1:6010/0A", "pos": "0", "size": 10, "hash": "0" * 32, "score": 50},
    {
        "url": "http://127.0.0.1:6011/0B",
        "real_url": "http://h:1/0B",
        "pos": "0.1",
        "num": 1,
        "size": 10,
        "hash": "AB",
    },
    {"url": "b2/0C", "pos": "1", "size": 5, "hash": None},
]


@examples(350)
@given(
    spoilt_json(_LOCATED), st.dictionaries(st.sampled_from(("chunk_method", "length", "name")), TEXTS), JSON
)
def test_located_chunks_are_laid_out_or_refused(chunks: Any, meta: dict[str, str], other: Any) -> None:
    described = {"chunk_method": "plain/nb_copy=2", "length": "15", "name": other} | meta
    try:
        check_chunks(chunks)
    except (LookupError, TypeError, ValueError, AttributeError):
        return
    try:
        layout = lay_out(described, chunks, [(0, 3)], logging.getLogger("fuzz"))
        for metachunk in layout.metachunks:
            assert all(isinstance(chunk, Chunk) for chunk in metachunk.chunks)
    except exc.OioException as err:
        str(err)


@examples(150)
@given(
    st.dictionaries(
        st.sampled_from(("__OIO_CHUNK__http://h/AB", "color")), TEXTS | st.just('{"final_dist": 1}')
    )
)
def test_qualities_of_chunks_are_parsed_or_refused(properties: dict[str, str]) -> None:
    try:
        extract_chunk_qualities(properties)
    except ValueError:
        assert any(key.startswith("__OIO") for key in properties)


@examples(150)
@given(st.integers(100, 999), JSON | TEXTS | st.binary(max_size=9), TEXTS)
def test_any_refusal_is_an_exception_that_can_be_told(status: int, body: Any, reason: str) -> None:
    response = SimpleNamespace(status=status, reason=reason, headers={})
    error = exc.from_response(response, body)
    assert isinstance(error, exc.ClientException)
    assert isinstance(str(error), str)


@examples(300)
@given(st.data())
def test_a_fragment_that_is_spoilt_is_refused_or_decoded_as_it_was(data: st.DataObject) -> None:
    codec = codec_of(EC)
    fragments = dict(enumerate(EC.driver.encode(DATA[:500])))
    place = data.draw(st.integers(0, HEADER_SIZE - 1))
    length = data.draw(st.sampled_from((0, 1, HEADER_SIZE - 1, HEADER_SIZE, len(fragments[0]), 10_000)))
    spoilt = bytearray(
        fragments[0].ljust(length, b"\0")[:length] if length != len(fragments[0]) else fragments[0]
    )
    if place < len(spoilt):
        spoilt[place : place + 4] = data.draw(st.binary(min_size=1, max_size=4))
    try:
        index, segment = codec.check(bytes(spoilt), data.draw(st.sampled_from((None, 500, 499))))
    except exc.ECError:
        return
    others = {number: fragment for number, fragment in fragments.items() if number not in {0, index}}
    try:
        decoded = codec.decode({index: bytes(spoilt)} | dict(list(others.items())[:5]), segment)
    except exc.ECError:
        return
    assert len(decoded) == segment
