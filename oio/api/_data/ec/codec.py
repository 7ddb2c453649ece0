# SPDX-License-Identifier: Apache-2.0
"""Codec of segments: the safety layer around the erasure coding library.

PyECLib's C code aborts the process when it is given anything but ``bytes``, decodes garbage from fragments of
another backend, trusts sizes, and writes to the syslog of the host when it refuses something. Nothing
reaches it unchecked, and only exceptions of ours come back.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from oio.common.exceptions import ECError

if TYPE_CHECKING:
    from oio.common.storage_method import ECStorageMethod

HEADER_SIZE = 80
_MAGIC = 0x0B0C5ECC
#: Index, payload size, size of the backend's own metadata, size of the segment; kind of the checksum of the
#: payload, and its value; whether they differed;
#: backend and its version; magic number, version of the library, checksum of what is before.
_HEADER = struct.Struct("<IIIQ BI28x B BI II I9x")
_CHECKED = 59
#: Offset in a header of the kind of the checksum of the payload, and the kind that our fragments have.
_KIND_AT = 20
_CRC32 = 2
#: Headers written by earlier versions of the library have no checksum.
_FIRST_CHECKED_VERSION = 0x010200
_KNOWN_LENGTHS = 4096


class DamagedFragment(ECError):
    """The data of a fragment are not those that were stored."""


def has_checksum(fragment: bytes) -> bool:
    """Whether a fragment has a checksum of its data, which :meth:`FragmentCodec.check` compares."""
    return fragment[_KIND_AT] == _CRC32


def _old_crc32(data: bytes | memoryview) -> int:
    """The CRC-32 of old versions of the library, whose register is a signed integer."""
    register = -1
    for byte in data:
        # Python shifts like C does: the sign comes in from the left.
        register = _signed(_crc_table()[(register ^ byte) & 0xFF]) ^ (register >> 8)
    return ~register & 0xFFFFFFFF


def _signed(number: int) -> int:
    return number - (1 << 32) if number & 0x80000000 else number


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0xEDB88320 if number & 1 else 0)
        table.append(number)
    return table


class FragmentCodec:
    """Encodes segments as fragments, and decodes them; see :func:`codec_of`."""

    def __init__(self, storage_method: ECStorageMethod) -> None:
        self._method = storage_method
        self._driver = storage_method.driver
        self.k = int(storage_method.ec_nb_data)
        self.n = self.k + int(storage_method.ec_nb_parity)
        # XOR codes survive fewer losses than they have parity fragments: one less than their distance.
        kind, _, distance = str(storage_method.ec_type).partition("flat_xor_hd_")
        self._enough = self.n - int(distance) + 1 if distance and not kind else self.k
        self.segment_size = int(storage_method.ec_segment_size)
        self._data_indexes = set(range(self.k))
        self._sizes: dict[int, int] = {}

    def fragment_size(self, segment_length: int) -> int:
        """Bytes of each fragment of a segment of ``segment_length`` bytes (at least 1)."""
        size = self._sizes.get(segment_length)
        if size is None:
            if len(self._sizes) >= _KNOWN_LENGTHS:
                self._sizes.clear()
            info = self._call(self._driver.get_segment_info, segment_length, segment_length)
            size = self._sizes[segment_length] = int(info["fragment_size"])
        return size

    @functools.cached_property
    def _backend(self) -> int:
        """Number of the backend, as in the headers of our fragments."""
        return int(_HEADER.unpack_from(self.encode(b"\0")[0])[7])

    @functools.cached_property
    def _is_systematic(self) -> bool:
        """Whether the payloads of the data fragments are the data themselves."""
        sample = bytes(range(256)) * self.k
        return self._join(dict(enumerate(self.encode(sample))), len(sample)) == sample

    def chunk_size(self, metachunk_size: int) -> int:
        """Bytes of each chunk of a metachunk.

        :param metachunk_size: bytes of clear data
        """
        full, rest = divmod(metachunk_size, self.segment_size)
        return full * self.fragment_size(self.segment_size) + (self.fragment_size(rest) if rest else 0)

    def encode(self, segment: bytes) -> list[bytes]:
        """Encode a segment as one fragment for each chunk.

        :raises ECError: the library cannot
        """
        fragments: list[bytes] = self._call(self._driver.encode, bytes(segment))
        return fragments

    def check(self, fragment: bytes, segment_length: int | None) -> tuple[int, int]:
        """Check a fragment before the library gets it.

        :param segment_length: bytes of its segment; None when that is not known
        :returns: its index, and the number of bytes of its segment, as its header tells
        :raises ECError: it is incomplete, damaged, or of another kind
        :raises DamagedFragment: its data differ from their checksum, if it has one
        """
        if len(fragment) < HEADER_SIZE:
            raise ECError(f"fragment of {len(fragment)} bytes")
        index, payload, metadata, length, kind, crc, _, backend, _, magic, version, checksum = (
            _HEADER.unpack_from(fragment)
        )
        if magic != _MAGIC or version == 0:
            raise ECError("not a fragment")
        if version >= _FIRST_CHECKED_VERSION:
            head = fragment[:_CHECKED]
            if checksum != zlib.crc32(head) and checksum != _old_crc32(head):
                raise ECError("fragment with a damaged header")
        if backend != self._backend:
            raise ECError(f"fragment of the backend {backend}, not {self._backend}")
        if not 0 < length <= self.segment_size or segment_length not in (None, length):
            raise ECError(f"fragment of a segment of {length} bytes, not {segment_length}")
        expected = self._sizes.get(length) or self.fragment_size(length)
        if len(fragment) != expected or HEADER_SIZE + payload + metadata != expected:
            raise ECError(f"fragment of {len(fragment)} bytes, not {expected}")
        if index >= self.n:
            raise ECError(f"fragment of index {index}, there are {self.n}")
        if kind == _CRC32:
            data = memoryview(fragment)[HEADER_SIZE : HEADER_SIZE + payload]
            if crc != zlib.crc32(data) and crc != _old_crc32(data):
                raise DamagedFragment("its data do not match their checksum")
        return index, length

    def decode(self, fragments: Mapping[int, bytes], segment_length: int) -> bytes:
        """Decode a segment from checked fragments.

        :param fragments: index -> fragment
        :raises ECError: there are too few, or the library cannot
        """
        if self._is_systematic and self._data_indexes <= fragments.keys():
            # All the data fragments are here: nothing to decode (pitfall 134).
            return self._join(fragments, segment_length)
        self._check_count(fragments)
        segment: bytes = self._call(self._driver.decode, list(fragments.values()))
        if len(segment) != segment_length:
            raise ECError(f"{len(segment)} bytes decoded, not {segment_length}")
        return segment

    def _join(self, fragments: Mapping[int, bytes], segment_length: int) -> bytes:
        parts = []
        left = segment_length
        for index in range(self.k):
            # The last payloads may be padding.
            payload = memoryview(fragments[index])[HEADER_SIZE:][:left]
            left -= len(payload)
            parts.append(payload)
        return b"".join(parts)

    def reconstruct(self, fragments: Iterable[bytes], missing: int) -> bytes:
        """Rebuild a lost fragment from checked ones.

        :param missing: its index
        :raises ECError: the library cannot
        """
        known = list(fragments)
        self._check_count(known)
        # Fragments that others have written without checksums are rebuilt bit for bit.
        driver = self._driver if all(map(has_checksum, known)) else self._method.unchecked_driver
        fragment: bytes = self._call(driver.reconstruct, known, [missing])[0]
        return fragment

    def _check_count(self, fragments: Collection[Any]) -> None:
        if len(fragments) < self._enough:
            raise ECError(f"cannot decode {len(fragments)} fragments, {self._enough} are needed")

    def _call(self, method: Callable[..., Any], *args: Any) -> Any:
        from pyeclib.ec_iface import ECDriverError

        try:
            return method(*args)
        except (ECDriverError, ValueError, TypeError) as err:
            raise ECError(f"{method.__name__}: {err}") from err


@functools.lru_cache(maxsize=64)
def codec_of(storage_method: ECStorageMethod) -> FragmentCodec:
    """Codec of a storage method, shared by all metachunks: it remembers the answers of the library."""
    return FragmentCodec(storage_method)
