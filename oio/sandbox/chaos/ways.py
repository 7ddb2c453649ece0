# SPDX-License-Identifier: Apache-2.0
"""Ways to write and to read an object: by a call, as a file, and from an event loop."""

from __future__ import annotations

import asyncio
import functools
import io
import random
from collections.abc import AsyncIterator
from typing import Any, Final

#: How often each way is chosen.
_WEIGHTS: Final = {"call": 6, "file": 2, "loop": 2}
_BLOCK: Final = 30_000


class Ways:
    """The faces of one client.

    :param api: the client.
    :param awaited: the same for event loops; None for calls only.
    """

    def __init__(self, api: Any, awaited: Any = None) -> None:
        self._api = api
        self._awaited = awaited

    def _chosen(self, rng: random.Random) -> str:
        if self._awaited is None:
            return "call"
        return rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]

    def close(self) -> None:
        """End what the client itself does not."""
        if self._awaited is not None:
            asyncio.run(self._awaited.aclose())

    # -- writing

    def store(self, rng: random.Random, names: tuple[str, str, str], data: bytes, **options: Any) -> Any:
        """Write an object.

        :returns: chunks, size and checksum.
        """
        return getattr(self, f"_store_by_{self._chosen(rng)}")(rng, names, data, **options)

    def _store_by_call(
        self, rng: random.Random, names: tuple[str, str, str], data: bytes, **options: Any
    ) -> Any:
        blocks = (data[start : start + _BLOCK] for start in range(0, len(data), _BLOCK))
        source = rng.choice((data, blocks, io.BytesIO(data)))
        return self._api.object_create(*names[:2], data=source, obj_name=names[2], **options)

    def _store_by_file(
        self,
        rng: random.Random,
        names: tuple[str, str, str],
        data: bytes,
        *,
        append: bool = False,
        **options: Any,
    ) -> Any:
        buffering = rng.choice((1, _BLOCK, 131_072))
        with self._api.object_open(*names, "ab" if append else "wb", buffering=buffering, **options) as file:
            for start in range(0, len(data), _BLOCK):
                file.write(data[start : start + _BLOCK])
        return file.raw.result[:3]

    def _store_by_loop(
        self, _rng: random.Random, names: tuple[str, str, str], data: bytes, **options: Any
    ) -> Any:
        async def blocks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), _BLOCK):
                yield data[start : start + _BLOCK]
                await asyncio.sleep(0)

        async def store() -> Any:
            return await self._awaited.object_create(*names[:2], data=blocks(), obj_name=names[2], **options)

        return asyncio.run(store())

    # -- reading

    def fetch(
        self,
        rng: random.Random,
        names: tuple[str, str, str],
        received: bytearray,
        ranges: list[tuple[int, int]] | None,
        **options: Any,
    ) -> int | None:
        """Read an object, or ranges of it.

        :param received: gets the data, as they come.
        :returns: bytes of the object as its description says; None when nothing was said.
        """
        size: int | None = getattr(self, f"_fetch_by_{self._chosen(rng)}")(
            rng, names, received, ranges, **options
        )
        return size

    def _fetch_by_call(
        self,
        _rng: random.Random,
        names: tuple[str, str, str],
        received: bytearray,
        ranges: list[tuple[int, int]] | None,
        **options: Any,
    ) -> int:
        meta, stream = self._api.object_fetch(*names, ranges=ranges, **options)
        with stream:
            for block in stream:
                received += block
        return int(meta["length"])

    def _fetch_by_file(
        self,
        rng: random.Random,
        names: tuple[str, str, str],
        received: bytearray,
        ranges: list[tuple[int, int]] | None,
        **options: Any,
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
        self,
        _rng: random.Random,
        names: tuple[str, str, str],
        received: bytearray,
        ranges: list[tuple[int, int]] | None,
        **options: Any,
    ) -> int:
        async def fetch() -> int:
            meta, stream = await self._awaited.object_fetch(*names, ranges=ranges, **options)
            async with stream:
                async for block in stream:
                    received.extend(block)
            return int(meta["length"])

        return asyncio.run(fetch())
