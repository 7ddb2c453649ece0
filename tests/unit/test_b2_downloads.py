# SPDX-License-Identifier: Apache-2.0
"""Files that are read from Backblaze B2: exactly what was stored, or an exception."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oio.api.backblaze_http import BackblazeException
from oio.b2.download import locate_answer, read_range
from oio.common import exceptions as exc
from oio.common.deadlines import monotonic_time
from tests.kit.b2_service import BUCKET, Cut, Damage, Refusal, Stall, serving_b2

BLOCK_SIZE = 131072
"""What a stream gives at once."""
DATA = random.Random(1).randbytes(3 * BLOCK_SIZE + 123)
SIZE = len(DATA)


@pytest.fixture
def service():
    with serving_b2() as service:
        service.add("file", DATA)
        yield service


def read(client, start=None, end=None, name="file", **options):
    return b"".join(client.get(BUCKET, name, start, end, **options))


def ranges(service):
    return [call.headers.get("range") for call in service.of("download")]


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [
        (None, None, None),
        (0, None, None),
        (0, SIZE - 1, f"bytes=0-{SIZE - 1}"),
        (0, SIZE + 99, f"bytes=0-{SIZE + 99}"),
        (1, None, "bytes=1-"),
        (10, 10, "bytes=10-10"),
        (None, 99, "bytes=0-99"),
        (SIZE - 1, None, f"bytes={SIZE - 1}-"),
        (SIZE - 5, SIZE + 5, f"bytes={SIZE - 5}-{SIZE + 5}"),
    ],
)
def test_range_is_asked_for_and_given(service, client, start, end, asked):
    assert read(client, start, end) == DATA[start or 0 : SIZE if end is None else end + 1]
    assert ranges(service) == [asked]


@pytest.mark.parametrize(("start", "end"), [(1, None), (100, 200), (BLOCK_SIZE, SIZE - 1), (0, 5)])
def test_whole_file_instead_of_a_range_is_cut_here(service, client, start, end):
    service.fail("download", Damage(status=200, headers={"Content-Range": None}))
    service.download = lambda path, headers: (200, {"X-Bz-File-Id": "1"}, DATA)
    assert read(client, start, end) == DATA[start : SIZE if end is None else end + 1]


@pytest.mark.parametrize("start", [SIZE, SIZE + 10])
def test_range_beyond_the_end_is_refused(service, client, start):
    with pytest.raises(BackblazeException) as caught:
        read(client, start)
    assert caught.value.status_code == 416
    service.download = lambda path, headers: (200, {"X-Bz-File-Id": "1"}, DATA)
    with pytest.raises(BackblazeException) as caught:
        read(client, start)
    assert caught.value.status_code == 416


@pytest.mark.pitfall("A6")
@pytest.mark.parametrize("start", [None, 0, 5])
@pytest.mark.parametrize("body", [b"<html>Log in</html>", b"", DATA])
def test_answer_of_another_server_is_not_taken_for_a_file(service, client, start, body):
    asked = []

    def answer(path, headers):
        asked.append(path)
        return 200, {"Content-Type": "text/html"}, body

    service.download = answer
    with pytest.raises(exc.OioProtocolError, match="X-Bz-File-Id"):
        read(client, start)
    with pytest.raises(exc.OioProtocolError, match="X-Bz-File-Id"):
        client.head(BUCKET, "file")
    assert len(asked) == 2


@pytest.mark.pitfall("A6")
@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(("start", "end"), [(None, None), (0, 9), (5, None)])
def test_file_of_another_size_is_not_given(service, client, start, end, verify):
    for size in (SIZE - 1, SIZE + 1):
        with pytest.raises(exc.CorruptedChunk, match=f"has {SIZE} bytes, not {size}"):
            read(client, start, end, size=size, verify=verify)
    assert (
        read(client, start, end, size=SIZE, verify=verify)
        == DATA[start or 0 : SIZE if end is None else end + 1]
    )


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4), (0, -1)])
def test_range_without_sense_is_refused(client, start, end):
    with pytest.raises(ValueError, match="range"):
        client.get(BUCKET, "file", start, end)


def test_empty_file_is_read(service, client):
    service.add("empty", b"")
    assert read(client, name="empty") == b""
    with pytest.raises(BackblazeException, match=r"\(416\)"):
        read(client, 0, 5, name="empty")


@pytest.mark.parametrize("length", ["4, 5", "4,5"])
def test_description_whose_length_makes_no_sense_is_asked_for_again(service, client, length):
    client.head(BUCKET, "file")
    service.fail("download", Damage(headers={"Content-Length": length}))
    assert client.head(BUCKET, "file")["contentLength"] == len(DATA)
    assert client.waits == [1.0]


def test_file_that_is_not_there(client):
    with pytest.raises(BackblazeException) as caught:
        read(client, name="other")
    assert (caught.value.status_code, caught.value.code) == (404, "not_found")
    with pytest.raises(BackblazeException, match=r"\(404\)"):
        client.head(BUCKET, "other")


@pytest.mark.parametrize(("start", "end"), [(None, None), (77, None), (77, SIZE - 7)])
def test_reading_goes_on_from_the_very_byte_after_a_cut(service, client, start, end):
    service.fail("download", Damage(keep=BLOCK_SIZE + 1000), Damage(keep=10))
    assert read(client, start, end) == DATA[start or 0 : SIZE if end is None else end + 1]
    last = "" if end is None else end
    first = (start or 0) + BLOCK_SIZE + 1000
    assert ranges(service)[1:] == [f"bytes={first}-{last}", f"bytes={first + 10}-{last}"]
    assert client.waits == [1.0, 2.0]


def test_cuts_with_progress_in_between_may_be_many(service, client):
    service.fail("download", *[Damage(keep=BLOCK_SIZE)] * 3)
    assert read(client) == DATA
    assert client.waits == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("keep", [0, 10])
def test_cuts_without_progress_end_it(service, client, keep):
    service.fail("download", *[Damage(keep=keep)] * 10)
    with pytest.raises(exc.OioNetworkException, match="file"):
        read(client)
    assert service.count("download") == 5


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Range": "bytes 0-99/1000"},
        {"Content-Range": f"bytes {BLOCK_SIZE}-{SIZE - 2}/{SIZE}"},
        {"Content-Range": "bytes */1000"},
        {"Content-Range": None},
        {"Content-Range": f"bytes {BLOCK_SIZE + 1}-{SIZE - 1}/{SIZE}"},
        {"Content-Length": None},
    ],
    ids=str,
)
def test_what_is_not_the_rest_is_not_taken_for_it(service, client, headers):
    service.fail("download", Damage(keep=BLOCK_SIZE), Damage(headers=headers))
    assert read(client) == DATA
    assert service.count("download") == 3


def test_file_that_was_replaced_after_the_cut_is_not_mixed_with_the_first(service, client):
    service.fail("download", Damage(keep=2 * BLOCK_SIZE))
    blocks = client.get(BUCKET, "file")
    assert next(blocks) == DATA[:BLOCK_SIZE]
    service.add("file", DATA[::-1])
    with pytest.raises(exc.OioException, match="replaced"):
        list(blocks)


def test_file_that_was_replaced_before_the_first_block_is_not_mixed_either(service, client):
    service.fail("download", Damage(keep=BLOCK_SIZE // 2))
    blocks = client.get(BUCKET, "file")
    service.add("file", DATA[::-1])
    assert b"".join(blocks) == DATA[::-1]


@pytest.mark.parametrize("sha1", [None, "none", "unverified"])
def test_sha1_of_a_whole_file_is_verified(service, client, sha1):
    good = service.version("file").sha1
    known = {None: good, "none": "none", "unverified": f"unverified:{good}"}[sha1]
    info = {"large_file_sha1": good} if sha1 == "none" else {}
    file = service.add("checked", DATA, sha1=known, **info)
    assert read(client, name="checked") == DATA
    file.data = DATA[:-1] + bytes([DATA[-1] ^ 1])
    got = []
    with pytest.raises(exc.CorruptedChunk, match=good):
        got.extend(client.get(BUCKET, "checked"))
    given = b"".join(got)
    assert given, "a large file is given as it comes"
    assert given == DATA[: len(given)]
    assert given != DATA, "the last block is not given before it is verified"


def test_damage_on_the_way_is_repaired_while_nothing_was_given(service, client):
    service.add("small", b"small")
    service.fail("download", Damage(flip=True))
    assert read(client, name="small") == b"small"
    service.fail("download", Damage(flip=True), Damage(flip=True))
    with pytest.raises(exc.CorruptedChunk):
        read(client, name="small")


def test_second_download_without_a_sha1_is_compared_with_that_of_the_first(service, client):
    service.add("small", b"small")
    without = {"X-Bz-Content-Sha1": None}
    service.fail("download", Damage(flip=True), Damage(headers=without))
    assert read(client, name="small") == b"small"
    service.fail("download", Damage(flip=True), Damage(flip=True, headers=without))
    with pytest.raises(exc.CorruptedChunk):
        read(client, name="small")


def test_sha1_is_verified_over_a_cut(service, client):
    service.add("checked", DATA, sha1="0" * 40)
    service.fail("download", Damage(keep=0), Damage(keep=BLOCK_SIZE))
    with pytest.raises(exc.CorruptedChunk, match=service.version("file").sha1):
        read(client, name="checked")
    assert read(client, name="checked", verify=False) == DATA


@pytest.mark.parametrize("size", [3 << 20, (1 << 20) + 1])
def test_sha1_of_a_large_file_is_verified(service, client, size):
    data = random.Random(size).randbytes(size)
    service.add("large", data)
    assert read(client, name="large") == data
    service.version("large").data = data[:-1] + bytes([data[-1] ^ 1])
    with pytest.raises(exc.CorruptedChunk, match="SHA-1"):
        read(client, name="large")


def test_file_of_which_nobody_knows_the_sha1_is_counted_only(service, client):
    service.add("unknown", DATA, sha1="none")
    assert read(client, name="unknown") == DATA
    assert client.head(BUCKET, "unknown")["contentSha1"] is None


def test_sha1_of_the_whole_is_not_that_of_a_range(service, client):
    assert read(client, 5, 10) == DATA[5:11]
    assert client.waits == []


def test_data_come_as_they_are_stored(service, client):
    # requests would decompress, or fail to.
    service.fail("download", Damage(headers={"Content-Encoding": "gzip"}))
    assert read(client) == DATA
    assert service.of("download")[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "fault",
    [Refusal(503), Refusal(429, "too_many_requests", {"Retry-After": "3"}), Refusal(500), Cut()],
    ids=repr,
)
def test_download_that_is_refused_for_now_is_repeated(service, client, fault):
    service.fail("download", fault)
    assert read(client) == DATA
    assert client.waits == [3.0 if isinstance(fault, Refusal) and fault.headers else 1.0]


@pytest.mark.parametrize(
    "fault", [Refusal(403, "download_cap_exceeded"), Refusal(401, "unauthorized")], ids=repr
)
def test_download_that_is_refused_for_good_is_not_repeated(service, client, fault):
    service.fail("download", fault)
    with pytest.raises(BackblazeException) as caught:
        read(client)
    assert caught.value.code == fault.code
    assert service.count("download") == 1


def test_token_that_ends_in_the_middle_is_replaced(service, client):
    service.fail("download", Damage(keep=BLOCK_SIZE), Refusal(401, "expired_auth_token"))
    assert read(client) == DATA
    assert service.count("b2_authorize_account") == 2


def test_read_that_is_given_up_frees_its_connection(service, client):
    blocks = client.get(BUCKET, "file")
    assert next(blocks) == DATA[:BLOCK_SIZE]
    blocks.close()
    assert read(client) == DATA


def test_nothing_is_asked_for_before_the_first_block_is(service, client):
    client.get(BUCKET, "file")
    assert service.count("download") == 0


def test_deadline_ends_a_read(service, client):
    with pytest.raises(exc.DeadlineReached):
        read(client, deadline=monotonic_time())
    service.fail("download", Stall())
    with pytest.raises(exc.OioTimeout, match="file"):
        read(client, deadline=monotonic_time() + 0.3)
    service.fail("download", Damage(keep=BLOCK_SIZE), Stall())
    with pytest.raises(exc.OioNetworkException):
        read(client, deadline=monotonic_time() + 0.3)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [(None, DATA), ({}, DATA), ({"Range": "bytes=5-9"}, DATA[5:10]), ({"range": "bytes=5-"}, DATA[5:])],
)
def test_downloads_of_the_published_interface(service, client, headers, expected):
    service.add("C0/base", DATA)
    assert client.download(BUCKET, {"container_id": "C0", "name": "base"}, headers) == expected
    assert client.download_by_path_name(BUCKET, "file", headers) == expected


@pytest.mark.parametrize("text", ["bytes=-5", "lines=1-2", "bytes=1-2,4-5"])
def test_range_header_that_is_not_understood_is_refused(client, text):
    with pytest.raises(ValueError, match="Range"):
        client.download_by_path_name(BUCKET, "file", {"Range": text})


@given(size=st.integers(1, 10**13), data=st.data())
def test_any_range_is_found_in_the_answer_to_it(size, data):
    start = data.draw(st.integers(0, size - 1))
    end = data.draw(st.none() | st.integers(start, size + 10))
    last = size - 1 if end is None else min(end, size - 1)
    asked = read_range(start, end)
    if asked is None:
        assert (start, end) == (0, None)
    else:
        assert asked == f"bytes={start}-" + ("" if end is None else str(end))
    headers = {"Content-Length": str(last - start + 1), "Content-Range": f"bytes {start}-{last}/{size}"}
    assert locate_answer(206, headers) == (start, last, size)
    assert locate_answer(200, {"Content-Length": str(size)}) == (0, size - 1, size)


@given(first=st.integers(0, 50), last=st.integers(0, 50), size=st.integers(0, 50), length=st.integers(0, 50))
def test_answer_that_contradicts_itself_is_none(first, last, size, length):
    headers = {"Content-Length": str(length), "Content-Range": f"bytes {first}-{last}/{size}"}
    if first <= last < size and length == last - first + 1:
        assert locate_answer(206, headers) == (first, last, size)
    else:
        with pytest.raises(exc.OioProtocolError):
            locate_answer(206, headers)


def test_any_cuts_and_any_range_give_the_bytes_that_were_stored(client, service):
    @settings(max_examples=40, deadline=None)
    @given(
        bounds=st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)).map(sorted),
        cuts=st.lists(st.integers(0, SIZE), max_size=3),
    )
    def check(bounds, cuts):
        service.faults.clear()
        service.fail("download", *[Damage(keep=cut) for cut in cuts])
        assert read(client, *bounds) == DATA[bounds[0] : bounds[1] + 1]

    check()


@pytest.mark.pitfall("A7")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("child_first", [True, False])
def test_parent_and_child_of_a_fork_read_on_by_themselves(service, client, child_first):
    data = random.Random(2).randbytes(60 * BLOCK_SIZE)
    service.add("large", data)
    stream = client.get(BUCKET, "large")
    first = next(stream)
    go_on, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(ready)
            os.read(go_on, 1)
            status = 0 if first + b"".join(stream) == data else 2
        finally:
            os._exit(status)
    os.close(go_on)
    if child_first:
        os.close(ready)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert first + b"".join(stream) == data
    if not child_first:
        os.close(ready)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    # The child asks for what comes after what was read before the fork.
    whole, rest = ranges(service)
    assert whole is None
    assert len(first) < int(rest.removeprefix("bytes=").removesuffix("-")) < len(data)


@pytest.mark.pitfall("A7")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_stream_closed_in_a_child_is_still_open_in_its_parent(service, client):
    data = random.Random(3).randbytes(60 * BLOCK_SIZE)
    service.add("large", data)
    stream = client.get(BUCKET, "large")
    first = next(stream)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            stream.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert first + b"".join(stream) == data
    assert ranges(service) == [None]
