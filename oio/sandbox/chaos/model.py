# SPDX-License-Identifier: Apache-2.0
"""Model of what was acknowledged: the states that each object may be in.

A change that succeeded is one state. A change whose answer nobody got is two: either is right. Data are not
kept, but made again from a seed.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, NamedTuple

#: Seconds for which a past state is remembered: longer than any call takes.
_MEMORY: Final = 300.0
#: How many states a history tells.
_TOLD: Final = 12


class Key(NamedTuple):
    """Name of an object, or of one version of it."""

    container: str
    name: str
    version: str = ""


@dataclass(frozen=True)
class Piece:
    """The first ``length`` bytes of the data that are made from ``seed``."""

    seed: str
    length: int

    def data(self) -> bytes:
        """Make the bytes.

        >>> Piece("a", 9).data().startswith(Piece("a", 5).data())
        True
        """
        return hashlib.shake_128(self.seed.encode()).digest(self.length)


@dataclass(frozen=True)
class State:
    """One state of an object.

    :param pieces: its data; None when there is no such object.
    :param properties: of the user.
    :param shortest: fewest bytes that it has, when the data may be any beginning of the pieces, as after a
        truncation that failed in the middle.
    """

    pieces: tuple[Piece, ...] | None
    properties: frozenset[tuple[str, str]] = frozenset()
    shortest: int | None = None

    @property
    def exists(self) -> bool:
        """Whether there is such an object."""
        return self.pieces is not None

    @property
    def size(self) -> int:
        """Bytes, at most."""
        return sum(piece.length for piece in self.pieces or ())

    def data(self) -> bytes:
        """Make the bytes of the object."""
        return b"".join(piece.data() for piece in self.pieces or ())

    def has_size(self, size: int) -> bool:
        """Tell whether an object in this state may have so many bytes."""
        if self.shortest is not None and self.exists:
            return self.shortest <= size <= self.size
        return self.exists and size == self.size

    def has_data(self, data: bytes) -> bool:
        """Tell whether an object in this state may have these bytes."""
        return self.has_size(len(data)) and self.data()[: len(data)] == data

    def appended(self, piece: Piece) -> State:
        """The state after an append."""
        return replace(self, pieces=(*(self.pieces or ()), piece))

    def cut(self, size: int) -> State:
        """The state after a truncation.

        >>> State((Piece("a", 5), Piece("b", 5))).cut(7).pieces
        (Piece(seed='a', length=5), Piece(seed='b', length=2))
        """
        pieces = []
        for piece in self.pieces or ():
            length = min(piece.length, size)
            size -= length
            if length:
                pieces.append(replace(piece, length=length))
        return replace(self, pieces=tuple(pieces), shortest=None)

    def described(self) -> str:
        """Describe the state for a report."""
        if not self.exists:
            return "absent"
        fewest = "" if self.shortest is None else f"{self.shortest} to "
        return f"{fewest}{self.size} bytes, properties {dict(sorted(self.properties))}"


ABSENT: Final = State(None)


def described(states: Iterable[State]) -> str:
    """Describe several states for a report."""
    return " or ".join(dict.fromkeys(state.described() for state in states))


@dataclass(eq=False)
class _Possibility:
    """A state that an object may be in.

    ``settled`` is when the change that leads to it was over; it may take effect until then.
    ``until`` is when it became impossible.
    """

    state: State
    since: float
    settled: float
    until: float = math.inf


class Change:
    """A change in progress: in the ``with`` block, both what was and what will be are possible.

    An end without exception acknowledges the change. After an exception everything stays possible, unless
    :meth:`refused` was called.

    :param book: what is known.
    :param wanted: the states that each object is in when the change succeeds.
    :param passing: states that it may also be in until then, or when the change fails in the middle.
    """

    def __init__(
        self,
        book: Book,
        wanted: Mapping[Key, Iterable[State]],
        passing: Mapping[Key, Iterable[State]],
    ) -> None:
        self._book = book
        self._wanted = {key: tuple(states) for key, states in wanted.items()}
        self._passing = {key: tuple(states) for key, states in passing.items()}
        self._made: dict[Key, list[_Possibility]] = {}

    def __enter__(self) -> Change:
        for key, states in self._wanted.items():
            self._made[key] = self._book._propose(key, (*states, *self._passing.get(key, ())))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in list(self._made):
            if kind is None:
                self.done(key)
            else:
                self.unknown(key)

    def done(self, key: Key) -> None:
        """Note that the change of ``key`` was acknowledged."""
        self._book._acknowledge(key, self._made.pop(key, []), len(self._wanted[key]))

    def unknown(self, key: Key) -> None:
        """Note that nobody knows whether ``key`` was, or will be, changed."""
        self._book._doubt(key, self._made.pop(key, []))

    def refused(self) -> None:
        """Note that nothing was changed."""
        for key, made in self._made.items():
            self._book._withdraw(key, made)
        self._made.clear()

    def others(self, key: Key, since: float) -> list[State]:
        """Return the states that ``key`` may have been in since ``since``, if not for this change."""
        return self._book._possible(key, since, self._made.get(key, ()))


class Book:
    """What is known of all objects; safe from many threads.

    :param clock: tells monotonic seconds.
    :param grace: seconds for which a change without an answer may still take effect.

    >>> book, key = Book(clock=lambda: 0.0), Key("box", "o")
    >>> with book.change({key: [State((Piece("a", 5),))]}):
    ...     before = [state.size for state in book.possible(key, since=0.0)]
    >>> before, [state.size for state in book.possible(key)]
    ([0, 5], [5])
    """

    def __init__(self, clock: Callable[[], float], grace: float = 5.0) -> None:
        self._clock = clock
        self._grace = grace
        self._lock = threading.Lock()
        self._records: dict[Key, list[_Possibility]] = {}

    # -- changes

    def change(
        self, wanted: Mapping[Key, Iterable[State]], passing: Mapping[Key, Iterable[State]] | None = None
    ) -> Change:
        """Return a change to the given states; see :class:`Change`."""
        return Change(self, wanted, passing or {})

    def _record(self, key: Key) -> list[_Possibility]:
        found = self._records.get(key)
        if found is None:
            found = self._records[key] = [_Possibility(ABSENT, -math.inf, -math.inf)]
        return found

    def _propose(self, key: Key, states: Iterable[State]) -> list[_Possibility]:
        with self._lock:
            now = self._clock()
            made = [_Possibility(state, now, math.inf) for state in states]
            self._record(key).extend(made)
            return made

    def _acknowledge(self, key: Key, made: list[_Possibility], wanted: int) -> None:
        if not made:
            return
        with self._lock:
            now = self._clock()
            for other in self._record(key):
                # Those that ran at the same time may have come later.
                if other not in made and other.settled <= made[0].since:
                    other.until = min(other.until, now)
            for number, possibility in enumerate(made):
                possibility.settled = now
                if number >= wanted:
                    possibility.until = now
            self._records[key] = [item for item in self._record(key) if item.until > now - _MEMORY]

    def _doubt(self, key: Key, made: list[_Possibility]) -> None:
        with self._lock:
            for possibility in made:
                possibility.settled = self._clock() + self._grace

    def _withdraw(self, key: Key, made: list[_Possibility]) -> None:
        with self._lock:
            for possibility in made:
                possibility.settled = possibility.until = -math.inf

    def settle(self, key: Key, states: Iterable[State]) -> None:
        """Note that an object that nobody is changing was seen in one of ``states``."""
        with self._lock:
            now = self._clock()
            record = self._record(key)
            if all(item.settled <= now for item in record):
                for item in record:
                    item.until = min(item.until, now)
                record.extend(_Possibility(state, now, now) for state in states)

    # -- questions

    def possible(self, key: Key, since: float | None = None) -> list[State]:
        """Return the states that an object may be in now, or may have been in at any time since ``since``."""
        return self._possible(key, since, ())

    def _possible(self, key: Key, since: float | None, besides: Collection[_Possibility]) -> list[State]:
        with self._lock:
            earliest = math.inf if since is None else since
            return [
                item.state for item in self._record(key) if item.until >= earliest and item not in besides
            ]

    def is_quiet(self, key: Key, since: float | None = None) -> bool:
        """Tell whether no change of ``key`` is going on, nor was since ``since``, nor may come late."""
        with self._lock:
            now = self._clock()
            return all(item.settled <= (now if since is None else since) for item in self._record(key))

    def history(self, key: Key) -> str:
        """Describe for a report the changes that made the latest states of an object possible."""
        with self._lock:
            items = self._record(key)[-_TOLD:]
            return "\n".join(
                f"  {item.since:.6f} to {item.settled:.6f}, possible until {item.until:.6f}: "
                f"{item.state.described()}"
                for item in items
            )

    def keys(self, container: str | None = None) -> list[Key]:
        """Return the keys of one container, or all of them, in the order in which they were first used."""
        with self._lock:
            return [key for key in self._records if container in {None, key.container}]

    def forget(self, container: str) -> None:
        """Forget all of a container, because nothing is known of it any more."""
        with self._lock:
            for key in [key for key in self._records if key.container == container]:
                del self._records[key]
