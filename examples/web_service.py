# SPDX-License-Identifier: Apache-2.0
"""Objects over HTTP: an ASGI application that streams in both directions, for any ASGI server.

``GET``, ``PUT`` and ``DELETE`` of ``/container/name``; ``GET`` understands one range of bytes. For example::

    uvicorn --app-dir examples web_service:application
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from oio.aio import AsyncObjectStorageApi
from oio.common import exceptions as exc

_RANGE = re.compile(rb"bytes=(\d*)-(\d*)")

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]


class Objects:
    """The application.

    :param api: the client, which the application closes when the server shuts down
    :param account: account of the containers to serve
    """

    def __init__(self, api: AsyncObjectStorageApi, account: str) -> None:
        self._api = api
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        _, container, *rest = scope["path"].split("/", 2)
        methods = {"GET": self._get, "PUT": self._put, "DELETE": self._delete}
        method = methods.get(scope["method"])
        if method is None or not container or not rest or not rest[0]:
            await _answer(send, 405 if method is None else 404)
            return
        try:
            await method(dict(scope["headers"]), (container, rest[0]), receive, send)
        except (exc.NoSuchContainer, exc.NoSuchObject):
            await _answer(send, 404)
        except exc.UnsatisfiableRange:
            await _answer(send, 416)
        except (exc.SourceReadError, exc.BadRequest):
            await _answer(send, 400)
        except exc.OioException:
            await _answer(send, 503)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"].removeprefix("lifespan.")
            if kind == "shutdown":
                await self._api.aclose()
            await send({"type": f"lifespan.{kind}.complete"})
            if kind == "shutdown":
                return

    async def _get(
        self, headers: Mapping[bytes, bytes], place: tuple[str, str], _receive: Receive, send: Send
    ) -> None:
        found = _RANGE.fullmatch(headers.get(b"range", b""))
        ranges = None
        if found and found[0] != b"bytes=-":
            ranges = [(int(found[1]) if found[1] else None, int(found[2]) if found[2] else None)]
        meta, stream = await self._api.object_fetch(
            self._account, *place, ranges=ranges, on_unsatisfiable="raise"
        )
        async with stream:
            # Wait for the first block before sending the status: an unreadable object is no success.
            block = await anext(stream, b"")
            told = {b"etag": meta["hash"], b"content-type": meta["mime_type"]}
            if ranges is None:
                told[b"content-length"] = meta["length"]
            await send(_start(200 if ranges is None else 206, told))
            while block:
                await send({"type": "http.response.body", "body": block, "more_body": True})
                block = await anext(stream, b"")
        await send({"type": "http.response.body", "body": b""})

    async def _put(
        self, headers: Mapping[bytes, bytes], place: tuple[str, str], receive: Receive, send: Send
    ) -> None:
        container, name = place
        announced = headers.get(b"content-length")
        kind = headers.get(b"content-type")
        await self._api.object_create(
            self._account,
            container,
            obj_name=name,
            data=_body(receive),
            size=None if announced is None else int(announced),
            mime_type=None if kind is None else kind.decode("latin-1"),
        )
        await _answer(send, 201)

    async def _delete(
        self, _headers: Mapping[bytes, bytes], place: tuple[str, str], _receive: Receive, send: Send
    ) -> None:
        await self._api.object_delete(self._account, *place)
        await _answer(send, 204)


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client has left")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _start(status: int, headers: Mapping[bytes, str]) -> Mapping[str, Any]:
    pairs = [(name, value.encode("latin-1", "replace")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": pairs}


async def _answer(send: Send, status: int) -> None:
    await send(_start(status, {b"content-length": "0"}))
    await send({"type": "http.response.body", "body": b""})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the objects of the account ``OIO_ACCOUNT``."""
    global _objects  # noqa: PLW0603 - made at the first call of the server, in its loop
    if _objects is None:
        api = AsyncObjectStorageApi(os.environ["OIO_NS"], endpoint=os.environ["OIO_PROXYD_URL"])
        _objects = Objects(api, os.environ["OIO_ACCOUNT"])
    await _objects(scope, receive, send)


_objects: Objects | None = None
