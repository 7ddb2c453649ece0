# SPDX-License-Identifier: Apache-2.0
"""Names and values that the services and their clients agree on."""

from __future__ import annotations

HEADER_PREFIX = "x-oio-"

ADMIN_HEADER = HEADER_PREFIX + "admin"
CHECKHASH_HEADER = HEADER_PREFIX + "check-hash"
FETCHXATTR_HEADER = HEADER_PREFIX + "xattr"
FORCEMASTER_HEADER = HEADER_PREFIX + "force-master"
FORCEVERSIONING_HEADER = HEADER_PREFIX + "force-versioning"
PERFDATA_HEADER = HEADER_PREFIX + "perfdata"
PERFDATA_HEADER_PREFIX = PERFDATA_HEADER + "-"
REGION_HEADER = HEADER_PREFIX + "region"
REQID_HEADER = HEADER_PREFIX + "req-id"
SIMULATEVERSIONING_HEADER = HEADER_PREFIX + "simulate-versioning"
TIMEOUT_HEADER = HEADER_PREFIX + "timeout"

CONTAINER_METADATA_PREFIX = HEADER_PREFIX + "container-meta-"
CONTAINER_USER_METADATA_PREFIX = CONTAINER_METADATA_PREFIX + "user-"
OBJECT_METADATA_PREFIX = HEADER_PREFIX + "content-meta-"
CHUNK_METADATA_PREFIX = HEADER_PREFIX + "chunk-meta-"

CONNECTION_TIMEOUT = 2.0
"""Seconds to connect to the proxy or to the account service."""
READ_TIMEOUT = 30.0
"""Seconds to wait for an answer of the proxy or of the account service."""
TIMEOUT_KEYS = ("connection_timeout", "read_timeout", "write_timeout")

STRLEN_REFERENCEID = 66
STRLEN_CHUNKID = 64
STRLEN_REQID = 63

OIO_VERSION = "4.2"

OIO_DB_ENABLED = 0
OIO_DB_FROZEN = 2**32 - 1
OIO_DB_DISABLED = 2**32 - 2
OIO_DB_STATUS_NAME: dict[int | str, str] = {
    key: name
    for code, name in (
        (OIO_DB_ENABLED, "Enabled"),
        (OIO_DB_FROZEN, "Frozen"),
        (OIO_DB_DISABLED, "Disabled"),
    )
    for key in (code, str(code))
}

CONTAINER_HEADERS = {
    "size": CONTAINER_METADATA_PREFIX + "sys-m2-usage",
    "ns": CONTAINER_METADATA_PREFIX + "sys-ns",
}

OBJECT_HEADERS = {
    "name": OBJECT_METADATA_PREFIX + "name",
    "id": OBJECT_METADATA_PREFIX + "id",
    "policy": OBJECT_METADATA_PREFIX + "policy",
    "version": OBJECT_METADATA_PREFIX + "version",
    "size": OBJECT_METADATA_PREFIX + "length",
    "ctime": OBJECT_METADATA_PREFIX + "ctime",
    "hash": OBJECT_METADATA_PREFIX + "hash",
    "mime_type": OBJECT_METADATA_PREFIX + "mime-type",
    "chunk_method": OBJECT_METADATA_PREFIX + "chunk-method",
}

CHUNK_HEADERS = {
    "container_id": CHUNK_METADATA_PREFIX + "container-id",
    "chunk_id": CHUNK_METADATA_PREFIX + "chunk-id",
    "chunk_hash": CHUNK_METADATA_PREFIX + "chunk-hash",
    "chunk_size": CHUNK_METADATA_PREFIX + "chunk-size",
    "chunk_pos": CHUNK_METADATA_PREFIX + "chunk-pos",
    "chunk_mtime": "last-modified",
    "content_id": CHUNK_METADATA_PREFIX + "content-id",
    "content_version": CHUNK_METADATA_PREFIX + "content-version",
    "content_path": CHUNK_METADATA_PREFIX + "content-path",
    "content_chunkmethod": CHUNK_METADATA_PREFIX + "content-chunk-method",
    "content_policy": CHUNK_METADATA_PREFIX + "content-storage-policy",
    "full_path": CHUNK_METADATA_PREFIX + "full-path",
    "metachunk_hash": CHUNK_METADATA_PREFIX + "metachunk-hash",
    "metachunk_size": CHUNK_METADATA_PREFIX + "metachunk-size",
    "oio_version": CHUNK_METADATA_PREFIX + "oio-version",
}
"""Keys of a chunk's metadata, and the response headers that carry them."""

CHUNK_XATTR_CONTENT_FULLPATH_PREFIX = "oio.content.fullpath:"

CHUNK_XATTR_KEYS = {
    "chunk_hash": "grid.chunk.hash",
    "chunk_id": "grid.chunk.id",
    "chunk_pos": "grid.chunk.position",
    "chunk_size": "grid.chunk.size",
    "compression": "grid.compression",
    "container_id": "grid.content.container",
    "content_chunkmethod": "grid.content.chunk_method",
    "content_id": "grid.content.id",
    "content_path": "grid.content.path",
    "content_policy": "grid.content.storage_policy",
    "content_version": "grid.content.version",
    "metachunk_hash": "grid.metachunk.hash",
    "metachunk_size": "grid.metachunk.size",
    "oio_version": "grid.oio.version",
}
"""Keys of a chunk's metadata, and the extended attributes (without ``user.``) that keep them on disk."""

CHUNK_XATTR_KEYS_OPTIONAL = dict.fromkeys(
    (
        "chunk_hash",
        "chunk_mtime",
        "chunk_size",
        "compression",
        "container_id",
        "content_chunksnb",
        "content_id",
        "content_path",
        "content_version",
        "full_path",
        "metachunk_hash",
        "metachunk_size",
        "oio_version",
    ),
    True,
)

VOLUME_XATTR_KEYS = {
    "namespace": "server.ns",
    "type": "server.type",
    "id": "server.id",
}

# Names of older generations of the API.
container_headers = CONTAINER_HEADERS
object_headers = OBJECT_HEADERS
chunk_xattr_keys = CHUNK_XATTR_KEYS
chunk_xattr_keys_optional = CHUNK_XATTR_KEYS_OPTIONAL
volume_xattr_keys = VOLUME_XATTR_KEYS

CHUNK_SUFFIX_CORRUPT = ".corrupt"
CHUNK_SUFFIX_PENDING = ".pending"

HIDDEN_ACCOUNTS = ("_RDIR",)
"""Accounts that hold references of the services, and no container of a user."""

CH_SEPARATOR = "/"
CH_ENCODED_SEPARATOR = "%2F"
"""Level separator of hierarchical container names, and the form that it takes inside of a name."""

S3_MPU_CONTAINER_SUFFIX = "+segments"
BUCKET_PROP_REPLI_ENABLED = "replication_enabled"

M2_PROP_BUCKET_NAME = "sys.m2.bucket.name"
M2_PROP_CHUNKS_MISSING = "sys.m2.chunks.missing"
M2_PROP_MISSING_CHUNKS = M2_PROP_CHUNKS_MISSING
M2_PROP_CTIME = "sys.m2.ctime"
M2_PROP_DEL_EXC_VERSIONS = "sys.m2.policy.version.delete_exceeding"
M2_PROP_KEEP_DELETED_DELAY = "sys.m2.keep_deleted_delay"
M2_PROP_OBJECTS = "sys.m2.objects"
M2_PROP_OBJECTS_DAMAGED = "sys.m2.objects.damaged"
M2_PROP_DAMAGED_OBJECTS = M2_PROP_OBJECTS_DAMAGED
M2_PROP_QUOTA = "sys.m2.quota"
M2_PROP_SHARDS = "sys.m2.shards"
SHARD_HEADER = "x-oio-shard-hexid"
"""Header of answers about an object of a container that is divided: the ID of its shard."""
M2_PROP_STORAGE_POLICY = "sys.m2.policy.storage"
M2_PROP_USAGE = "sys.m2.usage"
M2_PROP_VERSION = "sys.m2.version"
M2_PROP_VERSIONING_POLICY = "sys.m2.policy.version"

MAX_ACCOUNT_BYTES = 63
MAX_CONTAINER_BYTES = 1023
MAX_OBJECT_BYTES = 1023
"""Longest names, in UTF-8: the services cut longer ones without a word (pitfall 147)."""

#: Suffixes of the headers that describe an object itself; any other one is a property of the user.
OBJECT_METADATA_KEYS = (
    "chunk-method",
    "ctime",
    "deleted",
    "hash",
    "hash-method",
    "id",
    "length",
    "mime-type",
    "mtime",
    "name",
    "policy",
    "size",
    "version",
)

LIST_MARKER_HEADER = "x-oio-list-marker"
"""Tells where a listing goes on."""
LIST_TRUNCATED_HEADER = "x-oio-list-truncated"
"""Tells whether a listing goes on."""

MAX_ANSWER_SIZE = 64 << 20
"""Bytes of the largest answer that is taken, unless an option says otherwise."""
URLLIB3_POOLMANAGER_KWARGS = (
    "pool_connections",
    "pool_maxsize",
    "max_retries",
    "backoff_factor",
    "socket_options",
    "source_address",
    "cert_reqs",
    "ca_certs",
)
"""Options of :func:`~oio.common.http_urllib3.get_pool_manager`, which are also keywords of clients."""

MD5, BLAKE3 = "md5", "blake3"
"""Algorithms of checksums of chunks."""
