# SPDX-License-Identifier: Apache-2.0
"""Paths: a container, and the name of an object in it, with any number of parts."""

from __future__ import annotations

from typing import NamedTuple


class Path(NamedTuple):
    """A container and the name of an object; both are empty for the root.

    >>> Path.of("photos/2026/cat.jpg")
    Path(container='photos', name='2026/cat.jpg')
    """

    container: str
    name: str

    @classmethod
    def of(cls, path: str) -> Path:
        """Split a path that has no protocol."""
        container, _, name = path.partition("/")
        return cls(container, name)

    @property
    def prefix(self) -> str:
        """Beginning of the names of all objects in this directory."""
        return f"{self.name}/" if self.name else ""


def parents_of(path: str) -> list[str]:
    """Directories that a path is in, the root last.

    >>> parents_of("box/a/b")
    ['box/a', 'box', '']
    """
    found = []
    while path:
        path = path.rpartition("/")[0]
        found.append(path)
    return found
