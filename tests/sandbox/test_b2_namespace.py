# SPDX-License-Identifier: Apache-2.0
"""The B2 as a part of a namespace: the policy that uses it, and what lasts."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from oio.sandbox import Namespace
from tests.kit.chunkdata import md5
from tests.kit.rawsocket import RawSocket, head
from tests.sandbox.asking import ask_proxy
from tests.sandbox.b2asking import B2Account, stored_files, upload_headers

TARGET = "acct=acct&ref=ref&path=name"


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1) as namespace:
        b2 = B2Account(namespace.b2)
        b2.store("name", b"old")
        b2.store("name", b"new")
        known = (namespace.b2_endpoint, namespace.b2.account_id, namespace.b2.bucket_name)
        key_file, listed = Path(namespace.b2_key_file).read_text(), b2.versions()
    with Namespace(tmp_path, rawx=1) as namespace:
        assert known == (namespace.b2_endpoint, namespace.b2.account_id, namespace.b2.bucket_name)
        assert Path(namespace.b2_key_file).read_text() == key_file
        assert b2.versions() == listed
        assert b2.download("name").body == b"new"
        assert b2.store("name", b"later")["uploadTimestamp"] > 0
        assert b2.download("name").body == b"later"


def test_a_namespace_of_an_earlier_version_gets_one(tmp_path: Path) -> None:
    with Namespace(tmp_path, rawx=1):
        pass
    layout = json.loads((tmp_path / "namespace.json").read_bytes())
    del layout["b2"]
    (tmp_path / "namespace.json").write_text(json.dumps(layout))
    with Namespace(tmp_path, rawx=1) as namespace:
        assert B2Account(namespace.b2).names() == []


def test_what_a_crash_has_left_is_removed(namespace: Namespace, b2: B2Account) -> None:
    b2.store("name", b"data")
    (name,) = namespace.b2.store.disk.names()
    data = namespace.b2.store.disk.path(name)
    left = data.with_name(f"{data.name[:2]}{'0' * 30}")
    left.write_bytes(b"half")
    namespace.stop()
    namespace.start()
    assert not left.exists()
    assert b2.download("name").body == b"data"


def test_its_files_are_the_owners_only(namespace: Namespace) -> None:
    assert (namespace.path / "b2").stat().st_mode & 0o077 == 0


def test_a_stop_cuts_uploads_and_leaves_nothing_of_them(namespace: Namespace, b2: B2Account) -> None:
    url = b2.upload_url()
    with RawSocket(b2.b2.address) as connection:
        lines = [*upload_headers(url, "name", b"data"), ("Host", "h"), ("Content-Length", "1000000")]
        connection.send(head("POST", url.path, lines) + b"x" * 500_000)
        while not stored_files(namespace):
            pass
        namespace.stop()
    namespace.start()
    assert (b2.names(), stored_files(namespace)) == ([], 0)


def test_the_conscience_does_not_know_it(namespace: Namespace) -> None:
    with pytest.raises(ValueError, match=r"the b2 at .* has no score"):
        namespace.b2.lock()
    namespace.b2.stop()
    assert not namespace.b2.running


def test_what_it_keeps_is_to_be_seen_while_it_runs(tmp_path: Path) -> None:
    namespace = Namespace(tmp_path, rawx=1)
    with pytest.raises(ValueError, match="not running"):
        namespace.b2.expire_tokens()


# -- the policy


def test_the_policy_names_the_bucket(namespace: Namespace) -> None:
    place = f"account_id={namespace.b2.account_id},bucket_name={namespace.b2.bucket_name}"
    info = ask_proxy(namespace, "GET", "conscience/info")
    assert info["data_security"]["BACKBLAZE"] == f"backblaze/{place},min_dist=0,nb_copy=1"
    with RawSocket(namespace.proxy.address) as connection:
        body = json.dumps({"size": 25 << 20, "policy": "BACKBLAZE"}).encode()
        answer = connection.ask("POST", f"/v3.0/{namespace.name}/content/prepare2?{TARGET}", (), body)
    assert answer.get("x-oio-content-meta-chunk-method") == f"backblaze/{place}"
    chunks = json.loads(answer.body)["chunks"]
    assert [chunk["pos"] for chunk in chunks] == ["2", "1", "0"]
    for chunk in chunks:
        assert re.fullmatch(r"b2/[0-9A-F]{64}", chunk["url"])
        assert (chunk["hash"], chunk["size"], chunk["score"]) == ("0" * 32, 10 << 20, 100)
        assert chunk["real_url"] == chunk["url"]
    assert len({chunk["url"] for chunk in chunks}) == 3


def test_objects_come_and_go_without_a_word_to_any_rawx(namespace: Namespace) -> None:
    chunks = [
        {"url": f"b2/{os.urandom(32).hex().upper()}", "pos": str(number), "size": size, "hash": "0" * 32}
        for number, size in enumerate((10, 5))
    ]
    headers = {
        "x-oio-action-mode": "autocreate",
        "x-oio-content-meta-length": "15",
        "x-oio-content-meta-hash": "0" * 32,
        "x-oio-content-meta-id": md5(b"name"),
        "x-oio-content-meta-policy": "BACKBLAZE",
        "x-oio-content-meta-version": "1700000000000000",
        "x-oio-content-meta-chunk-method": (
            f"backblaze/account_id={namespace.b2.account_id},bucket_name={namespace.b2.bucket_name}"
        ),
    }
    with RawSocket(namespace.proxy.address) as connection:
        body = json.dumps({"chunks": chunks, "properties": {}}).encode()
        path = f"/v3.0/{namespace.name}/content/create?{TARGET}"
        assert connection.ask("POST", path, list(headers.items()), body).status == 204
    located = ask_proxy(namespace, "GET", f"content/locate?{TARGET}")
    assert sorted((chunk["pos"], chunk["url"], chunk["real_url"]) for chunk in located) == [
        (chunk["pos"], chunk["url"], chunk["url"]) for chunk in chunks
    ]
    ask_proxy(namespace, "POST", f"content/truncate?{TARGET}&size=10")
    assert len(ask_proxy(namespace, "GET", f"content/locate?{TARGET}")) == 1
    ask_proxy(namespace, "POST", f"content/delete?{TARGET}")
    assert ask_proxy(namespace, "GET", "container/list?acct=acct&ref=ref")["objects"] == []
    assert {record.service for record in namespace.requests} == {"proxy"}
