# SPDX-License-Identifier: Apache-2.0
"""Files that a client has written, remembered until they are known to be gone, or to stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from oio.common import green

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIMIT = 10_000


class WrittenFile(NamedTuple):
    """A file of a version of an object that was committed.

    :param name: of the object
    :param version: of the object
    :param chunk_method: of the object
    :param url: of the chunk that the file holds
    """

    name: str
    version: str
    chunk_method: str
    url: str


class WrittenFiles:
    """Files that a client has written, by the ID of their container and the name of their object.

    Writers of one name do not see each other: each looks at what it will replace, and another version may
    be committed before its own. What a client has written itself it can look at again. Shared by threads.

    :param limit: number of objects that are remembered, those that were changed last
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        #: Public only to tell whether there are any.
        self.files: dict[tuple[str, str], dict[str, WrittenFile]] = {}
        self._lock = green.Lock()

    def of(self, cid: str, name: str) -> list[WrittenFile]:
        """Files of an object, in the order in which they were written."""
        with self._lock:
            return list(self.files.get((cid, name), {}).values())

    def add(self, cid: str, files: Iterable[WrittenFile]) -> None:
        """Remember files of an object."""
        with self._lock:
            for file in files:
                key = cid, file.name
                known = self.files[key] = self.files.pop(key, {})
                known[file.url] = file
            while len(self.files) > self._limit:
                del self.files[next(iter(self.files))]

    def forget(self, cid: str, files: Iterable[WrittenFile]) -> None:
        """Forget files of an object, which need not be known."""
        with self._lock:
            for file in files:
                key = cid, file.name
                known = self.files.get(key, {})
                known.pop(file.url, None)
                if not known:
                    self.files.pop(key, None)
