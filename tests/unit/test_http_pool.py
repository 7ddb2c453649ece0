# SPDX-License-Identifier: Apache-2.0
"""The pool of connections to the proxy and the account service, and the errors that come out of it."""

from __future__ import annotations

import pytest

from oio.common import exceptions as exc
from oio.common.http_api import HttpApi
from oio.common.http_urllib3 import get_pool_manager, oio_exception_from_httperror, urllib3
from tests.kit.scripted import Peer, serving

MaxRetryError = urllib3.exceptions.MaxRetryError
REQUEST_ID = "0123456789ABCDEF"


@pytest.mark.pitfall(12)
def test_options_that_are_text_are_taken_for_the_numbers_they_are():
    manager = get_pool_manager(pool_connections="3", pool_maxsize="4", max_retries="5", backoff_factor="0.5")
    assert manager.connection_pool_kw["maxsize"] == 4
    assert manager.pools._maxsize == 3
    assert manager.connection_pool_kw["retries"].total == 5
    assert manager.connection_pool_kw["retries"].backoff_factor == 0.5


@pytest.mark.pitfall(12)
def test_options_that_the_pool_does_not_know_are_left_out():
    def answer(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"{}")

    options = {"pool_maxsize": "2", "pool_connections": "1", "whatever": "x", "namespace": "NS"}
    with serving(answer) as server, HttpApi(f"http://{server.address}", **options) as api:
        assert api._request("GET", "/route", whatever="y")[1] == {}
    assert "whatever" not in get_pool_manager(whatever="x").connection_pool_kw


@pytest.mark.pitfall(12)
@pytest.mark.parametrize("value", ["many", object()])
def test_option_that_is_no_number_is_told(value):
    with pytest.raises(Exception, match=r"int|number"):
        get_pool_manager(pool_maxsize=value)


def new_connection_error():
    return urllib3.exceptions.NewConnectionError(None, "refused")


@pytest.mark.pitfall(13)
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (new_connection_error(), exc.OioConnectionException),
        (MaxRetryError(None, "/", new_connection_error()), exc.OioConnectionException),
        (
            MaxRetryError(None, "/", urllib3.exceptions.ConnectTimeoutError()),
            exc.OioTimeout,
        ),
        (urllib3.exceptions.ReadTimeoutError(None, "/", "too long"), exc.OioTimeout),
        (urllib3.exceptions.ProtocolError("broken"), exc.OioNetworkException),
        (urllib3.exceptions.ClosedPoolError(None, "closed"), exc.OioNetworkException),
        (urllib3.exceptions.InvalidHeader("two lengths"), exc.OioProtocolError),
        (urllib3.exceptions.HTTPError("anything"), exc.OioException),
    ],
)
def test_errors_of_the_pool_have_their_place_in_the_tree(error, expected):
    with pytest.raises(exc.OioException) as caught:
        oio_exception_from_httperror(error, reqid=REQUEST_ID, url="http://10.0.0.1:6000/v3.0/NS/route")
    assert type(caught.value) is expected
    assert caught.value.__cause__ is error
    assert caught.value.reqid == REQUEST_ID
    assert caught.value.service == "10.0.0.1:6000"
    assert REQUEST_ID in str(caught.value)
    assert "10.0.0.1:6000" in str(caught.value)
