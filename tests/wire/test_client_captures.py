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

from oio.api._data.ec.codec import codec_of
from oio.api._facade.call import NotFoundObject
from oio.common import exceptions as exc
from oio.common.arguments import WrongValue
from oio.common.storage_method import STORAGE_METHODS
from tests.wire.calls import Call, load_call, make, recorded_result
from tests.wire.recorded import NAMES, Capture, load
from tests.wire.replayed import Replay, replaying

RAW = "made by hand: the clients say the same in test_client_raw_captures.py"
NOT_REPLAYED = {
    r"raw_.*": RAW,
}


def why_not_replayed(name: str) -> str | None:
    return next((reason for pattern, reason in NOT_REPLAYED.items() if re.fullmatch(pattern, name)), None)


REPLAYED = [name for name in NAMES if why_not_replayed(name) is None]


class Changed(dict[str, Any]):
    """What differs from the description of an object that was recorded: the result, or its last part."""


class Raises:
    """What is raised instead of what was recorded."""

    def __init__(self, kind: type[Exception], text: str = "") -> None:
        self.kind = kind
        self.text = text


ANYTHING = object()
"""A result that is not compared."""


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
        Raises(NotFoundObject, "Object 'nonexistent-1795332627' does not exist."),
        "a NoSuchObject, as of all other calls about an object, and still a NotFound",
    ),
    "object_create__bad_policy": (
        Raises(exc.ClientException, "storage policy 'NOSUCHPOLICY': Unexpected storage policy"),
        "the exception names the policy",
    ),
    "container_create__bad_system_property": (
        Raises(WrongValue, "system['sys.m2.quota'] must be an integer: 'notanumber'"),
        "the service stores any text, and then has no quota (pitfalls row 151)",
    ),
    "object_delete_many__empty": ([], "nothing is asked about no names"),
    "object_create__missing_data": (
        Raises(exc.MissingData, "neither data nor file_or_path is given"),
        "the exception has a text",
    ),
    **{
        f"object_fetch__drained_{policy}": (
            Raises(exc.ContentDrained, "The content is drained"),
            "HTTP 410 has a class of its own",
        )
        for policy in ("SINGLE", "THREECOPIES", "EC")
    },
    "chunk_get__not_found": (Raises(exc.NotFound, "Not Found"), "each chunk is named with its own reason"),
    "chunk_get__bad_id": (Raises(exc.BadRequest, "Bad Request"), "each chunk is named with its own reason"),
    "object_drain__not_found": (
        Raises(NotFoundObject, "Object 'nonexistent-1795332627' does not exist."),
        "a NoSuchObject, as of all other calls about an object, and still a NotFound",
    ),
    "object_truncate__ok": (None, "not the empty body of an answer"),
    "object_truncate__boundary": (None, "not the empty body of an answer"),
    "object_truncate__zero": (
        Raises(exc.ClientException, "Unexpected"),
        "it works (pitfalls row 159), but the recording has no answers to what it takes",
    ),
    "object_change_policy__to_ec": (
        Changed(mime_type="application/octet-stream"),
        "that of the object stays",
    ),
    "object_change_policy__back": (Changed(mime_type="application/octet-stream"), "that of the object stays"),
    "object_change_policy__same": (
        Raises(exc.Conflict, "The object is already using the EC storage policy (HTTP 409)"),
        "the text is not in the place of the status",
    ),
    "object_change_policy__bad_policy": (
        Raises(exc.ClientException, "storage policy 'NOSUCHPOLICY': Unexpected storage policy"),
        "the exception names the policy",
    ),
    "object_locate__chunk_info": (ANYTHING, "the generator was recorded as such, and not run"),
    "object_create__perfdata": (ANYTHING, "the figures change from one run to the next"),
    "chunk_link__ok": (ANYTHING, "the ID of the link is random"),
    **{
        f"object_link__{policy}": (
            Changed(size="2500000"),
            "that of the link, not of the question where to store it",
        )
        for policy in ("SINGLE", "THREECOPIES", "EC")
    },
    "object_link__replace_properties": (
        Changed(size="65", properties={"new": "p"}),
        "properties and size of the link, not of its target or of a question about it",
    ),
    "object_fastcopy__deprecated": (Changed(size="65"), "that of the link"),
    "chunk_copy__exists": (
        Raises(exc.Conflict, "quorum not reached (0/1): HTTP 409"),
        "its message is not an exception",
    ),
}

_HASH = "x-oio-chunk-meta-chunk-hash"
DEPRECATED = re.compile(r".*deprecated|object_show__")

#: Requests that we make and the recorded client did not, or the other way round; and why.
MORE_DELETIONS = "chunks of a refused object are removed (pitfalls rows 34 and 131)"
LOCATED_AGAIN = "an object of which nothing can be read may have been replaced meanwhile (row S3)"
OTHER_REQUESTS = {
    "container_create__bad_system_property": "nothing is sent of what is refused",
    "object_delete_many__empty": "nothing is asked about no names",
    "object_truncate__ok": "cut after the metachunk, which is read whole, to verify it, before it is cut",
    "object_truncate__boundary": "no data are moved (pitfalls row 129)",
    "object_truncate__zero": "the first metachunk is made empty (pitfalls row 159)",
    "container_snapshot__not_found": "what is not there was not frozen, and is not to be enabled",
    "object_fetch__all_chunks_missing_EC": LOCATED_AGAIN,
    "object_fetch__all_chunks_missing_THREECOPIES": LOCATED_AGAIN,
    "object_create__etag_mismatch": MORE_DELETIONS,
    "object_create__no_autocreate": MORE_DELETIONS,
    "object_create__in_snapshot_EC": MORE_DELETIONS,
    "object_create__in_snapshot_THREECOPIES": MORE_DELETIONS,
}
CHUNK_KEYS = {"url", "id", "content", "pos", "size", "hash"}
#: Requests that we make besides those of the recorded client.
MORE_REQUESTS = {
    # The policy of the object to append to (pitfalls row 128).
    ("object_create", "content/get_properties"),
    # Properties named like metadata are told by no other (pitfalls row 148).
    ("object_link", "content/get_properties"),
    ("object_fastcopy", "content/get_properties"),
    # A half-made snapshot is removed when it fails, but not what was there before.
    ("container_snapshot", "container/get_properties"),
    # A service that says that it has deleted all may have left shards alone (pitfalls row W12).
    ("container_flush", "container/list"),
    # What is frozen is not always read from its master.
    ("container_purge", "container/get_properties"),
}
#: Parameters that say the same otherwise, or more.
SPELLED_OTHERWISE = {"False": "0", "True": "1"}
FREE = {
    # (operation, route): parameters that need not be as recorded
    # The ID goes with the version, so that all metachunks are prepared for the same object.
    ("object_create", "content/prepare2"): {"content"},
    ("object_change_policy", "content/prepare2"): {"content"},
    # The recorded client dropped it, and the container was not destroyed (pitfalls row 155).
    ("container_delete", "container/destroy"): {"force"},
    # Properties are not asked for where nothing is done with them.
    ("object_head", "content/locate"): {"properties"},
    ("object_change_policy", "content/locate"): {"properties"},
    ("container_touch", "container/list"): {"properties", "max"},
    ("object_link", "content/locate"): {"properties"},
    ("object_fastcopy", "content/locate"): {"properties"},
    ("container_snapshot", "container/list"): {"max"},
    # The chunks to link are those that the snapshot names, whatever becomes of the source (row 156).
    ("container_snapshot", "content/locate"): {"properties", "ref"},
    ("container_purge", "container/list"): {"max"},
    # Older versions and delete markers are to be deleted too (pitfalls row 94).
    ("container_flush", "container/list"): {"all"},
    # Services of 2026 look for it there, and not in the body.
    ("container_refresh", "container/reset"): {"container"},
    ("account_refresh", "container/reset"): {"container"},
    ("container_refresh", "container/update"): {"container"},
}


UNKNOWN = ("", 0)
"""Path and version of what nobody has told."""


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write fragments without checksums of their data, as the recorded client does.

    How ours differ from them is tested with the fragments.
    """
    method = STORAGE_METHODS.load("ec/algo=liberasurecode_rs_vand,k=6,m=3")
    monkeypatch.setattr(codec_of(method), "_driver", method.unchecked_driver)  # type: ignore[arg-type,attr-defined]


@pytest.mark.usefixtures("unchecked")
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
    recorded = recorded_result(call.outcome.get("return"))
    expected, _ = DIFFERENT.get(name, (recorded, ""))
    if isinstance(expected, Changed):
        described = recorded[-1] if isinstance(recorded, list) else recorded
        assert any(described[key] != expected[key] for key in expected)
        described.update(expected)
        expected = recorded
    assert name in DIFFERENT or "exception" not in call.outcome, f"{call.outcome['exception']} is missing"
    if expected is ANYTHING:
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
    assert {
        (capture.operation, "/".join(urlsplit(sent.target).path.split("/")[-2:])) for sent in replay.more
    } <= MORE_REQUESTS
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
    if service in ("proxy", "account", "rdir") and method != "GET" and body:
        content = json.loads(body)
        if isinstance(content, dict):
            content = {key: value for key, value in content.items() if value is not None}
            # The date of the day.
            content.update({key: type(content[key]).__name__ for key in ("mtime", "dtime") if key in content})
            if route == "rdir/push":
                # Services of 2026 refuse an entry without them.
                content = {key: value for key, value in content.items() if value not in UNKNOWN}
            for key in ("chunks", "old", "new"):
                if key in content:
                    content[key] = sorted(map(what_matters, content[key]), key=json.dumps)
    if service != "rawx":
        # The recorded client let that of its last read into other requests.
        byte_range = None
    return json.dumps([service, method, parts.path, query, content, byte_range], sort_keys=True)


def what_matters(chunk: dict[str, Any]) -> dict[str, Any]:
    """Drop what the service does not look at."""
    return {key: str(value).lower() for key, value in sorted(chunk.items()) if key in CHUNK_KEYS}


def test_every_capture_is_replayed_or_has_a_reason_not_to_be() -> None:
    reasons = Counter(why_not_replayed(name) for name in NAMES)
    assert reasons.pop(None) == len(REPLAYED)
    assert sum(reasons.values()) + len(REPLAYED) == 369
    assert {name for name in (*DIFFERENT, *OTHER_REQUESTS) if name not in REPLAYED} == set()
