# SPDX-License-Identifier: Apache-2.0
"""A program whose types are checked: those of the asyncio face are as precise as those of the facade."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from oio.aio import (
    AsyncObjectReader,
    AsyncObjectStorageApi,
    AsyncObjectStream,
    AsyncObjectWriter,
    AsyncTransfer,
)
from oio.api.types import (
    AccountInfo,
    Chunk,
    ContainerRow,
    DescribedChunk,
    FetchedObject,
    ListedObject,
    ListedPrefix,
    ObjectHealth,
    ObjectListing,
    ObjectMeta,
    ObjectRepair,
    Uploaded,
    WrittenChunk,
)
from oio.transfer import Progress, Remote, Report, Result, TransferConfig

TARGET = "museum", "photos", "cat"


async def photo() -> AsyncIterator[bytes]:
    yield b"mi"
    yield b"aow"


async def objects(api: AsyncObjectStorageApi) -> None:
    created: tuple[list[WrittenChunk], int, str] = await api.object_create(
        "museum", "photos", data=photo(), obj_name="cat", policy="SINGLE", size=5
    )
    uploaded: Uploaded = await api.object_create_ext("museum", "photos", data=b"woof", obj_name="pets/dog")
    assert (created[1], uploaded[3]["name"]) == (5, "pets/dog")
    fetched: tuple[FetchedObject, AsyncObjectStream] = await api.object_fetch(*TARGET, ranges=[(0, 1)])
    meta, stream = fetched
    async with stream:
        blocks: list[bytes] = [block async for block in stream]
    assert (b"".join(blocks), meta["ns"]) == (b"mi", "OPENIO")
    found: tuple[ObjectMeta, list[Chunk]] = await api.object_locate(*TARGET)
    assert found[1][0]["size"] == 5
    _, chunks = await api.object_locate(*TARGET, chunk_info=True)
    described: list[DescribedChunk] = [chunk async for chunk in chunks]
    assert described[0]["chunk_size"] == "5"


async def listings(api: AsyncObjectStorageApi) -> None:
    page: ObjectListing = await api.object_list("museum", "photos")
    items: list[ListedObject] = [item async for item in api.object_list_all("museum", "photos")]
    assert [item["name"] for item in items] == [row["name"] for row in page["objects"]] == ["cat", "pets/dog"]
    folded: list[ListedObject | ListedPrefix] = [
        item async for item in api.object_list_all("museum", "photos", delimiter="/")
    ]
    assert len(folded) == 2
    rows: list[ContainerRow] = [row async for row in api.container_list_all("museum")]
    info: AccountInfo = await api.account_show("museum")
    assert (rows[0][0], info["id"]) == ("photos", "museum")


async def files(api: AsyncObjectStorageApi) -> None:
    writer: AsyncObjectWriter = await api.object_open("museum", "photos", "bird", "wb")
    async with writer:
        written: int = await writer.write(b"tweet")
    reader: AsyncObjectReader
    async with api.object_open("museum", "photos", "bird") as reader:
        data: bytes = await reader.read(written)
        length: str = reader.meta["length"]
    assert (data, length) == (b"tweet", "5")


async def health(api: AsyncObjectStorageApi) -> None:
    checked: ObjectHealth = await api.object_check(*TARGET)
    repaired: ObjectRepair = await api.object_repair(*TARGET)
    assert (checked.status, repaired.status) == ("sound", "sound")
    found: list[ObjectHealth] = [one async for one in api.container_check("museum", "photos")]
    mended: list[ObjectRepair] = [one async for one in api.container_repair("museum", "photos")]
    assert len(found) == len(mended)


async def transfers(api: AsyncObjectStorageApi) -> None:
    shown: list[Progress] = []
    photos = Remote("museum", "photos")
    async with AsyncTransfer(api, TransferConfig(workers=2), on_progress=shown.append) as transfer:
        uploaded: Result = await transfer.upload_file(__file__, photos, "program", deadline=None)
        copied: Report = await transfer.copy_tree(photos, Remote("museum", "copies"), include="pro*")
    assert (uploaded.outcome, copied.done, shown[-1].failed) == ("done", 1, 0)


async def main(endpoint: str) -> None:
    """Use the face.

    :param endpoint: where the proxy is
    """
    async with AsyncObjectStorageApi("OPENIO", endpoint=endpoint, read_timeout=30.0, workers=4) as api:
        await objects(api)
        await listings(api)
        await files(api)
        await health(api)
        await transfers(api)
        deleted: bool = await api.object_delete(*TARGET)
        assert deleted


def run(endpoint: str) -> None:
    asyncio.run(main(endpoint))
