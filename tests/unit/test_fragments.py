# SPDX-License-Identifier: Apache-2.0
"""The safety layer before the erasure coding library: only whole fragments of ours pass."""

from __future__ import annotations

import pytest

from oio.api._data.ec.codec import codec_of
from oio.common import exceptions as exc
from tests.unit.ec_fakes import DATA, EC, method


@pytest.mark.pitfall(51)
def test_errors_of_the_library_become_ours():
    codec = codec_of(EC)
    fragments = dict(enumerate(EC.driver.encode(DATA[:500])))
    with pytest.raises(exc.ECError, match="decode"):
        codec.decode({index: fragments[index] for index in range(1, 6)}, 500)
    with pytest.raises(exc.ECError, match="reconstruct"):
        codec.reconstruct([fragments[8]], 0)


@pytest.mark.pitfall(53, 137)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda fragment: fragment[:-1], "bytes, not"),
        (lambda fragment: fragment + b"x", "bytes, not"),
        (lambda fragment: fragment[:79], "fragment of 79 bytes"),
        (lambda fragment: b"", "fragment of 0 bytes"),
        (lambda fragment: bytes(len(fragment)), "not a fragment"),
        (lambda fragment: fragment[:63] + bytes(4) + fragment[67:], "not a fragment"),
        (lambda fragment: bytes([fragment[0] ^ 1]) + fragment[1:], "get_metadata"),
        (lambda _fragment: method(8, 3).driver.encode(DATA[:500])[8], "bytes, not"),
        (lambda _fragment: method(6, 5).driver.encode(DATA[:500])[10], "index 10"),
        (lambda _fragment: method(algo="isa_l_rs_vand").driver.encode(DATA[:500])[0], "backend"),
        (lambda _fragment: EC.driver.encode(DATA[:499])[0], "segment of 499 bytes, not 500"),
        (lambda _fragment: EC.driver.encode(DATA[:1001])[0], "segment of 1001 bytes"),
    ],
)
def test_only_whole_fragments_of_ours_reach_the_library(spoil, reason):
    fragment = EC.driver.encode(DATA[:500])[0]
    assert codec_of(EC).check(fragment, 500) == (0, 500)
    with pytest.raises(exc.ECError, match=reason):
        codec_of(EC).check(spoil(fragment), 500)
