# SPDX-License-Identifier: Apache-2.0
"""Chunks of the next metachunk, which are asked for while one is sent."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator

import pytest

from oio.api._data.metachunks import ObjectWriter
from oio.api._data.source import Source
from oio.common import exceptions as exc
from oio.common import green
from oio.common.chunks import Chunk, Outcome
from oio.common.generator_io import GeneratorIO
from oio.common.limits import NO_LIMITS

SIZE = 10


class Prepared(Iterator[list[Chunk]]):
    """Chunks of metachunks, each after something that is done for it."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)
        self.log: list[str] = []
        self._position = 0

    def __next__(self) -> list[Chunk]:
        self.log.append(f"ask {self._position}")
        if self._steps:
            self._steps.pop(0)()
        self._position += 1
        return [Chunk.of({"url": f"http://a/{self._position}", "pos": str(self._position - 1)})]


class Writer:
    """Takes the data of a metachunk, after a look at what is asked for meanwhile."""

    def __init__(self, chunks: list[Chunk], log: list[str], error: BaseException | None) -> None:
        self.outcomes: list[Outcome] = []
        self._chunks, self._log, self._error = chunks, log, error

    def write(self, source: Source, size: int | None) -> tuple[int, str]:
        self._log.append(f"write {self._chunks[0].position}")
        if self._error is not None:
            raise self._error
        data = source.read(size or 0)
        self.outcomes = [Outcome(chunk, None, True) for chunk in self._chunks]
        return len(data), ""


def write(data: object, prepared: Prepared, error: BaseException | None = None, ahead: bool = True) -> int:
    """Write data; the number of bytes."""
    source = Source(data, NO_LIMITS)  # type: ignore[arg-type]
    writer = ObjectWriter(
        source, prepared, SIZE, lambda chunks, *_: Writer(chunks, prepared.log, error), ahead=ahead
    )
    return writer.run().size


def fail_with(error: BaseException) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_chunks_of_the_next_metachunk_are_asked_for_before_this_one_is_written():
    prepared = Prepared()
    assert write(io.BytesIO(bytes(3 * SIZE)), prepared) == 3 * SIZE
    assert prepared.log == ["ask 0", "ask 1", "write 0", "ask 2", "write 1", "write 2"]


def test_a_file_on_disk_is_known_to_have_more(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(bytes(2 * SIZE))
    prepared = Prepared()
    with path.open("rb") as file:
        assert write(file, prepared) == 2 * SIZE
    assert prepared.log == ["ask 0", "ask 1", "write 0", "write 1"]


def test_nothing_is_prepared_in_vain_for_a_source_of_unknown_size():
    prepared = Prepared()
    assert write(GeneratorIO(iter([bytes(SIZE), bytes(SIZE)])), prepared) == 2 * SIZE
    assert prepared.log == ["ask 0", "write 0", "ask 1", "write 1"]


def test_who_cannot_ask_again_is_asked_when_it_is_needed():
    prepared = Prepared()
    assert write(io.BytesIO(bytes(2 * SIZE)), prepared, ahead=False) == 2 * SIZE
    assert prepared.log == ["ask 0", "write 0", "ask 1", "write 1"]


def test_failure_to_prepare_is_raised_when_the_chunks_are_needed():
    prepared = Prepared(list, fail_with(exc.ServiceBusy(message="busy")))
    with pytest.raises(exc.ServiceBusy, match="busy"):
        write(io.BytesIO(bytes(2 * SIZE)), prepared)
    assert prepared.log == ["ask 0", "ask 1", "write 0"]


def test_failure_of_the_data_comes_before_that_to_prepare():
    prepared = Prepared(list, fail_with(exc.ServiceBusy(message="busy")))
    with pytest.raises(exc.OioException, match="lost"):
        write(io.BytesIO(bytes(2 * SIZE)), prepared, error=exc.OioException("lost"))


@pytest.mark.parametrize("error", [exc.OioTimeout("late"), exc.DeadlineReached("late")])
def test_answer_that_nobody_has_looked_for_in_time_is_asked_for_again(error):
    prepared = Prepared(list, fail_with(error))
    assert write(io.BytesIO(bytes(2 * SIZE)), prepared) == 2 * SIZE
    assert prepared.log == ["ask 0", "ask 1", "write 0", "ask 1", "write 1"]


def test_nobody_asks_any_more_when_the_data_failed():
    ended = []

    def wait_for_ever() -> None:
        try:
            green.sleep(3600)
        finally:
            ended.append(True)

    prepared = Prepared(list, wait_for_ever)
    with pytest.raises(exc.OioException, match="lost"):
        write(io.BytesIO(bytes(2 * SIZE)), prepared, error=exc.OioException("lost"))
    assert ended == [True]


def test_exception_of_the_host_comes_out_as_it_is():
    prepared = Prepared(list, fail_with(KeyError("of the host")))
    with pytest.raises(KeyError, match="of the host"):
        write(io.BytesIO(bytes(2 * SIZE)), prepared)


def test_connection_that_is_late_holds_nobody_up():
    log: list[str] = []
    prepared = Prepared()

    def connect() -> None:
        log.append("begun")
        try:
            green.Event().wait()
        finally:
            log.append("given up")

    class Waiting(Writer):
        def write(self, source: Source, size: int | None) -> tuple[int, str]:
            log.append(f"write {self._chunks[0].position}")
            green.eventlet_yield()
            return super().write(source, size)

    writer = ObjectWriter(
        Source(io.BytesIO(b"x" * 2 * SIZE), NO_LIMITS),
        prepared,
        SIZE,
        lambda chunks, *_: Waiting(chunks, prepared.log, None),
        ahead=True,
        connections=lambda _found, _using: [connect],
    )
    # Waiting for it would last for ever.
    with green.OioTimeout(30):
        assert writer.run().size == 2 * SIZE
    assert log == ["write 0", "begun", "given up", "write 1"]
