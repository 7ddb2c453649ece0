# SPDX-License-Identifier: Apache-2.0
"""Files that are stored at once in Backblaze B2."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import random
import signal
import tempfile
import threading
import tracemalloc
from types import SimpleNamespace
from unittest.mock import Mock
from urllib.parse import unquote_plus

import pytest

from oio.api.backblaze_http import BackblazeException
from oio.b2.session import B2Limits
from oio.b2.upload import Part, Source
from oio.common import exceptions as exc
from oio.common.rereading import Rereadable
from tests.kit.b2_service import (
    BUCKET,
    BUCKET_ID,
    Cut,
    Pipe,
    Refusal,
    client_of,
)

DATA = b"0123456789" * 500
SHA1 = hashlib.sha1(DATA).hexdigest()
MIB = 1 << 20


@pytest.mark.parametrize(
    "source",
    [DATA, bytearray(DATA), io.BytesIO(DATA), Pipe(DATA)],
    ids=["bytes", "bytearray", "file", "pipe"],
)
def test_file_of_any_source_is_stored_with_its_sha1(service, client, source):
    stored = client.put(BUCKET, "c/one", source, mime_type="text/plain", info={"colour": "bl eu+é"})
    file = service.version("c/one")
    assert (file.data, file.mime_type, file.info) == (DATA, "text/plain", {"colour": "bl eu+é"})
    assert stored["fileId"] == file.file_id
    assert (stored["contentLength"], stored["contentSha1"]) == (len(DATA), SHA1)
    headers = service.of("b2_upload_file")[0].headers
    assert headers["x-bz-content-sha1"] == SHA1
    assert headers["user-agent"].startswith("openio-sdk/")


@pytest.mark.parametrize("size", [MIB - 1, MIB, MIB + 1, 3 * MIB + 5])
@pytest.mark.parametrize("of", [lambda data: data, Pipe], ids=["bytes", "pipe"])
def test_data_in_memory_and_on_disk_are_sent_again_as_they_were(service, client, of, size):
    data = random.Random(size).randbytes(size)
    service.fail("b2_upload_file", Cut(), Refusal(503))
    client.put(BUCKET, "one", of(data))
    assert [call.body == data for call in service.of("b2_upload_file")] == [True] * 3
    assert service.data("one") == data


def test_disk_that_takes_no_data_is_told_of(service, client, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    client.put(BUCKET, "small", DATA)
    with pytest.raises(exc.OioException, match=r"cannot set data aside in .*gone"):
        client.put(BUCKET, "large", Pipe(bytes(MIB + 1)))
    assert [file.name for file in service.files] == ["small"]


@pytest.fixture
def without_disk(monkeypatch, tmp_path):
    """There is no room for temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))


@pytest.fixture(params=["buffered", "raw", "temporary", "memory"])
def file_of(request, tmp_path):
    """A function that makes files that can be read twice."""

    def file_of(data):
        if request.param == "memory":
            return io.BytesIO(data)
        if request.param == "temporary":
            file = tempfile.TemporaryFile(dir=tmp_path)  # noqa: SIM115 - the test closes it
            file.write(data)
            file.seek(0)
            return file
        path = tmp_path / "data"
        path.write_bytes(data)
        return path.open("rb", buffering=0 if request.param == "raw" else -1)

    return file_of


@pytest.mark.usefixtures("without_disk")
@pytest.mark.parametrize("size", [None, 3 * MIB + 7])
def test_file_that_can_be_read_twice_is_sent_again_without_a_copy(service, client, file_of, size):
    data = random.Random(1).randbytes(4 * MIB)
    service.fail("b2_upload_file", Cut(), Refusal(503))
    with file_of(data) as source:
        source.seek(5)
        source.read(5)
        client.put(BUCKET, "one", source, size)
        end = len(data) if size is None else 10 + size
        assert source.tell() == end
    assert [call.body == data[10:end] for call in service.of("b2_upload_file")] == [True] * 3
    assert service.data("one") == data[10:end]


@pytest.mark.usefixtures("without_disk")
def test_parts_of_a_file_that_can_be_read_twice_are_sent_without_a_copy(service, file_of):
    data = random.Random(2).randbytes(16 * MIB + 1)
    service.fail("b2_upload_part", Refusal(503), None, Cut())
    with client_of(service, part_size=2 * MIB) as client, file_of(data) as source:
        client.put(BUCKET, "one", source)
    assert service.data("one") == data


@pytest.mark.parametrize("buffer", [io.BufferedReader, lambda file: file])
def test_data_that_are_not_those_of_the_file_with_their_descriptor_are_kept(
    service, client, tmp_path, buffer
):
    data = bytes(3 * MIB)
    path = tmp_path / "data.gz"
    path.write_bytes(gzip.compress(data))
    with gzip.open(path) as file:
        client.put(BUCKET, "one", buffer(file))
    assert service.data("one") == data


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (bytes(3 * MIB), "the data have changed"),
        (bytes(2 * MIB), "the data end after 2097152 of 3145728 bytes when"),
    ],
    ids=["changed", "cut"],
)
def test_file_that_has_changed_while_it_is_stored_is_told_of(service, client, tmp_path, new, told):
    path = tmp_path / "data"
    path.write_bytes(b"1" * 3 * MIB)
    give_url = service.b2_get_upload_url

    def change_first(*asked):
        path.write_bytes(new)
        return give_url(*asked)

    service.b2_get_upload_url = change_first
    with (
        path.open("rb") as source,
        pytest.raises(exc.SourceReadError, match=told),
    ):
        client.put(BUCKET, "one", source)
    assert service.files == []
    client.put(BUCKET, "two", DATA)
    assert service.data("two") == DATA


class TwiceReadable(Rereadable):
    """A source that can be read again, unless that fails."""

    def __init__(self, data, fail=None):
        self._file = io.BytesIO(data)
        self.again = 0
        self._fail = fail

    def read(self, size, /):
        return self._file.read(size)

    def tell(self):
        return self._file.tell()

    def read_at(self, position, size):
        self.again += 1
        if self._fail is not None:
            self._fail()
        return self._file.getvalue()[position : position + size]


def test_source_that_cannot_be_read_again_is_told_of_at_once(service, client):
    failing = Mock(side_effect=OSError("torn tape"))
    with pytest.raises(exc.SourceReadError, match="cannot be read again: torn tape"):
        client.put(BUCKET, "one", TwiceReadable(bytes(3 * MIB), failing))
    assert failing.call_count == 1
    assert service.files == []


def test_exception_of_a_signal_handler_comes_out_of_the_second_read(service, client):
    class Alarm(TimeoutError):
        pass

    def strike(_number, _frame):
        raise Alarm

    before = signal.signal(signal.SIGUSR1, strike)
    try:
        with pytest.raises(Alarm):
            client.put(
                BUCKET, "one", TwiceReadable(bytes(3 * MIB), lambda: signal.raise_signal(signal.SIGUSR1))
            )
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert service.files == []


def test_look_for_a_change_ends_with_the_deadline():
    source = TwiceReadable(bytes(3 * MIB))
    with Part.taken_from(Source(source, None, B2Limits()), None) as part:
        part.check_unchanged(B2Limits())
        assert source.again == 3
        with pytest.raises(exc.DeadlineReached):
            part.check_unchanged(B2Limits(deadline=0.0))
    assert source.again == 4


def test_no_more_is_sent_than_announced(service, client):
    client.put(BUCKET, "one", io.BytesIO(bytes(4 * MIB)), 2 * MIB + 5)
    client.put(BUCKET, "two", DATA)
    assert [len(call.body) for call in service.of("b2_upload_file")] == [2 * MIB + 5, len(DATA)]
    assert service.connections == 1


def test_data_that_can_be_read_again_are_not_kept_in_memory():
    data = io.BytesIO(bytes(64 * MIB))
    # Objects that live longer are made by the first call.
    Part.taken_from(Source(io.BytesIO(bytes(2 * MIB)), None, B2Limits()), None).close()
    tracemalloc.start()
    try:
        with Part.taken_from(Source(data, None, B2Limits()), None) as part:
            assert part.size == 64 * MIB
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [None, 2 * MIB])
def test_bytes_that_a_buffer_has_not_written_yet_are_sent(service, client, tmp_path, size):
    with tempfile.TemporaryFile(buffering=8 * MIB, dir=tmp_path) as file:
        file.write(bytes(3 * MIB))
        file.seek(0)
        file.read(5)
        file.write(b"X" * 100)
        file.seek(0)
        client.put(BUCKET, "one", file, size)
    assert service.data("one") == bytes(5) + b"X" * 100 + bytes((size or 3 * MIB) - 105)


class ReadOnce(io.BytesIO):
    """A file that forgets what it has given."""

    def read(self, size=-1):
        begin, block = self.tell(), super().read(size)
        self.getbuffer()[begin : begin + len(block)] = bytes(len(block))
        return block


def test_only_plain_files_are_read_again(service, client):
    client.put(BUCKET, "one", ReadOnce(b"a" * 3 * MIB))
    assert service.data("one") == b"a" * 3 * MIB
    with open("/dev/urandom", "rb") as device:
        client.put(BUCKET, "two", device, 3 * MIB)
    assert len(service.data("two")) == 3 * MIB


def test_file_that_grows_or_goes_while_it_is_stored_is_stored_as_it_was(service, client, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"1" * 3 * MIB)
    give_url = service.b2_get_upload_url

    def change_first(*asked):
        with path.open("ab") as file:
            file.write(b"more")
        path.unlink()
        return give_url(*asked)

    service.b2_get_upload_url = change_first
    with path.open("rb") as source:
        client.put(BUCKET, "one", source)
    assert service.data("one") == b"1" * 3 * MIB


def test_file_that_is_closed_while_it_is_stored_is_told_of(service, client, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(3 * MIB))
    give_url = service.b2_get_upload_url

    def close_first(*asked):
        source.close()
        return give_url(*asked)

    service.b2_get_upload_url = close_first
    with path.open("rb") as source, pytest.raises(exc.SourceReadError, match="closed"):
        client.put(BUCKET, "one", source)
    assert service.files == []


@pytest.mark.parametrize("source", [b"", Pipe(b"")])
def test_empty_file_is_stored(service, client, source):
    assert client.put(BUCKET, "empty", source)["contentLength"] == 0
    assert service.data("empty") == b""


def test_no_more_of_the_source_is_read_than_asked_for(service, client):
    source = Pipe(DATA)
    assert client.put(BUCKET, "one", source, size=1234)["contentLength"] == 1234
    assert service.data("one") == DATA[:1234]
    assert source.given == 1234


def test_source_that_has_less_than_promised_stores_nothing(service, client):
    with pytest.raises(exc.SourceReadError, match=f"{len(DATA)} bytes of {len(DATA) + 1}"):
        client.put(BUCKET, "one", Pipe(DATA), size=len(DATA) + 1)
    assert service.files == []


@pytest.mark.parametrize("error", [OSError("torn tape"), ValueError("torn tape")])
def test_source_that_fails_is_told_apart(service, client, error):
    source = Pipe(DATA)
    source.read = Mock(side_effect=error)
    with pytest.raises(exc.SourceReadError, match="torn tape") as caught:
        client.put(BUCKET, "one", source)
    assert caught.value.__cause__ is error
    assert service.files == []


@pytest.mark.pitfall("B5")
@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), exc.NotFound(404, None, "mine"), exc.OioNetworkException("mine")]
)
@pytest.mark.parametrize(
    "put", [lambda c, s: c.put(BUCKET, "one", s), lambda c, s: c.upload(BUCKET, {"name": "one"}, s)]
)
def test_exception_of_the_source_comes_out_as_it_is(service, client, put, error):
    source = Pipe(DATA)
    source.read = Mock(side_effect=error)
    with pytest.raises(type(error)) as caught:
        put(client, source)
    assert caught.value is error
    assert service.files == []


@pytest.mark.pitfall("A3")
def test_text_is_refused(service, client):
    with pytest.raises(TypeError, match="source must be opened in binary mode"):
        client.put(BUCKET, "one", io.StringIO("text"))
    with pytest.raises(TypeError, match="data must be opened in binary mode"):
        client.upload_part(
            client.upload_part_begin(BUCKET, {"name": "big"})["fileId"], io.StringIO("text"), 1
        )


@pytest.mark.pitfall("A5")
@pytest.mark.parametrize("size", [None, -1])
def test_size_that_is_unknown_takes_everything(service, client, size):
    assert client.put(BUCKET, "one", Pipe(DATA), size=size)["contentLength"] == len(DATA)
    assert service.data("one") == DATA


@pytest.mark.pitfall("A5")
@pytest.mark.parametrize("size", [10.5, 10.0, "10", -2, True])
def test_size_that_is_no_number_of_bytes_is_refused(service, client, size):
    source = Pipe(DATA)
    with pytest.raises((ValueError, TypeError), match="size must be"):
        client.put(BUCKET, "one", source, size=size)
    assert source.given == 0
    assert service.files == []


@pytest.mark.pitfall("A5")
@pytest.mark.parametrize("size", [0, 5, 1234])
def test_no_more_is_stored_than_asked_for_when_the_source_gives_more(service, client, size):
    assert (
        client.put(BUCKET, "one", SimpleNamespace(read=lambda _size: DATA), size=size)["contentLength"]
        == size
    )
    assert service.data("one") == DATA[:size]


@pytest.mark.pitfall("B4")
def test_strided_data_are_stored(service, client):
    client.put(BUCKET, "one", memoryview(DATA)[::2])
    assert service.data("one") == DATA[::2]


@pytest.mark.pitfall("A1")
def test_source_that_has_nothing_yet_is_waited_for(service, client):
    blocks = [None, DATA[:10], None, None, DATA[10:], b"", b"too late"]
    client.put(BUCKET, "one", SimpleNamespace(read=lambda _size: blocks.pop(0)))
    assert service.data("one") == DATA
    assert blocks == [b"too late"]


@pytest.mark.pitfall("A1")
def test_source_that_has_nothing_for_too_long_has_failed(service):
    with (
        client_of(service, read_timeout=0.1) as client,
        pytest.raises(exc.SourceReadError, match="source has given nothing for"),
    ):
        client.put(BUCKET, "one", SimpleNamespace(read=lambda _size: None))
    assert service.files == []


@pytest.mark.pitfall("B4")
@pytest.mark.parametrize("limit", [0, -1, "0", "soon", math.nan, math.inf, 10**400])
@pytest.mark.parametrize("name", ["connection_timeout", "read_timeout"])
def test_time_limits_that_make_no_sense_are_refused(service, client, name, limit):
    for make in (
        lambda: client_of(service, authorize=False, **{name: limit}),
        lambda: client.with_timeouts(**{name: limit}),
    ):
        with pytest.raises(ValueError, match=name), make():
            pass


@pytest.mark.pitfall("B4")
def test_time_limits_of_any_length_are_taken(service):
    with client_of(service, connection_timeout=1e30, read_timeout="1e30") as client:
        client.put(BUCKET, "one", DATA, deadline=1e30)
    assert service.data("one") == DATA


def test_data_of_another_sha1_than_announced_are_not_sent(service, client):
    with pytest.raises(exc.EtagMismatch, match=SHA1):
        client.put(BUCKET, "one", DATA, sha1="0" * 40)
    assert service.count("b2_upload_file") == 0
    client.put(BUCKET, "one", DATA, sha1=SHA1.upper())


@pytest.mark.parametrize("name", ["a b+c/é%41", "(it's)!*;=:@~$&#?", "日本/..", "a/../b/./c", "a//b", '"\\'])
def test_any_name_is_the_same_in_uploads_and_downloads(service, client, name):
    client.put(BUCKET, name, DATA)
    assert service.data(name) == DATA
    assert b"".join(client.get(BUCKET, name)) == DATA
    assert client.head(BUCKET, name)["contentLength"] == len(DATA)
    assert unquote_plus(service.of("download")[0].target) == f"/file/{BUCKET}/{name}"


@pytest.mark.parametrize("name", ["", "é" * 513, "a\x1fb", "a\x7f", "a\ud800b"])
def test_names_that_no_file_can_have_are_refused_at_once(service, client, name):
    with pytest.raises(ValueError, match="name"):
        client.put(BUCKET, name, DATA)


@pytest.mark.parametrize("options", [{"mime_type": "a\r\nb: c"}, {"info": {"a b": "c"}}, {"info": {"a": 1}}])
def test_what_no_header_can_carry_is_refused(service, client, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        client.put(BUCKET, "one", DATA, **options)


def test_upload_url_serves_again_after_a_success(service, client):
    for number in range(4):
        client.put(BUCKET, f"file-{number}", DATA)
    assert service.count("b2_get_upload_url") == 1
    assert service.count("b2_list_buckets") == 1


REFUSED = [
    Refusal(503, "service_unavailable"),
    Refusal(503),
    Refusal(500, "internal_error"),
    Refusal(502),
    Refusal(408, "request_timeout"),
    Refusal(401, "expired_auth_token"),
    Refusal(401, "bad_auth_token"),
    Refusal(400, "auth_token_limit"),
    Cut(),
    b'{"contentLength": 1, "contentSha1": "0"}',
    b"{}",
    b"<html>",
]


@pytest.mark.parametrize("fault", REFUSED, ids=repr)
def test_failed_upload_is_repeated_at_once_over_another_url(service, client, fault):
    service.fail("b2_upload_file", fault)
    client.put(BUCKET, "one", Pipe(DATA))
    first, second = service.of("b2_upload_file")
    assert first.target != second.target
    assert service.data("one") == DATA
    assert client.waits == []
    assert service.count("b2_authorize_account") == 1


def test_hosts_of_upload_urls_that_refuse_connections_are_left_for_others(service, client, monkeypatch):
    dead = iter(["http://127.0.0.1:1/b2api/v1/b2_upload_file/x/y"] * 3)
    give = service.b2_get_upload_url

    def give_dead_ones_first(asked, base):
        answer = give(asked, base)
        return answer | {"uploadUrl": next(dead, answer["uploadUrl"])}

    monkeypatch.setattr(service, "b2_get_upload_url", give_dead_ones_first)
    client.put(BUCKET, "one", DATA)
    assert service.data("one") == DATA
    assert client.waits == [1.0, 2.0]


@pytest.mark.pitfall(122)
def test_each_attempt_has_its_own_body_token_and_sha1(service, client):
    # The first attempts read the body and use up the token: those that follow must not depend on them.
    service.fail("b2_upload_file", Refusal(401, "expired_auth_token"), Cut(), Refusal(503), Refusal(503))
    client.put(BUCKET, "one", Pipe(DATA))
    attempts = service.of("b2_upload_file")
    assert [call.body for call in attempts] == [DATA] * 5
    assert [call.headers["x-bz-content-sha1"] for call in attempts] == [SHA1] * 5
    assert len({call.headers["authorization"] for call in attempts}) == 5
    assert len({call.target for call in attempts}) == 5
    service.fail("b2_upload_file", *[Refusal(503)] * 9)
    with pytest.raises(BackblazeException):
        client.put(BUCKET, "two", DATA)
    assert service.count("b2_upload_file") == 10, "attempts are bounded"


def test_five_upload_urls_are_tried_with_growing_pauses(service, client):
    service.fail("b2_upload_file", *[Refusal(503, "service_unavailable", message="too busy")] * 5)
    with pytest.raises(BackblazeException, match="too busy") as caught:
        client.put(BUCKET, "one", DATA)
    assert service.count("b2_upload_file") == service.count("b2_get_upload_url") == 5
    assert client.waits == [1.0, 2.0, 4.0]
    assert (caught.value.status_code, caught.value.code) == (503, "service_unavailable")


def test_upload_that_comes_too_often_waits_before_it_uses_another_url(service, client):
    service.fail("b2_upload_file", Refusal(429, "too_many_requests"))
    client.put(BUCKET, "one", DATA)
    assert client.waits == [1.0]


@pytest.mark.parametrize("status", [429, 503])
def test_upload_waits_as_long_as_the_service_asks(service, client, status):
    service.fail("b2_upload_file", Refusal(status, "busy", {"Retry-After": "7"}))
    client.put(BUCKET, "one", DATA)
    assert client.waits == [7.0]


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(400, "bad_request"),
        Refusal(403, "cap_exceeded"),
        Refusal(403, "storage_cap_exceeded"),
        Refusal(401, "unauthorized"),
        Refusal(405, "method_not_allowed"),
    ],
    ids=lambda refusal: str(refusal.code),
)
def test_what_will_not_change_is_not_repeated(service, client, refusal):
    service.fail("b2_upload_file", refusal)
    with pytest.raises(BackblazeException) as caught:
        client.put(BUCKET, "one", DATA)
    assert caught.value.code == refusal.code
    assert service.count("b2_upload_file") == 1
    assert client.waits == []


def test_data_that_are_damaged_on_the_way_are_sent_once_more(service, client):
    damage = Refusal(400, "bad_request", message="Sha1 did not match data received")
    service.fail("b2_upload_file", damage, Refusal(503))
    client.put(BUCKET, "one", DATA)
    assert service.data("one") == DATA
    service.fail("b2_upload_file", damage, damage)
    with pytest.raises(BackblazeException, match="Sha1 did not match"):
        client.put(BUCKET, "one", DATA)
    assert service.count("b2_upload_file") == 5


def test_upload_url_that_cannot_be_had_is_not_asked_for_over_and_over(service, client):
    service.fail("b2_get_upload_url", *[Refusal(503)] * 20)
    with pytest.raises(BackblazeException):
        client.put(BUCKET, "one", DATA)
    assert service.count("b2_get_upload_url") == 5
    assert client.waits == [1.0, 2.0, 4.0, 8.0]


def test_lost_answer_makes_a_second_version_which_is_removed_with_the_first(service, client):
    service.fail("b2_upload_file", Cut(done=True))
    client.put(BUCKET, "one", DATA)
    client.put(BUCKET, "one-more", DATA)
    assert [file.name for file in service.files] == ["one", "one", "one-more"]
    assert client.remove(BUCKET, "one") == 2
    assert [file.name for file in service.files] == ["one-more"]


def test_uploads_of_several_threads_each_have_an_url(service, client):
    client.put(BUCKET, "warm", DATA)
    service.meeting = threading.Barrier(4)
    threads = [
        threading.Thread(target=client.put, args=(BUCKET, f"file-{number}", DATA)) for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.most_busy == 4
    assert len({call.target for call in service.of("b2_upload_file")}) == 4
    assert {service.data(f"file-{number}") for number in range(4)} == {DATA}


def test_unknown_bucket_is_told_of(service, client):
    with pytest.raises(BackblazeException, match="openio-other") as caught:
        client.put("openio-other", "one", DATA)
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("step", "call"),
    [
        ("b2_get_upload_url", lambda client: client.put(BUCKET, "one", DATA)),
        ("b2_list_file_names", lambda client: list(client.get_list_file_names(BUCKET))),
        ("b2_list_file_versions", lambda client: client.remove(BUCKET, "one")),
        ("b2_start_large_file", lambda client: client.upload_part_begin(BUCKET, {"name": "one"})),
    ],
)
def test_bucket_that_was_made_anew_is_looked_up_again(service, client, step, call):
    client.get_list_buckets()
    service.fail(step, Refusal(400, "bad_bucket_id"))
    with pytest.raises(BackblazeException):
        call(client)
    call(client)
    assert service.count("b2_list_buckets") == 2


def test_bucket_that_another_thread_forgets_is_found(service, client):
    """Between any two looks at what is remembered, and after each listing of the buckets."""

    def forget():
        service.fail("b2_list_file_names", Refusal(400, "bad_bucket_id"))
        with pytest.raises(BackblazeException):
            list(client.get_list_file_names_by_bucket_id(BUCKET_ID))
        forgotten.append(BUCKET_ID)

    class Name(str):
        __slots__ = ()

        def __hash__(self):
            thread = threading.Thread(target=forget)
            thread.start()
            thread.join()
            return hash(str(self))

    forgotten = []
    for _ in range(2):
        client.get_list_buckets()
        client.get_list_file_names(Name(BUCKET))
    assert forgotten


def test_upload_url_of_somebody_else_can_be_used(service):
    known = service.authorization()
    given = service.b2_get_upload_url({"bucketId": BUCKET_ID}, service.url)
    with client_of(service, authorization_required=known, upload_required=given) as client:
        client.put(BUCKET, "one", DATA)
    assert service.of("b2_upload_file")[-1].headers["authorization"] == given["authorizationToken"]
    assert service.count("b2_authorize_account") == service.count("b2_get_upload_url") == 0


def test_upload_urls_that_have_all_ended_cost_one_attempt(service, client):
    service.meeting = threading.Barrier(6)
    threads = [threading.Thread(target=client.put, args=(BUCKET, f"{n}", DATA)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    service.meeting = None
    assert service.count("b2_get_upload_url") == 6
    service.urls.clear()
    client.put(BUCKET, "late", DATA)
    assert service.data("late") == DATA
    assert service.count("b2_upload_file") == 8
