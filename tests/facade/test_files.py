# SPDX-License-Identifier: Apache-2.0
"""Objects as files: reading that seeks, and writing that is committed when the file is closed."""

from __future__ import annotations

import gc
import io
import os
import random
import shutil
import sys
import threading
import zipfile
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oio.common import exceptions as exc
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CHUNK_SIZE, CONTAINER, LARGE, chunks_on_disk, create, read, routes
from tests.kit.objects import eventually
from tests.kit.watchdog import watched

NAMES = (ACCOUNT, CONTAINER, "o")


@pytest.fixture
def stored(api: Any) -> Any:
    """A client of a namespace that has one object."""
    create(api, "o", LARGE)
    return api


class _Interrupting:
    """Raises KeyboardInterrupt, as a signal would, when a function of the library begins or ends again."""

    def __init__(self, name: str, times: int = 1, *, event: str = "call", module: str = "files.py") -> None:
        self._name = name
        self._left = times
        self._event = event
        self._module = os.path.join(os.sep, module)

    def __call__(self, frame: FrameType, event: str, _arg: object) -> _Interrupting | None:
        code = frame.f_code
        if code.co_name != self._name or not code.co_filename.endswith(self._module):
            return None
        if event == self._event:
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt
        return self

    def __enter__(self) -> None:
        self._before = sys.gettrace()
        sys.settrace(self)

    def __exit__(self, *_exc: object) -> None:
        sys.settrace(self._before)


# --- streams ---


def test_stream_is_copied_as_a_file(api: Any) -> None:
    create(api, "o", LARGE)
    _, stream = api.object_fetch(*NAMES)
    target = io.BytesIO()
    with stream:
        shutil.copyfileobj(stream, target, 1000)
    assert target.getvalue() == LARGE


@given(sizes=st.lists(st.integers(0, 2 * CHUNK_SIZE), min_size=1, max_size=8))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_reads_of_any_sizes_give_all_bytes(stored: Any, sizes: list[int]) -> None:
    _, stream = stored.object_fetch(*NAMES)
    with stream:
        parts = [stream.read(size) for size in sizes]
        rest = b"".join(stream)
    position = 0
    for size, part in zip(sizes, parts, strict=True):
        assert part == LARGE[position : position + size]
        position += len(part)
    assert rest == LARGE[position:]


def test_stream_fills_a_buffer_and_text(api: Any) -> None:
    text = "".join(f"line {number} é\n" for number in range(5000))
    create(api, "o", text.encode())
    _, stream = api.object_fetch(*NAMES)
    with io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8") as lines:
        assert list(lines) == text.splitlines(keepends=True)
    assert stream.closed


def test_blocks_begin_with_what_a_read_has_left(api: Any) -> None:
    create(api, "o", LARGE)
    _, stream = api.object_fetch(*NAMES)
    with stream:
        assert stream.read1(10) == LARGE[:10]
        assert next(stream)[:10] == LARGE[10:20]


def test_closed_stream_gives_nothing_that_looks_like_its_end(api: Any) -> None:
    create(api, "o", LARGE)
    _, stream = api.object_fetch(*NAMES)
    assert stream.read(5) == LARGE[:5]
    stream.close()
    for use in (stream.read, stream.read1, lambda: stream.readinto(bytearray(3))):
        with pytest.raises(ValueError, match="closed"):
            use()


# --- reading ---


def test_file_is_located_once_and_seeks(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE)
    namespace.forget_requests()
    with api.object_open(*NAMES) as file:
        assert file.seek(-20, io.SEEK_END) == len(LARGE) - 20
        assert file.read() == LARGE[-20:]
        file.seek(CHUNK_SIZE - 5)
        assert file.read(10) == LARGE[CHUNK_SIZE - 5 : CHUNK_SIZE + 5]
        assert file.tell() == CHUNK_SIZE + 5
        file.seek(0)
        assert file.read() == LARGE
        assert file.read() == b""
        assert file.raw.size == len(LARGE)
        assert file.raw.meta["name"] == "o"
    assert [route for route in routes(namespace) if "locate" in route] == [routes(namespace)[0]]


def test_reading_from_the_beginning_is_one_request_for_each_metachunk(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE)
    namespace.forget_requests()
    with api.object_open(*NAMES, buffering=1) as file:
        while file.read(999):
            pass
    asked = [route.split()[:2] for route in routes(namespace)[1:]]
    assert asked == [["rawx", "GET"]] * -(-len(LARGE) // CHUNK_SIZE)


def test_whole_of_a_file_is_verified(api: Any, namespace: Namespace) -> None:
    create(api, "o", LARGE)
    damage = Fault("corrupt", service="rawx", operation="GET", after_bytes=1000)
    file = api.object_open(*NAMES)
    with file, namespace.faults(damage) as plan, pytest.raises(exc.CorruptedChunk):
        file.read()
    plan.assert_met()


@given(
    steps=st.lists(
        st.tuples(st.integers(0, len(LARGE) + 10), st.integers(0, CHUNK_SIZE * 2)), min_size=1, max_size=12
    ),
    buffering=st.sampled_from([1, 100, 131072]),
)
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_any_jumps_read_what_a_file_on_disk_would(
    stored: Any, steps: list[tuple[int, int]], buffering: int
) -> None:
    model = io.BytesIO(LARGE)
    with stored.object_open(*NAMES, buffering=buffering) as file:
        for position, size in steps:
            assert file.seek(position) == model.seek(position)
            assert file.read(size) == model.read(size)
            assert file.tell() == model.tell()


@pytest.mark.parametrize("function", ["readinto", "read"])
def test_read_after_an_interrupted_one_gives_the_right_bytes(stored: Any, function: str) -> None:
    with stored.object_open(*NAMES, buffering=16) as file:
        assert file.read(10) == LARGE[:10]
        file.seek(1000)
        interrupting = _Interrupting(function, event="return", module="block_reader.py")
        with pytest.raises(KeyboardInterrupt), interrupting:
            file.read(100)
        file.seek(1000)
        assert file.read() == LARGE[1000:]


def test_zip_archive_is_read_and_written_in_place(api: Any) -> None:
    content = {f"{number}.bin": random.Random(number).randbytes(3000) for number in range(5)}
    with api.object_open(*NAMES, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    with api.object_open(*NAMES) as file, zipfile.ZipFile(file) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == content


def test_file_that_is_not_there(api: Any) -> None:
    create(api, "other")
    with pytest.raises(exc.NoSuchObject):
        api.object_open(*NAMES)


def test_position_outside_is_refused_and_changes_nothing(api: Any) -> None:
    create(api, "o", b"hello")
    with api.object_open(*NAMES) as file:
        file.seek(2)
        with pytest.raises(ValueError, match="-3"):
            file.raw.seek(-3)
        with pytest.raises(ValueError, match="whence"):
            file.raw.seek(0, 7)
        assert file.read() == b"llo"
    with pytest.raises(ValueError, match="closed"):
        file.read()


# --- writing ---


def test_written_file_is_there_when_it_is_closed(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    properties = {"color": "red"}
    with api.object_open(
        *NAMES, "wb", properties=properties, mime_type="text/x", policy="SINGLE", buffering=100
    ) as file:
        for begin in range(0, len(LARGE), 77):
            file.write(LARGE[begin : begin + 77])
        assert file.tell() == len(LARGE)
        assert api.object_list(ACCOUNT, CONTAINER)["objects"] == []
    assert read(api, "o") == LARGE
    described = api.object_get_properties(*NAMES)
    assert (described["properties"], described["mime_type"]) == (properties, "text/x")
    _, size, _, meta = file.raw.result
    assert (size, meta["policy"]) == (len(LARGE), "SINGLE")


def test_empty_file_is_an_empty_object(api: Any) -> None:
    api.object_open(*NAMES, "wb").close()
    assert read(api, "o") == b""


def test_buffer_may_change_once_it_was_written(api: Any) -> None:
    with api.object_open(*NAMES, "wb", buffering=1) as file:
        buffer = bytearray(b"a" * 5000)
        for letter in b"abcdef":
            buffer[:] = bytes([letter]) * 5000
            file.write(buffer)
    assert read(api, "o") == b"".join(bytes([letter]) * 5000 for letter in b"abcdef")


def test_nothing_is_stored_when_the_block_raises(api: Any, namespace: Namespace) -> None:
    create(api, "o", b"before")
    stored = chunks_on_disk(namespace)

    def write() -> None:
        with api.object_open(*NAMES, "wb", buffering=1000) as file:
            file.write(LARGE)
            raise LookupError("of the program")

    with pytest.raises(LookupError, match="of the program"):
        write()
    assert read(api, "o") == b"before"
    assert chunks_on_disk(namespace) == stored


@pytest.mark.parametrize("function", ["write", "put"])
def test_interrupted_close_commits_nothing(api: Any, namespace: Namespace, function: str) -> None:
    create(api, "o", b"before")
    stored = chunks_on_disk(namespace)
    file = api.object_open(*NAMES, "wb", buffering=1000)
    file.write(LARGE)
    file.write(b"the buffer holds this")
    with pytest.raises(KeyboardInterrupt), _Interrupting(function):
        file.close()
    assert file.closed
    assert read(api, "o") == b"before"
    assert chunks_on_disk(namespace) == stored


def test_nothing_is_stored_after_an_interrupted_write(api: Any, namespace: Namespace) -> None:
    create(api, "o", b"before")
    stored = chunks_on_disk(namespace)
    file = api.object_open(*NAMES, "wb", buffering=1)
    with pytest.raises(KeyboardInterrupt), _Interrupting("put", times=2):
        file.write(bytes(2 << 20))
    with pytest.raises(exc.OioException, match="abandoned"):
        file.write(b"more")
    with pytest.raises(exc.OioException, match="abandoned"):
        file.close()
    assert read(api, "o") == b"before"
    assert chunks_on_disk(namespace) == stored


def test_forked_process_cannot_write_to_the_file_of_its_parent(api: Any) -> None:
    file = api.object_open(*NAMES, "wb", buffering=1)
    file.write(b"of the parent")
    child = os.fork()
    if not child:
        told = 0
        for call in (lambda: file.write(b"of the child"), file.close):
            try:
                call()
            except exc.OioException:
                told += 1
        file.abort()
        os._exit(told)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2
    file.close()
    assert read(api, "o") == b"of the parent"


def test_aborted_file_stores_nothing_and_is_closed(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    file = api.object_open(*NAMES, "wb", buffering=1000)
    file.write(LARGE)
    file.abort()
    file.abort()
    file.close()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.write(b"more")
    assert chunks_on_disk(namespace) == []
    assert api.object_list(ACCOUNT, CONTAINER)["objects"] == []


def test_abort_does_not_wait_for_a_server_that_stalls(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    stall = Fault("stall", service="rawx", operation="PUT", after_bytes=100)
    file = api.object_open(*NAMES, "wb", buffering=1000)
    with namespace.faults(stall) as plan:
        file.write(LARGE)
        eventually(lambda: plan.hits(stall) > 0)
        # The limit of time of the server would be a minute.
        watched(file.abort)
    assert api.object_list(ACCOUNT, CONTAINER)["objects"] == []


def test_forgotten_file_is_told_of_and_not_stored(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    files = [api.object_open(*NAMES, "wb", buffering=1000)]
    files[0].write(LARGE)
    uploading = [thread for thread in threading.enumerate() if thread.name == "oio upload"]
    with pytest.warns(ResourceWarning, match="'o' was not stored"):
        files.clear()
    for thread in uploading:
        thread.join(20)
        assert not thread.is_alive()
    assert chunks_on_disk(namespace) == []
    assert api.object_list(ACCOUNT, CONTAINER)["objects"] == []


def test_appended_file_begins_where_the_object_ends(api: Any) -> None:
    with api.object_open(*NAMES, "ab") as file:
        file.write(b"hello ")
    with api.object_open(*NAMES, "ab") as file:
        assert file.tell() == 6
        file.write(b"world")
    assert read(api, "o") == b"hello world"


def test_exclusive_file_never_replaces_an_object(api: Any) -> None:
    with api.object_open(*NAMES, "xb") as file:
        file.write(b"first")
    with pytest.raises(FileExistsError, match="'o' exists") as caught:
        api.object_open(*NAMES, "xb")
    assert isinstance(caught.value, exc.Conflict)
    late = api.object_open(ACCOUNT, CONTAINER, "p", "xb")
    late.write(b"late")
    create(api, "p", b"sooner")
    with pytest.raises(exc.ObjectExists):
        late.close()
    assert (read(api, "o"), read(api, "p")) == (b"first", b"sooner")


def test_failed_upload_is_told_to_who_writes(api: Any, namespace: Namespace) -> None:
    api.container_create(ACCOUNT, CONTAINER)

    def write() -> None:
        with api.object_open(*NAMES, "wb", buffering=1000) as file:
            while True:
                file.write(LARGE)

    with namespace.faults(Fault("refuse", service="rawx")), pytest.raises(exc.OioException):
        write()
    assert chunks_on_disk(namespace) == []


def test_failed_commit_is_told_when_the_file_is_closed(api: Any, namespace: Namespace) -> None:
    with pytest.raises(exc.NoSuchContainer), api.object_open(*NAMES, "wb", autocreate=False) as file:
        file.write(b"hello")
    assert file.closed
    assert chunks_on_disk(namespace) == []


def test_file_is_written_by_several_threads(api: Any) -> None:
    with api.object_open(*NAMES, "wb", buffering=1) as file:
        for letter in "abc":
            thread = threading.Thread(target=file.write, args=(letter.encode() * 3000,))
            thread.start()
            thread.join()
    assert read(api, "o") == b"a" * 3000 + b"b" * 3000 + b"c" * 3000


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"mode": "r"}, "mode must be one of rb, wb, ab, xb: 'r'"),
        ({"mode": "rb", "policy": "SINGLE"}, "policy must not be given to read an object: 'SINGLE'"),
        ({"mode": "wb", "buffering": 0}, "buffering must be a number of bytes, 1 at least: 0"),
        ({"mode": "wb", "properties": {"a": 1}}, "properties"),
        ({"mode": "wb", "obj": ""}, "obj"),
    ],
)
def test_mistakes_are_told_when_the_file_is_opened(
    offline_api: Any, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(exc.BadRequest, match=text):
        offline_api.object_open(ACCOUNT, CONTAINER, **{"obj": "o", **arguments})


def test_unknown_option_is_told_at_the_line_that_opens(api: Any) -> None:
    with pytest.warns(exc.UnknownOption, match="dead_line") as caught:
        api.object_open(*NAMES, "wb", dead_line=3).close()
    assert [warning.filename for warning in caught] == [__file__]


def test_file_whose_buffer_was_detached_is_written_without_it(api: Any) -> None:
    file = api.object_open(*NAMES, "wb")
    file.write(b"one ")
    raw = file.detach()
    del file
    gc.collect()
    raw.write(b"two")
    raw.close()
    assert b"".join(api.object_fetch(*NAMES)[1]) == b"one two"
