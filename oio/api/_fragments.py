# SPDX-License-Identifier: Apache-2.0
"""The safety layer before the erasure coding library.

PyECLib's C code ends the process when it is given anything but ``bytes``, decodes garbage from fragments of
another backend, and trusts sizes. Nothing reaches it that was not checked here, and only exceptions of ours
come back.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from oio.common.exceptions import ECError

HEADER_SIZE = 80
_MAGIC = 0x0B0C5ECC
#: Index, payload size, size of the backend's own metadata, size of the segment; checksum of the payload and
#: its kind; backend and its version; magic number, version of the library, checksum of what is before.
_HEADER = struct.Struct("<IIIQ B32s B BI II I9x")
_CHECKED = 59


class FragmentCodec:
    """Cuts segments in fragments, and puts them together again.

    :param storage_method: an :class:`~oio.common.storage_method.ECStorageMethod`
    """

    def __init__(self, storage_method: Any) -> None:
        self._driver = storage_method.driver
        self.k = int(storage_method.ec_nb_data)
        self.n = self.k + int(storage_method.ec_nb_parity)
        self.segment_size = int(storage_method.ec_segment_size)
        self.fragment_size = functools.cache(self._fragment_size)

    def _fragment_size(self, segment_length: int) -> int:
        """Bytes of each fragment of a segment of ``segment_length`` bytes (at least 1)."""
        return int(self._driver.get_segment_info(segment_length, segment_length)["fragment_size"])

    @functools.cached_property
    def _backend(self) -> int:
        """The number of the backend, as fragments of ours have it."""
        return int(_HEADER.unpack_from(self.encode(b"\0")[0])[7])

    def segment_lengths(self, metachunk_size: int) -> list[int]:
        """Bytes of each segment of a metachunk."""
        full, rest = divmod(metachunk_size, self.segment_size)
        return [self.segment_size] * full + ([rest] if rest else [])

    def chunk_size(self, metachunk_size: int) -> int:
        """Bytes of each chunk of a metachunk.

        :param metachunk_size: bytes of clear data
        """
        return sum(self.fragment_size(length) for length in self.segment_lengths(metachunk_size))

    def encode(self, segment: bytes) -> list[bytes]:
        """Cut a segment in one fragment for each chunk.

        :raises ECError: when the library cannot
        """
        fragments: list[bytes] = self._call("encode", bytes(segment))
        return fragments

    def problem(self, fragment: bytes, index: int, segment_length: int) -> str | None:
        """Why a fragment is not the one of this index in a segment of this length; None when it is."""
        expected = self.fragment_size(segment_length)
        if len(fragment) != expected:
            return f"fragment of {len(fragment)} bytes, not {expected}"
        found, payload, metadata, length, _, _, _, backend, _, magic, _, checksum = _HEADER.unpack_from(
            fragment
        )
        if magic != _MAGIC:
            return "not a fragment"
        if checksum != zlib.crc32(fragment[:_CHECKED]):
            try:
                # Old versions of the library computed it otherwise, and it knows about that.
                self._call("get_metadata", fragment)
            except ECError as err:
                return f"fragment with a damaged header: {err}"
        for name, value, right in (
            ("index", found, index),
            ("backend", backend, self._backend),
            ("segment length", length, segment_length),
            ("length", HEADER_SIZE + payload + metadata, expected),
        ):
            if value != right:
                return f"fragment with the {name} {value}, not {right}"
        return None

    def decode(self, fragments: Mapping[int, bytes], segment_length: int) -> bytes:
        """Put a segment together from k checked fragments.

        :param fragments: index -> fragment
        :raises ECError: when the library cannot
        """
        if all(index in fragments for index in range(self.k)):
            # Nothing is lost: the payloads of the data fragments are the data (pitfalls row 134).
            payloads = (memoryview(fragments[index])[HEADER_SIZE:] for index in range(self.k))
            segment = b"".join(payloads)[:segment_length]
        else:
            segment = self._call("decode", list(fragments.values()))
        if len(segment) != segment_length:
            raise ECError(f"{len(segment)} bytes decoded, not {segment_length}")
        return segment

    def reconstruct(self, fragments: Iterable[bytes], missing: int) -> bytes:
        """Make a lost fragment again from k checked ones.

        :param missing: its index
        :raises ECError: when the library cannot
        """
        fragment: bytes = self._call("reconstruct", list(fragments), [missing])[0]
        return fragment

    def _call(self, method: str, *args: Any) -> Any:
        from pyeclib.ec_iface import ECDriverError

        try:
            return getattr(self._driver, method)(*args)
        except (ECDriverError, ValueError, TypeError) as err:
            raise ECError(f"{method}: {err}") from err
