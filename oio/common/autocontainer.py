# SPDX-License-Identifier: Apache-2.0
"""Names of containers computed from the paths of objects; no service is asked."""

from __future__ import annotations

import abc
import hashlib
import re
from collections.abc import Iterable, Iterator

_HEX = re.compile(r"[0-9A-Fa-f]+")
_DIGITS = re.compile(r"[0-9]+")
_DIGEST_BITS = 256


class NoMatchFound(ValueError):
    """No pattern is found in the path."""


class AutocontainerBase(abc.ABC):
    """Base of the builders: ``builder(path)`` gives the name of the container of an object.

    :param args: those of the builder; the ones that it has no use for are ignored
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__()

    @abc.abstractmethod
    def __call__(self, path: str) -> str:
        """Name of the container that holds the object of this path."""

    def alternatives(self, path: str) -> Iterator[str]:
        """All the names that the container of this path may have, the preferred one first."""
        yield self(path)

    def verify(self, name: object) -> bool:
        """Tell whether a name can be one that this builder gives."""
        return isinstance(name, str)


class ContainerBuilder(AutocontainerBase):
    """Containers that are named like the path.

    >>> ContainerBuilder()("video/film.mp4")
    'video/film.mp4'
    """

    def __call__(self, path: str) -> str:
        """Return the path."""
        return path


class HashedContainerBuilder(AutocontainerBase):
    """Containers that are named by the first bits of the SHA-256 of the path.

    :param offset: characters of the path to leave out first
    :param size: bytes of the UTF-8 of the rest that count; None for all of them
    :param bits: how many bits the name holds (1 to 256), so that there are ``2 ** bits`` containers at most
    :raises ValueError: there are no such bits

    >>> HashedContainerBuilder(bits=9)("video/ABC/film.mp4")
    'DD0'
    """

    def __init__(self, offset: int = 0, size: int | None = None, bits: int = 15) -> None:
        if not 1 <= bits <= _DIGEST_BITS:
            raise ValueError(f"bits must be from 1 to {_DIGEST_BITS}: {bits!r}")
        super().__init__()
        self.offset = offset
        self.size = size
        self.bits = bits
        self._digits = -(-bits // 4)
        self._padding = 4 * self._digits - bits

    def __call__(self, path: str) -> str:
        """Name of the container that holds the object of this path."""
        digest = hashlib.sha256(path[self.offset :].encode()[: self.size]).digest()
        kept = int.from_bytes(digest, "big") >> (_DIGEST_BITS - self.bits)
        return f"{kept << self._padding:0{self._digits}X}"

    def verify(self, name: object) -> bool:
        """Tell whether a name has the right number of digits, and no bit after the ones that count."""
        if not isinstance(name, str) or len(name) != self._digits or not _HEX.fullmatch(name):
            return False
        return not int(name, 16) & ((1 << self._padding) - 1)


class AutocontainerBuilder(AutocontainerBase):
    """Containers that are named by a number at the beginning of the path.

    :param offset: characters of the path to leave out first, slashes not counting
    :param size: characters of the rest that count; None for all of them
    :param mask: bits of the number that count
    :param base: in which `con_format` writes the number
    :param con_format: of the name

    >>> AutocontainerBuilder()("12ab/34zz")
    '000000000000000C'
    """

    def __init__(
        self,
        offset: int = 0,
        size: int | None = None,
        mask: int = 0xFFFFFFFFFF0000FF,
        base: int = 16,
        con_format: str = "%016X",
    ) -> None:
        super().__init__()
        self.offset = offset
        self.size = size
        self.mask = mask
        self.base = base
        self.con_format = con_format

    def __call__(self, path: str) -> str:
        """Name of the container that holds the object of this path.

        :raises ValueError: no digit is where the number should be
        """
        part = path.replace("/", "")[self.offset :][: self.size]
        digits = _DIGITS.match(part)
        if digits is None:
            raise ValueError(f"path must have a number at character {self.offset}: {path[:64]!r}")
        return self.con_format % (int(digits[0]) & self.mask)

    def verify(self, name: object) -> bool:
        """Tell whether a name is a number in the format of the containers."""
        try:
            return isinstance(name, str) and self.con_format % int(name, self.base) == name
        except ValueError:
            return False


class RegexContainerBuilder(AutocontainerBase):
    r"""Containers that are named by what the groups of a pattern match in the path.

    :param patterns: one pattern, or several in order of preference; each has a group at least
    :param builder: class of the builder that makes names of what was matched
    :param args: of this builder
    :raises ValueError: there is no pattern, or one has no group

    >>> RegexContainerBuilder(r"^(\d{4})-(\d{2})")("2026-11-29.log")
    '202611'
    """

    def __init__(
        self,
        patterns: str | re.Pattern[str] | Iterable[str | re.Pattern[str]],
        builder: type[AutocontainerBase] = ContainerBuilder,
        *args: object,
        **kwargs: object,
    ) -> None:
        super().__init__()
        several = [patterns] if isinstance(patterns, (str, re.Pattern)) else list(patterns)
        if not several:
            raise ValueError("patterns must have one pattern at least: none is given")
        self.patterns = [_compile(pattern) for pattern in several]
        self.builder = builder(*args, **kwargs)

    def __call__(self, path: str) -> str:
        """Name of the container that holds the object of this path.

        :raises NoMatchFound: no pattern is found in it
        """
        for name in self.alternatives(path):
            return name
        raise NoMatchFound(f"path has none of the patterns: {path[:64]!r}")

    def alternatives(self, path: str) -> Iterator[str]:
        """One name for each pattern that is found in the path."""
        for pattern in self.patterns:
            found = pattern.search(path)
            if found is not None:
                yield self.builder("".join(filter(None, found.groups())))

    def verify(self, name: object) -> bool:
        """Tell whether a name can be one that the builder of the names gives."""
        return self.builder.verify(name)


def _compile(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as err:
        raise ValueError(f"patterns has one that is no regular expression: {pattern!r}: {err}") from err
    if not compiled.groups:
        raise ValueError(f"patterns has one without a group: {compiled.pattern!r}")
    return compiled
