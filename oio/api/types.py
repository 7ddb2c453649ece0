# SPDX-License-Identifier: Apache-2.0
"""Types of the API: dicts that its methods return and take, key by key, and options of calls.

All of them are plain dicts, lists and tuples: these types tell editors and type checkers what is inside.

>>> from oio.api.types import ObjectMeta
>>> def megabytes(meta: ObjectMeta) -> float:
...     return int(meta["size"]) / 1e6
"""

from __future__ import annotations

from collections.abc import MutableMapping
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, final

from oio.common.health import (
    ChunkHealth,
    ChunkRepair,
    Damage,
    HealthProgress,
    MetachunkHealth,
    ObjectHealth,
    ObjectRepair,
)
from oio.common.keywords import HttpOptions, SharedOptions

if TYPE_CHECKING:
    from ssl import SSLContext

    import urllib3

__all__ = [
    "AccountInfo",
    "AccountProperties",
    "BulkOptions",
    "CallOptions",
    "Chunk",
    "ChunkHealth",
    "ChunkRepair",
    "ClientOptions",
    "ContainerInfo",
    "ContainerOptions",
    "ContainerProperties",
    "ContainerRow",
    "CreateOptions",
    "CreatedObject",
    "Damage",
    "DeletedObject",
    "DescribedChunk",
    "FetchedObject",
    "HealthProgress",
    "LinkOptions",
    "LinkedObject",
    "ListedObject",
    "ListedPrefix",
    "MetachunkHealth",
    "NewContainerProperties",
    "ObjectHealth",
    "ObjectListing",
    "ObjectMeta",
    "ObjectOptions",
    "ObjectRepair",
    "Range",
    "ReadOptions",
    "Uploaded",
    "WrittenChunk",
]

Range: TypeAlias = "tuple[int | None, int | None]"
"""Range of bytes of an object: first and last one, inclusive. (n, None) goes to the end, (None, n) is the n
last bytes."""

ContainerRow: TypeAlias = "list[Any]"
"""Entry of the listing of an account, a list of five:

* name (str), of a container or of a prefix that stands for several
* number of objects (int)
* number of bytes (int)
* 1 if the item is a prefix, 0 if it is a container
* time of the last change (float, seconds since 1970; 0 for a prefix). All services give it; what stands for
  them in tests of applications may not

>>> row: ContainerRow = ["photos", 2, 1024, 0, 1554086801.5]
>>> name, objects, size, is_prefix, mtime = row
"""


# --- objects -----------------------------------------------------------------------------------------


class _ObjectMeta(TypedDict):
    name: str
    """Name of the object."""
    version: str
    """When it was created, in microseconds since 1970, unless its creator said otherwise."""
    id: str
    """Content ID, in upper-case hexadecimal digits."""
    size: str
    """In bytes."""
    length: str
    """The same as ``size``."""
    hash: str
    """MD5 of the data in upper-case hexadecimal digits, or what ``oca`` in the chunk method names; empty when
    it is not known, as after an append."""
    hash_method: str
    """``md5``, whatever it is."""
    policy: str
    """Name of the storage policy."""
    chunk_method: str
    """How the data are stored: ``plain/nb_copy=3``, or ``drained`` when there are none any more. It may name
    checksums: ``cca``, of chunks, and ``oca``, of the object."""
    ctime: str
    """Time of the creation, in seconds since 1970."""
    mtime: str
    """Time of the last change of the data, in seconds since 1970."""
    deleted: str
    """``True`` for a delete marker, ``False`` for an object."""
    properties: dict[str, str]
    """Properties of the user."""


class ObjectMeta(_ObjectMeta):
    """Description of an object, or of one of its versions; numbers are decimal texts.

    That of a delete marker has only ``name``, ``version``, ``ctime``, ``mtime``, ``deleted`` and
    ``properties``.
    """

    mime_type: str
    """``application/octet-stream`` unless its creator said otherwise."""


class FetchedObject(ObjectMeta):
    """Description of an object that is read."""

    container_id: str
    """ID of its container, in 64 upper-case hexadecimal digits."""
    ns: str
    """Name of the namespace."""


class _NewObject(TypedDict):
    chunk_size: int
    """Bytes of data that a chunk can have, at most."""
    container_id: str
    """ID of its container, in 64 upper-case hexadecimal digits."""
    ns: str
    """Name of the namespace."""
    content_path: str
    """The same as ``name``."""
    full_path: str
    """Account, container, name, version and content ID, each percent-encoded, with slashes between."""
    oio_version: str
    """Version of the format of chunks."""


class LinkedObject(ObjectMeta, _NewObject):
    """Description of an object that was made as a copy of another, without its data."""


class CreatedObject(_ObjectMeta, _NewObject):
    """Description of an object as it was sent to be created.

    Beware that ``size``, ``length`` and ``hash`` are not those of the data, and that ``properties`` are not
    those of the user: they tell how well the chunks are placed.
    """

    mime_type: str | None
    """As the caller has given it."""
    etag: str
    """MD5 of the data, in hexadecimal digits."""


class Chunk(TypedDict):
    """Piece of the data of an object, or of the redundancy of it, on one rawx or in Backblaze."""

    url: str
    """Its permanent name: ``http://service/ID``, or ``b2/ID`` for a file in Backblaze."""
    real_url: str
    """Where it can be read now; the same in Backblaze."""
    pos: str
    """Its place: index of the metachunk, and after a dot, with erasure coding, that of the fragment."""
    size: int
    """Bytes of the object in the metachunk, be the chunk a copy or a fragment of it."""
    hash: str
    """MD5 or BLAKE3 of the data of the metachunk, in 32 or 64 hexadecimal digits."""
    score: int
    """How good its rawx is, from 0 (do not use) to 100."""


class WrittenChunk(Chunk, total=False):
    """Chunk that was just stored."""

    num: int
    """Index of the fragment, with erasure coding."""


Uploaded: TypeAlias = "tuple[list[WrittenChunk], int, str, CreatedObject]"
"""What was stored: chunks, size (bytes), MD5 (hexadecimal digits), description of the object."""


class DescribedChunk(Chunk, total=False):
    """Chunk with what its rawx knows of it."""

    chunk_size: str | None
    """Bytes that the rawx has, as decimal text."""
    chunk_hash: str | None
    """MD5 or BLAKE3 of these bytes, in 32 or 64 hexadecimal digits; None for Backblaze, which does not know
    it."""
    full_path: str | None
    """Which object it belongs to, see :class:`CreatedObject`; None for Backblaze."""
    error: str
    """Why the rawx could not tell; then the others are missing."""


class DeletedObject(TypedDict):
    """What became of an object that was to be deleted."""

    name: str | None
    """Name of the object; None when only its content ID was given."""
    deleted: bool
    """Whether it was done."""
    version: str | None
    """That of what was deleted, or of the delete marker that was made; None when it is not known, as when
    services of 7.3 delete the latest one."""
    delete_marker: bool | None
    """True when a delete marker was made, or is what was deleted; None when the services do not tell."""
    error: str | None
    """Why it was not done."""


# --- listings of objects -----------------------------------------------------------------------------


class _ListedObject(TypedDict):
    name: str
    """Name of the object."""
    version: int
    """When it was created, in microseconds since 1970, unless its creator said otherwise."""
    is_latest: bool
    """False for the older versions of an object."""
    deleted: bool
    """True for a delete marker, of which only name, version, dates and MIME type make sense."""
    id: str
    """Content ID, in upper-case hexadecimal digits."""
    content: str
    """The same as ``id``."""
    size: int | None
    """In bytes; None for a delete marker."""
    hash: str | None
    """MD5 of the data in upper-case hexadecimal digits; None for a delete marker."""
    mime_type: str | None
    """``application/octet-stream`` unless its creator said otherwise."""
    policy: str | None
    """Name of the storage policy; None for a delete marker."""
    chunk_method: str | None
    """How the data are stored, see :class:`ObjectMeta`; None for a delete marker."""
    ctime: int
    """Time of the creation, in seconds since 1970."""
    mtime: int
    """Time of the last change of the data, in seconds since 1970."""


@final
class ListedObject(_ListedObject, total=False):
    """Object, version of one, or delete marker in a listing; its numbers are numbers."""

    properties: dict[str, str]
    """Properties of the user, when they were asked for, and if there are some."""


@final
class ListedPrefix(TypedDict):
    """Prefix in a listing, which stands for several names."""

    prefix: str
    """Beginning of these names, up to the delimiter."""


class _ObjectListing(TypedDict):
    objects: list[ListedObject]
    """In the order of their names, and the versions of each from the newest one on."""
    prefixes: list[str]
    """Prefixes of names, up to the delimiter, which stand for several names each."""
    properties: dict[str, str]
    """Properties of the user of the container."""
    system: dict[str, str]
    """System properties of the container."""
    truncated: bool
    """There is a next page."""


class ObjectListing(_ObjectListing, total=False):
    """One page of the listing of a container."""

    next_marker: str
    """Marker of the next page; a last page may have one too."""
    next_version_marker: str
    """Version marker of the next page, in a page of versions; services of 7.3 give none."""


# --- containers --------------------------------------------------------------------------------------


class ContainerInfo(TypedDict):
    """Some properties of a container."""

    properties: dict[str, str]
    """Properties of the user."""


class ContainerProperties(ContainerInfo):
    """All the properties of a container."""

    system: dict[str, str]
    """System properties: ``sys.m2.objects`` (number of objects), ``sys.m2.usage`` (bytes), ``sys.m2.ctime``
    (microseconds since 1970), ``sys.m2.policy.version``... One that was never set is absent."""


class NewContainerProperties(TypedDict, total=False):
    """Properties of a container that comes into being with its first object."""

    properties: dict[str, str]
    """Of the user."""
    system: dict[str, str]
    """Whose names begin with ``sys.``"""


# --- accounts ----------------------------------------------------------------------------------------


class _AccountBase(TypedDict):
    id: str
    """Name of the account."""
    ctime: str
    """Time of the creation, in seconds since 1970, with 5 decimals."""
    containers: int
    """Number of containers."""
    buckets: int
    """Number of buckets."""
    objects: int
    """Number of objects."""
    bytes: int
    """Size of all objects, in bytes."""


class _Account(_AccountBase, total=False):
    damaged_objects: int
    """Number of objects that lacked chunks when containers were last recounted; from services of 7.3."""
    missing_chunks: int
    """Number of these chunks; from services of 7.3."""
    replication_enabled: bool
    """Its buckets are copied to another cluster; from services of 7.3."""
    regions: dict[str, dict[str, Any]]
    """Counters of each region, some of them by storage policy; from services of 2026."""
    shards: int
    """Number of the containers among which others are divided; from services of 2026."""
    mtime: float
    """Time of the last change, in seconds since 1970; from services of 2026."""


class AccountInfo(_Account):
    """Counters and properties of an account."""

    metadata: dict[str, Any]
    """Properties of the user, text; services of 2026 put ``max-buckets`` there, a number."""


class AccountProperties(_Account):
    """Counters and properties of an account, these under their newer name."""

    properties: dict[str, str]
    """Properties of the user."""


# --- options -----------------------------------------------------------------------------------------


class _Defaults(TypedDict, total=False):
    autocreate: bool | str | None
    """Create the container that a call needs; True by default."""
    cache: MutableMapping[str, Any] | None
    """Where locations, descriptions and properties are kept, see :mod:`oio.common.cache`."""
    backblaze_api_url: str | None
    """Where to authorise, instead of Backblaze itself."""
    verify_checksum: bool | Literal["strict", "server"]
    """True verifies the metachunks that are read whole, ``"strict"`` all that is read, False nothing;
    ``"server"`` asks chunk servers to verify their files before a part of one is trusted."""
    hold_up_to: int | str | None
    """Bytes of the largest metachunk of which nothing is given before it is verified (4 MiB)."""
    on_unsatisfiable: Literal["skip", "raise"]
    """What becomes of ranges that hold no byte of the object: left out by default."""
    parallel: int | str | None
    """How many metachunks of an object are read at a time, 1 (default) to 16."""
    chunk_checksum_algo: str | None
    """Checksum of the chunks that are written, ``md5`` (default) or ``blake3``; None leaves it to the chunk
    servers."""
    chunk_buffer_min: int | str | None
    """Bytes of the first block read from a source."""
    chunk_buffer_max: int | str | None
    """Bytes of the largest block read from a source."""
    write_grace: float | str | None
    """Seconds (5) for chunk servers that are late with a write, once a quorum of the others has done its
    part; None waits for the write limit."""
    hedge: bool | str
    """Ask a second chunk server when the first byte of another is late; True by default."""


class CallOptions(SharedOptions, _Defaults, total=False):
    """Options that every method of the object storage API takes."""

    timeout: float | urllib3.Timeout | None
    """Limit of each request to the proxy and the account service."""
    ssl_context: SSLContext | None
    """For chunk servers that speak TLS."""


class ContainerOptions(CallOptions, total=False):
    """Options of the methods about a container."""

    cid: str | None
    """ID of the container, with None for the names of the account and of the container."""


class ObjectOptions(ContainerOptions, total=False):
    """Options of the methods about an object."""

    content: str | None
    """ID of the object, with None for its name."""
    content_id: str | None
    """The same, by its other name."""


class ReadOptions(ObjectOptions, total=False):
    """Options of the methods that read or remove the data of an object."""

    key_file: str | bytes | PathLike[str] | None
    """Credentials for Backblaze, instead of the constructor's."""


class BulkOptions(ContainerOptions, total=False):
    """Options of the methods that read or remove the data of many objects of a container."""

    key_file: str | bytes | PathLike[str] | None
    """Credentials for Backblaze, instead of the constructor's."""


class CreateOptions(ContainerOptions, total=False):
    """Options of the methods that create objects."""

    content_id: str | None
    """ID of the new object (hexadecimal)."""
    version: int | str | None
    """Version of the new object."""
    change_policy: bool
    """Replace the chunks of the object of this version, which exists."""


class LinkOptions(CallOptions, total=False):
    """Options of the method that links objects."""

    key_file: str | bytes | PathLike[str] | None
    """Credentials for Backblaze, instead of the constructor's, where the copy replaces an object there."""


class ClientOptions(HttpOptions, _Defaults, total=False):
    """Options of the constructor of the object storage API; most are defaults of the calls."""

    endpoint: str | None
    """URL or ``host:port`` of the proxy; several are separated by ``;``."""
    pool_manager: urllib3.PoolManager | None
    """Connections to the proxy and the account service, instead of options to make them."""
    request_attempts: int | str | None
    """How often a request is sent in all, when that is harmless, instead of what `retry` says."""
    refresh_rawx_scores_delay: float | str | None
    """Seconds (30) for which the scores of the chunk servers are taken to be right, for cached locations."""
    refresh_delay: float | str | None
    """Seconds after which the proxy is asked again for an account service; 3600 by default."""
    tls: bool | str | None
    """Prefer chunk addresses that speak TLS."""
    key_file: str | bytes | PathLike[str] | None
    """Credentials for Backblaze."""
