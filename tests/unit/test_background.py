# SPDX-License-Identifier: Apache-2.0
"""Work in the background: one piece at a time, and none that outlives the one it is done for."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

import pytest

from oio.common import green
from oio.common.background import Background


@pytest.fixture
def background() -> Background:
    return Background("Counting", logging.getLogger("background"))


def wait_for_ever() -> None:
    green.sleep(3600)


def test_work_is_begun_when_no_other_is_under_way(background: Background) -> None:
    done, go_on = [], threading.Event()
    assert background.start(go_on.wait)
    assert not background.start(lambda: done.append("second"))
    go_on.set()
    background.join()
    assert background.start(lambda: done.append("third"))
    background.join()
    assert done == ["third"]


def test_what_fails_is_logged(background: Background, caplog: pytest.LogCaptureFixture) -> None:
    background.start(lambda: {}["missing"])
    background.join()
    assert caplog.messages == ["Counting: KeyError: 'missing'"]
    assert background.start(list)
    background.join()


def test_host_without_threads_does_without(
    background: Background, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert not background.start(list)
    assert caplog.messages == ["Counting: can't start new thread"]
    assert background.start(list)
    background.join()


def test_closing_ends_the_work_and_more_may_be_begun(background: Background) -> None:
    background.close()
    assert background.start(wait_for_ever)
    background.close()
    assert background.start(list)
    background.close()


def test_process_that_forks_ends_the_work(background: Background) -> None:
    """A child would inherit its hub and sockets, and any lock that it holds."""
    threads = threading.active_count()
    assert background.start(wait_for_ever)
    child = os.fork()
    if child == 0:
        os._exit(0 if background.start(list) else 1)
    assert threading.active_count() == threads
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_child_of_a_patched_process_begins_anew(
    background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(green, "threads_are_green", lambda: True)
    go_on = threading.Event()
    assert background.start(go_on.wait)
    child = os.fork()
    if child == 0:
        os._exit(0 if background.start(list) else 1)
    go_on.set()
    background.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
