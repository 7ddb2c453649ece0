# SPDX-License-Identifier: Apache-2.0
"""The hub that each OS thread of the application is given at first use."""

from __future__ import annotations

import contextlib
import errno
import itertools
import linecache
import os
import signal
import socket
import sys
import threading

import pytest
from greenlet import getcurrent, greenlet

from oio.common import exceptions as exc
from oio.common import green
from oio.common.green._imported import Waiter
from oio.common.green._limits import OioTimeout
from tests.kit.greenlets import in_greenlet
from tests.kit.scripted import Peer, serving
from tests.kit.signals import raising, struck_when
from tests.kit.watchdog import watched


def test_thread_that_finds_no_descriptor_is_told_and_may_try_again(monkeypatch):
    results = []

    def no_hub():
        raise OSError(errno.EMFILE, "Too many open files")

    def work():
        with monkeypatch.context() as patch:
            patch.setattr(green.eventlet_hubs, "get_hub", no_hub)
            with pytest.raises(exc.OioException, match="Too many open files") as caught:
                green.get_hub()
        results.extend([caught.value, green.get_hub()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(results[0].__cause__, OSError)
    assert results[1] is not green.get_hub()


def test_wait_that_began_too_late_ends_at_once():
    sock, other = socket.socketpair()
    with sock, other:
        assert watched(lambda: green.wait_any([sock], -1.0)) == []


def waiting_once():
    green.sleep(0)
    return getcurrent().parent


@pytest.mark.pitfall("B1")
def test_greenlet_that_has_waited_still_belongs_to_who_made_it():
    def run():
        above = getcurrent()
        return [greenlet(waiting_once).switch() is above for _ in range(3)]

    assert watched(run) == [True, True, True]


@pytest.mark.pitfall("B1")
def test_thread_may_wait_after_the_greenlet_in_which_it_waited_first():
    def run():
        first = greenlet(waiting_once)
        first.switch()
        assert first.dead
        waiting_once()
        return greenlet(waiting_once).switch() is getcurrent()

    assert watched(run) is True


@pytest.mark.pitfall("B1")
def test_greenlet_made_in_a_green_thread_comes_back_to_it():
    def run():
        with green.ContextPool(1) as pool:
            return pool.spawn(lambda: greenlet(waiting_once).switch() is getcurrent()).wait()

    assert watched(run) is True


@pytest.mark.pitfall("B1")
def test_what_a_signal_handler_raises_comes_out_in_the_greenlet_that_waits(monkeypatch):
    class Stop(KeyboardInterrupt):
        pass

    def stop(*_args):
        raise Stop

    def wait():
        green.get_hub().schedule_call_global(0, os.kill, os.getpid(), signal.SIGUSR1)
        with pytest.raises(Stop):
            green.sleep(60)
        # The hub was stopped by it, and starts again.
        return waiting_once()

    before = signal.signal(signal.SIGUSR1, stop)
    try:
        assert greenlet(wait).switch() is getcurrent()
        waiting_once()
    finally:
        signal.signal(signal.SIGUSR1, before)


class Elsewhere:
    """A greenlet with a time limit of 0 seconds, which leaves for elsewhere before it can strike."""

    def __init__(self, after):
        self.after = after
        self.greenlet = greenlet(self.run)
        self.greenlet.switch()
        # Others wait for the network in the meantime.
        for _ in range(3):
            greenlet(waiting_once).switch()
            waiting_once()

    def run(self):
        with green.OioTimeout(0):
            getcurrent().parent.switch("elsewhere")
            self.after()
        return waiting_once()

    def result(self):
        try:
            return self.greenlet.switch()
        except green.OioTimeout:
            return "struck"


@pytest.mark.pitfall("B1")
def test_time_limit_strikes_a_greenlet_that_waits_elsewhere_only_when_it_waits_here_again():
    assert watched(lambda: Elsewhere(lambda: green.sleep(60)).result()) == "struck"


def test_time_limit_whose_block_was_never_entered_does_not_strike():
    def lose():
        # A signal handler may raise at this point.
        green.OioTimeout(0)
        for _ in range(3):
            green.sleep(0)
        return "quiet"

    assert watched(lose) == "quiet"


@contextlib.contextmanager
def raising_after(called, code, error):
    """Raise an error when a function has called a method of a list, as a signal handler may."""

    def profile(frame, event, arg):
        if event == "c_return" and frame.f_code is code and arg.__name__ == called:
            raise error

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    ("called", "method"), [("append", OioTimeout.__init__), ("pop", OioTimeout.__exit__)]
)
def test_time_limit_that_a_handler_interrupts_does_not_strike_who_looks_at_its_exception(called, method):
    def lose():
        met = None
        try:
            with raising_after(called, method.__code__, KeyError("of a handler")), green.OioTimeout(0):
                pass
        except KeyError as err:
            met = err
            # The limit lives on in the traceback.
            for _ in range(3):
                green.sleep(0)
        return met

    assert isinstance(watched(lose), KeyError)


@pytest.mark.pitfall("B1")
def test_time_limit_of_a_greenlet_that_waits_elsewhere_ends_with_its_block():
    assert watched(lambda: Elsewhere(lambda: None).result() is getcurrent()) is True


@pytest.mark.pitfall("B1")
def test_call_in_a_greenlet_may_end_with_an_exception():
    def fail():
        green.sleep(0)
        raise ConnectionResetError

    assert isinstance(in_greenlet(fail), ConnectionResetError)


@pytest.mark.pitfall("B2")
def test_green_threads_belong_to_a_hub_that_runs_after_an_exception_has_ended_one():
    def run():
        hub = green.get_hub()
        with pytest.raises(KeyError, match="of a signal handler"):
            hub.greenlet.throw(KeyError("of a signal handler"))
        with green.ContextPool() as pool:
            parent = pool.spawn(lambda: getcurrent().parent).wait()
        return parent is hub.greenlet

    assert watched(run) is True


def test_limits_strike_in_the_order_in_which_they_are_due():
    """A limit that nobody has waited for yet is not late because of those that were begun after it."""
    struck = []

    class Noted(OioTimeout):
        def strike(self, _target):
            struck.append("first")

    def run():
        hub, ticks = green.get_hub(), itertools.count()
        hub.clock = lambda: next(ticks)
        first = Noted(1)
        for _ in range(10):
            next(ticks)
        hub.schedule_call_global(0, struck.append, "second")
        while len(struck) < 2:
            green.sleep(0)
        first.cancel()
        return struck

    assert watched(run) == ["first", "second"]


@pytest.mark.pitfall("B2")
def test_exception_of_a_handler_is_for_who_waits_for_green_threads():
    error, met, begun = KeyError("of a signal handler"), [], []

    def wait(address: tuple[str, int]) -> None:
        sock = green.create_connection(address)
        begun.append(sock)
        try:
            sock.recv_into(bytearray(1))
        except BaseException as err:
            met.append(type(err))
            raise
        finally:
            sock.close()

    with serving(Peer.wait_until_gone) as server:
        host, _, port = server.address.partition(":")
        with (
            raising(error),
            pytest.raises(KeyError, match="of a signal handler"),
            struck_when(lambda: begun),
            green.ContextPool() as pool,
        ):
            pool.spawn(wait, (host, int(port))).wait()
    assert met == [green.GreenletExit]


@contextlib.contextmanager
def handler_run_while_a_getter_is_woken():
    """Run the signal handler inside of what wakes who waits for a queue, as a signal may at that moment."""
    number = signal.SIGUSR1

    def trace(frame, event, _arg):
        code, line = frame.f_code, linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if code.co_name != "switch" or not isinstance(frame.f_locals.get("self"), Waiter):
            return None
        if event == "line" and "self.greenlet.switch(value)" in line:
            sys.settrace(None)
            signal.getsignal(number)(number, frame)
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


@pytest.mark.parametrize("is_full", [False, True])
def test_exception_of_a_handler_is_for_who_waits_for_a_queue(is_full, capfd):
    error = KeyError("of a handler")

    def wait():
        queue = green.LightQueue(1)
        if is_full:
            queue.put(1)
        use, other = (queue.put, queue.get) if is_full else (queue.get, queue.put)
        given = (2,) if is_full else ()
        with green.ContextPool() as pool, handler_run_while_a_getter_is_woken():
            pool.spawn(other, *(() if is_full else (1,)))
            with green.OioTimeout(5):
                use(*given)

    with raising(error):
        try:
            assert watched(wait) is error
        finally:
            sys.settrace(None)
    assert capfd.readouterr().err == ""


def test_green_thread_that_fails_when_it_is_woken_keeps_nobody_else_waiting(capfd):
    got, queue, pool = [], green.LightQueue(), green.GreenPool()

    def fail():
        queue.get()
        raise KeyError("of a green thread")

    with green.OioTimeout(20):
        green.get_hub().ensure_greenlet()
        for _ in range(20):
            pool.spawn(fail)
            pool.spawn(lambda: got.append(queue.get()))
        green.sleep(0)
        for number in range(40):
            queue.put(number)
        pool.waitall()
    assert len(got) == 20
    # What the green threads print.
    capfd.readouterr()
