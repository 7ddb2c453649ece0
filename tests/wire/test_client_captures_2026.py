# SPDX-License-Identifier: Apache-2.0
"""The client, given the answers of the development head, asks for chunks as its client does, and reads them.

Captures of objects here; those that were made by hand on chunk servers in ``test_client_chunks_2026.py``.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from oio.api._data.ec.codec import codec_of
from oio.common import exceptions as exc
from oio.common.storage_method import STORAGE_METHODS
from tests.wire.calls import load_call_2026, make_2026, recorded_result
from tests.wire.recorded import NAMES_2026, Capture, Exchange, load_2026
from tests.wire.replayed import Replay, Sent, replaying
from tests.wire.test_client_captures import as_recorded, assert_same, request_key

PATTERN = re.compile(r"object_(create|fetch|head|locate|request_transition)__.*")
#: Only the beginnings of these data were recorded: their requests are compared, and what is made up is read.
LARGE = [
    "object_create__multichunk_EC",
    "object_create__multichunk_THREECOPIES",
    "object_fetch__changed_policy",
    "object_fetch__multichunk_EC",
    "object_fetch__multichunk_THREECOPIES",
    "object_fetch__range_EC",
    "object_fetch__range_THREECOPIES",
]
#: Calls that are refused before anything is sent.
REFUSED = ["object_create__cca_sha256_EC", "object_create__cca_sha256_THREECOPIES"]
#: Calls with an option that this client does not have: the checksum of the object is MD5.
IGNORED = [
    f"object_create__oca_{case}"
    for case in ("blake3_THREECOPIES", "none_THREECOPIES", "sha256_EC", "sha256_THREECOPIES")
]
#: An object that the recorded client has spoiled, and could not read: one chunk has no index.
SPOILED = "object_fetch__truncated_EC"
NOT_REPLAYED = {
    r"object_create__cca_none_.*": "the chunk method stays as it was prepared, so that a server that gets it "
    "answers with MD5, and not as recorded",
    r"object_head__trust_2": "the last byte of each file is asked for too, and was not recorded",
}
NAMES = [name for name in NAMES_2026 if PATTERN.fullmatch(name)]
REPLAYED = [
    name
    for name in NAMES
    if name not in {*LARGE, *REFUSED, *IGNORED, SPOILED}
    and not any(re.fullmatch(pattern, name) for pattern in NOT_REPLAYED)
]

META, CONTENT = "x-oio-chunk-meta-", "x-oio-content-meta-"
_NOTHING = "nothing: what names no checksum is MD5"
_OBJECTS = "that of the object to append to, word for word; chunks have their own"
OTHER_METHOD = {
    # (name, where): what is said of the checksum of chunks instead.
    **{
        (f"object_create__cca_md5_{policy}", service): _NOTHING
        for policy in ("THREECOPIES", "EC")
        for service in ("rawx", "proxy")
    },
    **{(f"object_create__append_{policy}", "proxy"): _OBJECTS for policy in ("SINGLE", "THREECOPIES", "EC")},
}


MORE_REQUESTS = {
    # The policy of the object to append to (pitfalls row 128).
    "content/get_properties",
}


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write fragments without checksums of their data, as the recorded client does."""
    for method in ("ec/algo=liberasurecode_rs_vand,k=6,m=3", _blake3("EC")):
        loaded: Any = STORAGE_METHODS.load(method)
        monkeypatch.setattr(codec_of(loaded), "_driver", loaded.unchecked_driver)


def _blake3(policy: str) -> str:
    return {"EC": "ec/algo=liberasurecode_rs_vand,cca=blake3,k=6,m=3,oca=md5"}[policy]


@pytest.mark.pitfall("W1", "W2")
@pytest.mark.parametrize("name", REPLAYED)
def test_client_meets_the_services_of_the_development_head(name: str) -> None:
    capture, call = load_2026(name), load_call_2026(name)
    with replaying(capture) as replay:
        # What the recorded client does by default.
        result = make_2026(call, replay, chunk_checksum_algo="blake3")
        expected = recorded_result(call.outcome["return"])
        # Descriptions of objects are longer by some field or other.
        if "object_create_ext" in call.text:
            expected, result = expected[:3], result[:3]
        assert_same(expected, json.loads(replay.recorded(json.dumps(result))))
    assert not replay.unexpected
    assert {sent.target.partition("?")[0].partition("OPENIO/")[2] for sent in replay.more} <= MORE_REQUESTS
    check_requests(capture, replay)
    check_chunks(name, capture, replay)


@pytest.mark.pitfall("W1", "W2")
@pytest.mark.parametrize("name", LARGE)
def test_client_asks_for_large_objects_as_recorded(name: str) -> None:
    capture, call = load_2026(name), load_call_2026(name)
    with replaying(capture) as replay:
        result = make_2026(call, replay, chunk_checksum_algo="blake3")
    data = result["data"]["bytes"] if capture.operation == "object_fetch" else result[1]
    recorded = call.outcome["return"]
    assert data == (recorded["data"]["bytes"] if capture.operation == "object_fetch" else recorded[1])
    if name.endswith(("fetch__multichunk_EC", "range_EC", "changed_policy")):
        # What was recorded of the data comes out of the fragments.
        given = base64.b64decode(result["data"]["base64"])
        known = base64.b64decode(recorded["data"]["base64"])
        assert given[: len(known)] == known
    assert not replay.unexpected
    for exchange in capture.exchanges:
        # Those of the metachunk, and of the object, are told by us alone.
        for header, value in (*exchange.request.headers, *exchange.request.trailers):
            if header.lower() in {f"{META}metachunk-hash", f"{CONTENT}hash"}:
                replay.hashes[value] = _sent(replay, exchange, header)
    check_requests(capture, replay)
    check_chunks(name, capture, replay)


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("name", REFUSED)
def test_checksum_that_no_server_computes_is_refused_before_anything_is_sent(name: str) -> None:
    with replaying(load_2026(name)) as replay, pytest.raises(ValueError, match="chunk_checksum_algo"):
        make_2026(load_call_2026(name), replay)
    assert replay.sent == replay.more == []


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("name", IGNORED)
def test_checksum_of_the_object_is_always_md5_and_who_asks_for_another_is_warned(name: str) -> None:
    capture, call = load_2026(name), load_call_2026(name)
    with replaying(capture) as replay:
        with pytest.warns(exc.UnknownOption, match="object_checksum_algo"):
            chunks, size, md5, _ = make_2026(call, replay, chunk_checksum_algo="blake3")
        recorded = recorded_result(call.outcome["return"])
        assert_same(recorded[:2], json.loads(replay.recorded(json.dumps([chunks, size]))))
    assert not replay.unexpected
    (commit,) = [sent for sent in replay.sent if "content/create?" in sent.target]
    (expected,) = [e.request for e in capture.exchanges if "content/create?" in e.target]
    method = f"{CONTENT}chunk-method"
    assert commit.headers[method] == re.sub(r"oca=\w+", "oca=md5", str(expected.get(method)))
    assert commit.headers[f"{CONTENT}hash"] == md5


@pytest.mark.pitfall("W1")
def test_object_that_another_client_has_spoiled_is_told(unchecked: None) -> None:
    call = load_call_2026(SPOILED)
    assert call.outcome["exception"] == "IndexError"
    with replaying(load_2026(SPOILED)) as replay, pytest.raises(exc.OioException):
        make_2026(call, replay)
    assert not replay.unexpected


def _sent(replay: Replay, exchange: Exchange, header: str) -> str:
    path = exchange.target.partition("?")[0]
    sent = next(sent for sent in replay.sent if sent.target.partition("?")[0] == path)
    return {**sent.headers, **sent.trailers}[header.lower()]


def check_requests(capture: Capture, replay: Replay) -> None:
    """Compare which requests there were, and what the commit says of chunks."""
    operation = capture.operation
    expected = [
        said(request_key(operation, e.service, e.method, e.target, e.request.head, e.request.get("range")))
        for e in capture.exchanges
    ]
    actual = [
        said(
            request_key(operation, s.service, s.method, s.target, body_of(replay, s), s.headers.get("range"))
        )
        for s in replay.sent
    ]
    assert sorted(actual) == sorted(expected)


def body_of(replay: Replay, sent: Sent) -> bytes:
    return replay.recorded(sent.body.decode("utf-8", "replace")).encode()


def said(key: str) -> str:
    """Drop the properties of a commit: what was prepared adds some, of the places of chunks."""
    parts = json.loads(key)
    if isinstance(parts[4], dict):
        parts[4].pop("properties", None)
    return json.dumps(parts)


def check_chunks(name: str, capture: Capture, replay: Replay) -> None:
    """Compare how chunks and objects are described, and the trailers."""
    written = {sent.target.partition("?")[0]: sent for sent in replay.sent}
    for exchange in capture.exchanges:
        recorded, sent = exchange.request, written[exchange.target.partition("?")[0]]
        for header in (f"{META}content-chunk-method", f"{CONTENT}chunk-method"):
            expected = recorded.get(header)
            if expected and (name, exchange.service) in OTHER_METHOD:
                assert "cca" not in sent.headers[header]
            else:
                assert sent.headers.get(header) == expected, header
        for header in ("trailer", f"{META}chunk-hash", f"{CONTENT}hash"):
            assert replay.recorded(str(sent.headers.get(header))) == str(recorded.get(header)), header
        if exchange.method == "PUT":
            assert len(sent.body) == recorded.length
            assert recorded.body in {None, sent.body}
            assert as_recorded(replay, sent.trailers) == as_recorded(replay, dict(recorded.trailers))


def test_every_capture_is_replayed_or_has_a_reason_not_to_be() -> None:
    told = [*LARGE, *REFUSED, *IGNORED, SPOILED]
    left = [name for name in NAMES if name not in (*REPLAYED, *told)]
    assert (len(REPLAYED), len(LARGE), len(told), len(left)) == (23, 7, 14, 3)
    assert all(any(re.fullmatch(pattern, name) for name in left) for pattern in NOT_REPLAYED)
    assert {name for name, _ in OTHER_METHOD} <= set(REPLAYED)
