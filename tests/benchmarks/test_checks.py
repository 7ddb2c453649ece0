# SPDX-License-Identifier: Apache-2.0
"""Checks of the benchmarks: what is wrong is noticed, however fast it is."""

import pytest

from benchmarks.cases import CASES, Case
from benchmarks.data import part, source
from benchmarks.worker import Operations, label_of, listed_name


class Wrong:
    """A client that does nothing right, and quickly.

    :param data: what its reads give
    """

    def __init__(self, data=b""):
        self._data = data

    def get(self, _container, _name, _verify=True):
        yield self._data

    def get_range(self, *_):
        return self._data

    def list_names(self, _container, _prefix=""):
        return iter([listed_name(1), listed_name(0)])

    def head(self, *_):
        return {"shape": "square"}

    def delete_many(self, _container, names):
        return [(name, False) for name in names]


SAME_SIZE = b"x" * 5000


@pytest.mark.parametrize(
    ("case", "client"),
    [
        (Case("get", size=5000), Wrong(SAME_SIZE)),
        (Case("get", size=5000), Wrong(SAME_SIZE[:-1])),
        (Case("range", size=5000, whole=20000), Wrong(SAME_SIZE)),
        (Case("list", count=2), Wrong()),
        (Case("head"), Wrong()),
        (Case("delete_many", count=2), Wrong()),
    ],
)
def test_wrong_answer_fails_the_case(case, client):
    with pytest.raises(ValueError, match="not "):
        Operations(case, lambda: client, "wrong").check(0)


@pytest.mark.parametrize(
    ("case", "client"),
    [
        (Case("put", size=5000), Wrong(SAME_SIZE)),
        (Case("set properties"), Wrong()),
        (Case("delete"), Wrong()),
    ],
)
def test_wrong_deed_is_found_by_the_other_client(case, client):
    with pytest.raises(ValueError, match="not "):
        Operations(case, lambda: client, "wrong").verify(listed_name(0))


def test_short_read_fails_even_when_it_is_only_timed():
    with pytest.raises(ValueError, match="bytes: 4999, not 5000"):
        Operations(Case("get", size=5000), lambda: Wrong(SAME_SIZE[:-1]), "wrong").do(0)


def test_no_case_replaces_the_objects_of_another():
    assert len({label_of("ours", case) for case in CASES}) == len(CASES)


def test_file_gives_the_data_of_the_object():
    size = (2 << 20) + 4321
    with source(size) as file:
        blocks = [file.read(32768), *iter(lambda: file.read(262144), b"")]
    assert b"".join(blocks) == part(0, size)
