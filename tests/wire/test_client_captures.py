# SPDX-License-Identifier: Apache-2.0
"""The client, given the recorded answers, asks what was recorded, and returns or raises what it must."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from oio.common import exceptions as exc
from tests.wire.calls import Call, load_call, make, recorded_result
from tests.wire.recorded import NAMES, Capture, load
from tests.wire.replayed import Replay, replaying

LATER = "a method that a later issue brings"
RAW = "made by hand: there was no client"
NOT_REPLAYED = {
    r"raw_.*": RAW,
    r"container_snapshot__.*": LATER,
    r"object_(change_policy|drain|link|truncate|fastcopy)__.*": LATER,
    r"(rdir|resolve)_.*": LATER,
    r"chunk_copy__.*": LATER,
}


def why_not_replayed(name: str) -> str | None:
    return next((reason for pattern, reason in NOT_REPLAYED.items() if re.fullmatch(pattern, name)), None)


REPLAYED = [name for name in NAMES if why_not_replayed(name) is None]


class Raises:
    """What is raised instead of what was recorded."""

    def __init__(self, kind: type[Exception], text: str = "") -> None:
        self.kind = kind
        self.text = text


DIFFERENT = {
    # name of the capture: (what comes instead, why)
    "conscience_next_instances__rawx": (
        [{"addr": "127.0.0.1:6019", "id": "OPENIO|rawx|127.0.0.1:6019"}],
        "what the conscience answered, not its first item only (pitfalls row 108)",
    ),
    "container_touch__not_found": (
        Raises(exc.NoSuchContainer, "Container 'nonexistent-1795332627' does not exist."),
        "status 406 means no container, whatever the HTTP status (pitfalls row 132)",
    ),
    "object_touch__not_found": (
        Raises(exc.NoSuchObject, "Object 'nonexistent-1795332627' does not exist."),
        "as for all other calls about an object",
    ),
    "object_create__bad_policy": (
        Raises(exc.ClientException, "storage policy 'NOSUCHPOLICY': Unexpected storage policy"),
        "the exception names the policy",
    ),
    "object_create__missing_data": (
        Raises(exc.MissingData, "neither data nor file_or_path is given"),
        "the exception has a text",
    ),
    **{
        f"object_fetch__range_unsatisfiable_{policy}": (
            Raises(exc.UnsatisfiableRange, "(9000000, 9000010)"),
            "not an empty stream (pitfalls row 133)",
        )
        for policy in ("SINGLE", "THREECOPIES", "EC")
    },
    **{
        f"object_fetch__drained_{policy}": (
            Raises(exc.ContentDrained, "The content is drained"),
            "HTTP 410 has a class of its own",
        )
        for policy in ("SINGLE", "THREECOPIES", "EC")
    },
    "chunk_get__not_found": (Raises(exc.NotFound, "Not Found"), "each chunk is named with its own reason"),
    "chunk_get__bad_id": (Raises(exc.BadRequest, "Bad Request"), "each chunk is named with its own reason"),
    "object_locate__chunk_info": (None, "the generator was recorded as such, and not run"),
    "object_create__perfdata": (None, "the figures change from one run to the next"),
    "chunk_link__ok": (None, "the ID of the link is random"),
}

_HASH = "x-oio-chunk-meta-chunk-hash"
DEPRECATED = re.compile(r".*deprecated|object_show__")

#: Requests that we make and the recorded client did not, or the other way round; and why.
MORE_DELETIONS = "chunks of a refused object are removed (pitfalls rows 34 and 131)"
OTHER_REQUESTS = {
    "object_create__append_SINGLE": "the policy of the object is looked up first (pitfalls row 128)",
    "object_create__append_THREECOPIES": "the policy of the object is looked up first (pitfalls row 128)",
    "object_create__append_EC": "the policy of the object is looked up first (pitfalls row 128)",
    "object_create__etag_mismatch": MORE_DELETIONS,
    "object_create__no_autocreate": MORE_DELETIONS,
    "object_create__in_snapshot_EC": MORE_DELETIONS,
    "object_create__in_snapshot_THREECOPIES": MORE_DELETIONS,
}
#: Parameters that say the same otherwise, or more.
SPELLED_OTHERWISE = {"False": "0", "True": "1"}
FREE = {
    # (operation, route): parameters that need not be as recorded
    # The ID goes with the version, so that all metachunks are prepared for the same object.
    ("object_create", "content/prepare2"): {"content"},
    # The recorded client dropped it, and the container was not destroyed (pitfalls row 155).
    ("container_delete", "container/destroy"): {"force"},
    # Properties are not asked for where nothing is done with them.
    ("object_head", "content/locate"): {"properties"},
    ("container_touch", "container/list"): {"properties", "max"},
    ("container_purge", "container/list"): {"max"},
    # Older versions and delete markers are to be deleted too (pitfalls row 94).
    ("container_flush", "container/list"): {"all"},
}


@pytest.mark.pitfall(34, 92, 108, 131, 132, 133, 155)
@pytest.mark.parametrize("name", REPLAYED)
def test_client_meets_the_recorded_services(name: str, tmp_path: Path) -> None:
    capture, call = load(name), load_call(name)
    with replaying(capture) as replay:
        deprecated = pytest.deprecated_call if DEPRECATED.match(name) else nullcontext
        try:
            with deprecated():
                result = make(call, name, replay, tmp_path)
        except (exc.OioException, ValueError) as err:
            check_exception(name, call, replay, err)
        else:
            check_result(name, call, replay, result)
    check_requests(name, capture, replay)
    check_fragments(capture, replay)


def check_exception(name: str, call: Call, replay: Replay, err: Exception) -> None:
    expected = DIFFERENT.get(name, (None,))[0]
    if isinstance(expected, Raises):
        assert type(err) is expected.kind
        assert expected.text in str(err)
        return
    recorded = call.outcome
    if "exception" not in recorded:
        raise err
    assert type(err).__name__ == recorded["exception"]
    if recorded["http_status"] is not None:
        assert isinstance(err, exc.StatusMessageException)
        assert replay.recorded(str(err.message)) == recorded["message"]
        assert (err.http_status, err.status) == (recorded["http_status"], recorded["oio_status"])
    elif recorded["str"].startswith("("):
        # The arguments of the exception, which the recorded client did not format.
        assert str(err).startswith(
            str(json.loads(re.sub(r'^\((["\'])(.*?)\1, .*', r'"\2"', recorded["str"])))
        )
    elif recorded["exception"] != "UnrecoverableContent":
        # That one lists chunks in the order in which they were tried.
        assert replay.recorded(str(err)).startswith(recorded["str"].partition(" (HTTP")[0])


def check_result(name: str, call: Call, replay: Replay, result: Any) -> None:
    expected, _ = DIFFERENT.get(name, (recorded_result(call.outcome.get("return")), ""))
    assert "exception" not in call.outcome, f"{call.outcome['exception']} is missing"
    if name in DIFFERENT and expected is None:
        assert result
        return
    actual = json.loads(replay.recorded(json.dumps(result)))
    assert_same(expected, actual)


def assert_same(expected: Any, actual: Any) -> None:
    """Compare results: of data, only the beginning was recorded; chunks come in any order."""
    if isinstance(expected, dict) and expected.keys() == {"bytes", "base64"}:
        recorded = base64.b64decode(expected["base64"])
        assert actual["bytes"] == expected["bytes"]
        assert base64.b64decode(actual["base64"])[: len(recorded)] == recorded
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        for key in expected:
            assert_same(expected[key], actual[key])
    elif isinstance(expected, list):
        assert len(actual) == len(expected)
        for one, other in zip(in_order(expected), in_order(actual), strict=True):
            assert_same(one, other)
    elif isinstance(expected, str) and re.fullmatch(r"[0-9A-Fa-f]{32}", expected):
        assert actual.lower() == expected.lower()
    elif expected != "score":
        assert actual == expected


def in_order(items: list[Any]) -> list[Any]:
    if items and isinstance(items[0], dict) and "pos" in items[0]:
        return sorted(({**item, "score": 0} for item in items), key=lambda item: item["url"])
    return items


def check_requests(name: str, capture: Capture, replay: Replay) -> None:
    expected = Counter(
        request_key(capture.operation, e.service, e.method, e.target, e.request.head, e.request.get("range"))
        for e in capture.exchanges
    )
    actual = Counter(
        request_key(
            capture.operation,
            sent.service,
            sent.method,
            sent.target,
            replay.recorded(sent.body.decode("utf-8", "replace")).encode(),
            sent.headers.get("range"),
        )
        for sent in replay.sent
    )
    if name in OTHER_REQUESTS:
        assert actual != expected, "this capture is not different any more"
    else:
        assert not replay.unexpected
        assert actual == expected


def check_fragments(capture: Capture, replay: Replay) -> None:
    """Compare what was written of erasure-coded chunks: trailers, size, as much data as is known."""
    written = {sent.target: sent for sent in replay.sent if sent.method == "PUT"}
    for exchange in capture.exchanges:
        recorded = exchange.request
        if exchange.service == "rawx" and recorded.trailers:
            sent = written[exchange.target]
            assert sent.headers["trailer"] == recorded.get("trailer")
            assert len(sent.body) == recorded.length
            assert sent.body[: len(recorded.head)] == recorded.head
            expected = dict(recorded.trailers)
            if len(recorded.head) < recorded.length and _HASH in expected:
                expected[_HASH] = hashlib.md5(sent.body).hexdigest()
            assert as_recorded(replay, sent.trailers) == as_recorded(replay, expected)


def as_recorded(replay: Replay, value: dict[str, str]) -> Any:
    return json.loads(replay.recorded(json.dumps(value)))


def request_key(
    operation: str, service: str, method: str, target: str, body: bytes, byte_range: str | None
) -> str:
    """Make a text of what matters in a request."""
    parts = urlsplit(target)
    route = "/".join(parts.path.split("/")[-2:])
    query = {
        key: SPELLED_OTHERWISE.get(value, value)
        for key, value in parse_qsl(parts.query, keep_blank_values=True)
        if key not in FREE.get((operation, route), ())
    }
    content = None
    # The recorded client sent a body with the question where the account service is.
    if service in ("proxy", "account") and method != "GET" and body:
        content = json.loads(body)
        if isinstance(content, dict):
            content = {key: value for key, value in content.items() if value is not None}
            # The date of the day.
            content.update({key: type(content[key]).__name__ for key in ("mtime", "dtime") if key in content})
            if "chunks" in content:
                content["chunks"] = [
                    {**chunk, "hash": chunk["hash"].lower()} for chunk in in_order(content["chunks"])
                ]
    return json.dumps([service, method, parts.path, query, content, byte_range], sort_keys=True)


def test_every_capture_is_replayed_or_has_a_reason_not_to_be() -> None:
    reasons = Counter(why_not_replayed(name) for name in NAMES)
    assert reasons.pop(None) == len(REPLAYED)
    assert sum(reasons.values()) + len(REPLAYED) == 369
    assert {name for name in (*DIFFERENT, *OTHER_REQUESTS) if name not in REPLAYED} == set()
