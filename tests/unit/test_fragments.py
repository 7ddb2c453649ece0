# SPDX-License-Identifier: Apache-2.0
"""The safety layer before the erasure coding library: only whole fragments of ours pass."""

from __future__ import annotations

import struct
import zlib

import pytest

from oio.api._data.ec.codec import DamagedFragment, codec_of
from oio.common import exceptions as exc
from tests.kit.ec_fakes import DATA, EC, SEGMENT, method


@pytest.mark.pitfall(51)
def test_errors_of_the_library_become_ours():
    codec = codec_of(EC)
    fragments = dict(enumerate(EC.driver.encode(DATA[:500])))
    with pytest.raises(exc.ECError, match="decode 5 fragments, 6 are needed"):
        codec.decode({index: fragments[index] for index in range(1, 6)}, 500)
    with pytest.raises(exc.ECError, match="decode 1 fragments, 6 are needed"):
        codec.reconstruct([fragments[8]], 0)
    with pytest.raises(exc.ECError, match="reconstruct"):
        codec.reconstruct([fragments[index] for index in range(6)], "first")


@pytest.mark.pitfall(52)
def test_exclusive_ors_are_not_asked_for_more_than_they_bear():
    """The library would fail, and write about it to the syslog of the host."""
    xor = method(5, 5, "flat_xor_hd_3")
    codec = codec_of(xor)
    fragments = dict(enumerate(xor.driver.encode(DATA[:500])))
    eight = {index: fragments[index] for index in range(2, 10)}
    assert codec.decode(eight, 500) == DATA[:500]
    assert codec.reconstruct(eight.values(), 0) == fragments[0]
    assert codec.decode({index: fragments[index] for index in range(5)}, 500) == DATA[:500]
    del eight[9]
    for call in (lambda: codec.decode(eight, 500), lambda: codec.reconstruct(eight.values(), 0)):
        with pytest.raises(exc.ECError, match="decode 7 fragments, 8 are needed"):
            call()


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
        (lambda fragment: bytes([fragment[0] ^ 1]) + fragment[1:], "damaged header"),
        (lambda fragment: fragment[:67] + bytes(4) + fragment[71:], "damaged header"),
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


def with_header(fragment, **changes):
    """The fragment with another version of the library, or checksum of the header."""
    version, checksum = struct.unpack_from("<II", fragment, 63)
    fields = {"version": version, "checksum": checksum, **changes}
    return fragment[:63] + struct.pack("<II", *fields.values()) + fragment[71:]


@pytest.mark.pitfall(53)
def test_fragments_of_old_versions_of_the_library_are_taken(monkeypatch):
    new = EC.driver.encode(DATA[:500])
    monkeypatch.setenv("LIBERASURECODE_WRITE_LEGACY_CRC", "1")
    old = EC.driver.encode(DATA[:500])
    # Of the data, and of the header.
    crcs = (slice(21, 25), slice(67, 71))
    assert all(a[crc] != b[crc] for a, b in zip(new, old, strict=True) for crc in crcs)
    assert all(a[:21] == b[:21] and a[80:] == b[80:] for a, b in zip(new, old, strict=True))
    assert [codec_of(EC).check(fragment, 500) for fragment in old] == [(index, 500) for index in range(9)]
    assert codec_of(EC).decode({index: old[index] for index in range(3, 9)}, 500) == DATA[:500]
    damaged = old[0][:20] + b"?" + old[0][21:]
    with pytest.raises(exc.ECError, match="damaged header"):
        codec_of(EC).check(damaged, 500)


@pytest.mark.pitfall("A13")
@pytest.mark.parametrize("algo", ["liberasurecode_rs_vand", "isa_l_rs_vand", "isa_l_rs_cauchy"])
@pytest.mark.parametrize("size", [1, 500, SEGMENT])
def test_fragments_have_the_checksums_of_their_data_and_are_those_of_other_clients_else(algo, size):
    made = method(algo=algo)
    codec = codec_of(made)
    others = made.unchecked_driver.encode(DATA[:size])
    for ours, other in zip(codec.encode(DATA[:size]), others, strict=True):
        assert (ours[:20], ours[80:]) == (other[:20], other[80:])
        assert (ours[20], other[20]) == (2, 1)
        assert struct.unpack_from("<I", ours, 21)[0] == zlib.crc32(ours[80:])
        assert (ours[25:67], ours[71:80]) == (other[25:67], other[71:80])
        assert codec.check(ours, size) == codec.check(other, size)
    mixed = {index: (codec.encode(DATA[:size]) if index % 2 else others)[index] for index in range(2, 8)}
    assert codec.decode(mixed, size) == DATA[:size]


@pytest.mark.pitfall("A13")
def test_changed_data_of_a_fragment_do_not_reach_the_library():
    codec = codec_of(EC)
    fragment = codec.encode(DATA[:SEGMENT])[0]
    for at in (80, 150, len(fragment) - 1):
        with pytest.raises(DamagedFragment):
            codec.check(fragment[:at] + bytes([fragment[at] ^ 1]) + fragment[at + 1 :], SEGMENT)


@pytest.mark.pitfall("A13")
def test_fragments_are_rebuilt_as_the_others_are():
    codec = codec_of(EC)
    for fragments in (codec.encode(DATA[:900]), EC.unchecked_driver.encode(DATA[:900])):
        for missing in range(9):
            others = [fragment for index, fragment in enumerate(fragments) if index != missing]
            assert codec.reconstruct(others, missing) == fragments[missing]


@pytest.mark.pitfall(53)
def test_headers_have_checksums_since_a_version():
    fragment = EC.driver.encode(DATA[:500])[0]
    codec = codec_of(EC)
    assert codec.check(with_header(fragment, version=0x0101FF, checksum=0), 500) == (0, 500)
    with pytest.raises(exc.ECError, match="damaged header"):
        codec.check(with_header(fragment, version=0x010200, checksum=0), 500)
