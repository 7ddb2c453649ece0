# SPDX-License-Identifier: Apache-2.0
"""What `oio.preload` imports, for servers that fork their workers."""

from __future__ import annotations

import subprocess
import sys

from oio.sandbox import Namespace

_PROGRAM = """
import sys
import oio.preload
before = {*sys.modules}

with oio.ObjectStorageApi(sys.argv[1], endpoint=sys.argv[2]) as api:
    for policy in ("THREECOPIES", "EC"):
        api.object_create("a", "c", obj_name=policy, data=b"hello", policy=policy)
        _, stream = api.object_fetch("a", "c", policy)
        assert b"".join(stream) == b"hello"
    listed = api.object_list("a", "c")["objects"]
    assert len(listed) == 2
    api.object_set_properties("a", "c", "EC", {"k": "v"})
    api.object_delete("a", "c", "EC")
    api.object_delete_many("a", "c", ["THREECOPIES"])
    api.container_delete("a", "c")
print(*sorted(name for name in {*sys.modules} - before if name.startswith(("oio", "eventlet", "urllib3"))))
"""


def test_calls_after_preload_import_nothing_more() -> None:
    with Namespace(rawx=9) as namespace:
        ended = subprocess.run(
            [sys.executable, "-c", _PROGRAM, namespace.name, namespace.endpoint],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert (ended.stderr, ended.stdout.split()) == ("", [])
