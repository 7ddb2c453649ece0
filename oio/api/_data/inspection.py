# SPDX-License-Identifier: Apache-2.0
"""Inspection of single chunks on their servers: their differences from what should be there."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oio.blob.connect import reraise_call_failure
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.checksums import differ
from oio.common.constants import CHUNK_HEADERS
from oio.common.easy_value import int_value
from oio.common.fullpath import decode_fullpath
from oio.common.health import Damage
from oio.common.storage_method import parse_chunk_method
from oio.common.utils import cid_from_name

if TYPE_CHECKING:
    from typing import TypeAlias

    from oio.blob.client import BlobClient
    from oio.common.answers import JsonMapping, JsonObject
    from oio.common.chunks import Chunk
    from oio.common.options import Options

    Findings: TypeAlias = "list[tuple[Damage, str]]"
    """Kinds of damage of a chunk, and descriptions of each."""

_SERVER_ERROR = 500
_ENOUGH = frozenset({Damage.WRONG_SIZE, Damage.WRONG_CHECKSUM})
"""Damage that makes a look at the data needless."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Right values of the chunks of a metachunk.

    :param size: bytes of the metachunk
    :param digest: checksum of its bytes; None when the services tell none
    :param cid: ID of the container
    :param name: of the object
    :param version: of the object
    """

    size: int
    digest: str | None
    cid: str
    name: str
    version: str


def failure(err: exc.OioException, options: Options) -> tuple[Damage, str]:
    """Damage that the failure of a request about a chunk stands for.

    :raises DeadlineReached: no time was left, which tells nothing of the chunk
    """
    reraise_call_failure(err, options)
    if isinstance(err, exc.NotFound):
        return Damage.MISSING, f"{err.service or 'its server'} does not have it"
    if getattr(err, "http_status", None) == _SERVER_ERROR:
        return Damage.UNREADABLE, str(err)
    return Damage.UNREACHABLE, str(err)


def reaches_its_end(blob: BlobClient, chunk: Chunk, known: JsonMapping, options: Options) -> bool:
    """Tell whether the last byte of a chunk is there, unless its server looks for it itself.

    Servers of today, which name the checksum of each chunk, do not compare sizes, unlike others.

    :param known: its description
    """
    with reading_answer(chunk.netloc):
        last = int_value(known.get("chunk_size"), 0) - 1
        hides_cuts = "cca" in parse_chunk_method(str(known.get("content_chunkmethod")))[1]
    if last < 0 or not hides_cuts:
        return True
    asking = options.with_headers({"Range": f"bytes={last}-{last}"})
    try:
        _, stream = blob.chunk_get(chunk.address, check_headers=False, options=asking)
        with contextlib.closing(stream):
            return sum(map(len, stream)) == 1
    except exc.OioException as err:
        reraise_call_failure(err, options)
        return False


@dataclass(slots=True)
class Inspection:
    """Inspection of one chunk.

    :param expected: of its metachunk
    :param size: bytes that its file should have
    :param digest: checksum that its file should have; None when only its server knows it
    :param options: of the call
    """

    blob: BlobClient
    chunk: Chunk
    expected: Expected
    size: int
    digest: str | None
    options: Options
    _known: JsonObject = field(default_factory=dict)

    def findings(self, deep: bool) -> Findings:
        """Look at the chunk.

        :param deep: let its server read it all, and compare it with its checksum
        """
        found: Findings = []
        try:
            self._known = self.blob.chunk_head(self.chunk.address, options=self.options)
            found += [*self._owner(), *self._position(), *self._description()]
            if _ENOUGH.isdisjoint(damage for damage, _ in found) and (deep or not self._reaches_its_end):
                self._verify()
        except exc.ClientPreconditionFailed:
            # Without a description yet, only a size can have been compared.
            if self._known and self._reaches_its_end:
                found.append((Damage.WRONG_CHECKSUM, "its data do not match its checksum, says its server"))
            else:
                found.append((Damage.WRONG_SIZE, "its file has another size than its data, says its server"))
        except exc.OioException as err:
            found.append(failure(err, self.options))
        return found

    @property
    def _reaches_its_end(self) -> bool:
        return reaches_its_end(self.blob, self.chunk, self._known, self.options)

    def _owner(self) -> Findings:
        """Compare the owner.

        Parts that other clients have appended carry the version and the content ID that were prepared for
        them, so that container and name decide. Only a chunk of other data is one of another version.
        """
        known = self._known.get("full_path")
        if not known:
            return []
        try:
            account, container, name, version, _ = decode_fullpath(known)
        except ValueError:
            return []
        expected = self.expected
        if (cid_from_name(account, container), name) != (expected.cid, expected.name):
            return [(Damage.WRONG_OWNER, f"it belongs to object {name!r} of container {container!r}")]
        if version != expected.version and self._description():
            return [(Damage.WRONG_OWNER, f"it belongs to version {version} of the object")]
        return []

    def _position(self) -> Findings:
        """Compare the index of the fragment; that of the metachunk changes when data are appended."""
        index = self.chunk.index
        _, _, known = str(self._known.get("chunk_pos") or "").partition(".")
        if index is None or not known or known == str(index):
            return []
        return [(Damage.WRONG_POSITION, f"it is fragment {known}, not {index}")]

    def _description(self) -> Findings:
        """Compare the size and the checksums that are stored with it."""
        get, expected = self._known.get, self.expected
        with reading_answer(self.chunk.netloc):
            sizes = [
                (int_value(get("chunk_size"), self.size), self.size),
                (int_value(get("metachunk_size"), expected.size), expected.size),
            ]
        hashes = [(get("chunk_hash"), self.digest), (get("metachunk_hash"), expected.digest)]
        wrong_sizes = [
            (Damage.WRONG_SIZE, f"{there} bytes, not {wanted}") for there, wanted in sizes if there != wanted
        ]
        wrong_hashes = [
            (Damage.WRONG_CHECKSUM, f"checksum {there}, not {wanted}")
            for there, wanted in hashes
            if there and wanted and differ(there, wanted)
        ]
        return wrong_sizes[:1] + wrong_hashes[:1]

    def _verify(self) -> None:
        """Let the server read the file.

        :raises ClientPreconditionFailed: it is not what was stored
        """
        options = self.options
        if not self._known.get("chunk_hash"):
            # Servers can be configured not to compute checksums.
            if not self.digest:
                return
            options = options.with_headers({CHUNK_HEADERS["chunk_hash"]: self.digest})
        self.blob.chunk_head(self.chunk.address, xattr=False, check_hash=True, options=options)
