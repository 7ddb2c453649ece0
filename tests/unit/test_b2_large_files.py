# SPDX-License-Identifier: Apache-2.0
"""Files that are stored in parts in Backblaze B2."""

from __future__ import annotations

import hashlib
import io
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.api.backblaze_http import Backblaze, BackblazeException, Backoff
from oio.b2.session import B2Limits
from oio.b2.sizes import MAX_PARTS, part_size_for
from oio.b2.upload import Part, Source
from oio.common import exceptions as exc
from oio.common.deadlines import monotonic_time
from tests.kit.b2_service import BUCKET, Cut, Pipe, Refusal, Stall, client_of

PART = 4096
DATA = random.Random(1).randbytes(4 * PART + 17)
SHA1 = hashlib.sha1(DATA).hexdigest()
SIX_PARTS = random.Random(1).randbytes(6 * PART)


@pytest.fixture
def client(service):
    with client_of(service, part_size=PART) as client:
        yield client


def unfinished(service):
    return [file for file in service.files if file.action == "start"]


@pytest.mark.parametrize("size", [None, len(DATA)])
@pytest.mark.parametrize("kind", [Pipe, io.BytesIO])
def test_parts_carry_their_sha1_and_make_the_file(service, client, size, kind):
    stored = client.put(BUCKET, "big", kind(DATA), size)
    assert service.data("big") == DATA
    assert stored["contentLength"] == len(DATA)
    parts = {int(call.headers["x-bz-part-number"]): call for call in service.of("b2_upload_part")}
    assert [len(parts[number].body) for number in range(1, 6)] == [PART] * 4 + [17]
    sha1s = [hashlib.sha1(parts[number].body).hexdigest() for number in range(1, 6)]
    assert [parts[number].headers["x-bz-content-sha1"] for number in range(1, 6)] == sha1s
    assert service.of("b2_finish_large_file")[0].json["partSha1Array"] == sha1s
    assert service.count("b2_upload_file") == 0


def test_sha1_of_the_whole_is_noted_when_the_source_can_be_read_twice(service, client):
    source = io.BytesIO(b"before" + DATA + b"after")
    source.seek(6)
    assert client.put(BUCKET, "big", source, len(DATA))["contentSha1"] == SHA1
    assert service.version("big").info["large_file_sha1"] == SHA1
    assert source.read() == b"after"
    assert client.head(BUCKET, "big")["contentSha1"] == SHA1


def test_sha1_of_the_whole_is_noted_when_the_caller_knows_it(service, client):
    client.put(BUCKET, "big", Pipe(DATA), sha1=SHA1.upper())
    assert service.version("big").info["large_file_sha1"] == SHA1


def test_nobody_knows_the_sha1_of_a_stream_beforehand(service, client):
    assert client.put(BUCKET, "big", Pipe(DATA))["contentSha1"] == "none"
    assert "large_file_sha1" not in service.version("big").info
    assert b"".join(client.get(BUCKET, "big")) == DATA


@pytest.mark.parametrize("source", [Pipe(DATA), io.BytesIO(DATA)], ids=["pipe", "file"])
def test_file_of_another_sha1_than_announced_is_cancelled(service, client, source):
    with pytest.raises(exc.EtagMismatch, match=SHA1):
        client.put(BUCKET, "big", source, sha1="0" * 40)
    assert service.files == []


@pytest.mark.parametrize(
    ("size", "parts"), [(PART - 1, 0), (PART, 0), (PART + 1, 2), (2 * PART, 2), (2 * PART + 1, 3)]
)
@pytest.mark.parametrize("announced", [True, False])
def test_no_file_is_made_of_one_part(service, client, size, parts, announced):
    client.put(BUCKET, "file", Pipe(DATA[:size]), size if announced else None)
    assert service.count("b2_upload_part") == parts
    assert service.count("b2_upload_file") == (0 if parts else 1)
    assert service.data("file") == DATA[:size]


def test_files_are_cut_at_the_published_size():
    assert Backblaze.BACKBLAZE_MAX_CHUNK_SIZE == 200 * 1024 * 1024
    assert Backblaze.BACKBLAZE_BASE_API_URL == "https://api.backblazeb2.com"


def test_several_parts_are_under_way_at_a_time_each_over_its_own_url(service):
    with client_of(service, part_size=PART, parallel_parts=3) as client:
        # No answer comes before three parts are there: one after the other would fail.
        service.meeting = threading.Barrier(3)
        client.put(BUCKET, "big", Pipe(SIX_PARTS))
    assert service.data("big") == SIX_PARTS
    assert service.most_busy == 3
    assert service.count("b2_get_upload_part_url") == 3


def test_parts_can_be_sent_one_by_one(service):
    with client_of(service, part_size=PART, parallel_parts=1) as client:
        client.put(BUCKET, "big", Pipe(DATA))
    assert service.data("big") == DATA
    assert service.most_busy == service.count("b2_get_upload_part_url") == 1


@pytest.mark.parametrize(
    "fault", [Refusal(503), Cut(), Cut(done=True), Refusal(401, "expired_auth_token")], ids=repr
)
def test_only_the_part_that_failed_is_sent_again(service, client, fault):
    service.fail("b2_upload_part", None, None, fault)
    client.put(BUCKET, "big", Pipe(DATA))
    assert service.data("big") == DATA
    assert service.count("b2_upload_part") == 6
    assert service.count("b2_start_large_file") == 1
    assert client.waits == []


@pytest.mark.parametrize(
    "fault", [[Refusal(403, "storage_cap_exceeded")], [Refusal(503)] * 99], ids=["403", "503"]
)
def test_file_whose_part_fails_for_good_is_cancelled(service, client, fault):
    service.fail("b2_upload_part", None, *fault)
    with pytest.raises(BackblazeException):
        client.put(BUCKET, "big", Pipe(DATA))
    assert service.files == []
    assert service.count("b2_cancel_large_file") == 1


def test_file_whose_source_fails_is_cancelled(service, client):
    source = Pipe(DATA)
    give = source.read

    def read(size):
        if source.given > 3 * PART:
            raise OSError("the disk is gone")
        return give(size)

    source.read = read
    with pytest.raises(exc.SourceReadError, match="the disk is gone"):
        client.put(BUCKET, "big", source)
    assert service.files == []


def test_file_that_takes_longer_than_its_deadline_is_cancelled_all_the_same(service):
    service.fail("b2_upload_part", Stall(), Stall(), Stall())
    with client_of(service, part_size=PART) as client, pytest.raises(exc.OioTimeout):
        client.put(BUCKET, "big", Pipe(DATA), deadline=monotonic_time() + 0.5)
    assert service.files == []


def test_finish_whose_answer_was_lost_is_a_success(service, client):
    service.fail("b2_finish_large_file", Cut(done=True))
    stored = client.put(BUCKET, "big", Pipe(DATA))
    assert stored["fileId"] == service.version("big").file_id
    assert service.count("b2_finish_large_file") == 2
    assert service.count("b2_get_file_info") == 1
    assert service.count("b2_cancel_large_file") == 0


def test_finish_that_is_refused_is_a_failure(service, client):
    service.fail("b2_finish_large_file", Refusal(400, "missing_part"))
    with pytest.raises(BackblazeException, match=r"\(400\)"):
        client.put(BUCKET, "big", Pipe(DATA))
    assert service.files == []
    assert service.count("b2_get_file_info") == 0


def test_file_that_was_finished_without_an_answer_is_deleted_when_the_upload_fails(service, client):
    service.fail("b2_finish_large_file", *[Cut(done=True)] * 5)
    with pytest.raises(exc.OioNetworkException):
        client.put(BUCKET, "big", Pipe(DATA))
    assert service.files == []


def test_answer_to_a_cancel_that_was_lost_is_no_failure(service, client, caplog):
    service.fail("b2_upload_part", Refusal(403, "cap_exceeded"))
    service.fail("b2_cancel_large_file", Cut(done=True))
    with pytest.raises(BackblazeException, match=r"\(403\)"):
        client.put(BUCKET, "big", Pipe(DATA))
    assert service.files == []
    assert "Failed to cancel" not in caplog.text


def test_cancel_that_fails_hides_no_error(service, client, caplog):
    service.fail("b2_upload_part", Refusal(403, "cap_exceeded"))
    service.fail("b2_cancel_large_file", Refusal(401, "unauthorized"))
    with pytest.raises(BackblazeException, match=r"\(403\)"):
        client.put(BUCKET, "big", Pipe(DATA))
    assert "Failed to cancel" in caplog.text


@pytest.mark.parametrize(
    "fault", [Cut(done=True), Cut(), Refusal(429, "too_many_requests"), b"<html>"], ids=repr
)
def test_start_without_an_answer_leaves_no_second_file(service, client, fault):
    service.fail("b2_start_large_file", fault)
    client.put(BUCKET, "big", Pipe(DATA))
    assert service.data("big") == DATA
    assert len(service.files) == 1


def test_start_that_fails_for_good_leaves_no_file(service):
    service.fail("b2_start_large_file", Cut(done=True))
    with client_of(service, part_size=PART, backoff=Backoff(attempts=1)) as client:
        with pytest.raises(exc.OioNetworkException):
            client.put(BUCKET, "big", Pipe(DATA))
        assert service.files == []


def test_start_without_an_answer_and_without_the_right_to_look_for_it_is_told_of(service, client, caplog):
    service.fail("b2_start_large_file", Cut(done=True))
    service.fail("b2_list_unfinished_large_files", Refusal(401, "unauthorized"))
    client.put(BUCKET, "big", Pipe(DATA))
    assert service.data("big") == DATA
    assert "may have been left unfinished" in caplog.text


def test_look_for_a_started_file_over_a_listing_that_does_not_go_on_is_no_endless_one(
    service, client, caplog
):
    service.fail("b2_start_large_file", Cut(done=True))
    service.b2_list_unfinished_large_files = lambda asked, base: {"files": [], "nextFileId": "7"}
    client.put(BUCKET, "big", Pipe(DATA))
    assert service.data("big") == DATA
    assert service.count("b2_list_unfinished_large_files") == 2
    assert "may have been left unfinished: a listing of B2 goes on where it began" in caplog.text


def test_file_of_somebody_else_is_never_taken_for_ours(service, client):
    service.b2_start_large_file({"fileName": "big", "contentType": "x", "fileInfo": {}}, "")
    service.fail("b2_start_large_file", Cut())
    client.put(BUCKET, "big", Pipe(DATA))
    assert len(unfinished(service)) == 1
    assert service.data("big") == DATA


def test_unfinished_versions_are_removed_with_the_others(service, client):
    client.put(BUCKET, "big", Pipe(DATA))
    service.b2_start_large_file({"fileName": "big", "contentType": "x", "fileInfo": {}}, "")
    assert client.remove(BUCKET, "big") == 2
    assert service.files == []


def test_steps_of_the_published_interface(service, client):
    meta = {"container_id": "C0", "name": "big", "mime_type": "text/plain"}
    file_id = client.upload_part_begin(BUCKET, meta)["fileId"]
    sha1s = []
    for number, start in enumerate(range(0, len(DATA), 2 * PART), 1):
        result, sha1 = client.upload_part(file_id, DATA[start : start + 2 * PART], number)
        assert result["contentSha1"] == sha1
        sha1s.append(sha1)
    with pytest.raises(exc.EtagMismatch):
        client.upload_part(file_id, b"other", 1, "0" * 40)
    assert client.upload_part_end(file_id, sha1s)["contentLength"] == len(DATA)
    assert service.data("C0/big") == DATA
    assert service.version("C0/big").mime_type == "text/plain"
    assert service.count("b2_get_upload_part_url") == 1


def test_part_url_of_somebody_else_can_be_used(service):
    with client_of(service) as first:
        file_id = first.upload_part_begin(BUCKET, {"name": "big"})["fileId"]
    known = service.authorization()
    given = service.b2_get_upload_part_url({"fileId": file_id}, service.url)
    with client_of(service, authorization_required=known, upload_required=given, upload_part=True) as second:
        second.upload_part(file_id, b"data", 1)
    assert service.of("b2_upload_part")[0].headers["authorization"] == given["authorizationToken"]


@given(size=st.integers(0, 10**13), part_size=st.integers(5_000_000, 5 * 10**9))
def test_any_size_makes_as_few_parts_as_are_allowed(size, part_size):
    chosen = part_size_for(size, part_size)
    parts = -(-size // chosen)
    assert chosen >= part_size
    assert parts <= MAX_PARTS
    assert chosen == part_size or part_size * MAX_PARTS < size
    assert chosen <= 5 * 10**9


@settings(max_examples=60, deadline=None)
@given(
    data=st.binary(max_size=400),
    part_size=st.integers(1, 100),
    most=st.integers(1, 50),
    announced=st.booleans(),
    limit=st.integers(0, 400),
)
def test_parts_are_the_data_cut_in_pieces_of_one_size(data, part_size, most, announced, limit):
    expected = data[:limit] if announced else data
    source = Source(Pipe(data, most), min(limit, len(data)) if announced else None, B2Limits())
    pieces = []
    while not pieces or not source.is_exhausted():
        with Part.taken_from(source, part_size) as part:
            pieces.append(part.body)
            assert part.sha1 == hashlib.sha1(pieces[-1]).hexdigest()
            assert part.size == len(pieces[-1])
    assert b"".join(pieces) == expected
    assert all(len(piece) == part_size for piece in pieces[:-1])
    assert pieces == [b""] or all(pieces)
    assert source.taken == len(expected)
