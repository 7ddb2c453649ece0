# SPDX-License-Identifier: Apache-2.0
"""Figures of the time spent are added to the dictionary of the caller, which threads may share."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import pytest

from oio.api.object_storage import ObjectStorageApi
from oio.common.chunks import Chunk
from oio.common.options import Options
from oio.common.perfdata import add_duration, add_figure
from oio.common.utils import compute_perfdata_stats

THREADS, TIMES = 8, 2000


@pytest.fixture(autouse=True)
def _restless_threads():
    """Threads that come between each other whenever they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def run(work: Callable[[int], None]) -> None:
    errors: list[Exception] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except Exception as err:  # noqa: BLE001 - handed to the test
            errors.append(err)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.pitfall(121)
def test_no_figure_of_any_thread_is_lost():
    perfdata = {"data_size": 5}

    def work(_number: int) -> None:
        for _ in range(TIMES):
            add_figure(perfdata, "data_size", 1)

    run(work)
    assert perfdata == {"data_size": 5 + THREADS * TIMES}


@pytest.mark.pitfall(121)
def test_statistics_bear_the_figures_that_other_threads_add():
    perfdata = {"rawx": {"mine": 1.0}}
    rawx = perfdata["rawx"]

    def work(number: int) -> None:
        for time in range(TIMES // 20):
            add_duration(perfdata, "rawx", f"upload.{number}.{time}", 0.0)
            compute_perfdata_stats(perfdata)

    run(work)
    assert perfdata["rawx"] is rawx
    assert len([key for key in rawx if key.startswith("upload.") and key.count(".") == 2]) == 800
    assert rawx["upload.AVG"] > 0
    assert rawx["mine"] == 1.0


def test_without_a_dictionary_nothing_is_measured():
    add_duration(None, "rawx", "overall", 0.0)


@pytest.mark.pitfall("C6")
def test_figures_that_calls_share_do_not_grow_with_chunks():
    shared, own = {}, {}
    chunks = [Chunk.of({"url": f"http://rawx-{number % 3}/{number:064X}"}) for number in range(300)]
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1", perfdata=shared) as api:
        for chunk in chunks:
            Options.make([("reqid", "A")], api._options).add_step("connect", chunk, 0.0)
            Options.make([("perfdata", own)], api._options).add_step("connect", chunk, 0.0)
    assert sorted(shared["rawx"]) == ["connect.rawx-0", "connect.rawx-1", "connect.rawx-2"]
    assert sorted(own["rawx"]) == sorted(f"connect.{chunk.url}" for chunk in chunks)
