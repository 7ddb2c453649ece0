# SPDX-License-Identifier: Apache-2.0
"""The client that is measured, behind the same methods as the bare one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Literal

from oio import ObjectStorageApi

Verify = bool | Literal["strict", "server"]


class Ours:
    """An :class:`~oio.ObjectStorageApi` for one account; threads may share it."""

    def __init__(self, proxy: str, namespace: str, account: str, key_file: str = "") -> None:
        more = {"key_file": key_file} if key_file else {}
        self._api = ObjectStorageApi(namespace, endpoint=f"http://{proxy}", **more)  # type: ignore[arg-type]
        self._account = account

    def close(self) -> None:
        self._api.close()

    def put(
        self,
        container: str,
        name: str,
        policy: str,
        data: bytes | IO[bytes],
        size: int,
        algorithm: str = "md5",
    ) -> None:
        self._api.object_create(
            self._account, container, obj_name=name, data=data, policy=policy, chunk_checksum_algo=algorithm
        )

    def get(self, container: str, name: str, verify: Verify = True) -> Iterator[bytes]:
        _, stream = self._api.object_fetch(self._account, container, name, verify_checksum=verify)
        with stream:
            yield from stream

    def get_range(self, container: str, name: str, first: int, last: int, verify: Verify = True) -> bytes:
        asked = [(first, last)]
        _, stream = self._api.object_fetch(
            self._account, container, name, ranges=asked, verify_checksum=verify
        )
        with stream:
            return b"".join(stream)

    def list_names(self, container: str, prefix: str = "") -> Iterator[str]:
        for item in self._api.object_list_all(self._account, container, prefix=prefix or None):
            yield item["name"]

    def head(self, container: str, name: str) -> dict[str, str]:
        return dict(self._api.object_get_properties(self._account, container, name)["properties"])

    def set_properties(self, container: str, name: str, properties: dict[str, str]) -> None:
        self._api.object_set_properties(self._account, container, name, properties)

    def delete(self, container: str, name: str) -> None:
        self._api.object_delete(self._account, container, name)

    def delete_many(self, container: str, names: Sequence[str]) -> list[tuple[str, bool]]:
        return list(self._api.object_delete_many(self._account, container, names))
