# SPDX-License-Identifier: Apache-2.0
"""What listeners are told of the requests of calls, whatever becomes of them."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.api.object_storage import ObjectStorageApi
from oio.common import events, green
from oio.common import exceptions as exc
from oio.common.retry import Retry
from oio.sandbox import Fault, Namespace
from tests.kit.buckets import client_of
from tests.kit.events import Heard
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, chunks_on_disk, create, read

POLICIES = ["THREECOPIES", "EC"]
SMALL = b"a few bytes"
TIMEOUTS = {"OioTimeout", "ChunkReadTimeout", "ConnectionTimeout", "DeadlineReached"}
NOBODY = "127.0.0.1:1"


@pytest.fixture
def namespace(tmp_path: Path, release: str) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=9, chunk_size=CHUNK_SIZE, release=release) as running:
        yield running


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_requests_of_a_call_are_told(api: Any, heard: Heard, policy: str, data: bytes) -> None:
    create(api, "o", data, policy=policy, on_event=heard, reqid="an-ID")
    assert read(api, "o", on_event=heard, reqid="an-ID") == data
    api.account_show(ACCOUNT, on_event=heard, reqid="an-ID")
    api.object_delete(ACCOUNT, CONTAINER, "o", on_event=heard, reqid="an-ID")
    heard.check_pairs()
    assert {event.reqid for event in heard.events} == {"an-ID"}
    assert {event.kind for event in heard.events} == {events.BEGUN, events.ENDED}
    assert {outcome for _, outcome in heard.ended()} == {events.OK}
    operations = {(event.service, event.operation) for event in heard.events}
    assert operations >= {
        ("proxy", "POST content/prepare2"),
        ("proxy", "POST content/create"),
        ("proxy", "GET content/locate"),
        ("proxy", "POST content/delete"),
        ("rawx", "PUT chunk"),
        ("rawx", "GET chunk"),
        ("account-service", "GET account/show"),
    }
    puts, gets = heard.of(events.ENDED, "PUT chunk"), heard.of(events.ENDED, "GET chunk")
    copies = 3 if policy == "THREECOPIES" else None
    if copies:
        assert sum(event.sent for event in puts) == copies * len(data)
        assert sum(event.received for event in gets) == len(data)
    assert all(event.sent and event.chunk and event.address in event.chunk for event in puts)
    assert all(event.received and event.chunk for event in gets)


def test_a_call_wins_over_the_client(namespace: Namespace, heard: Heard) -> None:
    own = Heard()
    with namespace.api(on_event=heard) as api:
        create(api, "o", SMALL)
        count = len(heard.events)
        assert count
        read(api, "o", on_event=own)
        read(api, "o", on_event=None)
    assert len(heard.events) == count
    assert own.ended() == [("GET content/locate", "ok"), ("GET chunk", "ok")]


def test_what_cannot_be_called_is_refused(api: Any) -> None:
    with pytest.raises(TypeError, match="on_event must be callable, not str: 'listener'"):
        read(api, "o", on_event="listener")


def test_clients_of_services_have_listeners_too(namespace: Namespace, api: Any, heard: Heard) -> None:
    create(api, "o", SMALL)
    _, chunks = api.object_locate(ACCOUNT, CONTAINER, "o")
    url = chunks[0]["real_url"]
    api.blob_client.chunk_head(url, on_event=heard)
    _, stream = api.blob_client.chunk_get(url, on_event=heard)
    assert b"".join(stream) == SMALL
    api.blob_client.chunk_delete_many(chunks[:1], on_event=heard)
    api.blob_client.chunk_delete_many(chunks[:1], on_event=heard)
    with pytest.raises(exc.NotFound):
        api.container.content_locate(ACCOUNT, CONTAINER, "other", on_event=heard)
    heard.check_pairs()
    assert heard.ended() == [
        ("HEAD chunk", "ok"),
        ("GET chunk", "ok"),
        ("DELETE chunk", "ok"),
        ("DELETE chunk", "HTTP 404"),
        ("GET content/locate", "HTTP 404"),
    ]
    assert [event.chunk for event in heard.of(events.ENDED)][:4] == [url] * 4
    assert heard.of(events.ENDED)[-1].error


def test_nothing_is_done_where_nobody_listens(api: Any, heard: Heard) -> None:
    def calls(**options: Any) -> int:
        """How many functions are called that only listeners need."""
        number = 0

        def note(frame: Any, event: str, _arg: object) -> None:
            nonlocal number
            path = frame.f_code.co_filename
            number += event == "call" and path.endswith(("oio/common/events.py", "oio/blob/events.py"))

        sys.setprofile(note)
        try:
            create(api, "o", LARGE, **options)
            read(api, "o", **options)
            api.account_show(ACCOUNT, **options)
            api.object_delete(ACCOUNT, CONTAINER, "o", **options)
        finally:
            sys.setprofile(None)
        return number

    assert calls() == 0
    assert calls(on_event=heard) > len(heard.events)


def test_listener_may_be_made_for_each_call(api: Any) -> None:
    class Telling:
        def __init__(self) -> None:
            self.calls: dict[str, Heard] = {}

        def __call__(self, event: events.Event) -> None:
            raise AssertionError

        def for_call(self, reqid: str) -> Heard:
            return self.calls.setdefault(reqid, Heard())

    telling = Telling()
    create(api, "o", SMALL, on_event=telling, reqid="one")
    read(api, "o", on_event=telling, reqid="two")
    assert {event.reqid for event in telling.calls["one"].events} == {"one"}
    assert telling.calls["two"].ended() == [("GET content/locate", "ok"), ("GET chunk", "ok")]


# --- failures -------------------------------------------------------------------------------------------


def test_attempts_are_told(namespace: Namespace, api: Any, heard: Heard, caplog: Any) -> None:
    create(api, "o", SMALL)
    busy = Fault("status", service="proxy", operation="content/locate", nth=1)
    with namespace.faults(busy), caplog.at_level(logging.DEBUG, "oio"):
        read(api, "o", on_event=heard, retry=Retry(unit=0), reqid="an-ID")
    heard.check_pairs()
    assert heard.ended()[:2] == [("GET content/locate", "HTTP 503"), ("GET content/locate", "ok")]
    assert [event.attempt for event in heard.of(events.ENDED)][:2] == [1, 2]
    (again,) = heard.of(events.RETRIED)
    assert (again.operation, again.attempt, again.outcome) == ("GET content/locate", 2, "HTTP 503")
    (record,) = [record for record in caplog.records if "trying again" in record.message]
    assert (record.oio_reqid, record.oio_outcome, record.oio_service) == ("an-ID", "HTTP 503", "proxy")


def test_other_proxies_are_told(namespace: Namespace, heard: Heard, caplog: Any) -> None:
    with ObjectStorageApi(namespace.name, endpoint=f"{NOBODY};{namespace.proxy.address}") as api:
        api.container_create(ACCOUNT, CONTAINER, on_event=heard)
    heard.check_pairs()
    operation = "POST container/create"
    assert heard.ended() == [(operation, "OioConnectionException"), (operation, "ok")]
    (event,) = heard.of(events.FAILED_OVER)
    assert (event.address, event.operation) == (namespace.proxy.address, operation)
    (record,) = [record for record in caplog.records if "out of reach" in record.message]
    assert (record.oio_event, record.oio_address) == (events.FAILED_OVER, event.address)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("action", ["reset", "status", "truncate"])
def test_chunk_that_cannot_be_read_is_told(
    namespace: Namespace, api: Any, heard: Heard, policy: str, action: str, caplog: Any
) -> None:
    create(api, "o", LARGE, policy=policy)
    settings: dict[str, Any] = {} if action == "status" else {"after_bytes": 20_000}
    with namespace.faults(Fault(action, operation="GET", nth=1, **settings)):
        assert read(api, "o", on_event=heard, reqid="an-ID") == LARGE
    heard.check_pairs()
    (failed,) = heard.of(events.CHUNK_FAILED)
    bad = [event for event in heard.of(events.ENDED, "GET chunk") if event.outcome != "ok"]
    assert [event.chunk for event in bad] == [failed.chunk]
    assert bad[0].outcome == failed.outcome
    if action == "status":
        assert failed.outcome == "HTTP 503"
    assert failed.outcome not in {events.OK, events.ABANDONED, events.UNUSABLE}
    (other,) = heard.of(events.FAILED_OVER)
    assert other.chunk != failed.chunk
    (record,) = [record for record in caplog.records if hasattr(record, "oio_chunk")]
    assert (record.oio_chunk, record.oio_reqid) == (failed.chunk, "an-ID")
    assert (record.oio_event, record.oio_operation) == (events.CHUNK_FAILED, "GET chunk")
    assert (record.oio_service, record.oio_address, record.oio_outcome) == (
        "rawx",
        failed.address,
        failed.outcome,
    )


def test_chunk_that_is_asked_again_is_told(namespace: Namespace, api: Any, heard: Heard) -> None:
    create(api, "o", LARGE[:CHUNK_SIZE], policy="SINGLE")
    with namespace.faults(Fault("reset", operation="GET", nth=1, after_bytes=70_000)):
        read(api, "o", on_event=heard)
    heard.check_pairs()
    (again,) = heard.of(events.RETRIED)
    first, second = heard.of(events.ENDED, "GET chunk")
    assert (first.attempt, second.attempt, again.attempt) == (1, 2, 2)
    assert first.received + second.received == CHUNK_SIZE


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("action", ["reset", "status", "wrong-hash", "refuse"])
def test_chunk_that_cannot_be_written_is_told(
    namespace: Namespace, api: Any, heard: Heard, policy: str, data: bytes, action: str, caplog: Any
) -> None:
    settings: dict[str, Any] = {"address": namespace.rawx[0].address}
    if action != "refuse":
        settings["operation"] = "PUT"
    with namespace.faults(Fault(action, **settings)):
        create(api, "o", data, policy=policy, on_event=heard)
        heard.check_pairs()
        failed = heard.of(events.CHUNK_FAILED)
        bad = [event for event in heard.of(events.ENDED, "PUT chunk") if event.outcome != "ok"]
        if action == "wrong-hash":
            # It is noticed when all answers are there.
            assert bad == []
        else:
            assert [event.chunk for event in bad] == [event.chunk for event in failed]
        assert {event.address for event in failed} <= {namespace.rawx[0].address}
        records = [record for record in caplog.records if getattr(record, "oio_chunk", "")]
        assert [record.oio_chunk for record in records] == [event.chunk for event in failed]


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_servers_that_are_left_behind_end_too(
    tmp_path: Path, release: str, heard: Heard, data: bytes
) -> None:
    with Namespace(tmp_path / "three", rawx=3, chunk_size=CHUNK_SIZE, release=release) as namespace:
        late = namespace.rawx[0].address
        stall = Fault("stall", operation="PUT", address=late, after_bytes=1)
        with namespace.api(write_grace=0.05) as api, namespace.faults(stall):
            create(api, "o", data, on_event=heard, policy="THREECOPIES")
    heard.check_pairs()
    metachunks = 1 if data is SMALL else 2
    bad = [event for event in heard.of(events.ENDED, "PUT chunk") if event.outcome != events.OK]
    assert [event.address for event in bad] == [late] * metachunks
    failed = heard.of(events.CHUNK_FAILED)
    assert [(event.chunk, event.outcome) for event in failed] == [
        (event.chunk, event.outcome) for event in bad
    ]


@pytest.mark.parametrize("policy", POLICIES)
def test_deadline_ends_requests(namespace: Namespace, api: Any, heard: Heard, policy: str) -> None:
    create(api, "o", LARGE, policy=policy)
    reached = (exc.OioTimeout, exc.DeadlineReached)
    with namespace.faults(Fault("stall", operation="GET")), pytest.raises(reached):
        read(api, "o", on_event=heard, deadline=time.monotonic() + 0.3)
    heard.check_pairs()
    assert {outcome for operation, outcome in heard.ended() if operation == "GET chunk"} & TIMEOUTS


@pytest.mark.parametrize("policy", POLICIES)
def test_stream_that_is_closed_early_ends_its_requests(api: Any, heard: Heard, policy: str) -> None:
    create(api, "o", LARGE * 4, policy=policy)
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o", on_event=heard, hold_up_to=0)
    next(stream)
    stream.close()
    heard.check_pairs()
    if policy == "THREECOPIES":
        assert heard.ended()[-1] == ("GET chunk", events.ABANDONED)


def test_stream_that_is_closed_by_another_thread_ends_its_requests(
    namespace: Namespace, api: Any, heard: Heard
) -> None:
    create(api, "o", LARGE)
    begun = threading.Event()
    heard._then = lambda event: begun.set() if event.operation == "GET chunk" else None
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o", on_event=heard)

    def close() -> None:
        begun.wait(20)
        stream.close()

    closer = threading.Thread(target=close)
    with namespace.faults(Fault("stall", operation="GET")):
        closer.start()
        with pytest.raises(exc.OioException):
            b"".join(stream)
        closer.join()
    heard.check_pairs()


@pytest.mark.parametrize("policy", POLICIES)
def test_time_limit_of_the_host_ends_requests(
    namespace: Namespace, api: Any, heard: Heard, policy: str
) -> None:
    create(api, "o", LARGE, policy=policy)
    stall = Fault("stall", operation="GET")
    with namespace.faults(stall), pytest.raises(green.Timeout), green.Timeout(0.2):
        read(api, "o", on_event=heard)
    heard.check_pairs()


# --- Backblaze ------------------------------------------------------------------------------------------


def test_requests_to_backblaze_are_told(tmp_path: Path, heard: Heard) -> None:
    with (
        Namespace(tmp_path / "b2", rawx=3, default_policy="BACKBLAZE") as namespace,
        client_of(namespace) as api,
    ):
        create(api, "o", SMALL, on_event=heard, reqid="an-ID")
        assert read(api, "o", on_event=heard, reqid="an-ID") == SMALL
        api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2, on_event=heard, reqid="an-ID")
        busy = Fault("status", service="b2", operation="download", nth=1)
        cut = Fault("truncate", service="b2", operation="download", nth=2, after_bytes=3)
        with namespace.faults(busy, cut):
            assert read(api, "o", on_event=heard, reqid="an-ID") == SMALL
        api.object_delete(ACCOUNT, CONTAINER, "o", on_event=heard, reqid="an-ID")
    heard.check_pairs()
    assert {event.reqid for event in heard.events} == {"an-ID"}
    of_b2 = [event for event in heard.events if event.service == "b2"]
    ended = [event for event in of_b2 if event.kind == events.ENDED]
    operations = {event.operation for event in ended}
    assert operations >= {"GET b2_authorize_account", "POST b2_upload_file", "GET file"}
    outcomes = [event.outcome for event in ended if event.operation == "GET file"]
    assert outcomes[:2] == ["ok", "HTTP 503"]
    assert outcomes[3:] == ["ok"]
    assert outcomes[2] not in {"ok", "HTTP 503"}
    again = [event for event in of_b2 if event.kind == events.RETRIED]
    assert [event.operation for event in again] == ["GET file"] * 2
    assert [event.outcome for event in again] == ["HTTP 503", "OioNetworkException"]
    (put,) = [event for event in ended if event.operation == "POST b2_upload_file"]
    assert put.sent == len(SMALL)


# --- listeners that fail --------------------------------------------------------------------------------


class Broken(Exception):
    pass


@pytest.mark.parametrize("policy", POLICIES)
def test_listener_that_fails_changes_nothing(
    namespace: Namespace, api: Any, policy: str, caplog: Any
) -> None:
    def fail(_event: events.Event) -> None:
        raise Broken("of the listener")

    create(api, "o", LARGE, policy=policy, on_event=fail)
    with namespace.faults(Fault("reset", operation="GET", nth=1, after_bytes=20_000)):
        assert read(api, "o", on_event=fail) == LARGE
    told = [record for record in caplog.records if record.name == "oio.common.events"]
    assert told
    assert all(record.exc_info[0] is Broken for record in told)


@pytest.mark.parametrize("policy", ["SINGLE", "THREECOPIES"])
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("kind", [events.BEGUN, events.ENDED])
@pytest.mark.parametrize("nth", [1, 2])
def test_interruption_in_a_listener_leaves_no_chunk(
    namespace: Namespace, api: Any, kind: str, nth: int, data: bytes, policy: str
) -> None:
    left = nth

    def interrupt(event: events.Event) -> None:
        nonlocal left
        if event.kind == kind and event.operation != "POST content/create":
            left -= 1
            if not left:
                raise KeyboardInterrupt

    heard = Heard(interrupt)
    with pytest.raises(KeyboardInterrupt):
        create(api, "o", data, policy=policy, on_event=heard)
    heard.check_pairs()
    if policy == "SINGLE":
        # Otherwise, the other servers may still be about to store theirs.
        assert chunks_on_disk(namespace) == []
    create(api, "o", data, policy=policy)
    heard._then, before = interrupt, len(heard.events)
    left = 1
    with pytest.raises(KeyboardInterrupt):
        read(api, "o", on_event=heard)
    assert len(heard.events) > before
    heard.check_pairs()
