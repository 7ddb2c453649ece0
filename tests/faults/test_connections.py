# SPDX-License-Identifier: Apache-2.0
"""Connections to the rawx: kept while they are of use, and gone after every kind of end."""

from __future__ import annotations

import gc

import pytest

from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.sandbox import Fault
from tests.kit.objects import CHUNK_SIZE, LARGE, SMALL, create, eventually, new_target, read, stored

CHUNK_META = {
    "chunk_pos": "0",
    "content_id": "ABCDEF0123456789ABCDEF0123456789",
    "content_version": "1",
    "content_path": "object",
    "content_policy": "SINGLE",
    "content_chunkmethod": "plain/nb_copy=1",
    "container_id": cid_from_name("account", "container"),
    "full_path": "account/container/object/1/ABCDEF0123456789ABCDEF0123456789",
}


def chunk_url(namespace) -> str:
    return f"http://{namespace.rawx[0].address}/{'0123456789ABCDEF' * 4}"


def of_rawx(namespace) -> int:
    return namespace.open_connections("rawx")


@pytest.mark.pitfall(1)
@pytest.mark.parametrize("status", [404, 500, 503])
def test_failing_chunks_leave_no_connection(namespace, api, status):
    target = stored(api, LARGE)
    api.close()
    eventually(lambda: of_rawx(namespace) == 0)
    with namespace.faults(Fault("status", operation="GET", status=status, body=b"not this")) as plan:
        for _ in range(5):
            assert isinstance(read(api, target).error, exc.OioException)
        plan.assert_met()
        # None is in use; those whose short answer was read to its end may serve again.
        assert of_rawx(namespace) <= len(namespace.rawx)
    api.close()
    eventually(lambda: of_rawx(namespace) == 0)


@pytest.mark.pitfall(4)
@pytest.mark.parametrize("ending", ["close", "drop"])
@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_stream_that_is_left_frees_its_connection(namespace, api, ending, blocks):
    target = stored(api, LARGE)
    api.close()
    _, stream = api.object_fetch(*target)
    for _ in range(blocks):
        next(stream)
    if ending == "close":
        stream.close()
    del stream
    gc.collect()
    eventually(lambda: of_rawx(namespace) == 0)


@pytest.mark.pitfall(135)
def test_reads_and_writes_share_a_few_connections(namespace, api):
    targets = [stored(api, LARGE) for _ in range(3)]
    for target in targets:
        assert read(api, target) == (LARGE, None)
        assert read(api, target, [(5, CHUNK_SIZE + 5)]) == (LARGE[5 : CHUNK_SIZE + 6], None)
    used = {request.connection for request in namespace.requests if request.service == "rawx"}
    assert len(used) == len(namespace.rawx)


@pytest.mark.pitfall(135)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_connections_that_died_while_idle_are_replaced(namespace, api, method):
    target = stored(api, SMALL)
    for rawx in namespace.rawx:
        rawx.stop()
        rawx.start()
    if method == "GET":
        assert read(api, target) == (SMALL, None)
    else:
        assert len(create(api, new_target(), SMALL)[0]) == 3


@pytest.mark.pitfall(135)
def test_connection_that_dies_twice_is_a_failed_source(namespace, api, caplog):
    target = stored(api, SMALL)
    first = namespace.rawx[0].address
    with namespace.faults(Fault("reset", operation="GET", address=first, phase="head")) as plan:
        assert read(api, target) == (SMALL, None)
    assert plan.hits(plan.faults[0]) == 2
    assert f"waiting for {first}" in caplog.text


@pytest.mark.pitfall(8, 9, 10)
@pytest.mark.parametrize("action", ["stall", "commit-then-timeout", "reset", "truncate", "status"])
def test_failed_write_leaves_no_connection(namespace, api, action):
    plan = namespace.faults(Fault(action, operation="PUT"))
    with plan, pytest.raises(exc.OioException):
        api.blob_client.chunk_put(chunk_url(namespace), CHUNK_META, [SMALL], write_timeout=0.3)
    plan.assert_met()
    eventually(lambda: of_rawx(namespace) == 0)


@pytest.mark.pitfall(10)
def test_failed_chunk_can_be_sent_again_at_once(namespace, api):
    plan = namespace.faults(Fault("stall", operation="PUT", after_bytes=500))
    with plan, pytest.raises(exc.OioTimeout):
        api.blob_client.chunk_put(chunk_url(namespace), CHUNK_META, [SMALL], write_timeout=0.3)
    plan.assert_met()
    eventually(lambda: of_rawx(namespace) == 0)
    assert api.blob_client.chunk_put(chunk_url(namespace), CHUNK_META, [SMALL])[0] == len(SMALL)
