# SPDX-License-Identifier: Apache-2.0
"""Iterators over pages, and published helpers for iterables of blocks, parts and sizes."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from oio.common.answers import JsonMapping

_T = TypeVar("_T")


class Paged(itertools.chain[_T]):
    """Iterator over the entries of pages, which can be closed as a generator can.

    It takes no function of Python for each entry, as a generator would.
    """

    _pages: Generator[Iterable[_T], None, None]

    @classmethod
    def of(cls, pages: Generator[Iterable[_T], None, None]) -> Paged[_T]:
        """Make one of a generator of pages, which is resumed when an entry of the next page is needed."""
        made: Any = cls.from_iterable(pages)
        made._pages = pages
        paged: Paged[_T] = made
        return paged

    def close(self) -> None:
        """Ask for no more pages, and give no more entries."""
        self._pages.close()
        consume(self)


class Closeable:
    """Iterator over several iterables in turn, which closes those that can be closed."""

    def __init__(self, *iterables: Any) -> None:
        self._iterables = iterables
        self._chain = itertools.chain(*iterables)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._chain)

    def close(self) -> None:
        """Close every iterable that has a ``close``."""
        for iterable in self._iterables:
            if hasattr(iterable, "close"):
                iterable.close()


def chain(iterable: Iterable[Any]) -> Any:
    """Skip the empty items at the head of an iterable, and give back a :class:`Closeable` of the rest.

    :returns: an empty list when all items are empty

    >>> list(chain(iter([b"", b"a", b"", b"b"])))
    [b'a', b'', b'b']
    """
    iterator = iter(iterable)
    for first in iterator:
        if first:
            return Closeable([first], iterator)
    return []


def consume(it: Iterable[object]) -> None:
    """Run an iterable to its end."""
    for _ in it:
        pass


def iters_to_raw_body(parts_iter: Iterator[JsonMapping]) -> Iterator[bytes]:
    """Bytes of the first part of a body; nothing when it has no part."""
    part = next(parts_iter, None)
    if part is None:
        return
    yield from part["iter"]
    next(parts_iter, None)


def exp_ramp_gen(start: int, maximum: int) -> Iterator[int]:
    """Generate sizes that double from ``start`` to ``maximum``, and stay there.

    >>> list(itertools.islice(exp_ramp_gen(32, 100), 4))
    [32, 64, 100, 100]
    """
    while start < maximum:
        yield start
        start *= 2
    yield from itertools.repeat(maximum)
