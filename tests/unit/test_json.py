# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys

import pytest

from oio.common.json import json as oio_json


def test_what_is_written_is_read_back():
    document = {"é": [1, 2.5, None, True], "k": {"v": "\n"}}
    assert oio_json.loads(oio_json.dumps(document)) == json.loads(json.dumps(document)) == document


@pytest.mark.pitfall("D8")
def test_codec_does_not_depend_on_the_host():
    program = """if True:
        import sys, types
        sys.modules["simplejson"] = types.ModuleType("simplejson")
        from oio.common.json import json
        print(json.__name__)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "json"
