# SPDX-License-Identifier: Apache-2.0
"""Objects of policy BACKBLAZE, from end to end: whatever is done with them, the bucket has what they name."""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import random
import resource
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from oio.api.backblaze_http import Backblaze
from oio.common import exceptions as exc
from oio.common.utils import cid_from_name
from oio.sandbox import Fault, Namespace
from tests.kit.buckets import PART_SIZE, asked, client_of, listed, versions
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, header, read

POLICY = "BACKBLAZE"
SMALL = bytes(number % 251 for number in range(5_000))
LARGE = bytes(number % 253 for number in range(2 * PART_SIZE + 500))
"""Three parts."""


@pytest.fixture(scope="module")
def namespace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    with Namespace(
        tmp_path_factory.mktemp("namespace"), rawx=3, chunk_size=1000, default_policy=POLICY
    ) as running:
        yield running


@pytest.fixture
def api(namespace: Namespace) -> Iterator[Any]:
    namespace.forget_requests()
    with client_of(namespace) as client:
        yield client
        # Some tests leave no container.
        client.container_create(ACCOUNT, CONTAINER)
        client.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "1"})
        client.container_flush(ACCOUNT, CONTAINER)
    assert versions(namespace) == []
    assert chunks_on_disk(namespace) == []


@pytest.fixture
def poor_api(namespace: Namespace) -> Iterator[Any]:
    """A client without credentials."""
    with client_of(namespace, key_file=None) as client:
        yield client


def assert_is(namespace: Namespace, api: Any, name: str, data: bytes) -> None:
    """The object has these data, and its files are all that there is in the bucket."""
    meta = api.object_get_properties(ACCOUNT, CONTAINER, name)
    assert (int(meta["length"]), meta["policy"]) == (len(data), POLICY)
    assert read(api, name) == read(api, name, verify_checksum="strict") == data
    assert sorted(listed(api, ACCOUNT, CONTAINER, name)) == sorted(file.name for file in versions(namespace))
    assert chunks_on_disk(namespace) == []


# --- creation -------------------------------------------------------------------------------------------


def test_the_chunks_of_the_namespace_do_not_cut_an_object_in_files(namespace: Namespace, api: Any) -> None:
    create(api, "o", SMALL)
    (file,) = versions(namespace)
    assert (file.length, file.sha1) == (len(SMALL), hashlib.sha1(SMALL).hexdigest())


def test_file_of_the_caller_is_sent_again_without_a_copy(
    namespace: Namespace, api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.Random(3).randbytes(3 << 20)
    path = tmp_path / "data"
    path.write_bytes(data)
    fault = Fault("status", service="b2", operation="b2_upload_file", status=503, nth=1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with namespace.api() as patient, namespace.faults(fault):
        patient.object_create(ACCOUNT, CONTAINER, obj_name="o", file_or_path=str(path))
    assert asked(namespace).count("b2_upload_file") == 2
    monkeypatch.undo()
    assert_is(namespace, api, "o", data)


def test_large_object_is_one_file_of_three_parts(namespace: Namespace, api: Any) -> None:
    create(api, "o", LARGE)
    assert asked(namespace).count("b2_upload_part") == 3
    assert "b2_upload_file" not in asked(namespace)
    (file,) = versions(namespace)
    assert (file.length, file.sha1) == (len(LARGE), "none")


def test_object_of_230_mb(namespace: Namespace) -> None:
    """With the size of parts of the real service, from a source without a length, in little memory."""
    size = 230_000_000
    block = bytes(range(256)) * 4096

    def generate() -> Iterator[bytes]:
        left = size
        while left:
            part = block[left % 251 :][:left]
            left -= len(part)
            yield part

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    namespace.forget_requests()
    with namespace.api() as api:
        chunks, written, md5 = api.object_create(ACCOUNT, CONTAINER, data=generate(), obj_name="o")
        sizes = sorted(
            int(str(header(record, "content-length")))
            for record in namespace.requests
            if "b2_upload_part/" in record.target
        )
        assert sizes == [size - 209_715_200, 209_715_200]
        assert (written, len(chunks), chunks[0]["size"]) == (size, 1, size)
        digest = hashlib.md5()
        with api.object_fetch(ACCOUNT, CONTAINER, "o")[1] as stream:
            for part in stream:
                digest.update(part)
        assert digest.hexdigest() == md5
        # Of the service too, which is in this process.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
        assert api.object_delete(ACCOUNT, CONTAINER, "o")
    assert versions(namespace) == []


def test_version_that_exists_keeps_its_data(namespace: Namespace, api: Any) -> None:
    """Also where the IDs of chunks are made of versions: B2 takes any number of files of one name."""
    prepare = api.container.content_prepare

    def prepare_predictably(*args: Any, **kwargs: Any) -> Any:
        meta, chunks = prepare(*args, **kwargs)
        for chunk in chunks:
            chunk["url"] = chunk["real_url"] = "b2/" + "0" * 64
        return meta, chunks

    api.container.content_prepare = prepare_predictably
    version = create(api, "o", SMALL)["version"]
    with pytest.raises(exc.Conflict):
        create(api, "o", LARGE, version=version)
    assert_is(namespace, api, "o", SMALL)


# --- reading --------------------------------------------------------------------------------------------


def test_range_asks_for_its_own_bytes_only(namespace: Namespace, api: Any) -> None:
    create(api, "o", SMALL)
    create(api, "o", LARGE, append=True)
    namespace.forget_requests()
    assert read(api, "o", ranges=[(5_010, 5_019)]) == LARGE[10:20]
    (record,) = [record for record in namespace.requests if record.service == "b2"]
    assert header(record, "range") == "bytes=10-19"


def test_file_that_is_shorter_than_what_was_stored(namespace: Namespace, api: Any) -> None:
    create(api, "o", SMALL)
    (file,) = versions(namespace)
    key = namespace.b2.application_key
    with Backblaze(namespace.b2.account_id, key, api_url=namespace.b2_endpoint) as backblaze:
        backblaze.put(namespace.b2.bucket_name, file.name, SMALL[:10])
    for ranges in (None, [(0, 20)], [(10, 20)]):
        with pytest.raises(exc.CorruptedChunk):
            read(api, "o", ranges=ranges)


def test_what_is_known_of_a_file(api: Any) -> None:
    create(api, "o", SMALL)
    (chunk,) = api.object_locate(ACCOUNT, CONTAINER, "o", chunk_info=True)[1]
    assert (chunk["chunk_size"], chunk["chunk_hash"], chunk["full_path"]) == (str(len(SMALL)), None, None)


# --- deletion -------------------------------------------------------------------------------------------


def test_deletion_without_credentials_leaves_the_file(namespace: Namespace, api: Any, poor_api: Any) -> None:
    create(api, "o", SMALL)
    namespace.forget_requests()
    assert poor_api.object_delete(ACCOUNT, CONTAINER, "o")
    assert [record.target.partition("?")[0] for record in namespace.requests] == [
        "/v3.0/OPENIO/content/delete"
    ]
    (file,) = versions(namespace)
    namespace.b2.store.versions.delete(str(file.id), file.name)


def test_deletion_with_credentials_for_another_bucket_is_refused(
    namespace: Namespace, api: Any, tmp_path: Any
) -> None:
    create(api, "o", SMALL)
    others = tmp_path / "keys.conf"
    others.write_text("[backblaze]\nsome.other.application_key = secret\n")
    others.chmod(0o600)
    with pytest.raises(exc.ConfigurationException, match="application_key"):
        api.object_delete(ACCOUNT, CONTAINER, "o", key_file=str(others))
    assert_is(namespace, api, "o", SMALL)


def test_file_that_cannot_be_deleted_is_told_in_the_log(namespace: Namespace, api: Any, caplog: Any) -> None:
    create(api, "o", SMALL)
    (file,) = versions(namespace)
    with namespace.faults(
        Fault("status", service="b2", operation="b2_delete_file_version", status=403)
    ) as plan:
        assert api.object_delete(ACCOUNT, CONTAINER, "o")
    plan.assert_met()
    assert file.name in caplog.text
    namespace.b2.store.versions.delete(str(file.id), file.name)


def test_deletion_of_other_objects_asks_nothing_of_the_bucket(namespace: Namespace, api: Any) -> None:
    create(api, "o", SMALL, policy="SINGLE")
    api.object_delete(ACCOUNT, CONTAINER, "o")
    assert asked(namespace) == []


def test_flush_without_credentials_tells_what_it_leaves(
    namespace: Namespace, api: Any, poor_api: Any, caplog: Any
) -> None:
    create(api, "o", SMALL)
    poor_api.container_flush(ACCOUNT, CONTAINER)
    assert "what it has of ['o'] may stay" in caplog.text
    (file,) = versions(namespace)
    namespace.b2.store.versions.delete(str(file.id), file.name)


# --- changes --------------------------------------------------------------------------------------------


def test_link_is_refused_before_anything_is_done(namespace: Namespace, api: Any) -> None:
    create(api, "o", SMALL)
    namespace.forget_requests()
    with pytest.raises(exc.InvalidStorageMethod, match="Backblaze, which has no links"):
        api.object_link(ACCOUNT, CONTAINER, "o", ACCOUNT, CONTAINER, "p")
    assert {record.method for record in namespace.requests} == {"GET"}
    assert_is(namespace, api, "o", SMALL)


def test_snapshot_is_refused_before_anything_is_done(namespace: Namespace, api: Any, poor_api: Any) -> None:
    create(api, "a", SMALL, policy="SINGLE")
    create(api, "o", SMALL)
    namespace.forget_requests()
    with pytest.raises(exc.InvalidStorageMethod, match="object 'o' is stored in Backblaze"):
        api.container_snapshot(ACCOUNT, CONTAINER, ACCOUNT, "copy")
    assert {record.method for record in namespace.requests} == {"GET"}
    # Who has no credentials does not look before; what was done is undone.
    with pytest.raises(exc.InvalidStorageMethod, match="object 'o' is stored in Backblaze"):
        poor_api.container_snapshot(ACCOUNT, CONTAINER, ACCOUNT, "copy")
    with pytest.raises(exc.NoSuchContainer):
        api.container_get_properties(ACCOUNT, "copy")
    api.object_delete(ACCOUNT, CONTAINER, "a")
    assert_is(namespace, api, "o", SMALL)


def test_overwriting_by_a_link_leaves_no_file(namespace: Namespace, api: Any) -> None:
    create(api, "o", SMALL)
    create(api, "p", b"other", policy="SINGLE")
    api.object_link(ACCOUNT, CONTAINER, "p", ACCOUNT, CONTAINER, "o")
    assert versions(namespace) == []
    assert read(api, "o") == b"other"


# --- writers that do not see each other ------------------------------------------------------------------


class Pause:
    """A moment in a thread: it waits there until it may go on.

    :param client: container client whose creation of an object is stopped before, or after, it is sent
    """

    def __init__(self, client: Any, *, after: bool = False) -> None:
        self.reached, self.over = threading.Event(), threading.Event()
        self._send = client.content_create
        self._after = after
        client.content_create = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._after:
            self._send(*args, **kwargs)
        self.reached.set()
        assert self.over.wait(60)
        return None if self._after else self._send(*args, **kwargs)


LATER = {
    "overwrite": lambda api: create(api, "o", b"later"),
    "overwrite with another policy": lambda api: create(api, "o", b"later", policy="SINGLE"),
    "delete": lambda api: api.object_delete(ACCOUNT, CONTAINER, "o"),
    "delete many": lambda api: api.object_delete_many(ACCOUNT, CONTAINER, ["o"]),
    "drain": lambda api: api.object_drain(ACCOUNT, CONTAINER, "o"),
    "flush": lambda api: api.container_flush(ACCOUNT, CONTAINER),
}


def replaced_unseen(api: Any, namespace: Namespace) -> None:
    """Store an object three times: the third writer has seen the first version, and replaces the second."""
    create(api, "o", b"first")
    send = api.container.content_create
    with ThreadPoolExecutor(2) as pool:
        before = Pause(api.container)
        second = pool.submit(create, api, "o", b"second")
        assert before.reached.wait(60)
        # Its version is later than that of the second, which is not there yet.
        third_stops = Pause(api.container)
        third_stops._send = send
        third = pool.submit(create, api, "o", b"third")
        assert third_stops.reached.wait(60)
        # The second is committed, and its writer hears of it when all is over.
        late, heard = threading.Event(), threading.Event()

        def send_and_wait(*args: Any, **kwargs: Any) -> None:
            send(*args, **kwargs)
            late.set()
            assert heard.wait(60)

        before._send = send_and_wait
        before.over.set()
        assert late.wait(60)
        third_stops.over.set()
        third.result()
        heard.set()
        second.result()
    api.container.content_create = send


@pytest.mark.pitfall("D7")
@pytest.mark.parametrize("call", LATER.values(), ids=LATER)
def test_file_of_a_version_that_was_replaced_unseen_is_deleted_later(
    namespace: Namespace, api: Any, call: Any
) -> None:
    replaced_unseen(api, namespace)
    assert read(api, "o") == b"third"
    call(api)
    left = [] if call is not LATER["overwrite"] else listed(api, ACCOUNT, CONTAINER, "o")
    assert sorted(left) == sorted(file.name for file in versions(namespace))


@pytest.mark.pitfall("D7")
def test_writers_at_once_leave_nothing_when_the_object_is_deleted(namespace: Namespace, api: Any) -> None:
    def overwrite(number: int) -> None:
        with contextlib.suppress(exc.Conflict):
            create(api, "o", b"%d" % number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(overwrite, range(40)))
    create(api, "o", b"last")
    assert_is(namespace, api, "o", b"last")
    api.object_delete(ACCOUNT, CONTAINER, "o")
    assert versions(namespace) == []


@pytest.mark.pitfall("D7")
@pytest.mark.parametrize("call", LATER.values(), ids=LATER)
def test_file_that_cannot_be_deleted_is_deleted_later(namespace: Namespace, api: Any, call: Any) -> None:
    create(api, "o", SMALL)
    fault = Fault("status", service="b2", operation="b2_delete_file_version", status=400)
    with namespace.faults(fault) as plan:
        create(api, "o", b"second")
        plan.assert_met()
    assert len(versions(namespace)) == 2
    call(api)
    left = [] if call is not LATER["overwrite"] else listed(api, ACCOUNT, CONTAINER, "o")
    assert sorted(left) == sorted(file.name for file in versions(namespace))


@pytest.mark.pitfall("D7")
def test_nothing_more_is_asked_when_one_writer_overwrites(namespace: Namespace, api: Any) -> None:
    create(api, "o", SMALL)
    asked_for = []
    for _ in range(3):
        namespace.forget_requests()
        create(api, "o", SMALL)
        asked_for.append(sorted(record.target.partition("?")[0] for record in namespace.requests))
    locates = [target for target in asked_for[0] if target.endswith("content/locate")]
    assert len(locates) == 2, "what is replaced, and whether it is gone"
    assert [len(targets) for targets in asked_for] == [len(asked_for[0])] * 3


@pytest.mark.pitfall("D7")
def test_versions_that_a_container_keeps_are_not_looked_at_for_ever(namespace: Namespace, api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": "-1"})
    for number in range(5):
        create(api, "o", b"%d" % number)
        assert len(versions(namespace)) == number + 1
    written = api._b2_clients.written
    cid = cid_from_name(ACCOUNT, CONTAINER)
    assert len(written.of(cid, "o")) <= 2


# --- credentials ----------------------------------------------------------------------------------------


def test_credentials_of_the_call(namespace: Namespace, poor_api: Any, api: Any) -> None:
    options = {"key_file": namespace.b2_key_file, "backblaze_api_url": namespace.b2_endpoint}
    create(poor_api, "o", SMALL, **options)
    assert read(poor_api, "o", **options) == SMALL
    assert_is(namespace, api, "o", SMALL)
    assert poor_api.object_delete(ACCOUNT, CONTAINER, "o", **options)


def test_address_of_the_service_in_the_credentials_file(namespace: Namespace, api: Any) -> None:
    with namespace.api(backblaze_api_url=None) as client:
        create(client, "o", SMALL)
        assert read(client, "o") == SMALL


CALLS = {
    "create": lambda api: create(api, "p", SMALL),
    "append": lambda api: create(api, "o", SMALL, append=True),
    "fetch": lambda api: api.object_fetch(ACCOUNT, CONTAINER, "o"),
    "head": lambda api: api.object_head(ACCOUNT, CONTAINER, "o", trust_level=2),
    "truncate": lambda api: api.object_truncate(ACCOUNT, CONTAINER, "o", size=3),
    "change policy": lambda api: api.object_change_policy(ACCOUNT, CONTAINER, "o", "SINGLE"),
}


@pytest.mark.parametrize("call", CALLS)
def test_missing_credentials_are_told_before_anything_is_done(
    namespace: Namespace, api: Any, poor_api: Any, call: str
) -> None:
    create(api, "o", SMALL)
    with pytest.raises(exc.ConfigurationException, match=r"/etc/oio/sds/b2-appkey\.conf") as caught:
        CALLS[call](poor_api)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert_is(namespace, api, "o", SMALL)


def test_wrong_key_is_told_without_showing_it(
    namespace: Namespace, api: Any, tmp_path: Any, caplog: Any
) -> None:
    place = f"{namespace.b2.account_id}.{namespace.b2.bucket_name}"
    keys = tmp_path / "keys.conf"
    keys.write_text(f"[backblaze]\n{place}.application_key = WRONG-SECRET\n")
    keys.chmod(0o600)
    with pytest.raises(exc.OioException) as caught:
        create(api, "o", SMALL, key_file=str(keys))
    assert getattr(caught.value, "status_code", None) == 401
    assert "WRONG-SECRET" not in f"{caught.value!r} {caught.value} {caught.value.__dict__} {caplog.text}"
    assert versions(namespace) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [("key_file", 3), ("key_file", b""), ("backblaze_api_url", "b2"), ("backblaze_api_url", 1)],
)
def test_wrong_option_is_named(offline_api: Any, option: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=option):
        create(offline_api, "o", SMALL, **{option: value})
    with pytest.raises((TypeError, ValueError), match=option):
        offline_api.object_delete(ACCOUNT, CONTAINER, "o", **{option: value})


def test_no_key_is_in_a_log_or_an_answer(namespace: Namespace, api: Any, caplog: Any) -> None:
    caplog.set_level("DEBUG")
    result = api.object_create_ext(ACCOUNT, CONTAINER, data=LARGE, obj_name="o")
    read(api, "o")
    assert namespace.b2.application_key not in f"{caplog.text} {result} {vars(api)}"
    tokens = {header(record, "authorization") for record in namespace.requests} - {None}
    assert len(tokens) > 2
    assert [token for token in tokens if token in caplog.text] == []


def test_objects_share_one_authorisation_and_its_connections(namespace: Namespace, api: Any) -> None:
    for number in range(5):
        create(api, f"o{number}", SMALL)
        assert read(api, f"o{number}", read_timeout=30 + number) == SMALL
    assert asked(namespace).count("b2_authorize_account") == 1
    assert asked(namespace).count("b2_get_upload_url") == 1
    assert namespace.open_connections("b2") == 1


def create_raw(api: Any, name: str, chunk_method: str) -> None:
    """Tell the metadata service about an object of 5 bytes, of which no file exists."""
    chunk = {"url": "b2/" + "0" * 64, "pos": "0", "size": 5, "hash": "0" * 32}
    api.container.content_create(
        ACCOUNT,
        CONTAINER,
        name,
        size=5,
        checksum="0" * 32,
        data={"chunks": [chunk], "properties": {}},
        content_id="AB" * 16,
        stgpol=POLICY,
        version="1234567890",
        chunk_method=chunk_method,
    )


def test_object_in_another_bucket_is_not_appended_to(namespace: Namespace, api: Any) -> None:
    create(api, "first", SMALL)
    create_raw(api, "o", f"backblaze/account_id={namespace.b2.account_id},bucket_name=another")
    with pytest.raises(exc.OioException, match="change its policy first"):
        create(api, "o", SMALL, append=True)
    with client_of(namespace, key_file=None) as poor:
        assert poor.object_delete(ACCOUNT, CONTAINER, "o")
    assert_is(namespace, api, "first", SMALL)


@pytest.mark.parametrize(
    "chunk_method", ["backblaze", "backblaze/bucket_name=b", "backblaze/account_id=,bucket_name=b"]
)
def test_chunk_method_that_lacks_something_is_told(namespace: Namespace, api: Any, chunk_method: str) -> None:
    create(api, "first", SMALL)
    names = (ACCOUNT, CONTAINER, "o")
    create_raw(api, "o", chunk_method)
    for call in (
        lambda: read(api, "o"),
        lambda: create(api, "o", SMALL, append=True),
        lambda: api.object_truncate(*names, size=1),
        lambda: api.object_change_policy(*names, "SINGLE"),
        lambda: api.object_head(*names, trust_level=1),
        lambda: api.object_link(*names, ACCOUNT, CONTAINER, "p"),
    ):
        with pytest.raises(exc.InvalidStorageMethod, match="is missing"):
            call()
    assert api.object_delete(*names)
    assert_is(namespace, api, "first", SMALL)


def test_threads_share_a_client(namespace: Namespace, api: Any) -> None:
    def work(number: int) -> None:
        for turn in range(3):
            name, data = f"o{number}-{turn}", bytes([number]) * (PART_SIZE * turn + 10)
            create(api, name, data)
            assert read(api, name) == data
            if turn < 2:
                api.object_delete(ACCOUNT, CONTAINER, name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(versions(namespace)) == 8
    assert asked(namespace).count("b2_authorize_account") == 1
    # One upload at a time each, and used again.
    assert asked(namespace).count("b2_get_upload_url") <= 8
