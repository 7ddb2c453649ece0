# SPDX-License-Identifier: Apache-2.0
"""Who is chosen for new chunks."""

from __future__ import annotations

from collections import Counter

import pytest

from oio.sandbox.metadata.policies import STORAGE_POLICY, Policies
from oio.sandbox.proxy.registry import Conscience, Pool, Service
from oio.sandbox.refusals import NO_SUCH_POLICY, NO_SUCH_TYPE, POLICY_UNSATISFIABLE, UNAVAILABLE, Refusal


def with_rawx(count: int) -> Conscience:
    conscience = Conscience("NS")
    for number in range(1, count + 1):
        slots = f"rawx,rawx-{'odd' if number % 2 else 'even'}"
        conscience.register(Service("rawx", f"10.0.0.{number}:6000", tags={"tag.slots": slots}))
    return conscience


@pytest.mark.parametrize("name", sorted(STORAGE_POLICY))
def test_each_policy_gets_different_services(name: str) -> None:
    conscience = with_rawx(18)
    policy = Policies("SINGLE", refused_kinds=frozenset()).get(name)
    places = conscience.poll(conscience.pool_of(policy))
    assert len({place.service.name for place in places}) == len(places) == policy.width


@pytest.mark.parametrize(("name", "rawx"), [("THREECOPIES", 2), ("17COPIES", 16), ("EC", 8)])
def test_too_few_services_do_not_satisfy_a_policy(name: str, rawx: int) -> None:
    conscience = with_rawx(rawx)
    policy = Policies("SINGLE", refused_kinds=frozenset()).get(name)
    with pytest.raises(Refusal) as caught:
        conscience.poll(conscience.pool_of(policy))
    assert caught.value.status == POLICY_UNSATISFIABLE


def test_copies_go_to_an_even_and_an_odd_service_when_there_are_both() -> None:
    conscience = with_rawx(18)
    places = conscience.poll(conscience.pool("rawx2"))
    assert [place.final_slot for place in places] == ["rawx-even", "rawx-odd"]


def test_a_slot_without_services_is_replaced_by_the_next_one() -> None:
    conscience = with_rawx(3)
    places = conscience.poll(Pool.parse("1,rawx-asia,rawx"))
    assert [(place.expected_slot, place.final_slot) for place in places] == [("rawx-asia", "rawx")]


def test_services_to_avoid_are_never_chosen_and_those_rather_not_only_in_need() -> None:
    conscience = with_rawx(3)
    pool = Pool.parse("1,rawx")
    for _ in range(20):
        (place,) = conscience.poll(pool, avoid={"10.0.0.1:6000"}, rather_not={"10.0.0.2:6000"})
        assert place.service.name == "10.0.0.3:6000"
    chosen = conscience.poll(Pool.parse("3,rawx"), rather_not={"10.0.0.2:6000"})
    assert len(chosen) == 3


def test_services_that_hold_a_place_are_not_chosen_for_another() -> None:
    conscience = with_rawx(4)
    held = conscience.services("rawx")[:2]
    places = conscience.poll(conscience.pool("rawx3"), known=held)
    assert len(places) == 1
    assert places[0].service not in held


def test_a_service_of_score_zero_is_not_chosen() -> None:
    conscience = with_rawx(2)
    conscience.rate("rawx", "10.0.0.1:6000", 0)
    for _ in range(20):
        assert [service.name for service in conscience.choose("rawx", 1)[0]] == ["10.0.0.2:6000"]


def test_the_better_the_score_the_more_often_a_service_is_chosen() -> None:
    conscience = with_rawx(2)
    conscience.rate("rawx", "10.0.0.1:6000", 1)
    chosen = Counter(conscience.choose("rawx", 1)[0][0].name for _ in range(300))
    assert chosen["10.0.0.2:6000"] > chosen["10.0.0.1:6000"]


def test_a_locked_service_keeps_its_score_whatever_happens() -> None:
    conscience = with_rawx(1)
    conscience.lock("rawx", "10.0.0.1:6000", 140)
    conscience.rate("rawx", "10.0.0.1:6000", 10)
    conscience.register(Service("rawx", "10.0.0.1:6000", health=5))
    assert conscience.resolve("rawx", "10.0.0.1:6000").score == 100
    conscience.unlock("rawx", "10.0.0.1:6000")
    conscience.rate("rawx", "10.0.0.1:6000", 10)
    assert conscience.resolve("rawx", "10.0.0.1:6000").score == 10


def test_a_service_id_in_a_chunk_url_leads_to_the_address() -> None:
    conscience = Conscience("NS")
    conscience.register(Service("rawx", "10.0.0.1:6000", service_id="rawx-1"))
    assert conscience.real_url("http://rawx-1/AB") == "http://10.0.0.1:6000/AB"
    assert conscience.score_of("http://rawx-1/AB") == 100
    assert conscience.real_url("http://elsewhere:1/AB") == "http://elsewhere:1/AB"
    assert conscience.score_of("http://elsewhere:1/AB") == 0


def test_unknown_types_and_services_are_refused() -> None:
    conscience = with_rawx(1)
    with pytest.raises(Refusal) as caught:
        conscience.services("nope")
    assert caught.value.status == NO_SUCH_TYPE
    with pytest.raises(Refusal) as caught:
        conscience.resolve("rawx", "nope")
    assert caught.value.status == UNAVAILABLE


def test_policies_of_kinds_that_are_not_served_are_refused_clearly() -> None:
    with pytest.raises(Refusal, match="EC") as caught:
        Policies("SINGLE", refused_kinds=frozenset({"ec"})).get("EC")
    assert caught.value.status == NO_SUCH_POLICY


def test_a_default_policy_that_does_not_exist_is_refused_with_the_names_of_those_that_do() -> None:
    with pytest.raises(ValueError, match=r"default_policy: no storage policy 'NOPE'.*THREECOPIES"):
        Policies("NOPE")
