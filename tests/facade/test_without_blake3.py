# SPDX-License-Identifier: Apache-2.0
"""Objects whose chunks have BLAKE3 checksums, in a program that has no package to compute them."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.sandbox import Namespace
from tests.facade.test_blake3 import flip, prefer
from tests.kit.byhand import write_by_hand
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, create

DATA = LARGE[: CHUNK_SIZE + 5000]
POLICIES = ["THREECOPIES", "EC"]
HINT = "pip install 'openio-sdk[blake3]'"

PROGRAM = """
import hashlib, json, sys, warnings
sys.modules["blake3"] = None
from oio.api.ec import ECRebuildHandler
from oio.api.io import ChunkReader
from oio.api.object_storage import ObjectStorageApi
from oio.common.storage_method import STORAGE_METHODS

address, calls = sys.argv[1], json.loads(sys.argv[2])
api = ObjectStorageApi("OPENIO", endpoint=address, key_file=None)
target = ("acct", "box", "o")

def fetch(**kwargs):
    _, stream = api.object_fetch(*target, **kwargs)
    with stream:
        return hashlib.md5(b"".join(stream)).hexdigest()

def head(**kwargs):
    meta, stream = api.object_fetch(*target, **kwargs)
    with stream:
        return len(next(stream))

def chunk(**kwargs):
    chunks = [one for one in api.object_locate(*target)[1] if one["pos"] == "0"]
    return sum(map(len, ChunkReader(chunks, None, {}, **kwargs).stream()))

def create(**kwargs):
    return api.object_create(*target[:2], obj_name="new", data=b"hello", **kwargs)[2]

def append(**kwargs):
    return api.object_create(*target[:2], obj_name="o", data=b"hello", append=True, **kwargs)[1]

def truncate(size):
    return api.object_truncate(*target, size=size)

def rebuild():
    meta, chunks = api.object_locate(*target)
    chunks = sorted(chunks, key=lambda chunk: chunk["pos"])
    others = [chunk for chunk in chunks if chunk["pos"] != "0.0" and chunk["pos"].startswith("0.")]
    return ECRebuildHandler(others, 0, STORAGE_METHODS.load(meta["chunk_method"])).rebuild()[0]

def copy(to):
    api.blob_client.chunk_copy(api.object_locate(*target)[1][0]["url"], to)

results = []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for name, kwargs in calls:
        try:
            results.append(["result", globals()[name](**kwargs)])
        except Exception as err:
            results.append([type(err).__name__, str(err)])
here = [warning.filename == sys.argv[0] or warning.filename == "<string>" for warning in caught]
told = [[warning.category.__name__, str(warning.message)] for warning in caught]
print(json.dumps({"results": results, "warnings": told, "here": all(here)}))
"""


class Program:
    """A program without the package, given calls to make."""

    def __init__(self, namespace: Namespace) -> None:
        self._address = f"http://{namespace.proxy.address}"
        self.warnings: list[list[str]] = []

    def run(self, *calls: tuple[str, dict[str, Any]]) -> list[list[Any]]:
        """Give the results, or the class and the text of each exception."""
        command = [sys.executable, "-c", PROGRAM, self._address, json.dumps(calls)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        self.warnings = answer["warnings"]
        assert answer["here"], "the warning is at the line of the caller"
        return answer["results"]  # type: ignore[no-any-return]


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[Namespace]:
    with Namespace(tmp_path / "namespace", rawx=10, chunk_size=CHUNK_SIZE, release="2026") as running:
        yield running


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    with namespace.api(key_file=None, chunk_checksum_algo="blake3") as client:
        yield client


@pytest.fixture
def program(namespace: Namespace) -> Program:
    return Program(namespace)


def located(api: Any) -> list[dict[str, Any]]:
    return api.object_locate(ACCOUNT, CONTAINER, "o")[1]  # type: ignore[no-any-return]


def spoil_payload(namespace: Namespace, api: Any) -> None:
    """Change all chunks, so that nothing can make up for it; and the checksums of fragments, too."""
    for chunk in located(api):
        flip(namespace, chunk["url"], 100)


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("policy", POLICIES)
def test_default_reads_and_says_once_that_chunks_are_not_verified(
    api: Any, program: Program, policy: str
) -> None:
    md5 = create(api, "o", DATA, policy=policy)["etag"]
    results = program.run(("fetch", {}), ("fetch", {}), ("head", {"ranges": [(5, 9)]}))
    assert results == [["result", md5], ["result", md5], ["result", 5]]
    ((category, text),) = program.warnings
    assert category == "ChunksNotVerified"
    assert "Chunks are read without being verified" in text
    assert HINT in text


def test_reader_of_a_chunk_says_once_that_it_is_not_verified(api: Any, program: Program) -> None:
    create(api, "o", DATA[:CHUNK_SIZE], policy="THREECOPIES")
    told: list[dict[str, Any]] = [{"verify_checksum": True}, {"verify_checksum": "1"}]
    results = program.run(("chunk", {}), *[("chunk", kwargs) for kwargs in told])
    assert results == [["result", CHUNK_SIZE]] * 3
    ((category, text),) = program.warnings
    assert category == "ChunksNotVerified"
    assert HINT in text


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("oca", ["md5", "sha256"])
def test_whole_object_is_verified_by_its_own_checksum(
    namespace: Namespace, api: Any, program: Program, oca: str
) -> None:
    write_by_hand(api, DATA[:1000], f"plain/nb_copy=1,cca=blake3,oca={oca}", oca)
    assert program.run(("fetch", {})) == [["result", hashlib.md5(DATA[:1000]).hexdigest()]]
    spoil_payload(namespace, api)
    results = program.run(("fetch", {}), ("fetch", {"hold_up_to": 0}), ("fetch", {"ranges": [(0, None)]}))
    assert [kind for kind, _ in results] == ["CorruptedChunk"] * 3
    ((kind, _),) = program.run(("fetch", {"verify_checksum": False}))
    assert (kind, program.warnings) == ("result", [])


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("policy", POLICIES)
def test_strict_names_what_to_install_before_a_byte_is_given(api: Any, program: Program, policy: str) -> None:
    create(api, "o", DATA, policy=policy, chunk_checksum_algo="md5")
    create(api, "o", DATA, append=True)
    strict = {"verify_checksum": "strict"}
    results = program.run(
        ("fetch", strict),
        ("head", strict),
        ("fetch", strict | {"ranges": [(len(DATA) + 5, len(DATA) + 9)]}),
        ("fetch", strict | {"ranges": [(5, 9)]}),
    )
    assert [kind for kind, _ in results] == ["ChecksumUnavailable"] * 3 + ["result"]
    assert all(HINT in text for kind, text in results if kind != "result")
    assert program.warnings == []


@pytest.mark.pitfall("W1", "A11")
@pytest.mark.parametrize("policy", POLICIES)
def test_chunk_servers_verify_in_the_place_of_the_client(
    namespace: Namespace, api: Any, program: Program, policy: str
) -> None:
    md5 = create(api, "o", DATA, policy=policy)["etag"]
    damaged = located(api)[0]["url"]
    prefer(namespace, damaged)
    flip(namespace, damaged, 100)
    server = {"verify_checksum": "server"}
    results = program.run(("fetch", server), ("fetch", server | {"ranges": [(0, 999)]}))
    assert [kind for kind, _ in results] == ["result", "result"]
    assert results[0][1] == md5
    assert program.warnings == []
    spoil_payload(namespace, api)
    flip(namespace, damaged, 101)
    assert [kind for kind, _ in program.run(("fetch", server))] == ["CorruptedChunk"]


@pytest.mark.pitfall("W1", "A11")
def test_search_for_damaged_fragments_names_what_to_install(
    namespace: Namespace, api: Any, program: Program
) -> None:
    create(api, "o", DATA[:1000], policy="EC")
    ((kind, text),) = program.run(("rebuild", {}))
    assert kind == "ChecksumUnavailable"
    assert HINT in text


@pytest.mark.pitfall("W1")
def test_blake3_is_refused_before_anything_is_sent(namespace: Namespace, program: Program) -> None:
    ((kind, text),) = program.run(("create", {"chunk_checksum_algo": "blake3"}))
    assert kind == "ChecksumUnavailable"
    assert HINT in text
    assert not [record for record in namespace.requests if record.service == "rawx"]
    assert program.run(("create", {})) == [["result", "5d41402abc4b2a76b9719d911017c592"]]


@pytest.mark.pitfall("W1")
@pytest.mark.parametrize("policy", POLICIES)
def test_objects_are_appended_to_and_cut_by_who_cannot_compute_their_checksums(
    namespace: Namespace, api: Any, program: Program, policy: str
) -> None:
    create(api, "o", DATA, policy=policy)
    assert program.run(("append", {}), ("truncate", {"size": 1000})) == [["result", 5], ["result", None]]
    _, stream = api.object_fetch(ACCOUNT, CONTAINER, "o", verify_checksum="strict")
    assert b"".join(stream) == DATA[:1000]
    create(api, "o", DATA, policy=policy)
    spoil_payload(namespace, api)
    ((kind, _),) = program.run(("truncate", {"size": 1000}))
    assert kind in {"CorruptedChunk", "ChecksumUnavailable"}


@pytest.mark.pitfall("W1")
def test_chunk_is_copied_when_the_server_of_the_copy_computes_the_same(
    namespace: Namespace, api: Any, program: Program
) -> None:
    create(api, "o", DATA[:1000], policy="SINGLE")
    url = located(api)[0]["url"]
    address = next(rawx.address for rawx in namespace.rawx if rawx.address not in url)
    to = f"http://{address}/{'B' * 64}"
    assert program.run(("copy", {"to": to})) == [["result", None]]
    api.blob_client.chunk_head(to, check_hash=True)
    api.blob_client.chunk_delete(to)
    flip(namespace, url, 100)
    ((kind, _),) = program.run(("copy", {"to": to}))
    assert kind in {"CorruptedChunk", "ServiceBusy"}
    assert "B" * 64 not in [chunk for rawx in namespace.rawx for chunk in rawx.chunks()]
