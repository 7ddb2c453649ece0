# SPDX-License-Identifier: Apache-2.0
"""The hub that each OS thread of the application is given at first use."""

from __future__ import annotations

import errno
import threading

import pytest

from oio.common import exceptions as exc
from oio.common import green


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
