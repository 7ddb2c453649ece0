# SPDX-License-Identifier: Apache-2.0
"""A chunk for tests that talk to a rawx directly."""

from __future__ import annotations

import hashlib

ID = "0123456789ABCDEF" * 4
PATH = f"/{ID}"
OTHER_ID = "FEDCBA9876543210" * 4
OTHER_PATH = f"/{OTHER_ID}"

META = "x-oio-chunk-meta-"
HEADERS = [
    (f"{META}full-path", "acct/ref/obj/1700000000000000/ABABABABABABABABABABABABABABABAB"),
    (f"{META}content-chunk-method", "plain/nb_copy=1"),
    (f"{META}content-storage-policy", "SINGLE"),
    (f"{META}chunk-pos", "0"),
]


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest().upper()


DESCRIPTION = {
    "chunk_method": "plain/nb_copy=1",
    "chunk_pos": "0",
    "container_id": "C0" * 32,
    "content_id": "AB" * 16,
    "content_path": "o",
    "content_policy": "SINGLE",
    "content_version": "1",
    "full_path": f"a/c/o/1/{'AB' * 16}",
}
"""Description of a chunk on its own."""
