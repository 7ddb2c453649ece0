# SPDX-License-Identifier: Apache-2.0
"""A source that has not ended is never taken as ended, whatever the storage policy."""

from __future__ import annotations

import codecs
import io
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from oio.common import exceptions as exc
from tests.kit import sources
from tests.kit.store import Store


@pytest.fixture(params=["THREECOPIES", "EC", "BACKBLAZE", "asyncio-THREECOPIES"])
def served(request: pytest.FixtureRequest) -> tuple[str, str, str]:
    """One policy of each kind: what a source is does not depend on the others."""
    return "7.3", "md5", request.param.removeprefix("asyncio-")


def data_of(size: int) -> bytes:
    return bytes(number % 251 for number in range(size))


def assert_refused(
    store: Store, data: Any, error: type[BaseException], match: str | None = None, **kwargs: Any
) -> Any:
    """Nothing of an object is stored, and nothing is left."""
    with pytest.raises(error, match=match) as caught:
        store.create(data, **kwargs)
    store.assert_empty()
    assert not store.api.object_head(*store.target())
    return caught.value


# --- nothing yet ------------------------------------------------------------------------------------------


@pytest.mark.pitfall(39, "A1")
@pytest.mark.parametrize("buffering", [0, 512])
def test_pipe_that_is_empty_is_waited_for(store: Store, buffering: int) -> None:
    data = data_of(store.unit + 700)
    blocks = [data[begin : begin + 4000] for begin in range(0, len(data), 4000)]
    with sources.Late(blocks, buffering) as pipe:
        store.create(pipe)
        assert pipe.empty > len(blocks)
    store.assert_is(data)


@pytest.mark.pitfall(39, "A1")
@pytest.mark.parametrize("argument", ["data", "file_or_path"])
def test_file_that_gives_none_is_asked_again(store: Store, argument: str) -> None:
    blocks = (None, b"first ", None, None, b"second")
    data = sources.Listed(*blocks) if argument == "data" else None
    file = sources.Listed(*blocks) if argument == "file_or_path" else None
    store.create(data, file_or_path=file)
    store.assert_is(b"first second")


@pytest.mark.pitfall(39, "A1")
def test_generator_that_gives_none_is_asked_again(store: Store) -> None:
    data = data_of(store.unit)
    store.create(iter([None, data[:10], None, None, [None, data[10:], None]]))
    store.assert_is(data)


@pytest.mark.pitfall("A1")
@pytest.mark.parametrize("watched", [True, False])
def test_pipe_that_stays_empty_is_no_empty_object(store: Store, watched: bool) -> None:
    with sources.Silent(watched=watched) as pipe:
        error = assert_refused(store, pipe, exc.SourceReadError, read_timeout=0.2)
    assert isinstance(error, exc.SourceReadTimeout)


@pytest.mark.pitfall("A1")
@pytest.mark.parametrize("begin", [b"", b"first "])
def test_generator_that_has_nothing_for_too_long_has_failed(store: Store, begin: bytes) -> None:
    source = itertools.chain([begin], itertools.repeat(None))
    assert_refused(store, source, exc.SourceReadError, read_timeout=0.2)


# --- a bug of the source ----------------------------------------------------------------------------------


DYING: dict[str, Callable[[list[bytes]], Any]] = {
    "generator": sources.dying,
    "around another": lambda blocks: sources.around(sources.dying(blocks)),
    "map": lambda blocks: map(bytes, sources.dying(blocks)),
    "chain": lambda blocks: itertools.chain([b"first"], sources.dying(blocks)),
    "among others": lambda blocks: iter([b"first", sources.dying(blocks), b"last"]),
    "told again": lambda blocks: sources.telling(sources.dying(blocks)),
    "file": lambda blocks: sources.buffered(sources.dying(blocks)),
    "read": lambda blocks: sources.Listed(*blocks, StopIteration()),
}


@pytest.mark.pitfall(39, "A2")
@pytest.mark.parametrize("kind", DYING)
def test_stray_stop_iteration_is_no_end(store: Store, kind: str) -> None:
    blocks = [data_of(size) for size in (1, 300, store.unit, 20, 7)]
    error = assert_refused(store, DYING[kind](blocks), exc.SourceReadError)
    assert isinstance(error.__cause__, (RuntimeError, StopIteration))


# --- text -------------------------------------------------------------------------------------------------


# ruff: noqa: SIM115 - the test closes them
TEXTS: dict[str, Callable[[Path], Any]] = {
    "named": lambda _: tempfile.NamedTemporaryFile("w+"),
    "spooled": lambda _: tempfile.SpooledTemporaryFile(mode="w+"),
    "codecs": lambda path: codecs.open(str(path), "w+", "utf-16"),
    "io": lambda _: io.StringIO(),
}


@pytest.mark.pitfall(37, "A3")
@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("argument", ["data", "file_or_path"])
@pytest.mark.filterwarnings("ignore:codecs.open:DeprecationWarning")
def test_file_of_text_is_refused(store: Store, tmp_path: Path, kind: str, argument: str) -> None:
    with TEXTS[kind](tmp_path / "text") as file:
        for text in ("", "line\r\nother"):
            file.write(text)
            file.seek(0)
            data, other = (file, None) if argument == "data" else (None, file)
            assert_refused(
                store, data, TypeError, f"{argument} must be opened in binary mode", file_or_path=other
            )


# --- an announced size ------------------------------------------------------------------------------------


def around_units(store: Store) -> list[int]:
    return [0, 1, store.unit - 1, store.unit, store.unit + 1]


@pytest.mark.pitfall("A4")
@pytest.mark.parametrize("kind", [io.BytesIO, lambda data: iter([data]), sources.Listed, bytes])
def test_data_of_another_size_than_announced_leave_nothing(
    store: Store, kind: Callable[[bytes], Any]
) -> None:
    for size in around_units(store):
        if size:
            assert_refused(
                store,
                kind(data_of(size - 1)),
                exc.SourceReadError,
                f"after {size - 1} bytes of {size}",
                size=size,
            )
        assert_refused(
            store, kind(data_of(size + 1)), exc.SourceReadError, f"more than the {size} bytes", size=size
        )


@pytest.mark.pitfall("A4")
def test_data_of_the_announced_size_are_stored(store: Store) -> None:
    for size in around_units(store):
        store.create(io.BytesIO(data_of(size)), size=size)
        store.assert_is(data_of(size))


@pytest.mark.pitfall("A4")
def test_announced_size_is_that_of_what_is_appended(store: Store) -> None:
    store.create(b"first ")
    with pytest.raises(exc.SourceReadError):
        store.append(b"second", size=12)
    store.assert_is(b"first ")
    store.append(b"second", size=6)
    assert store.read() == b"first second"


@pytest.mark.pitfall("A4")
def test_answer_that_is_cut_short_leaves_nothing(store: Store) -> None:
    data = data_of(2000)
    for raw in (
        sources.announced(1_000_000, data),
        sources.announced(1_000_000, b""),
        sources.chunked(data),
        sources.chunked(data)[:-100],
        sources.chunked(),
    ):
        with sources.response(raw) as answer:
            assert_refused(store, answer, exc.SourceReadError)
        with sources.response(raw) as answer:
            assert_refused(store, io.BufferedReader(answer), exc.SourceReadError)


@pytest.mark.pitfall("A4")
def test_answer_that_is_whole_is_stored(store: Store) -> None:
    data = data_of(store.unit + 1)
    for raw in (sources.announced(len(data), data), sources.chunked(data, b"")):
        with sources.response(raw) as answer:
            store.create(answer)
        store.assert_is(data)


@pytest.mark.pitfall("A4")
def test_length_of_another_kind_is_none_of_our_business(store: Store) -> None:
    file = sources.Listed(b"some ", b"data")
    file.length = 1000  # type: ignore[attr-defined]
    store.create(file)
    store.assert_is(b"some data")


# --- exceptions -------------------------------------------------------------------------------------------


class Mine(Exception):
    """Exception of an application."""


class TooLarge(exc.OioException):
    """Exception of an application, derived from one of the library; it has not even its attributes."""

    def __init__(self) -> None:
        pass


class MineOfTheNetwork(exc.OioNetworkException, OSError):
    """Exception of an application that is of many kinds."""


FOREIGN: list[BaseException] = [
    Mine("mine"),
    KeyError("mine"),
    RuntimeError("mine"),
    AssertionError("mine"),
    TypeError("mine"),
    TooLarge(),
    MineOfTheNetwork("mine"),
    exc.NotFound(404, 431, "mine"),
    exc.EtagMismatch("mine"),
    exc.ServiceBusy(503, None, "mine"),
    exc.SourceReadError("mine"),
    exc.DeadlineReached("mine"),
]


@pytest.mark.pitfall("B5", "E12", "E30")
@pytest.mark.parametrize("kind", ["generator", "file"])
def test_exception_of_the_application_comes_out_as_it_is(store: Store, kind: str) -> None:
    def generator(data: bytes) -> Iterator[bytes]:
        yield data
        raise error

    sizes = (0, 1, store.unit, 2 * store.unit + 500)
    # What the exception is and when it comes do not depend on each other.
    for error, size in zip(FOREIGN, itertools.cycle(sizes), strict=False):
        known, data = dict(vars(error)), data_of(size)
        source = generator(data) if kind == "generator" else sources.Listed(*[data] * bool(data), error)
        assert assert_refused(store, source, type(error)) is error
        assert vars(error) == known


@pytest.mark.pitfall("B5")
@pytest.mark.parametrize(
    "error", [OSError("torn"), ValueError("torn"), TimeoutError("torn"), BlockingIOError("torn")]
)
def test_trouble_with_the_source_is_an_error_of_the_source(store: Store, error: BaseException) -> None:
    told = assert_refused(store, sources.Listed(data_of(store.unit), error), exc.SourceReadError, "torn")
    assert told.__cause__ is error


# --- the end ----------------------------------------------------------------------------------------------


@pytest.mark.pitfall("B7")
@pytest.mark.parametrize("buffering", [0, 4096])
def test_first_end_of_a_terminal_is_its_end(store: Store, buffering: int) -> None:
    with sources.terminal(b"first\n\x04second\n\x04", buffering) as file:
        store.create(file)
    store.assert_is(b"first\n")


@pytest.mark.pitfall("B7")
def test_source_is_not_read_after_its_end(store: Store) -> None:
    for size in (0, 1, store.unit - 1, store.unit, 2 * store.unit + 5):
        data = data_of(size)
        source = sources.Listed(*[data] * bool(data))
        store.create(source)
        assert (source.ended, source.asked_after_end) == (True, 0)
        store.assert_is(data)


@pytest.mark.pitfall("B4")
@pytest.mark.parametrize("kind", [lambda view: view, lambda view: iter([view]), sources.Listed])
def test_strided_data_are_stored(store: Store, kind: Callable[[memoryview], Any]) -> None:
    data = data_of(2 * store.unit)
    store.create(kind(memoryview(data)[::2]))
    store.assert_is(data[::2])
    store.create(kind(memoryview(b"abc")[::-1]))
    store.assert_is(b"cba")


@pytest.mark.pitfall("B4")
def test_data_that_are_gone_are_refused(store: Store) -> None:
    view = memoryview(b"data")
    view.release()
    assert_refused(store, view, ValueError, "data cannot be read")
