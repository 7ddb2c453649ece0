# SPDX-License-Identifier: Apache-2.0
"""Objects of one policy in one container, and their chunks or files on the disks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from oio.common import exceptions as exc
from oio.sandbox import Namespace
from oio.sandbox.b2.versions import Version
from tests.kit import buckets
from tests.kit.facade import ACCOUNT, CONTAINER


def parts_on_disk(namespace: Namespace) -> list[str]:
    """URLs of all chunks on rawx and files in B2, including unfinished large files."""
    files = [f"b2/{file.name.partition('/')[2]}" for file in buckets.versions(namespace)]
    return sorted(
        files + [f"http://{rawx.address}/{id_}" for rawx in namespace.rawx for id_ in rawx.chunks()]
    )


def _b2_file(namespace: Namespace, chunk: str) -> Version:
    (file,) = [file for file in buckets.versions(namespace) if file.name.endswith(f"/{chunk}")]
    return file


def lose(namespace: Namespace, url: str) -> None:
    """Delete a chunk or a file from the disk."""
    place, chunk = url.removeprefix("http://").split("/")
    if place == "b2":
        file = _b2_file(namespace, chunk)
        namespace.b2.store.versions.delete(str(file.id), file.name)
    else:
        next(rawx for rawx in namespace.rawx if rawx.address == place).store.delete(chunk)


def spoil(namespace: Namespace, url: str, change: Callable[[bytes], bytes]) -> None:
    """Change the data of a chunk or a file on the disk."""
    place, chunk = url.removeprefix("http://").split("/")
    if place == "b2":
        paths = buckets.paths_of(namespace, _b2_file(namespace, chunk))
    else:
        paths = [rawx.store.path(chunk) for rawx in namespace.rawx if rawx.address == place]
    for path in paths:
        path.write_bytes(change(path.read_bytes()))


@dataclass(frozen=True)
class Store:
    """Objects of one policy in one container.

    :param unit: bytes of a metachunk, or of a part of a large file
    """

    namespace: Namespace
    api: Any
    policy: str
    unit: int
    container: str = CONTAINER

    def by(self, api: Any) -> Store:
        """The same store with another client."""
        return replace(self, api=api)

    def target(self, name: str = "o") -> tuple[str, str, str]:
        """Account, container and name of an object."""
        return ACCOUNT, self.container, name

    def create(self, data: Any, name: str = "o", **kwargs: Any) -> dict[str, Any]:
        """Store an object, and return its description."""
        names: dict[str, Any] = {"account": ACCOUNT, "container": self.container, "obj_name": name}
        return self.api.object_create_ext(data=data, **{**names, "policy": self.policy, **kwargs})[3]  # type: ignore[no-any-return]

    def append(self, data: Any, name: str = "o", **kwargs: Any) -> dict[str, Any]:
        """Add data to an object, whatever its policy is."""
        return self.create(data, name, append=True, **{"policy": None, **kwargs})

    def read(self, name: str | None = "o", **kwargs: Any) -> bytes:
        """Return the data of an object."""
        names = (None, None) if "cid" in kwargs else (ACCOUNT, self.container)
        _, stream = self.api.object_fetch(*names, name, **kwargs)
        with stream:
            return b"".join(stream)

    def truncate(self, size: int, name: str = "o", **kwargs: Any) -> None:
        assert self.api.object_truncate(*self.target(name), size=size, **kwargs) is None

    def delete(self, name: str = "o", **kwargs: Any) -> bool:
        return self.api.object_delete(*self.target(name), **kwargs)  # type: ignore[no-any-return]

    def described(self, name: str = "o", **kwargs: Any) -> dict[str, Any]:
        return self.api.object_get_properties(*self.target(name), **kwargs)  # type: ignore[no-any-return]

    def parts(self, name: str = "o", **kwargs: Any) -> list[str]:
        """URLs of the chunks or files of an object."""
        return sorted(chunk["url"] for chunk in self.api.object_locate(*self.target(name), **kwargs)[1])

    def parts_of_all(self) -> list[str]:
        """URLs of the chunks or files of all versions in the container."""
        rows = self.api.object_list(ACCOUNT, self.container, versions=True)["objects"]
        kept = [(row["name"], row["version"]) for row in rows if not row["deleted"]]
        return sorted(url for name, version in kept for url in self.parts(name, version=version))

    def keep_versions(self) -> None:
        self.api.container_create(ACCOUNT, self.container, system={"sys.m2.policy.version": "-1"})

    def assert_is(self, data: bytes, name: str = "o", policy: str | None = None) -> None:
        """Check that the object has these data and this policy, and that nothing else is on the disks."""
        meta = self.described(name)
        assert (int(meta["length"]), meta["policy"]) == (len(data), policy or self.policy)
        assert self.read(name) == self.read(name, verify_checksum="strict") == data
        assert self.parts(name) == parts_on_disk(self.namespace)
        container = self.api.container_get_properties(ACCOUNT, self.container)
        assert container["system"]["sys.m2.usage"] == str(len(data))

    def forget(self, parts: list[str]) -> None:
        """Delete chunks or files that a test expected to be left."""
        for url in parts:
            lose(self.namespace, url)

    def assert_empty(self) -> None:
        """Check that nothing is left on the disks."""
        assert parts_on_disk(self.namespace) == []

    def close(self) -> None:
        """Delete all objects."""
        with contextlib.suppress(exc.NoSuchContainer):
            self.api.container_flush(ACCOUNT, self.container)
