# SPDX-License-Identifier: Apache-2.0
"""Names of objects as paths of files: refusals and clashes."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator

from oio.transfer._results import NameRefused

_LONGEST = 255
"""Bytes of the longest name of a file."""
_TEMPORARY = re.compile(r"\.oio-[0-9a-f]{16}\.(?:part|journal)")


def is_temporary_name(name: str) -> bool:
    """Whether a file is one that a download makes for itself.

    >>> is_temporary_name(".oio-0123456789abcdef.part"), is_temporary_name("report.part")
    (True, False)
    """
    return _TEMPORARY.fullmatch(name) is not None


def temporary_names(name: bytes, *identity: str) -> tuple[bytes, bytes]:
    """Names of the files that a download makes for itself: the data, and the journal.

    :param name: of the final file
    :param identity: account, container and name of the object
    """
    parts = [name, *(part.encode("utf-8", "surrogatepass") for part in identity)]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return f".oio-{key}.part".encode(), f".oio-{key}.journal".encode()


def split_name(name: str) -> tuple[bytes, ...]:
    r"""Parts of the path of an object's file, relative to the target directory.

    They are UTF-8, whatever the locale. A backslash is a character like any other.

    :raises NameRefused: the path would leave the directory, or is none

    >>> split_name("photos/cat.jpg")
    (b'photos', b'cat.jpg')
    """
    parts = name.split("/")
    if not name:
        raise NameRefused("the name is empty after the prefix")
    if "\0" in name:
        raise NameRefused(f"name {name!r} has a NUL character, which no file can have")
    if name.startswith("/"):
        raise NameRefused(f"name {name!r} is an absolute path")
    for part in parts:
        if part in {"", ".", ".."}:
            raise NameRefused(f"name {name!r} has a part {part!r}, which is no name of a file")
        if len(part.encode("utf-8", "replace")) > _LONGEST:
            raise NameRefused(f"a part of name {name[:80]!r}... has more than {_LONGEST} bytes")
        if is_temporary_name(part):
            raise NameRefused(f"name {name!r} has a part {part!r}, which downloads use for themselves")
    try:
        return tuple(part.encode("utf-8") for part in parts)
    except UnicodeEncodeError:
        raise NameRefused(f"name {name!r} is no text that can be UTF-8") from None


def plain_name(name: str) -> str:
    """The name without the parts that no file can have: of the file that an object is likely meant to be.

    >>> plain_name("./a//b"), plain_name("/a/../b/"), plain_name("..")
    ('a/b', 'b', '')
    """
    return posixpath.normpath(f"/{name}").lstrip("/")


def lineage(name: str) -> Iterator[str]:
    """A name, and those of the directories that it is in; the empty one last.

    >>> list(lineage("a/b/c"))
    ['a/b/c', 'a/b', 'a', '']
    """
    while name:
        yield name
        name = name.rpartition("/")[0]
    yield ""


class ParentNames:
    """Names that later ones may lie below, as ``a/b`` lies below ``a``. All come in the order of their bytes.

    Those that no later name can lie below are forgotten.

    >>> parents = ParentNames()
    >>> parents.add("a")
    >>> parents.covers("a-b"), parents.covers("a/b"), parents.covers("b/c")
    (False, True, False)
    """

    def __init__(self) -> None:
        self._names: list[str] = []

    def add(self, name: str) -> None:
        """Remember a name."""
        self._forget(name)
        self._names.append(name)

    def covers(self, name: str) -> bool:
        """Whether a name lies below one that is remembered."""
        self._forget(name)
        return any(name.startswith(f"{known}/") for known in self._names)

    def _forget(self, name: str) -> None:
        while self._names and not name.startswith(self._names[-1]):
            self._names.pop()
