# SPDX-License-Identifier: Apache-2.0
"""Ways to write and to read an object: by a call, as a file, from an event loop, and by a transfer."""

from __future__ import annotations

import asyncio
import functools
import io
import random
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

#: How often each way is chosen.
_WEIGHTS: Final = {"call": 6, "file": 2, "loop": 2}
_WEIGHTS_OF_READS: Final = {**_WEIGHTS, "transfer": 2}
#: Few threads, small parts and short pauses, so that short runs meet all of them.
_SETTINGS: Final = {
    "workers": 3,
    "part_size": 65_536,
    "retries": 2,
    "retry_delay": 0.05,
    "overwrite": "always",
}
_BLOCK: Final = 30_000

Names = tuple[str, str, str]
"""Account, container and name of an object."""
Ranges = list[tuple[int, int]] | None
"""First and last bytes; None for the whole object."""


class Ways:
    """The faces of one client.

    :param api: the client.
    :param awaited: the same for event loops; None for calls only.
    :param transfers: the module with transfers of many objects; None for calls only.
    """

    def __init__(self, api: Any, awaited: Any = None, transfers: Any = None) -> None:
        self._api = api
        self._awaited = awaited
        self._transfers = transfers
        self._directory: Path | None = None
        self._lock = threading.Lock()

    def _chosen(self, rng: random.Random, weights: dict[str, int]) -> str:
        if self._awaited is None:
            return "call"
        return rng.choices(list(weights), list(weights.values()))[0]

    def close(self) -> None:
        """End the asyncio face, and remove the files."""
        if self._awaited is not None:
            asyncio.run(self._awaited.aclose())
        with self._lock:
            if self._directory is not None:
                shutil.rmtree(self._directory)
                self._directory = None

    # -- transfers

    def directory(self) -> Path:
        """Return the directory for files, which is removed in the end."""
        with self._lock:
            if self._directory is None:
                self._directory = Path(tempfile.mkdtemp(prefix="oio-chaos-files-"))
            return self._directory

    def transfer(self, **settings: Any) -> Any:
        """Return a new ``Transfer``.

        :param settings: besides the usual ones.
        """
        config = self._transfers.TransferConfig(**{**_SETTINGS, **settings})
        return self._transfers.Transfer(self._api, config)

    def remote(self, account: str, container: str, prefix: str = "") -> Any:
        """Return a ``Remote``: a place of objects, for transfers."""
        return self._transfers.Remote(account, container, prefix)

    # -- writing

    def store(self, rng: random.Random, names: Names, data: bytes, **options: Any) -> Any:
        """Write an object.

        :returns: chunks, size and checksum.
        """
        return getattr(self, f"_store_by_{self._chosen(rng, _WEIGHTS)}")(rng, names, data, **options)

    def _store_by_call(self, rng: random.Random, names: Names, data: bytes, **options: Any) -> Any:
        blocks = (data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK))
        source = rng.choice((data, blocks, io.BytesIO(data)))
        return self._api.object_create(*names[:2], data=source, obj_name=names[2], **options)

    def _store_by_file(
        self, rng: random.Random, names: Names, data: bytes, *, append: bool = False, **options: Any
    ) -> Any:
        buffering = rng.choice((1, _BLOCK, 131_072))
        with self._api.object_open(*names, "ab" if append else "wb", buffering=buffering, **options) as file:
            for start in range(0, len(data), _BLOCK):
                file.write(data[start : start + _BLOCK])
        return file.raw.result[:3]

    def _store_by_loop(self, _rng: random.Random, names: Names, data: bytes, **options: Any) -> Any:
        async def blocks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), _BLOCK):
                yield data[start : start + _BLOCK]
                await asyncio.sleep(0)

        async def store() -> Any:
            return await self._awaited.object_create(*names[:2], data=blocks(), obj_name=names[2], **options)

        return asyncio.run(store())

    # -- reading

    def fetch(
        self, rng: random.Random, names: Names, received: bytearray, ranges: Ranges, **options: Any
    ) -> int | None:
        """Read an object, or ranges of it.

        :param received: gets the data, as they come.
        :returns: bytes of the object by its description; None without one.
        """
        size: int | None = getattr(self, f"_fetch_by_{self._chosen(rng, _WEIGHTS_OF_READS)}")(
            rng, names, received, ranges, **options
        )
        return size

    def _fetch_by_call(
        self, _rng: random.Random, names: Names, received: bytearray, ranges: Ranges, **options: Any
    ) -> int:
        meta, stream = self._api.object_fetch(*names, ranges=ranges, **options)
        with stream:
            for block in stream:
                received += block
        return int(meta["length"])

    def _fetch_by_file(
        self, rng: random.Random, names: Names, received: bytearray, ranges: Ranges, **options: Any
    ) -> int:
        with self._api.object_open(*names, **options) as file:
            if ranges is None:
                for block in iter(functools.partial(file.read, rng.choice((1000, _BLOCK, 500_000))), b""):
                    received += block
            for first, last in ranges or ():
                file.seek(first)
                received += file.read(last - first + 1)
            return int(file.raw.size)

    def _fetch_by_loop(
        self, _rng: random.Random, names: Names, received: bytearray, ranges: Ranges, **options: Any
    ) -> int:
        async def fetch() -> int:
            meta, stream = await self._awaited.object_fetch(*names, ranges=ranges, **options)
            async with stream:
                async for block in stream:
                    received.extend(block)
            return int(meta["length"])

        return asyncio.run(fetch())

    def _fetch_by_transfer(
        self, rng: random.Random, names: Names, received: bytearray, ranges: Ranges, **options: Any
    ) -> int:
        if ranges is not None:
            # Transfers move whole objects.
            return self._fetch_by_call(rng, names, received, ranges, **options)
        # Downloads always verify everything.
        options.pop("verify_checksum", None)
        with tempfile.TemporaryDirectory(dir=self.directory()) as directory:
            path = Path(directory, "file")
            result = self.transfer().download_file(self.remote(*names[:2]), names[2], path, **options)
            received += path.read_bytes()
        return int(result.size)
