# SPDX-License-Identifier: Apache-2.0
"""The syslog of the host, which the erasure coding library writes to when it refuses something: never ours.

Each function that begins with ``program_`` runs in a process of its own, which ends when it opens a Unix
socket: with a ``/dev/log`` or without, that is what writing to the syslog begins with.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oio.api._data.ec.codec import HEADER_SIZE, codec_of
from oio.common import exceptions as exc
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.ec_fakes import DATA, EC, Chunks, fetch, method, rebuild
from tests.kit.no_unix_sockets import trap_unix_sockets

ROOT = Path(__file__).parent.parent.parent
ALGORITHMS = {
    "liberasurecode_rs_vand": (6, 3),
    "isa_l_rs_vand": (6, 3),
    "isa_l_rs_cauchy": (6, 3),
    "flat_xor_hd_3": (5, 5),
    "flat_xor_hd_4": (6, 6),
}


def ended(program, **environment):
    """Status of a process that runs a function of this module."""
    code = f"from tests.unit.test_syslog import {program} as program; program()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stderr


def program_damaged_fragment():
    trap_unix_sockets()
    fragments = EC.driver.encode(DATA[:500])
    damaged = bytes([fragments[0][0] ^ 1]) + fragments[0][1:]
    EC.driver.decode([damaged, *fragments[1:6]])


def program_damaged_chunks():
    trap_unix_sockets()
    for at in range(HEADER_SIZE):
        troubles = {1: ("flip", at), 7: ("flip", at)}
        check(fetch(Chunks(EC, DATA[:900], {**troubles, 3: 404})) == DATA[:900])
        check(fetch(Chunks(EC, DATA[:900], troubles), verify_checksum="strict") == DATA[:900])
        check(rebuild(Chunks(EC, DATA[:900], {1: ("flip", at)}), 2) is not None)
    for at in (100, 247, 248, 300):
        for trouble in ("flip", "truncate", "cut"):
            check(fetch(Chunks(EC, DATA, {2: (trouble, at)}), verify_checksum="strict") == DATA)


def program_damaged_fragments():
    trap_unix_sockets()
    for algorithm, (k, m) in ALGORITHMS.items():
        made = method(k, m, algorithm)
        codec, fragments = codec_of(made), made.driver.encode(DATA[:500])
        for at in range(HEADER_SIZE):
            for change in (0x01, 0x80, 0xFF):
                damaged = bytearray(fragments[0])
                damaged[at] ^= change
                try:
                    codec.check(bytes(damaged), 500)
                except exc.ECError:
                    continue
                others = {index: fragments[index] for index in range(2, k + m)}
                check(codec.decode({0: bytes(damaged), **others}, 500) == DATA[:500])
                check(codec.reconstruct([bytes(damaged), *others.values()], 1) == fragments[1])


def program_missing_algorithms():
    trap_unix_sockets()
    for algorithm in ("jerasure_rs_vand", "jerasure_rs_cauchy", "shss", "libphazr", "isa_l_rs_lrc", "nosuch"):
        try:
            STORAGE_METHODS.load(f"ec/algo={algorithm},k=6,m=3")
        except exc.InvalidStorageMethod as err:
            check(algorithm in str(err), str(err))


def check(holds, *about):
    if not holds:
        raise AssertionError(*about)


@pytest.mark.pitfall("D1")
def test_the_erasure_coding_library_itself_writes_about_a_damaged_fragment():
    assert ended("program_damaged_fragment")[0] == -signal.SIGSYS


@pytest.mark.pitfall("D1")
@pytest.mark.parametrize("checksums", ["0", "1"], ids=["today's checksums", "old checksums"])
@pytest.mark.parametrize(
    "program", ["program_damaged_chunks", "program_damaged_fragments", "program_missing_algorithms"]
)
def test_nothing_is_written_to_the_syslog_of_the_host(program, checksums):
    status, printed = ended(program, LIBERASURECODE_WRITE_LEGACY_CRC=checksums)
    assert status == 0, printed
