# SPDX-License-Identifier: Apache-2.0
"""Calls that meet faults: nothing of them, nor of their data, is left to the garbage collector."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Fault
from tests.kit.garbage import garbage_of
from tests.kit.objects import LARGE, SMALL, create, new_target, read, stored

CUT = Fault("truncate", operation="GET", after_bytes=10_000)
DAMAGED = Fault("corrupt", operation="GET", after_bytes=1000)

READS = {
    "copy, cut once": ("THREECOPIES", Fault("truncate", operation="GET", nth=1, after_bytes=100_000), {}),
    "copy, refused once": ("THREECOPIES", Fault("status", operation="GET", nth=1, status=503), {}),
    "fragment, damaged once": ("EC21", Fault("corrupt", operation="GET", nth=1, after_bytes=1000), {}),
    "fragment, cut once": ("EC21", Fault("truncate", operation="GET", nth=1, after_bytes=1000), {}),
    "copies, all cut": ("THREECOPIES", CUT, {}),
    "copies, all damaged, several at a time": ("THREECOPIES", DAMAGED, {"parallel": 3}),
    "fragments, all cut": ("EC21", Fault("truncate", operation="GET", after_bytes=1000), {}),
}


@pytest.fixture(autouse=True)
def no_records(caplog: pytest.LogCaptureFixture) -> None:
    """Captured records would keep the failures."""
    caplog.set_level(logging.CRITICAL, logger="oio")


@pytest.mark.parametrize("case", READS.values(), ids=READS)
def test_nothing_of_a_read_with_a_fault_is_left_to_the_garbage_collector(namespace, api, case):
    policy, trouble, options = case
    target = stored(api, LARGE, policy=policy)
    read(api, target)

    def call(_api: Any) -> None:
        with namespace.faults(trouble):
            # The helper would keep the exception, and that the frame of the helper.
            with contextlib.suppress(exc.OioException):
                _, stream = api.object_fetch(*target, **options)
                assert b"".join(stream) == LARGE
                assert trouble.nth
                return
            assert not trouble.nth

    assert garbage_of(call, api) == []


class FailingSource:
    """A source whose second block cannot be read."""

    def __init__(self) -> None:
        self._blocks = iter([LARGE])

    def read(self, size: int) -> bytes:
        for block in self._blocks:
            return block[:size]
        raise OSError("the disk has failed")


def test_nothing_of_a_failing_source_is_left_to_the_garbage_collector(api):
    target = new_target()
    create(api, target, SMALL)

    def call(_api: Any) -> None:
        with pytest.raises(exc.SourceReadError):
            api.object_create(*target[:2], obj_name=target.name, file_or_path=FailingSource())

    assert garbage_of(call, api) == []


def test_nothing_of_an_abandoned_file_is_left_to_the_garbage_collector(api):
    target = new_target()
    create(api, target, SMALL)

    def call(_api: Any) -> None:
        with contextlib.suppress(KeyError), api.object_open(*target, "wb") as file:
            file.write(LARGE)
            raise KeyError("the program has changed its mind")

    assert garbage_of(call, api) == []
