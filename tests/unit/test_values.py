# SPDX-License-Identifier: Apache-2.0
"""Values that travel from the edge to the socket: limits, attempts, options, chunks."""

from __future__ import annotations

import dataclasses
from urllib.parse import urlsplit

import pytest

from oio.common import exceptions as exc
from oio.common.chunks import Chunk, Outcome, place_of, to_remove
from oio.common.limits import CLEANING_TIMEOUT, Limits
from oio.common.options import Options
from oio.common.retry import Attempts, Retry, seconds_asked
from oio.common.utils import SoftDeadline


class Clock:
    """A clock that only goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


# --- limits ------------------------------------------------------------------------------------------

STEPS = {"connecting": ("connection", 10.0), "writing": ("write", 60.0), "reading": ("read", 60.0)}


@pytest.mark.parametrize(("step", "default"), STEPS.values(), ids=STEPS)
def test_step_has_its_own_limit_else_a_default(step, default, clock):
    seconds = {"connection": Limits.connecting, "write": Limits.writing, "read": Limits.reading}[step]
    assert seconds(Limits(clock=clock), "rawx-1") == default
    assert seconds(Limits(**{step: 3.0}, clock=clock), "rawx-1") == 3.0


@pytest.mark.parametrize("step", STEPS)
def test_step_never_goes_beyond_the_deadline(step, clock):
    field, _ = STEPS[step]
    limits = Limits(**{field: 3.0}, deadline=105.0, clock=clock)
    assert getattr(limits, step)("rawx-1") == 3.0
    clock.now = 103.5
    assert getattr(limits, step)("rawx-1") == 1.5
    assert getattr(Limits(deadline=105.0, clock=clock), step)("rawx-1") == 1.5
    clock.now = 105.0
    for peer in ("rawx-1", "http://rawx-1/0A"):
        with pytest.raises(exc.DeadlineReached, match=f"before {step} (to |from |)rawx-1$"):
            getattr(limits, step)(peer)


def test_limit_of_a_call_wins_even_when_it_is_nothing(clock):
    assert Limits(connection=0.0, read=0.0, clock=clock).for_request(Limits(1.0, 2.0)) == (0.0, 0.0, 0.0)


def test_request_connects_and_reads_within_what_is_left(clock):
    defaults = Limits(connection=1.0)
    assert Limits(clock=clock).for_request(defaults) == (1.0, 30.0, 31.0)
    assert Limits(read=5.0, clock=clock).for_request(defaults) == (1.0, 5.0, 6.0)
    assert Limits(deadline=104.0, clock=clock).for_request(defaults) == (1.0, 4.0, 4.0)
    clock.now = 103.5
    assert Limits(read=5.0, deadline=104.0, clock=clock).for_request(defaults) == (0.5, 0.5, 0.5)
    clock.now = 104.0
    with pytest.raises(exc.DeadlineReached, match="before GET /x") as caught:
        Limits(deadline=104.0, clock=clock).for_request(defaults, "GET", "http://h:1/x", "R")
    assert (caught.value.reqid, caught.value.service) == ("R", "h:1")


@pytest.mark.pitfall(27)
def test_phase_is_renewed_and_the_deadline_of_the_caller_is_not(clock):
    phase = Limits(read=5.0, clock=clock).renewed()
    assert (phase.deadline, phase.hard_deadline) == (105.0, None)
    clock.now = 104.0
    assert phase.renewed().deadline == 109.0
    assert phase.per_request() == Limits(read=5.0, clock=clock)
    call = Limits(read=5.0, deadline=105.0, clock=clock)
    assert call.renewed() is call
    assert call.per_request() is call
    assert call.hard_deadline == 105.0
    assert Limits(clock=clock).renewed().deadline is None


def test_cleaning_has_its_time_even_after_the_deadline(clock):
    limits = Limits(deadline=90.0, clock=clock)
    assert limits.for_cleaning().left() == CLEANING_TIMEOUT
    assert Limits(deadline=200.0, clock=clock).for_cleaning().deadline == 200.0
    assert Limits(clock=clock).for_cleaning().deadline is None


def test_failure_after_the_deadline_comes_of_it(clock):
    limits, failure = Limits(deadline=101.0, clock=clock), exc.ServiceBusy(message="too few")
    limits.raise_if_late(failure)
    clock.now = 101.0
    with pytest.raises(exc.DeadlineReached, match="too few") as caught:
        limits.raise_if_late(failure, "R")
    assert caught.value.__cause__ is failure


# --- attempts ----------------------------------------------------------------------------------------


def test_attempts_end_with_their_number_or_a_final_failure():
    attempts = Attempts(Retry(attempts=3, unit=0), Limits())
    assert [attempts.again(exc.ServiceBusy()) for _ in range(3)] == [True, True, False]
    assert not Attempts(Retry(attempts=3, unit=0), Limits()).again(exc.Conflict())
    assert Attempts(Retry(attempts=3, unit=0, on=(exc.Conflict,)), Limits()).again(exc.Conflict())


def test_pauses_grow_and_never_reach_the_deadline(clock):
    slept = []
    retry = Retry(attempts=10, draw=lambda below: below - 1, sleep=slept.append)
    attempts = Attempts(retry, Limits(deadline=104.0, clock=clock))
    assert attempts.again(exc.ServiceBusy())
    assert attempts.again(exc.ServiceBusy())
    assert attempts.again(exc.ServiceBusy())
    assert slept == [0.5, 1.5, 3.5]
    assert not attempts.again(exc.ServiceBusy())
    assert slept == [0.5, 1.5, 3.5]


@pytest.mark.parametrize("attempts", [0, -1, "0"])
def test_less_than_one_attempt_is_refused(attempts):
    with pytest.raises(exc.OioException, match="at least 1"):
        Retry().times(attempts)


@pytest.mark.pitfall("B8")
@pytest.mark.parametrize("name", ["attempts", "changes", "patience", "unit"])
def test_policy_that_makes_no_sense_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least"):
        Retry(**{name: -1})
    for value, kind in (("3", "str"), (None, "NoneType"), (True, "bool")):
        with pytest.raises(TypeError, match=f"{name} must be a number, not {kind}: {value!r}"):
            Retry(**{name: value})


@pytest.mark.pitfall("B8")
def test_failures_that_may_pass_are_worth_another_read():
    retry = Retry()
    passing = [exc.ServiceBusy(), exc.OioTimeout(), exc.OioConnectionException(), exc.OioNetworkException()]
    passing += [exc.from_status(status) for status in (429, 502, 503, 504)]
    final = [exc.OioProtocolError(), exc.DeadlineReached(), exc.Conflict(), exc.from_status(500)]
    assert [retry.is_transient(error) for error in passing] == [True] * len(passing)
    assert not any(retry.is_transient(error) for error in final)


@pytest.mark.pitfall("B8")
def test_only_the_refusal_of_a_busy_service_is_worth_another_change():
    retry = Retry(changes=4).for_changes()
    assert retry.attempts == 4
    assert retry.is_transient(exc.ServiceBusy())
    assert not any(retry.is_transient(error) for error in (exc.OioTimeout(), exc.from_status(502)))


@pytest.mark.pitfall("B8")
def test_no_attempt_begins_when_patience_is_over(clock):
    slept = []
    retry = Retry(attempts=9, patience=10.0, draw=lambda _below: 0, sleep=slept.append)
    attempts = Attempts(retry, Limits(clock=clock))
    assert attempts.again(exc.ServiceBusy())
    clock.now += 10.0
    assert not attempts.again(exc.ServiceBusy())
    assert slept == []


@pytest.mark.pitfall("B8")
def test_service_says_when_to_come_back(clock):
    slept, busy = [], exc.ServiceBusy()
    busy.retry_after = 7.0
    retry = Retry(draw=lambda below: below - 1, sleep=slept.append)
    assert Attempts(retry, Limits(clock=clock)).again(busy)
    assert slept == [7.5]
    assert not Attempts(retry, Limits(clock=clock, deadline=clock.now + 7.0)).again(busy)
    busy.retry_after = 3600.0
    assert not Attempts(retry, Limits(clock=clock)).again(busy)


@pytest.mark.pitfall("B8")
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("ten", None),
    ],
)
def test_answers_say_when_to_come_back(text, seconds):
    assert seconds_asked(text) == seconds


# --- options -----------------------------------------------------------------------------------------


def test_keyword_wins_over_the_default_even_when_it_is_none():
    defaults = Options.of({"read_timeout": 5.0, "chunk_checksum_algo": "md5", "key_file": "/keys"})
    made = Options.make({"read_timeout": None, "chunk_checksum_algo": None}.items(), defaults)
    assert (made.limits.read, made.checksum_algo, made.key_file) == (None, None, "/keys")


def test_call_begins_with_an_id_and_a_phase():
    begun = Options.make({"read_timeout": 5.0}.items(), begin="create-")
    assert begun.reqid.startswith("create-")
    assert begun.headers == {"x-oio-req-id": begun.reqid}
    assert begun.limits.is_phase
    asked = Options.make({"deadline": 1e9, "read_timeout": 5.0, "reqid": "R"}.items(), begin="")
    assert (asked.reqid, asked.limits.deadline, asked.limits.is_phase) == ("R", 1e9, False)


@pytest.mark.pitfall(68)
def test_headers_have_the_request_id_once_and_are_not_the_callers():
    headers = {"X-Oio-Req-Id": "A", "x": "y"}
    made = Options.of({"headers": headers, "reqid": "B"})
    assert made.headers == {"x-oio-req-id": "A", "x": "y"}
    assert headers == {"X-Oio-Req-Id": "A", "x": "y"}


def test_keywords_of_the_caller_win_over_headers_and_id_of_the_defaults():
    defaults = Options.of({"headers": {"x": "y"}, "reqid": "D"})
    assert Options.make([], defaults).headers == {"x": "y", "x-oio-req-id": "D"}
    assert Options.make([("reqid", "C")], defaults).headers == {"x": "y", "x-oio-req-id": "C"}
    assert Options.make([("headers", {"a": "b"})], defaults).headers == {"a": "b", "x-oio-req-id": "D"}
    own = {"X-oio-req-id": "C"}
    assert Options.make([("headers", own)], defaults).headers == {"x-oio-req-id": "C"}
    assert Options.make([("reqid", None)], defaults, begin="new-").reqid.startswith("new-")


def test_sizes_of_blocks_may_be_text():
    made = Options.of({"chunk_buffer_min": "10", "chunk_buffer_max": ""})
    assert (made.buffer_min, made.buffer_max) == (10, None)


def test_soft_deadline_of_the_published_functions_is_a_phase():
    assert Options.of({"deadline": SoftDeadline(5.0)}).limits.hard_deadline is None
    assert Options.of({"deadline": 5.0}).limits.hard_deadline == 5.0


def test_options_say_to_requests_only_what_was_asked_for():
    assert Options.of({}).for_request() == {}
    assert Options.of({"autocreate": True, "force_master": False}).for_request() == {
        "autocreate": True,
        "force_master": False,
    }


def test_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options.of({}).reqid = "R"  # type: ignore[misc]


# --- chunks ------------------------------------------------------------------------------------------

DESCRIPTIONS = [
    {"url": "http://r/0A", "real_url": "http://a:1/0A", "pos": "3", "size": 5, "hash": "AB", "score": 7},
    {"url": "http://r/0A", "real_url": "http://a:1/0A", "pos": "3.10", "num": 10},
    {"url": "b2/0A", "real_url": "b2/0A", "pos": "0", "size": 0},
]


@pytest.mark.parametrize("described", DESCRIPTIONS)
def test_chunk_is_described_as_it_was(described):
    assert Chunk.of(described).described() == described
    assert Chunk.of(Chunk.of(described)) == Chunk.of(described)


def test_chunks_are_made_in_order_and_those_that_are_made_stay():
    made = Chunk.all_of(DESCRIPTIONS)
    assert [chunk.described() for chunk in made] == DESCRIPTIONS
    again = Chunk.all_of([made[0], DESCRIPTIONS[1]])
    assert again == made[:2]
    assert again[0] is made[0]


def test_chunk_without_a_position_is_the_first_one():
    assert Chunk.of({"url": "http://r/0A"}).described() == {
        "url": "http://r/0A",
        "real_url": "http://r/0A",
        "pos": "0",
    }


@pytest.mark.parametrize("checksum", ["", None, "0" * 32, "A" * 64])
def test_checksum_that_is_no_md5_says_nothing(checksum):
    assert Chunk("u", "a", hash=checksum).md5 is None
    assert Chunk("u", "a", hash="AB" * 16).md5 == "ab" * 16


def test_chunks_to_remove_are_those_that_a_server_may_hold():
    stored, failed, lost = (Chunk(url, url) for url in ("stored", "failed", "lost"))
    outcomes = [Outcome(stored, None, True), Outcome(failed, "late", True), Outcome(lost, "HTTP 409")]
    assert to_remove(outcomes) == [stored, failed]
    assert to_remove(outcomes, only_failed=True) == [failed]


def test_changed_options_are_those_that_the_standard_library_makes():
    options = Options(reqid="A", cid="B", limits=Limits(read=5.0))
    changed = options.changed(cid=None, autocreate=True)
    assert changed == dataclasses.replace(options, cid=None, autocreate=True)
    assert options == Options(reqid="A", cid="B", limits=Limits(read=5.0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        changed.cid = "C"  # type: ignore[misc]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6010/0AB",
        "https://rawx-1.example:6010/0AB",
        "http://[::1]:6010/0AB",
        "http://host",
        "http://host/a?b=c#d",
        "HTTP://Host:1/a%20b",
        "b2://bucket/a b/é",
        "",
    ],
)
def test_address_of_a_chunk_is_split_as_by_the_standard_library(url):
    parts = urlsplit(url)
    assert place_of(url) == (parts.scheme, parts.netloc, parts.path)
    assert Chunk("http://host/0A", url).netloc == parts.netloc


def test_address_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="IPv6"):
        place_of("http://[::1/0A")
