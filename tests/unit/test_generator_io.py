# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import array
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.common.utils import GeneratorIO

blocks_lists = st.lists(st.binary(max_size=20), max_size=8)


@given(blocks_lists, st.lists(st.integers(0, 30), max_size=20))
def test_reading_n_bytes_gives_n_bytes_until_the_end(blocks, wanted):
    source = io.BytesIO(b"".join(blocks))
    with GeneratorIO(iter(blocks)) as stream:
        assert [stream.read(n) for n in wanted] == [source.read(n) for n in wanted]
        assert stream.read() == source.read()
        assert stream.read(10) == b""


@given(blocks_lists, st.integers(1, 16))
def test_a_buffered_reader_reads_the_same_bytes(blocks, size):
    with io.BufferedReader(GeneratorIO(iter(blocks)), size) as stream:
        assert stream.read() == b"".join(blocks)


def test_iterating_gives_blocks_of_8192_bytes():
    with GeneratorIO(iter([b"a" * 5000] * 4)) as stream:
        assert [len(block) for block in stream] == [8192, 8192, 3616]


@pytest.mark.pitfall(38)
@pytest.mark.parametrize("data", [b"abc", bytearray(b"abc"), memoryview(b"abc"), "abc"])
def test_one_block_is_one_block(data):
    with GeneratorIO(data) as stream:
        assert list(stream) == [b"abc"]


@pytest.mark.pitfall(37)
def test_text_is_encoded_and_empty_blocks_do_not_end_the_data():
    with GeneratorIO(iter(["é", b"", "", b"x"])) as stream:
        assert stream.read() == b"\xc3\xa9x"


def test_items_may_be_iterables_of_blocks():
    with GeneratorIO(iter([[b"a", b"b"], (b for b in (b"c", b"d")), b"e"])) as stream:
        assert stream.read() == b"abcde"


@pytest.mark.pitfall(38)
@pytest.mark.parametrize("items", [[1], [[b"a"]], [object()]])
def test_anything_but_blocks_is_refused(items):
    with (
        GeneratorIO(iter(items), sub_generator=False) as stream,
        pytest.raises(TypeError, match="must give bytes"),
    ):
        stream.read(1)


@pytest.mark.pitfall(39, "A1")
@pytest.mark.parametrize("read", [lambda s: s.read(), lambda s: s.read(2), next, b"".join])
def test_none_does_not_end_the_data(read):
    with GeneratorIO(iter([None, b"a", None, None, [None, b"b"]])) as stream:
        assert read(stream) == b"ab"


@pytest.mark.pitfall(39, "A1")
def test_a_reader_around_it_hears_that_there_is_nothing_yet():
    with io.BufferedReader(GeneratorIO(iter([b"a", None, b"b"]))) as stream:
        assert [stream.read(2), stream.read(2), stream.read(2)] == [b"a", b"b", b""]


@pytest.mark.pitfall(39, 45, "A2")
def test_stop_iteration_raised_by_the_generator_does_not_end_the_data():
    def source():
        yield b"a"
        raise StopIteration

    with GeneratorIO(source()) as stream:
        assert stream.read(1) == b"a"
        with pytest.raises(RuntimeError, match="StopIteration"):
            stream.read(1)


@pytest.mark.pitfall("B4")
@pytest.mark.parametrize(
    "item",
    [
        memoryview(b"aXbXc")[::2],
        memoryview(b"cba")[::-1],
        memoryview(array.array("h", [1, 2])),
        array.array("b"),
    ],
)
def test_buffers_of_any_shape_are_blocks(item):
    view = memoryview(item)
    with GeneratorIO(iter([view])) as stream:
        assert stream.read() == view.tobytes()


def test_a_buffer_can_be_used_again_when_the_next_block_is_asked_for():
    buffer = bytearray()

    def source():
        for size in (3, 1, 2):
            buffer[:] = b"x" * size
            yield buffer

    with GeneratorIO(source()) as stream:
        assert [stream.read(2), stream.read(4)] == [b"xx", b"xxxx"]


@pytest.mark.pitfall(39)
@pytest.mark.parametrize("error", [RuntimeError("boom"), OSError("boom"), ZeroDivisionError("boom")])
def test_an_error_of_the_generator_comes_out_after_the_data_before_it(error):
    def source():
        yield b"ab"
        raise error

    with GeneratorIO(source()) as stream:
        assert stream.read(2) == b"ab"
        with pytest.raises(type(error), match="boom"):
            stream.read(1)


def test_filling_a_buffer_does_not_wait_for_a_second_block():
    def source():
        yield b"ab"
        pytest.fail("asked for a second block")

    with GeneratorIO(source()) as stream:
        buffer = bytearray(10)
        assert stream.readinto(buffer) == 2
        assert buffer[:2] == b"ab"


def test_reading_nothing_does_not_start_the_generator():
    def source():
        pytest.fail("started")
        yield b""

    with GeneratorIO(source()) as stream:
        assert stream.read(0) == b""


@pytest.mark.pitfall(4)
def test_closing_closes_the_generator():
    left = []

    def source():
        try:
            yield b"a"
            yield b"b"
        finally:
            left.append(True)

    stream = GeneratorIO(source())
    assert stream.read(1) == b"a"
    stream.close()
    stream.close()
    assert left == [True]


@pytest.mark.pitfall(6)
@pytest.mark.parametrize(
    "use", [lambda s: s.read(), lambda s: s.read(1), lambda s: s.readinto(bytearray(1)), next]
)
def test_a_closed_stream_cannot_be_read(use):
    stream = GeneratorIO(b"abc")
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        use(stream)


def test_it_is_a_readable_file_and_nothing_else():
    with GeneratorIO(b"") as stream:
        assert (stream.readable(), stream.writable(), stream.seekable()) == (True, False, False)
