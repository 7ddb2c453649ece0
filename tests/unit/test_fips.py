# SPDX-License-Identifier: Apache-2.0
"""Hosts where MD5 and SHA-1 are refused unless they are said not to serve security."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import hashlib

def refusing(make, named):
    def new(*args, usedforsecurity=True, **kwargs):
        name = str(args[0]).lower() if named else "md5"
        if usedforsecurity and name in ("md5", "sha1"):
            raise ValueError("disabled for FIPS")
        return make(*args, usedforsecurity=usedforsecurity, **kwargs)
    return new

hashlib.new = refusing(hashlib.new, True)
hashlib.md5 = refusing(hashlib.md5, False)
hashlib.sha1 = refusing(hashlib.sha1, False)

from oio.sandbox import Namespace

DATA = bytes(range(256)) * 2000
with Namespace(chunk_size=1 << 18) as namespace, namespace.api(key_file=namespace.b2_key_file) as api:
    for policy in ("SINGLE", "THREECOPIES", "EC", "BACKBLAZE"):
        target = ("acct", "box", policy)
        api.object_create(*target[:2], obj_name=policy, data=DATA, policy=policy, append=False)
        for verify in (True, "strict", False):
            assert b"".join(api.object_fetch(*target, verify_checksum=verify)[1]) == DATA
        assert b"".join(api.object_fetch(*target, ranges=[(5, 99)])[1]) == DATA[5:100]
        assert api.object_head(*target, trust_level=2)
        if policy != "BACKBLAZE":
            api.object_link(*target, "acct", "box", f"{policy}-link")
        api.object_truncate(*target, size=1000)
        assert b"".join(api.object_fetch(*target)[1]) == DATA[:1000]
        api.object_delete(*target)
    _, chunks = api.object_locate("acct", "box", "SINGLE-link")
    api.blob_client.chunk_copy(chunks[0]["url"], chunks[0]["url"][:-4] + "0000")
print("OK")
"""


@pytest.mark.pitfall("B3")
def test_checksums_work_where_they_may_not_serve_security():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.stdout == "OK\n", done.stderr
