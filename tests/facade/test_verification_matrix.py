# SPDX-License-Identifier: Apache-2.0
"""Reads of sound and damaged chunks: all that may be asked of them, with and without the package ``blake3``.

A result is the data, ``damaged`` bytes that nobody notices, or the name of an exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from oio.sandbox import Namespace
from tests.facade.test_blake3 import KINDS, flip, prefer
from tests.facade.test_without_blake3 import Program
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, create, read

DATA = LARGE[: CHUNK_SIZE + 5000]
READS: dict[str, list[tuple[int, int]] | None] = {"whole": None, "range": [(0, 999)]}
VERIFICATIONS = (True, "strict", "server", False)
CASES = [(what, verify) for what in READS for verify in VERIFICATIONS]
SOUND, DAMAGED, TOLD, UNKNOWN = "data", "damaged", "CorruptedChunk", "ChecksumUnavailable"

#: What comes of whole reads, and of those of a range, for each of ``VERIFICATIONS``.
WITH_PACKAGE = {
    ("THREECOPIES", "none"): ([SOUND] * 4, [SOUND] * 4),
    # A range of a chunk has no checksum.
    ("THREECOPIES", "one"): ([SOUND, SOUND, SOUND, DAMAGED], [DAMAGED, SOUND, SOUND, DAMAGED]),
    ("THREECOPIES", "all"): ([TOLD, TOLD, TOLD, DAMAGED], [DAMAGED, TOLD, TOLD, DAMAGED]),
    # Fragments have checksums of their own, which are always looked at.
    ("EC", "none"): ([SOUND] * 4, [SOUND] * 4),
    ("EC", "one"): ([SOUND] * 4, [SOUND] * 4),
    ("EC", "all"): ([TOLD] * 4, [TOLD] * 4),
}
WITHOUT_PACKAGE = {
    ("THREECOPIES", "none"): ([SOUND, UNKNOWN, SOUND, SOUND], [SOUND, UNKNOWN, SOUND, SOUND]),
    # Only the checksum of the object tells, and not where the damage is.
    ("THREECOPIES", "one"): ([TOLD, UNKNOWN, SOUND, DAMAGED], [DAMAGED, UNKNOWN, SOUND, DAMAGED]),
    ("THREECOPIES", "all"): ([TOLD, UNKNOWN, TOLD, DAMAGED], [DAMAGED, UNKNOWN, TOLD, DAMAGED]),
    ("EC", "none"): ([SOUND, UNKNOWN, SOUND, SOUND], [SOUND, UNKNOWN, SOUND, SOUND]),
    ("EC", "one"): ([SOUND, UNKNOWN, SOUND, SOUND], [SOUND, UNKNOWN, SOUND, SOUND]),
    ("EC", "all"): ([TOLD, UNKNOWN, TOLD, TOLD], [TOLD, UNKNOWN, TOLD, TOLD]),
}


@pytest.fixture(params=KINDS, ids="-".join)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Release of the services, and checksums of the chunks."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def namespace(tmp_path: Path, kind: tuple[str, str]) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=9, chunk_size=CHUNK_SIZE, release=kind[0]) as running:
        yield running


def store(namespace: Namespace, algorithm: str, policy: str, damaged: str) -> None:
    """Store an object, and damage none of its chunks, one that is read, or all."""
    with namespace.api(chunk_checksum_algo=algorithm) as api:
        create(api, "o", DATA, policy=policy)
        chunks = sorted(api.object_locate(ACCOUNT, CONTAINER, "o")[1], key=lambda chunk: chunk["pos"])
    prefer(namespace, chunks[0]["url"])
    for chunk in chunks[: {"none": 0, "one": 1, "all": len(chunks)}[damaged]]:
        flip(namespace, chunk["url"], 100)


def part(what: str) -> bytes:
    return b"".join(DATA[first : last + 1] for first, last in READS[what] or [(0, len(DATA))])


def outcome(api: Any, what: str, verify: Any) -> str:
    try:
        data = read(api, "o", ranges=READS[what], verify_checksum=verify)
    except exc.OioException as err:
        return type(err).__name__
    assert len(data) == len(part(what))
    return SOUND if data == part(what) else DAMAGED


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize(("policy", "damaged"), WITH_PACKAGE)
def test_reads_with_the_package(
    namespace: Namespace, kind: tuple[str, str], policy: str, damaged: str
) -> None:
    store(namespace, kind[1], policy, damaged)
    with namespace.api() as api:
        found = [outcome(api, what, verify) for what, verify in CASES]
    whole, ranged = WITH_PACKAGE[policy, damaged]
    assert found == [*whole, *ranged]


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("kind", [("2026", "blake3")], ids="-".join, indirect=True)
@pytest.mark.parametrize(("policy", "damaged"), WITHOUT_PACKAGE)
def test_reads_without_the_package(namespace: Namespace, policy: str, damaged: str) -> None:
    store(namespace, "blake3", policy, damaged)
    calls = [("fetch", {"ranges": READS[what], "verify_checksum": verify}) for what, verify in CASES]
    found = []
    for (what, _), (kind, value) in zip(CASES, Program(namespace).run(*calls), strict=True):
        if kind == "result":
            found.append(SOUND if value == md5(part(what)).hexdigest() else DAMAGED)
        else:
            found.append(kind)
    whole, ranged = WITHOUT_PACKAGE[policy, damaged]
    assert found == [*whole, *ranged]
