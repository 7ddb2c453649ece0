# SPDX-License-Identifier: Apache-2.0
"""The client of Backblaze B2 against the B2 of a namespace, when something goes wrong in it."""

from __future__ import annotations

import io
import random
import threading

import pytest

from oio.api.backblaze_http import Backblaze, BackblazeException, BackblazeUtils, Backoff
from oio.common import exceptions as exc
from oio.common import green
from oio.common.deadlines import monotonic_time
from oio.common.storage_method import STORAGE_METHODS
from oio.sandbox import Fault
from tests.kit.buckets import PART_SIZE, asked, versions
from tests.kit.objects import eventually, limits

DATA = random.Random(2).randbytes(3 * PART_SIZE + 1234)
NAME = "C0FFEE/a b+é"


def impatient(**options):
    """Pauses of a client that does not wait for anything."""
    return Backoff(sleep=lambda seconds: None, **options)


@pytest.fixture
def bucket(namespace):
    return namespace.b2.bucket_name


@pytest.fixture
def make_client(namespace, bucket):
    """Makes clients with the credentials of the namespace."""
    namespace.b2.limits.minimum_part_size = PART_SIZE
    clients = []

    def make(**options):
        method = STORAGE_METHODS.load(f"backblaze/account_id={namespace.b2.account_id},bucket_name={bucket}")
        found = BackblazeUtils.get_credentials(method, str(namespace.b2_key_file), renew=True)
        known = {"api_url": namespace.b2_endpoint, "backoff": impatient(), "part_size": PART_SIZE, **options}
        clients.append(Backblaze(found["backblaze.account_id"], found["backblaze.application_key"], **known))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(make_client):
    return make_client(read_timeout=1.0)


def read(client, bucket, *bounds):
    return b"".join(client.get(bucket, NAME, *bounds))


def once(action, operation, nth=1, **details):
    return Fault(action, service="b2", operation=operation, nth=nth, **details)


def name_of(fault):
    return (
        f"{fault.action}-{fault.status}-{fault.phase}-of-{fault.operation}-{fault.nth}-at-{fault.after_bytes}"
    )


PASSING = [
    *(once("status", "b2_upload_file", status=status) for status in (408, 500, 503)),
    once("status", "b2_upload_file", phase="head"),
    once("status", "b2_upload_file", status=429, headers=(("Retry-After", "1"),)),
    once("disk-full", "b2_upload_file"),
    once("wrong-hash", "b2_upload_file"),
    *(
        once(action, "b2_upload_file", after_bytes=place)
        for action in ("reset", "truncate", "corrupt", "stall")
        for place in (0, 50_000, -1)
    ),
    once("commit-then-reset", "b2_upload_file"),
    once("commit-then-timeout", "b2_upload_file"),
    *(
        once(action, operation)
        for action in ("status", "reset", "truncate", "stall", "commit-then-reset")
        for operation in ("b2_list_buckets", "b2_get_upload_url")
    ),
]


@pytest.mark.parametrize("fault", PASSING, ids=name_of)
def test_file_is_stored_whatever_happens_once(namespace, bucket, make_client, fault):
    with namespace.faults(fault) as plan:
        client = make_client(**limits(fault.action, read_timeout=1.0))
        client.put(bucket, NAME, DATA[:PART_SIZE])
    plan.assert_met()
    assert read(client, bucket) == DATA[:PART_SIZE]
    assert client.remove(bucket, NAME) in (1, 2)
    assert versions(namespace) == []


LARGE = [
    once("status", "b2_start_large_file"),
    once("commit-then-reset", "b2_start_large_file"),
    once("commit-then-timeout", "b2_start_large_file"),
    once("reset", "b2_get_upload_part_url"),
    once("status", "b2_upload_part", nth=2),
    once("reset", "b2_upload_part", nth=3, after_bytes=1000),
    once("corrupt", "b2_upload_part", nth=2, after_bytes=5),
    once("commit-then-reset", "b2_upload_part", nth=2),
    once("stall", "b2_upload_part", nth=1, after_bytes=10),
    once("status", "b2_finish_large_file"),
    once("commit-then-reset", "b2_finish_large_file"),
    once("commit-then-timeout", "b2_finish_large_file"),
]


@pytest.mark.parametrize("fault", LARGE, ids=name_of)
def test_large_file_is_stored_whatever_happens_once(namespace, bucket, client, fault):
    with namespace.faults(fault) as plan:
        client.put(bucket, NAME, io.BytesIO(DATA))
    plan.assert_met()
    assert read(client, bucket) == DATA
    assert client.remove(bucket, NAME) == 1, "and no other version, unfinished or not"
    assert asked(namespace).count("b2_upload_part") == (5 if fault.operation == "b2_upload_part" else 4)


@pytest.mark.parametrize("operation", ["b2_upload_part", "b2_finish_large_file"])
@pytest.mark.parametrize("status", [400, 403, 503])
def test_large_file_that_fails_leaves_nothing(namespace, bucket, client, operation, status):
    fault = Fault("status", service="b2", operation=operation, status=status)
    with namespace.faults(fault) as plan, pytest.raises(BackblazeException) as caught:
        client.put(bucket, NAME, io.BytesIO(DATA))
    plan.assert_met()
    assert caught.value.status_code == status
    assert versions(namespace) == []


def interrupted(plan, fault, call):
    """Make a call in a thread that is interrupted when a fault is met; give what it raises."""
    interruption, raised = green.Interruption(), []

    def run():
        with interruption:
            try:
                call()
            except (exc.OioException, green.Interrupted) as err:
                raised.append(err)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: plan.hits(fault))
    interruption.ask()
    thread.join()
    return raised[0]


REFUSED_PART = Fault("status", service="b2", operation="b2_upload_part", status=403)


@pytest.mark.parametrize(
    ("trouble", "waits"),
    [
        # The call has failed already, and is cleaning up.
        (REFUSED_PART, once("status", "b2_cancel_large_file")),
        (once("commit-then-reset", "b2_start_large_file"), once("slow", "b2_list_unfinished_large_files")),
        # It waits for an answer that does not come.
        (None, once("commit-then-timeout", "b2_start_large_file")),
        (None, once("stall", "b2_upload_part")),
        (None, once("commit-then-timeout", "b2_upload_part", nth=2)),
        (None, once("stall", "b2_finish_large_file")),
    ],
    ids=lambda fault: fault and name_of(fault),
)
def test_large_file_that_is_interrupted_leaves_nothing(namespace, bucket, make_client, trouble, waits):
    # A longer limit than the test takes: only the interruption ends a wait.
    # Nor is a pause between two attempts too short for it.
    client = make_client(read_timeout=600.0, backoff=Backoff(sleep=lambda seconds: green.sleep(0.3)))
    with namespace.faults(*filter(None, (trouble, waits))) as plan:
        raised = interrupted(plan, waits, lambda: client.put(bucket, NAME, io.BytesIO(DATA)))
    plan.assert_met()
    assert isinstance(raised, (green.Interrupted, BackblazeException))
    assert versions(namespace) == []


@pytest.mark.parametrize("place", [0, 1, 200_000, -1])
@pytest.mark.parametrize("action", ["reset", "truncate", "stall"])
@pytest.mark.parametrize("bounds", [(), (1000, len(DATA) - 1000)], ids=["whole", "range"])
def test_file_is_read_though_the_connection_breaks(namespace, bucket, client, bounds, action, place):
    client.put(bucket, NAME, io.BytesIO(DATA))
    with namespace.faults(once(action, "download", after_bytes=place)) as plan:
        start, end = bounds or (0, len(DATA))
        assert read(client, bucket, *bounds) == DATA[start : end + 1]
    plan.assert_met()


def test_damaged_file_is_never_taken_for_a_good_one(namespace, bucket, client):
    client.put(bucket, NAME, io.BytesIO(DATA))
    got = []
    with (
        namespace.faults(once("corrupt", "download", after_bytes=-1)) as plan,
        pytest.raises(exc.CorruptedChunk),
    ):
        got.extend(client.get(bucket, NAME))
    plan.assert_met()
    assert DATA.startswith(b"".join(got))


@pytest.mark.parametrize("call", ["put", "get", "remove"])
def test_deadline_holds_against_a_service_that_drips(namespace, bucket, client, call):
    client.put(bucket, NAME, DATA[:1000])
    operation = {"put": "b2_upload_file", "get": "download", "remove": "b2_list_file_versions"}[call]
    calls = {
        "put": lambda **options: client.put(bucket, NAME, DATA[:1000], **options),
        "get": lambda **options: list(client.get(bucket, NAME, **options)),
        "remove": lambda **options: client.remove(bucket, NAME, **options),
    }
    fault = Fault("drip", service="b2", operation=operation, seconds=0.05)
    with namespace.faults(fault), pytest.raises((exc.OioTimeout, exc.DeadlineReached)):
        calls[call](deadline=monotonic_time() + 0.4)


def test_service_that_comes_back_is_found_again(namespace, bucket, client):
    client.put(bucket, NAME, DATA[:10])
    namespace.b2.stop()
    with pytest.raises(exc.OioNetworkException):
        read(client, bucket)
    namespace.b2.start()
    assert read(client, bucket) == DATA[:10]


def test_threads_with_one_client_store_and_read_while_uploads_fail(namespace, bucket, make_client):
    client = make_client(test_mode="fail_some_uploads", backoff=impatient(attempts=20))
    results = {}

    def work(number):
        name = f"C0/{number}"
        client.put(bucket, name, DATA[number:])
        results[number] = b"".join(client.get(bucket, name)) == DATA[number:]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), True)
    assert asked(namespace).count("b2_authorize_account") == 1


def test_tokens_that_end_at_random_end_no_work(bucket, make_client):
    client = make_client(test_mode="expire_some_account_authorization_tokens")
    for number in range(10):
        client.put(bucket, NAME, DATA[:number])
        assert read(client, bucket) == DATA[:number]
    assert client.remove(bucket, NAME) == 10


def test_exceeded_cap_is_told_at_once(namespace, bucket, make_client):
    client = make_client(test_mode="force_cap_exceeded")
    with pytest.raises(BackblazeException) as caught:
        client.put(bucket, NAME, DATA[:10])
    assert caught.value.status_code == 403
    assert asked(namespace).count("b2_upload_file") <= 1
