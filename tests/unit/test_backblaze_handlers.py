# SPDX-License-Identifier: Apache-2.0
"""The handlers of objects in Backblaze, as they are published: what they take, and what they give."""

from __future__ import annotations

import hashlib
import io
import itertools

import pytest

from oio.api.backblaze import (
    CLIENT,
    BackblazeChunkDownloadHandler,
    BackblazeChunkWriteHandler,
    BackblazeDeleteHandler,
    BackblazeDownloadHandler,
    BackblazeWriteHandler,
)
from oio.api.backblaze_http import Backblaze, BackblazeException
from oio.common import exceptions as exc
from oio.common.deadlines import monotonic_time
from oio.common.storage_method import STORAGE_METHODS
from tests.kit.b2_service import (
    ACCOUNT_ID,
    BUCKET,
    KEY,
    KEY_ID,
    Damage,
    Pipe,
    Refusal,
    client_of,
)

METHOD = STORAGE_METHODS.load(f"backblaze/account_id={KEY_ID},bucket_name={BUCKET}")
CID = "C0FFEE"
META = {"container_id": CID, "chunk_size": 10}
DATA = bytes(number % 251 for number in range(1000))


@pytest.fixture
def info(service):
    """Credentials, with a client whose pauses take no time, and whose parts are small."""
    with client_of(service, part_size=100) as client:
        yield {"bucket_name": BUCKET, CLIENT: client}


def md5(data):
    return hashlib.md5(data).hexdigest()


def chunk(pos, **more):
    return {"url": f"b2/{pos:064X}", "pos": str(pos), **more}


def name_of(pos):
    return f"{CID}/{pos:064X}"


def metachunks():
    """What prepares metachunks without an end."""
    for pos in itertools.count():
        yield [chunk(pos)]


# --- one metachunk --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "room"), [(50, 50), (50, 60), (300, 200), (1000, 1000), (1000, None), (7, None)]
)
def test_a_metachunk_becomes_a_file_of_what_its_chunk_has_room_for(service, info, left, room):
    source = io.BytesIO(DATA[:left])
    target = chunk(1) if room is None else chunk(1, size=room)
    checksum = hashlib.md5(b"before")
    size, chunks = BackblazeChunkWriteHandler(META, [target], checksum, METHOD, info).stream(source)
    written = DATA[:left] if room is None else DATA[: min(left, room)]
    assert size == len(written)
    assert chunks == [chunk(1, size=size, hash=md5(written).upper(), maybe_stored=True)]
    assert service.data(name_of(1)) == written
    assert checksum.hexdigest() == md5(b"before" + written)
    # The next metachunk goes on from here.
    assert source.read() == DATA[len(written) : left]


def test_a_file_of_several_parts_is_a_large_one(service, info):
    BackblazeChunkWriteHandler(META, [chunk(1)], hashlib.md5(), METHOD, info).stream(io.BytesIO(DATA[:250]))
    assert service.count("b2_upload_part") == 3
    BackblazeChunkWriteHandler(META, [chunk(2)], hashlib.md5(), METHOD, info).stream(io.BytesIO(DATA[:100]))
    assert service.count("b2_upload_part") == 3
    assert service.count("b2_upload_file") == 1


def test_no_file_is_made_of_a_source_at_its_end(service, info):
    checksum = hashlib.md5()
    target = chunk(1)
    handler = BackblazeChunkWriteHandler(META, [target], checksum, METHOD, info)
    assert handler.stream(io.BytesIO()) == (0, [])
    assert service.calls == [call for call in service.calls if call.operation == "b2_authorize_account"]
    assert "maybe_stored" not in target


def test_sha1_of_what_was_read_is_sent(service, info):
    BackblazeChunkWriteHandler(META, [chunk(1)], hashlib.md5(), METHOD, info).stream(Pipe(DATA[:90], 7))
    (call,) = service.of("b2_upload_file")
    assert call.headers["x-bz-content-sha1"] == hashlib.sha1(DATA[:90]).hexdigest()


def test_mime_type_of_the_object_is_that_of_the_file(service, info):
    meta = {**META, "mime_type": "text/plain"}
    BackblazeChunkWriteHandler(meta, [chunk(1)], hashlib.md5(), METHOD, info).stream(io.BytesIO(b"text"))
    assert service.version(name_of(1)).mime_type == "text/plain"


class Broken:
    """A source that gives some bytes, and fails."""

    def __init__(self, data):
        self._blocks = iter([data])

    def read(self, size):
        try:
            return next(self._blocks)
        except StopIteration:
            raise OSError("torn tape") from None


@pytest.mark.parametrize("size", [10, 150])
def test_a_source_that_fails_is_told_and_no_file_is_made(service, info, size):
    target = chunk(1)
    handler = BackblazeChunkWriteHandler(META, [target], hashlib.md5(), METHOD, info)
    with pytest.raises(exc.SourceReadError, match="torn tape"):
        handler.stream(Broken(DATA[:size]))
    assert service.files == []
    assert target["maybe_stored"]


def test_refusal_is_told(service, info):
    service.fail("b2_upload_file", Refusal(403, "cap_exceeded"))
    handler = BackblazeChunkWriteHandler(META, [chunk(1)], hashlib.md5(), METHOD, info)
    with pytest.raises(BackblazeException) as caught:
        handler.stream(io.BytesIO(b"data"))
    assert (caught.value.status_code, caught.value.code) == (403, "cap_exceeded")
    assert service.count("b2_upload_file") == 1


def test_deadline_that_has_passed_sends_nothing(service, info):
    past = monotonic_time() - 1
    handler = BackblazeChunkWriteHandler(META, [chunk(1)], hashlib.md5(), METHOD, info, deadline=past)
    with pytest.raises(exc.DeadlineReached):
        handler.stream(io.BytesIO(b"data"))
    assert service.count("b2_upload_file") == 0


# --- an object ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 101, 1000])
def test_an_object_is_one_file(service, info, size):
    data = DATA[:size]
    result = BackblazeWriteHandler(Pipe(data), META, metachunks, METHOD, info).stream()
    assert result == ([chunk(0, size=size, hash=md5(data).upper(), maybe_stored=True)], size, md5(data))
    assert [file.data for file in service.files] == [data]


class InSmallFiles(BackblazeWriteHandler):
    file_size = 300


@pytest.mark.parametrize("size", [0, 299, 300, 301, 600, 1000])
def test_an_object_too_large_for_a_file_goes_into_several(service, info, size):
    data = DATA[:size]
    chunks, written, checksum = InSmallFiles(io.BytesIO(data), META, metachunks, METHOD, info).stream()
    parts = [data[start : start + 300] for start in range(0, max(size, 1), 300)]
    assert (written, checksum) == (size, md5(data))
    assert [(found["pos"], found["size"], found["hash"]) for found in chunks] == [
        (str(pos), len(part), md5(part).upper()) for pos, part in enumerate(parts)
    ]
    assert [service.data(name_of(pos)) for pos in range(len(parts))] == parts


def test_the_largest_file_has_as_many_parts_as_the_service_takes():
    assert BackblazeWriteHandler.file_size == 10_000 * Backblaze.BACKBLAZE_MAX_CHUNK_SIZE


def test_metachunks_may_be_given_by_position(service, info):
    chunks, *_ = InSmallFiles(
        io.BytesIO(DATA[:400]), META, {1: [chunk(1)], 0: [chunk(0)]}, METHOD, info
    ).stream()
    assert [found["pos"] for found in chunks] == ["0", "1"]


def test_more_data_than_metachunks_are_refused(info):
    with pytest.raises(exc.OioException, match="more than the 300 bytes"):
        InSmallFiles(io.BytesIO(DATA), META, {0: [chunk(0)]}, METHOD, info).stream()


# --- reading --------------------------------------------------------------------------------------------


@pytest.fixture
def stored(service):
    """Chunks of an object of three files, by position."""
    chunks = {}
    for pos, (start, end) in enumerate([(0, 300), (300, 310), (310, 1000)]):
        service.add(name_of(pos), DATA[start:end])
        chunks[pos] = [chunk(pos, size=end - start, hash=md5(DATA[start:end]).upper())]
    return chunks


def read(info, chunks, *bounds):
    (blocks,) = BackblazeDownloadHandler(META, chunks, info, None, *bounds).get_iter()
    return b"".join(blocks)


@pytest.mark.parametrize(
    ("bounds", "wanted"),
    [
        ((), DATA),
        ((0, 0), DATA[:1]),
        ((299, 300), DATA[299:301]),
        ((305, 999), DATA[305:]),
        ((310, 310), DATA[310:311]),
        ((5, None), DATA[5:]),
        ((None, 7), DATA[-7:]),
        ((900, 5000), DATA[900:]),
    ],
)
def test_a_range_is_mapped_over_the_files(info, stored, bounds, wanted):
    assert read(info, stored, *bounds) == wanted


def test_only_the_files_that_have_bytes_of_a_range_are_asked(service, info, stored):
    read(info, stored, 302, 305)
    (call,) = service.of("download")
    assert call.headers["range"] == "bytes=2-5"
    assert call.target.endswith(f"{1:064X}")


def test_nothing_is_asked_before_the_first_block(service, info, stored):
    (blocks,) = BackblazeDownloadHandler(META, stored, info, {}).get_iter()
    assert service.count("download") == 0
    next(blocks)
    blocks.close()
    assert service.count("download") == 1


def test_a_lost_file_is_told(service, info, stored):
    del service.files[1]
    with pytest.raises(exc.UnrecoverableContent, match="position 1"):
        read(info, stored)
    assert read(info, stored, 0, 299) == DATA[:300]


@pytest.mark.parametrize("sha1", ["right", "none"])
def test_a_file_with_other_data_is_told(service, info, stored, sha1):
    data = b"x" * 10
    service.files[1].data = data
    service.files[1].sha1 = hashlib.sha1(data).hexdigest() if sha1 == "right" else "none"
    with pytest.raises(exc.CorruptedChunk, match=stored[1][0]["url"]):
        read(info, stored)


def test_what_was_damaged_on_the_way_is_read_again(service, info, stored):
    service.files[1].sha1 = "none"
    service.fail("download", None, Damage(flip=True))
    assert read(info, stored) == DATA
    assert service.count("download") == 4


def test_damage_that_stays_is_told(service, info, stored):
    service.files[1].sha1 = "none"
    service.fail("download", Damage(flip=True), Damage(flip=True))
    with pytest.raises(exc.CorruptedChunk):
        read(info, {0: stored[1]})


@pytest.mark.parametrize("size", [5, 15])
def test_a_file_of_another_size_is_told(service, info, stored, size):
    service.files[1].data = DATA[300 : 300 + size] if size < 10 else b"y" * size
    service.files[1].sha1 = "none"
    with pytest.raises(exc.CorruptedChunk):
        read(info, stored)


@pytest.mark.parametrize(
    ("offset", "size", "wanted"),
    [
        (0, None, DATA[:300]),
        (0, 300, DATA[:300]),
        (10, 5, DATA[10:15]),
        (290, None, DATA[290:300]),
        (290, 50, DATA[290:300]),
        (300, 5, None),
    ],
)
def test_a_part_of_one_file(info, stored, offset, size, wanted):
    handler = BackblazeChunkDownloadHandler(META, stored[0], offset, size, None, info)
    assert handler.get_stream() == wanted


def test_nothing_of_an_empty_file(service, info):
    service.add(name_of(7), b"")
    assert BackblazeChunkDownloadHandler(META, [chunk(7)], 0, None, backblaze_info=info).get_stream() is None


def test_a_part_of_no_file(info):
    with pytest.raises(BackblazeException) as caught:
        BackblazeChunkDownloadHandler(META, [chunk(7)], 0, None, backblaze_info=info).get_stream()
    assert caught.value.status_code == 404


def test_a_read_without_credentials_is_refused():
    with pytest.raises(ValueError, match="backblaze_info"):
        BackblazeChunkDownloadHandler(META, [chunk(7)], 0, None)


# --- deleting -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [False, True])
def test_all_the_files_of_an_object_are_deleted_with_all_their_versions(service, info, stored, listed):
    service.add(name_of(1), b"a version more")
    service.add("somebody's", b"")
    chunks = [copy for copies in stored.values() for copy in copies] if listed else stored
    BackblazeDeleteHandler(META, chunks, info).delete()
    assert [file.name for file in service.files] == ["somebody's"]


def test_a_file_that_is_not_there_is_no_failure(service, info, stored):
    del service.files[0]
    BackblazeDeleteHandler(META, stored, info).delete()
    assert service.files == []


def test_a_failure_does_not_keep_the_others(service, info, stored):
    service.fail("b2_delete_file_version", Refusal(401, "unauthorized"), None, Refusal(403, "access_denied"))
    handler = BackblazeDeleteHandler(META, stored, info)
    with pytest.raises(BackblazeException) as caught:
        handler.delete()
    assert caught.value.status_code == 401
    assert handler.left == [name_of(0), name_of(2)] == [file.name for file in service.files]
    handler.delete()
    assert handler.left == service.files == []


# --- credentials ----------------------------------------------------------------------------------------


def test_credentials_as_they_are_read_make_a_client(service):
    info = {
        "backblaze.account_id": KEY_ID,
        "backblaze.application_key": KEY,
        "backblaze.api_url": service.url,
        "bucket_name": BUCKET,
        "authorization": None,
        "upload_token": None,
    }
    chunks, size, _ = BackblazeWriteHandler(io.BytesIO(DATA), META, metachunks, METHOD, info).stream()
    assert size == len(DATA)
    assert read(info, {0: chunks}) == DATA
    BackblazeDeleteHandler(META, chunks, info).delete()
    assert service.files == []


def test_an_authorisation_that_is_known_is_used(service, info):
    client = info[CLIENT]
    token = client.authorization_token
    known = {
        "backblaze.account_id": KEY_ID,
        "backblaze.application_key": KEY,
        "bucket_name": BUCKET,
        "authorization": {
            "accountId": ACCOUNT_ID,
            "authorizationToken": token,
            "apiUrl": service.url,
            "downloadUrl": service.url,
        },
    }
    before = service.count("b2_authorize_account")
    BackblazeWriteHandler(io.BytesIO(DATA), META, metachunks, METHOD, known).stream()
    assert service.count("b2_authorize_account") == before
