# SPDX-License-Identifier: Apache-2.0
"""What cleans up is not interrupted."""

from __future__ import annotations

import pytest

from oio.common import green


def test_interruptions_wait_for_the_end_of_the_clean_up() -> None:
    interruption, done = green.Interruption(), []

    def work() -> None:
        with green.Insistence():
            interruption.ask()
            for _ in range(3):
                with green.Insistence():
                    green.sleep(2 * interruption.INTERVAL)
                done.append("cleaned")
        green.sleep(3600)

    with pytest.raises(green.Interrupted), interruption:
        work()
    assert len(done) == 3
