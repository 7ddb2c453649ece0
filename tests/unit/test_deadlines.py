# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import time

import pytest

from oio.common import utils
from oio.common.exceptions import DeadlineReached
from oio.common.limits import Limits
from oio.common.utils import SoftDeadline, monotonic_time, set_deadline_from_read_timeout


def hard_deadline(kwargs):
    """The deadline of the whole call, which the caller has set."""
    return Limits.of(deadline=kwargs["deadline"]).hard_deadline


@pytest.mark.pitfall(84)
def test_time_is_monotonic():
    before = time.monotonic()
    assert before <= monotonic_time() <= time.monotonic()


def test_a_timeout_is_what_is_left_before_the_deadline():
    assert 99.0 < utils.deadline_to_timeout(monotonic_time() + 100.0) <= 100.0
    assert utils.timeout_to_deadline(5.0, now=10.0) == 15.0
    assert utils.timeout_to_deadline(5.0) >= monotonic_time() + 4.0


@pytest.mark.pitfall(74)
def test_a_spent_deadline_is_refused_when_checked():
    spent = monotonic_time() - 1.0
    assert utils.deadline_to_timeout(spent) < 0
    with pytest.raises(DeadlineReached):
        utils.deadline_to_timeout(spent, check=True)


def test_a_read_timeout_gives_a_soft_deadline():
    kwargs = {"read_timeout": 20.0}
    set_deadline_from_read_timeout(kwargs)
    assert isinstance(kwargs["deadline"], SoftDeadline)
    assert 19.0 < utils.deadline_to_timeout(kwargs["deadline"]) <= 20.0
    assert hard_deadline(kwargs) is None


@pytest.mark.parametrize("kwargs", [{}, {"read_timeout": None}])
def test_no_read_timeout_gives_no_deadline(kwargs):
    set_deadline_from_read_timeout(kwargs, force=True)
    assert "deadline" not in kwargs


@pytest.mark.pitfall(75)
def test_a_soft_deadline_is_shared_until_it_is_renewed():
    first = SoftDeadline(1.0)
    kwargs = {"read_timeout": 20.0, "deadline": first}
    set_deadline_from_read_timeout(kwargs)
    assert kwargs["deadline"] is first


@pytest.mark.pitfall(27)
def test_a_soft_deadline_can_be_renewed():
    kwargs = {"read_timeout": 20.0, "deadline": SoftDeadline(1.0)}
    set_deadline_from_read_timeout(kwargs, force=True)
    assert utils.deadline_to_timeout(kwargs["deadline"]) > 19.0


def test_the_deadline_of_the_caller_is_replaced_by_force_alone():
    kwargs = {"read_timeout": 20.0, "deadline": 1.0}
    set_deadline_from_read_timeout(kwargs)
    assert kwargs["deadline"] == 1.0
    assert hard_deadline(kwargs) == 1.0
    set_deadline_from_read_timeout(kwargs, force=True)
    assert 19.0 < utils.deadline_to_timeout(kwargs["deadline"]) <= 20.0


def test_a_deadline_that_is_none_is_no_deadline():
    kwargs = {"read_timeout": 20.0, "deadline": None}
    assert hard_deadline(kwargs) is None
    set_deadline_from_read_timeout(kwargs)
    assert isinstance(kwargs["deadline"], SoftDeadline)


def test_a_soft_deadline_is_a_number():
    assert pickle.loads(pickle.dumps(SoftDeadline(2.5))) == 2.5
    assert SoftDeadline(2.5) - 1.0 == 1.5
