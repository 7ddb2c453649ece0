# SPDX-License-Identifier: Apache-2.0
"""The pool of connections to the proxy and the account service, and the errors that come out of it."""

from __future__ import annotations

import contextlib
import enum
import gc
import hashlib
import random
import re
import socket
import sys
import threading
import tracemalloc
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.common import green
from oio.common.http_api import HttpApi
from oio.common.http_connections import LazyResponse, read_whole
from oio.common.http_urllib3 import (
    GreenHTTPConnectionPool,
    KeptConnectionDied,
    SafePoolManager,
    get_pool_manager,
    oio_exception_from_httperror,
    urllib3,
)
from tests.kit.scripted import Peer, Script, serving
from tests.kit.tls import CERTIFICATE, speak_tls

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


def answer_all(peer: Peer) -> None:
    while head := peer.read_head():
        peer.answer(200, head.encode())


@pytest.mark.filterwarnings("ignore:URLs without a scheme:FutureWarning")
def test_addresses_without_a_scheme_are_not_taken_for_each_other():
    manager = get_pool_manager()
    with serving(answer_all) as one, serving(answer_all) as other:
        for server in (one, other, one):
            answer = manager.request("GET", f"{server.address}/route", redirect=False)
            assert f"Host: {server.address}".encode() in answer.data
    manager.clear()


def test_answer_that_was_not_read_is_not_taken_for_the_next_one():
    manager = get_pool_manager()

    def answer_partly(peer: Peer) -> None:
        peer.read_head()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + b"x" * 20_000)
        peer.wait_until_gone()

    with serving(answer_partly, answer_all) as server:
        url = f"http://{server.address}/route"
        first = manager.request("GET", url, redirect=False, preload_content=False)
        assert first.read(20_000) == b"x" * 20_000
        first.release_conn()
        with pytest.raises(urllib3.exceptions.HTTPError, match="not read to its end"):
            manager.request("GET", url, redirect=False, timeout=5.0)
    manager.clear()


def test_request_that_follows_nobody_is_that_of_urllib3():
    manager = get_pool_manager()
    manager.headers = {"X-Own": "mine"}
    with serving(answer_all) as server:
        url = f"http://{server.address}"
        heads = [
            manager.request("post", f"{url}/a?b=c", body=b"", redirect=redirect).data.splitlines()
            for redirect in (True, False)
        ]
        assert sorted(heads[0]) == sorted(heads[1])
        assert heads[1][0] == b"POST /a?b=c HTTP/1.1"
        assert b"X-Own: mine" in heads[1]
        strange = [
            manager.request("GET", url + path, redirect=redirect).data.split(b" ")[1]
            for path in ("/a/../b", "/a\nb", "/\u00e9", "")
            for redirect in (True, False)
        ]
        assert strange[::2] == strange[1::2]
        without = manager.request(
            "GET", url, headers={"User-Agent": urllib3.util.SKIP_HEADER}, redirect=False
        ).data
        assert b"user-agent" not in without.lower()
        with pytest.raises(ValueError, match="method"):
            manager.request("GET /evil", url, redirect=False)
    manager.clear()


UNREAD = {"body": None, "timeout": 5.0, "redirect": False, "preload_content": False, "decode_content": False}
"""How the clients of the services ask."""


def outcome_of(ask) -> tuple[Any, ...]:
    """What comes of a request: all that an answer shows, or the exception, without what differs each time."""
    try:
        answer = ask()
        data = read_whole("GET", answer, 1000)
    except (urllib3.exceptions.HTTPError, exc.OioException) as err:
        # Ours, of a dead connection, is one of urllib3 to programs.
        kind = urllib3.exceptions.ProtocolError if isinstance(err, KeptConnectionDied) else type(err)
        return kind, re.sub(r"0x[0-9a-f]+|:\d+", "", str(err)), type(getattr(err, "args", [0])[-1])
    return (
        data,
        answer.data,
        answer.status,
        answer.reason,
        answer.version,
        list(answer.headers.items()),
        answer.headers.get("X-TWICE"),
        answer.closed,
        answer.tell(),
        answer.length_remaining,
        answer.chunked,
        answer.read(),
        answer.url,
        repr(answer.retries),
        answer.msg,
    )


def plain(peer: Peer) -> None:
    peer.answer(200, b"body", x_twice=1, X_Twice=2)


def reset(peer: Peer) -> None:
    peer.reset()


def sending(*raw: bytes) -> Script:
    def send(peer: Peer) -> None:
        for part in raw:
            peer.send(part)
        peer.sock.shutdown(socket.SHUT_WR)

    return send


ANSWERS = {
    "plain": plain,
    "no body": sending(b"HTTP/1.1 204 No\r\nx-twice: 1\r\n\r\n"),
    "no body, two lengths": sending(b"HTTP/1.1 204 No\r\nContent-Length: 1, 2\r\n\r\n"),
    "error": sending(b"HTTP/1.1 500 No\r\nx-twice: 1\r\nContent-Length: 2\r\n\r\nno"),
    "chunked": sending(
        b"HTTP/1.1 200 OK\r\nx-twice: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    ),
    "no length": sending(b"HTTP/1.1 200 OK\r\nx-twice: 1\r\n\r\nuntil the end"),
    "two lengths": sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    "negative length": sending(b"HTTP/1.1 200 OK\r\nx-twice: 1\r\nContent-Length: -1\r\n\r\nab"),
    "too long": sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", b"x" * 1001),
    "encoded": sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx"),
    "short": sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
    "no HTTP": sending(b"SSH-2.0\r\n"),
    "half a head": sending(b"HTTP/1.1 200 OK\r\nConte"),
    "nothing": sending(),
    "reset": reset,
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_answer_over_a_kept_connection_is_that_of_urllib3(kind):
    """A request with one option more is left to urllib3."""

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"first")
        peer.read_head()
        ANSWERS[kind](peer)
        peer.wait_until_gone()

    found = []
    for more in ({}, {"pool_timeout": None}):
        manager = get_pool_manager()
        with serving(script) as server:
            url = f"http://{server.address}/route"

            def ask(url=url, manager=manager, more=more):
                return manager.request("GET", url, headers={}, **UNREAD, **more)

            assert read_whole("GET", ask(), 1000) == b"first"
            found.append(outcome_of(ask))
            manager.clear()
        assert server.connections == 1
    assert found[0] == found[1]


def test_connection_is_kept_after_an_answer_was_read_and_not_after_it_was_dropped():
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"whole")

    manager = get_pool_manager()
    with serving(script) as server:
        url = f"http://{server.address}/route"
        for _ in range(3):
            assert read_whole("GET", manager.request("GET", url, headers={}, **UNREAD), 1000) == b"whole"
        assert server.connections == 1
        manager.request("GET", url, headers={}, **UNREAD).close()
        assert read_whole("GET", manager.request("GET", url, headers={}, **UNREAD), 1000) == b"whole"
        assert server.connections == 2
        manager.clear()


@pytest.mark.parametrize("limits", [{"read_timeout": 0.05}, {"timeout": urllib3.Timeout(read=0.05)}])
def test_late_answer_over_a_kept_connection_is_told_as_such(limits):
    over = threading.Event()

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"{}")
        peer.read_head()
        over.wait()

    def run() -> None:
        while not over.is_set():
            green.sleep(0.01)

    with (
        serving(script) as server,
        HttpApi(f"http://{server.address}") as api,
        green.ContextPool(1) as others,
    ):
        # While another green thread runs, the answer is waited for in the hub.
        others.spawn(run)
        try:
            assert api._request("GET", "/route")[1] == {}
            with pytest.raises(exc.OioTimeout):
                api._request("GET", "/route", connection_timeout=30, request_attempts=1, **limits)
        finally:
            over.set()


def test_answer_that_is_not_there_yet_is_not_read_in_vain():
    looked = threading.Event()
    called: list[str] = []
    in_vain = []

    def script(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"{}")
        peer.read_head()
        looked.wait()
        peer.answer(200, b"{}")

    def note(_frame: object, event: str, function: Any) -> None:
        if event == "c_call":
            called.append(function.__name__)
            if called[-1] == "poll" and "send" in called:
                looked.set()
        elif event == "c_exception":
            in_vain.append(function.__name__)

    with serving(script) as server, HttpApi(f"http://{server.address}") as api:
        assert api._request("GET", "/route")[1] == {}
        sys.setprofile(note)
        try:
            assert api._request("GET", "/route")[1] == {}
        finally:
            sys.setprofile(None)
            looked.set()
    assert not in_vain


def test_answer_of_a_kept_connection_can_be_streamed():
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"abcdef")

    manager = get_pool_manager()
    with serving(script) as server:
        url = f"http://{server.address}/route"
        for _ in range(2):
            answer = manager.request("GET", url, headers={}, **UNREAD)
            assert isinstance(answer, urllib3.HTTPResponse)
            assert answer.read(2) == b"ab"
            assert list(answer.stream(2)) == [b"cd", b"ef"]
            answer.release_conn()
        assert server.connections == 1
        manager.clear()


def of_kept_connection(manager: Any, url: str) -> LazyResponse:
    """The answer to a second request, over the connection of the first."""
    assert read_whole("GET", manager.request("GET", url, headers={}, **UNREAD), 1000) == b"first"
    answer = manager.request("GET", url, headers={}, **UNREAD)
    assert type(answer) is LazyResponse
    return answer


def answering_twice(second: Script, *, to_others: Script = answer_all) -> Script:
    def script(peer: Peer) -> None:
        peer.read_head()
        peer.answer(200, b"first")
        peer.read_head()
        second(peer)
        to_others(peer)

    return script


def test_blocks_of_an_answer_leave_its_connection_to_the_next_request():
    manager = get_pool_manager()
    with serving(answering_twice(lambda peer: peer.answer(200, b"abcdef"))) as server:
        url = f"http://{server.address}/route"
        answer = of_kept_connection(manager, url)
        assert [answer.read_block(size) for size in (4, 4)] == [b"abcd", b"ef"]
        assert answer.closed
        assert answer.read_block(4) is None
        assert answer.read(4) == b""
        assert b"/route" in manager.request("GET", url, headers={}, **UNREAD).read()
        assert server.connections == 1
        manager.clear()


def test_rest_of_an_answer_that_was_read_in_blocks_is_read_as_any_other():
    manager = get_pool_manager()
    with serving(answering_twice(lambda peer: peer.answer(200, b"abcdef"))) as server:
        answer = of_kept_connection(manager, f"http://{server.address}/route")
        assert answer.read_block(2) == b"ab"
        assert (answer.tell(), answer.length_remaining) == (2, 4)
        assert answer.read() == b"cdef"
        assert answer.closed
        manager.clear()


def test_answer_that_ends_early_gives_what_there_is_and_fails_then():
    short = sending(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    manager = get_pool_manager()
    with serving(answering_twice(short, to_others=Peer.wait_until_gone), answer_all) as server:
        url = f"http://{server.address}/route"
        answer = of_kept_connection(manager, url)
        assert answer.read_block(8) == b"abc"
        with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
            answer.read_block(8)
        assert b"/route" in manager.request("GET", url, headers={}, **UNREAD).read()
        assert server.connections == 2
        manager.clear()


def test_header_that_cannot_be_sent_is_refused_before_a_connection_is_tried():
    manager = get_pool_manager()
    with socket.socket() as silent:
        # Nobody listens there.
        silent.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/route"
        with pytest.raises(ValueError, match="invalid value of a header"):
            manager.request("GET", url, headers={"x-a": "1\r\nx-b: 2"}, **UNREAD)


def test_service_whose_address_begins_like_the_url_of_another_is_not_asked():
    manager, limits = get_pool_manager(), urllib3.Timeout(5.0)
    with serving(answer_all) as server:
        # Most likely, nobody listens there.
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            manager.send_as_is("GET", f"http://{server.address[:-1]}/route", {}, None, limits).close()
        answer = manager.send_as_is("GET", f"http://{server.address}", {}, None, limits)
        assert answer.data.startswith(b"GET / ")
        manager.clear()


class ClosedMeanwhile(GreenHTTPConnectionPool):
    """Pool that another thread closes as soon as somebody has looked at its connections."""

    is_closing = False

    @property
    def pool(self) -> Any:
        found = self._connections
        if self.is_closing:
            self._connections = None
        return found

    @pool.setter
    def pool(self, connections: Any) -> None:
        self._connections = connections


def test_pool_that_another_thread_closes_is_told_as_such():
    pool = ClosedMeanwhile("127.0.0.1", 1, retries=urllib3.Retry(0, read=False))
    pool.is_closing = True
    with pytest.raises(urllib3.exceptions.ClosedPoolError):
        pool.exchange("GET", "/route", None, {}, 1.0)


@pytest.mark.parametrize("kind", ["chunked", "no length", "encoded"])
def test_answer_with_a_body_that_needs_care_gives_no_blocks(kind):
    manager = get_pool_manager()
    with serving(answering_twice(ANSWERS[kind], to_others=Peer.wait_until_gone)) as server:
        assert of_kept_connection(manager, f"http://{server.address}/route").read_block(100) is None
        manager.clear()


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_body_of_any_size_is_sent_whole(size):
    body = random.Random(size).randbytes(size)

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            assert f"Content-Length: {size}" in head
            peer.answer(200, hashlib.sha256(peer.read(size)).digest())

    manager = get_pool_manager()
    with serving(script) as server:
        url = f"http://{server.address}/route"
        for _ in range(2):
            answer = manager.request("POST", url, headers={}, **{**UNREAD, "body": body})
            assert read_whole("POST", answer, 1000) == hashlib.sha256(body).digest()
        assert server.connections == 1
        manager.clear()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_large_body_is_sent_without_a_copy(scheme):
    size = 8 << 20

    def script(peer: Peer) -> None:
        with speak_tls(peer) if scheme == "https" else contextlib.nullcontext():
            while peer.read_head():
                left = size
                while left > 0:
                    left -= len(peer.read(min(left, 65536)))
                peer.answer(200)

    body = bytes(size)
    manager = get_pool_manager(ca_certs=CERTIFICATE)
    with serving(script) as server:
        url = f"{scheme}://{server.address}/route"

        def post() -> None:
            answer = manager.request("POST", url, headers={}, **{**UNREAD, "body": body})
            assert read_whole("POST", answer, 1000) == b""

        post()
        tracemalloc.start()
        try:
            post()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            manager.clear()
    assert peak < size // 4


def test_answer_of_a_kept_connection_can_be_read_twice():
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"whole")

    manager = get_pool_manager()
    with serving(script) as server:
        url = f"http://{server.address}/route"
        for _ in range(2):
            answer = manager.request("GET", url, headers={}, **UNREAD)
            assert [read_whole("GET", answer, 1000) for _ in range(2)] == [b"whole", b"whole"]
        assert server.connections == 1
        manager.clear()


def test_text_of_an_enumeration_is_sent_as_it_is_over_a_kept_connection_too():
    class Mode(str, enum.Enum):
        WORM = "worm"

    heads = []

    def script(peer: Peer) -> None:
        while head := peer.read_head():
            heads.append(head)
            peer.answer(200, b"whole")

    manager = get_pool_manager()
    with serving(script) as server:
        for _ in range(2):
            answer = manager.request(
                "GET", f"http://{server.address}/route", headers={"X-Mode": Mode.WORM}, **UNREAD
            )
            assert read_whole("GET", answer, 1000) == b"whole"
        assert server.connections == 1
        manager.clear()
    assert [head.splitlines().count("X-Mode: worm") for head in heads] == [1, 1]


@pytest.mark.parametrize("path", ["/a/../b", "/./a", "/%41?x=/../y", "", "?q=1"])
def test_url_that_is_to_be_sent_as_it_is_keeps_its_dots_and_is_not_redirected(path):
    def script(peer: Peer) -> None:
        while head := peer.read_head():
            peer.answer(302, head.encode(), Location="/elsewhere")

    manager = get_pool_manager()
    with serving(script) as server:
        url = f"http://{server.address}{path}"
        for _ in range(2):
            answer = manager.send_as_is("GET", url, {}, None, urllib3.Timeout(5.0))
            expected = path if path.startswith("/") else f"/{path}"
            assert read_whole("GET", answer, 1000).split()[1].decode() == expected
            assert answer.status == 302
        assert server.connections == 1
        manager.clear()


def test_connections_are_kept_for_as_many_services_as_was_asked():
    gone = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"whole")
        gone.release()

    manager = get_pool_manager(pool_connections=1)
    with serving(script) as one, serving(script) as other:
        for server in (one, other):
            answer = manager.request("GET", f"http://{server.address}/route", headers={}, **UNREAD)
            assert read_whole("GET", answer, 1000) == b"whole"
        del answer
        gc.collect()
        assert gone.acquire(timeout=30)
        manager.clear()


@pytest.mark.parametrize("in_threads", [True, False])
def test_pool_that_blocks_lets_requests_wait_for_a_connection(in_threads):
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"whole")

    manager = SafePoolManager(maxsize=1, block=True)
    with serving(script) as server:
        url = f"http://{server.address}/route"

        def ask() -> Any:
            return manager.request("GET", url, headers={}, **UNREAD)

        answers: list[bytes] = []
        held = ask()
        if in_threads:
            thread = threading.Thread(target=lambda: answers.append(ask().data))
            thread.start()
            assert read_whole("GET", held, 1000) == b"whole"
            thread.join()
        else:
            with green.ContextPool(1) as pool:
                waiting = pool.spawn(lambda: answers.append(ask().data))
                green.sleep(0)
                assert read_whole("GET", held, 1000) == b"whole"
                waiting.wait()
        assert answers == [b"whole"]
        assert server.connections == 1
        held = ask()
        with pytest.raises(urllib3.exceptions.EmptyPoolError):
            manager.request("GET", url, pool_timeout=0.01)
        assert read_whole("GET", held, 1000) == b"whole"
        manager.clear()


def test_limit_that_strikes_while_a_request_waits_for_a_connection_spoils_no_other_request():
    def script(peer: Peer) -> None:
        while peer.read_head():
            peer.answer(200, b"whole")

    manager = SafePoolManager(maxsize=1, block=True)
    with serving(script) as server:
        url = f"http://{server.address}/route"
        held = manager.request("GET", url, headers={}, **UNREAD)
        limit = green.Timeout(0.01)
        with pytest.raises(green.Timeout), limit:
            manager.request("GET", url, headers={}, **UNREAD)
        assert read_whole("GET", held, 1000) == b"whole"
        assert manager.request("GET", url, headers={}, **UNREAD).data == b"whole"
        manager.clear()
