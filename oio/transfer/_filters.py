# SPDX-License-Identifier: Apache-2.0
"""Filter of the names of a tree: patterns to include and to exclude."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from oio.common.arguments import WrongValue, wrong_type

Patterns: TypeAlias = "str | Iterable[str]"


@dataclass(frozen=True, slots=True)
class Filter:
    """Choice of names: all, those that match `include`, or those that do not match `exclude`.

    Patterns are those of :func:`fnmatch.fnmatchcase`: ``*`` matches slashes too. One that ends with a slash
    matches all names below. With both, `include` makes exceptions from `exclude`.

    >>> photos = Filter.of(include="*.jpg")
    >>> photos.takes("2026/cat.jpg"), photos.takes("notes")
    (True, False)
    >>> but_one = Filter.of(include="tmp/keep", exclude=["tmp/", "*.log"])
    >>> [but_one.takes(name) for name in ("tmp/keep", "tmp/a/b", "x.log", "x")]
    [True, False, False, True]
    """

    include: re.Pattern[str] | None = None
    exclude: re.Pattern[str] | None = None

    @classmethod
    def of(cls, include: Patterns = (), exclude: Patterns = ()) -> Filter:
        """Compile patterns.

        :param include: one pattern, or several
        :param exclude: the same
        :raises TypeError: a pattern is not a str
        :raises ValueError: a pattern is empty
        """
        return cls(_compiled("include", include), _compiled("exclude", exclude))

    def takes(self, name: str) -> bool:
        """Whether a name is moved, or deleted, at all."""
        if self.include is not None and self.include.match(name):
            return True
        if self.exclude is not None:
            return not self.exclude.match(name)
        return self.include is None


def _compiled(argument: str, given: object) -> re.Pattern[str] | None:
    if isinstance(given, str):
        given = (given,)
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise wrong_type(argument, "patterns", given)
    expressions = []
    for pattern in given:
        if not isinstance(pattern, str):
            raise wrong_type(argument, "patterns (str)", pattern)
        if not pattern:
            raise WrongValue(f"{argument} must be patterns that are not empty: {pattern!r}")
        expressions.append(fnmatch.translate(f"{pattern}*" if pattern.endswith("/") else pattern))
    return re.compile("|".join(expressions)) if expressions else None
