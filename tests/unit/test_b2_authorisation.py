# SPDX-License-Identifier: Apache-2.0
"""The authorisation of a Backblaze B2 account: shared, replaced when it ends, and never asked for twice."""

from __future__ import annotations

import os
import threading

import pytest

from oio.api.backblaze_http import Backblaze, BackblazeException, Backoff
from oio.common import exceptions as exc
from oio.common import green
from oio.common.deadlines import monotonic_time
from tests.kit.b2_service import (
    ACCOUNT_ID,
    BUCKET,
    KEY,
    KEY_ID,
    Cut,
    Held,
    Refusal,
    Stall,
    client_of,
    serving_b2,
)

DATA = b"some data"


@pytest.fixture
def service():
    with serving_b2() as service:
        service.add("file", DATA)
        yield service


def read(client, **options):
    return b"".join(client.get(BUCKET, "file", **options))


def wait_for(condition):
    green.ensure_hub()
    while not condition():
        green.sleep(0)


def in_threads(number, work):
    """Run something in several OS threads at once; what each gave or raised."""
    results = []
    gate = threading.Barrier(number)

    def run():
        gate.wait()
        try:
            results.append(work())
        except exc.OioException as err:
            results.append(err)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_client_authorises_when_it_is_made(service):
    with client_of(service) as client:
        assert service.count("b2_authorize_account") == 1
        assert client.authorization_token in service.tokens
        assert client.get_list_buckets()[0]["bucketName"] == BUCKET
    # Not the ID of the key, which may be another one.
    assert service.of("b2_list_buckets")[0].json == {"accountId": ACCOUNT_ID}


def test_client_that_is_given_an_authorisation_does_not_ask(service):
    given = service.authorization()
    with client_of(service, authorization_required=given) as client:
        assert read(client) == DATA
        assert client.authorization_token == given["authorizationToken"]
    assert service.count("b2_authorize_account") == 0


def test_client_may_authorise_at_its_first_call(service):
    with client_of(service, authorize=False) as client:
        assert service.calls == []
        assert read(client) == DATA


@pytest.mark.parametrize("code", ["expired_auth_token", "bad_auth_token", None])
def test_token_that_has_ended_is_replaced_once(service, code):
    with client_of(service) as client:
        service.tokens.clear()
        service.fail("download", Refusal(401, code))
        assert read(client) == DATA
        assert client.waits == []
    assert service.count("b2_authorize_account") == 2
    assert service.count("download") == 2


def test_tokens_that_are_never_good_end_it(service):
    service.fail("download", *[Refusal(401, "expired_auth_token")] * 9)
    with client_of(service) as client, pytest.raises(BackblazeException, match=r"\(401\)"):
        read(client)
    assert service.count("download") == 3


def test_missing_right_is_final(service):
    service.fail("b2_list_buckets", Refusal(401, "unauthorized"))
    with client_of(service) as client, pytest.raises(BackblazeException) as caught:
        client.get_list_buckets()
    assert caught.value.code == "unauthorized"
    assert service.count("b2_authorize_account") == 1


@pytest.mark.parametrize("code", ["unauthorized", "bad_auth_token", "unsupported"])
def test_wrong_key_is_final(service, code):
    service.fail("b2_authorize_account", Refusal(401, code))
    with pytest.raises(BackblazeException, match=r"\(401\)"), client_of(service):
        pass
    assert service.count("b2_authorize_account") == 1


@pytest.mark.parametrize("fault", [Refusal(503), Refusal(429), Cut(), b"{}", b"[]", b"<html>"], ids=repr)
def test_authorisation_is_repeated_after_failures_that_may_pass(service, fault):
    service.fail("b2_authorize_account", fault)
    with client_of(service) as client:
        assert client.waits == [1.0]
        assert read(client) == DATA


def test_threads_share_one_authorisation(service):
    with client_of(service) as client:
        service.tokens.clear()
        assert in_threads(8, lambda: read(client)) == [DATA] * 8
    assert service.count("b2_authorize_account") == 2


def test_green_threads_share_one_authorisation(service):
    with client_of(service, authorize=False) as client, green.ContextPool(8) as pool:
        readers = [pool.spawn(read, client) for _ in range(8)]
        assert [reader.wait() for reader in readers] == [DATA] * 8
    assert service.count("b2_authorize_account") == 1


def test_late_refusal_of_an_old_token_takes_nothing_from_the_new_one(service):
    with client_of(service) as client:
        account = client._account
        old = account.grant(client._limits)
        new = account.renew(old, client._limits)
        assert account.renew(old, client._limits) is new
    assert service.count("b2_authorize_account") == 2


def test_those_who_wait_for_a_refusal_share_it(service):
    release = threading.Event()
    service.fail("b2_authorize_account", Held(release, Refusal(401, "unauthorized")))
    errors = []

    def read_and_fail(client):
        with pytest.raises(BackblazeException, match="because") as caught:
            read(client)
        errors.append(caught.value)

    with client_of(service, authorize=False) as client, green.ContextPool(5) as pool:
        readers = [pool.spawn(read_and_fail, client) for _ in range(5)]
        # All have begun when the first one has asked.
        wait_for(lambda: service.count("b2_authorize_account"))
        release.set()
        for reader in readers:
            reader.wait()
    assert len({id(error) for error in errors}) == 5, "each has a traceback of its own"
    assert service.count("b2_authorize_account") == 1


def test_thread_that_has_more_time_tries_again_where_another_gave_up(service):
    with client_of(service, authorize=False) as client:
        service.fail("b2_authorize_account", Stall())
        errors = []

        def hurry():
            with pytest.raises(exc.OioTimeout) as caught:
                read(client, deadline=monotonic_time() + 0.4)
            errors.append(caught.value)

        thread = threading.Thread(target=hurry)
        thread.start()
        wait_for(lambda: service.count("b2_authorize_account"))
        assert read(client) == DATA
        thread.join()
    assert len(errors) == 1


def test_waiting_for_an_authorisation_ends_with_the_deadline(service):
    service.fail("b2_authorize_account", Stall())
    with client_of(service, authorize=False) as client, green.ContextPool(1) as pool:
        pool.spawn(read, client)
        wait_for(lambda: service.count("b2_authorize_account"))
        with pytest.raises(exc.DeadlineReached, match="b2_authorize_account"):
            read(client, deadline=monotonic_time() + 0.1)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_authorisation_under_way_in_the_parent_process_is_not_waited_for(service):
    with client_of(service, authorize=False) as client:
        service.fail("b2_authorize_account", Stall())
        with green.ContextPool(1) as pool:
            pool.spawn(read, client)
            wait_for(lambda: service.count("b2_authorize_account"))
            pid = os.fork()
            if pid == 0:
                token = None
                try:
                    token = client.authorization_token
                finally:
                    os._exit(0 if token else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_address_and_key_are_those_of_the_caller():
    with serving_b2() as other:
        with Backblaze(KEY_ID, KEY, api_url=other.url + "/", backoff=Backoff(attempts=1)) as client:
            assert client.get_list_buckets()
        assert other.count("b2_authorize_account") == 1


@pytest.mark.parametrize("options", [{"parallel_parts": 0}, {"part_size": 0}, {"api_url": "b2.test"}])
def test_options_without_sense_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Backblaze(KEY_ID, KEY, authorize=False, **options)


def test_authorisation_of_a_later_version_of_the_service_can_be_used(service):
    with client_of(service) as client:
        token = client.authorization_token
    storage = {"apiUrl": service.url, "downloadUrl": service.url, "allowed": {"buckets": None}}
    answer = {"accountId": ACCOUNT_ID, "authorizationToken": token, "apiInfo": {"storageApi": storage}}
    with client_of(service, authorization_required=answer) as client:
        assert client.get_list_buckets()
    assert service.count("b2_authorize_account") == 1
