# SPDX-License-Identifier: Apache-2.0
"""Scores are put back on chunks that come from a cache, and are asked for now and then."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from oio.api._data.layout import RANDOM
from oio.api._operations.scores import Scores
from oio.common import exceptions as exc
from oio.common.limits import Limits
from oio.common.options import Options
from oio.common.storage_functions import _sort_chunks


class Conscience:
    """A client of the conscience, which knows two servers, and another by its ID."""

    proxy_netloc = "proxy:6000"

    def __init__(self) -> None:
        self.services: Any = [
            {"addr": "10.0.0.1:6010", "id": "10.0.0.1:6010", "score": 80},
            {"addr": "10.0.0.2:6010", "id": "10.0.0.2:6010", "score": 0},
            {"addr": "10.0.0.3:6010", "id": "RAWX-3", "score": 60},
        ]
        self.asked: list[Options] = []

    def all_services(self, kind: str, *, options: Options) -> Any:
        assert kind == "rawx"
        self.asked.append(options)
        if isinstance(self.services, Exception):
            raise self.services
        return self.services


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def conscience() -> Conscience:
    return Conscience()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def scores(conscience: Any, clock: Clock) -> Scores:
    return Scores(lambda: conscience, 30.0, logging.getLogger("scores"), clock)


def chunks(*hosts: str) -> list[dict[str, Any]]:
    return [{"url": f"http://{host}/0A", "pos": "0"} for host in hosts]


def put_back(scores: Scores, *hosts: str, options: Options | None = None) -> list[int]:
    given = chunks(*hosts)
    returned = scores.put_back(given, options or Options())
    assert given == chunks(*hosts)
    return [chunk["score"] for chunk in returned]


def settled(scores: Scores, *hosts: str) -> list[int]:
    """Scores after a call that may have begun to ask for them."""
    put_back(scores, *hosts)
    scores._background.join()
    return put_back(scores, *hosts)


@pytest.mark.pitfall("E8")
def test_scores_are_those_that_the_conscience_tells(scores: Scores) -> None:
    known = settled(scores, "10.0.0.1:6010", "10.0.0.2:6010", "10.0.0.3:6010", "rawx-3", "10.0.0.4:6010")
    assert known == [80, 0, 60, 60, 0]


@pytest.mark.pitfall("E8")
def test_conscience_is_asked_when_scores_are_old(
    scores: Scores, conscience: Conscience, clock: Clock
) -> None:
    assert settled(scores, "10.0.0.1:6010") == [80]
    conscience.services = [{"addr": "10.0.0.1:6010", "id": "10.0.0.1:6010", "score": 20}]
    clock.now += 29.9
    assert put_back(scores, "10.0.0.1:6010", "10.0.0.9:6010") == [80, 0]
    assert len(conscience.asked) == 1
    clock.now += 0.1
    assert settled(scores, "10.0.0.1:6010") == [20]
    assert len(conscience.asked) == 2


@pytest.mark.pitfall("E8")
def test_conscience_is_not_asked_for_what_services_have_just_told(
    scores: Scores, conscience: Conscience, clock: Clock
) -> None:
    scores.learn([{"url": "http://10.0.0.1:6010/0A", "score": 7}, {"url": "http://10.0.0.2:6010/0A"}])
    assert put_back(scores, "10.0.0.1:6010") == [7]
    assert conscience.asked == []
    assert settled(scores, "10.0.0.1:6010", "10.0.0.3:6010") == [80, 60]
    clock.now += 15
    scores.learn([{"url": "http://10.0.0.1:6010/0A", "score": 9}])
    clock.now += 15
    assert put_back(scores, "10.0.0.1:6010") == [9]
    assert len(conscience.asked) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        exc.ServiceBusy(),
        exc.OioNetworkException("gone"),
        RuntimeError("a fake of an application"),
        ["text"],
        [{"addr": "a:1"}],
        [{}],
    ],
)
@pytest.mark.pitfall("E8")
def test_call_does_without_scores_that_cannot_be_known(
    scores: Scores, conscience: Conscience, clock: Clock, caplog: pytest.LogCaptureFixture, trouble: Any
) -> None:
    caplog.set_level(logging.INFO, "scores")
    conscience.services = trouble
    assert settled(scores, "10.0.0.1:6010") == [0]
    assert put_back(scores, "10.0.0.1:6010") == [0]
    assert len(conscience.asked) == 1
    assert len(caplog.records) == 1
    clock.now += 30
    conscience.services = Conscience().services
    assert settled(scores, "10.0.0.1:6010") == [80]


@pytest.mark.pitfall("E8")
def test_old_scores_serve_while_there_are_no_others(
    scores: Scores, conscience: Conscience, clock: Clock
) -> None:
    assert settled(scores, "10.0.0.1:6010") == [80]
    conscience.services = exc.ServiceBusy()
    clock.now += 30
    assert settled(scores, "10.0.0.1:6010") == [80]


def test_question_has_its_own_limits_and_the_names_of_the_call(
    scores: Scores, conscience: Conscience
) -> None:
    limits = Limits(read=30.0, deadline=1000.5, clock=lambda: 1000.0)
    put_back(scores, "10.0.0.1:6010", options=Options(limits=limits, autocreate=True, reqid="R"))
    scores._background.join()
    (options,) = conscience.asked
    assert (options.limits.deadline, options.reqid, options.autocreate) == (1005.0, "R", None)
    assert options.retry is not None
    assert options.retry.attempts == 1


@pytest.mark.pitfall("E8")
@pytest.mark.parametrize("score", [0, 60])
@pytest.mark.parametrize("is_ec", [False, True])
def test_servers_of_equal_scores_are_preferred_in_turn(score: int, is_ec: bool) -> None:
    RANDOM.seed(8)
    given = [
        {"url": f"http://h{n}/0A", "pos": f"0.{n}" if is_ec else "0", "size": 1, "hash": "A", "score": score}
        for n in range(3)
    ]
    first = [_sort_chunks(given, is_ec)[0][0]["url"] for _ in range(60)]
    assert {first.count(chunk["url"]) >= 10 for chunk in given} == {True}


@pytest.mark.pitfall("E8")
def test_servers_without_a_score_come_last() -> None:
    given = [
        {"url": f"http://h{score}/0A", "pos": "0", "size": 1, "hash": "A", "score": score}
        for score in (0, 50, None, 90)
    ]
    for _ in range(20):
        found = [chunk["score"] for chunk in _sort_chunks(given, False)[0]]
        assert found[:2] == [90, 50]
        assert set(found[2:]) == {0, None}
