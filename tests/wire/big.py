# SPDX-License-Identifier: Apache-2.0
"""What stands for the large objects of the recordings: as long, and equal where anything is known."""

from __future__ import annotations

import base64
import json
import re
from functools import cache
from typing import Any

from pyeclib.ec_iface import ECDriver

from tests.wire.recorded import DIRECTORY, DIRECTORY_2026, Message, load, load_2026

RECORDED_HASH = "4ed42cc0460e3b44df5ed6148d0b9beb"

_SIZE = 2_500_000
_CHUNK_SIZE = 1 << 20
_SEGMENT = 1 << 20
_HEADER = 80
_DATA_FRAGMENTS = 6
#: Bytes of a fragment of a whole segment.
_FRAGMENT = 174_844
#: Erasure-coded objects of the development head, by their sizes: where they were read.
_READ_2026 = {
    12_000_001: ["object_fetch__multichunk_EC", "object_fetch__range_EC"],
    1_500_000: ["object_fetch__changed_policy"],
}


@cache
def big() -> bytes:
    """Return the object."""
    data = bytearray(number % 251 for number in range(_SIZE))
    for offset, known in [*_beginnings_of_fragments(), *_parts_read(), *_beginnings_of_chunks()]:
        data[offset : offset + len(known)] = known
    return bytes(data)


@cache
def big_of(size: int) -> bytes:
    """Return the erasure-coded object of a size."""
    if size not in _READ_2026:
        return big()
    data = bytearray(number % 251 for number in range(size))
    for name in _READ_2026[size]:
        for response in _fragments_read(name):
            index = int(str(response.get("x-oio-chunk-meta-chunk-pos")).partition(".")[2])
            start = int(re.split("[ -]", str(response.get("content-range")))[1])
            if index < _DATA_FRAGMENTS:
                place = start // _FRAGMENT * _SEGMENT + index * (_FRAGMENT - _HEADER)
                data[place : place + len(response.head) - _HEADER] = response.head[_HEADER:]
        recorded = json.loads((DIRECTORY_2026 / f"{name}.json").read_text(encoding="utf-8"))
        known = base64.b64decode(recorded["outcome"]["return"]["data"]["base64"])
        place = 10_485_000 if "range" in name else 0
        data[place : place + len(known)] = known
    return bytes(data)


def _fragments_read(name: str) -> list[Message]:
    return [e.response for e in load_2026(name).exchanges if e.service == "rawx" and e.response is not None]


@cache
def erasure_coded_chunks(size: int = _SIZE) -> list[bytes]:
    """Return the contents of its chunks, as the policy EC of the recorded namespaces makes them."""
    driver, data = ECDriver(k=_DATA_FRAGMENTS, m=3, ec_type="liberasurecode_rs_vand"), big_of(size)
    segments = [driver.encode(data[at : at + _SEGMENT]) for at in range(0, len(data), _SEGMENT)]
    return [b"".join(fragments) for fragments in zip(*segments, strict=True)]


@cache
def replicated_chunks() -> dict[str, bytes]:
    """Return the contents of its chunks in replicated policies, by the checksums that were recorded."""
    return {
        str(response.get("x-oio-chunk-meta-chunk-hash")).lower(): big()[offset : offset + _CHUNK_SIZE]
        for offset, response in _chunks_read()
    }


def _chunks_read() -> list[tuple[int, Message]]:
    """Chunks that were read, and their place in the object."""
    return [
        (int(exchange.response.get("x-oio-chunk-meta-chunk-pos") or 0) * _CHUNK_SIZE, exchange.response)
        for exchange in load("object_change_policy__to_ec").exchanges
        if (exchange.service, exchange.method) == ("rawx", "GET") and exchange.response is not None
    ]


def _beginnings_of_chunks() -> list[tuple[int, bytes]]:
    return [(offset, response.head) for offset, response in _chunks_read()]


def _beginnings_of_fragments() -> list[tuple[int, bytes]]:
    """What was recorded of the first fragments that were written, and its place in the object."""
    found = []
    for exchange in load("object_create__multichunk_EC").exchanges:
        if exchange.service == "rawx":
            index = int((exchange.request.get("x-oio-chunk-meta-chunk-pos") or "").partition(".")[2])
            if index < _DATA_FRAGMENTS:
                found.append((index * (_FRAGMENT - _HEADER), exchange.request.head[_HEADER:]))
    return found


def _parts_read() -> list[tuple[int, bytes]]:
    def parts(name: str) -> list[bytes]:
        recorded: dict[str, Any] = json.loads((DIRECTORY / f"{name}.json").read_text(encoding="utf-8"))
        return [base64.b64decode(part["base64"]) for part in recorded["outcome"]["return"]["parts"]]

    return [
        (1_048_570, b"".join(parts("object_fetch__range_EC"))),
        (2_000_000, parts("object_fetch__multirange_EC")[1]),
        (_SIZE - 10, parts("object_fetch__range_suffix_EC")[0]),
    ]
