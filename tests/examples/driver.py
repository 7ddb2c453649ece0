# SPDX-License-Identifier: Apache-2.0
"""Drives the example web service as an ASGI server would; printed is what its clients would see."""

from __future__ import annotations

import asyncio

from web_service import application


async def ask(method, path, body=(), headers=()):
    incoming = [{"type": "http.request", "body": block, "more_body": True} for block in body]
    incoming.append({"type": "http.request", "body": b""})
    status, received = 0, b""

    async def receive():
        return incoming.pop(0)

    async def send(message):
        nonlocal status, received
        status = message.get("status", status)
        received += message.get("body", b"")

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
    await application(scope, receive, send)
    print(method, path, status, len(received), received[:10])


async def main():
    await ask("PUT", "/web/a/b", [b"x" * 100_000, b"yz"], [(b"content-length", b"100002")])
    await ask("GET", "/web/a/b")
    await ask("GET", "/web/a/b", headers=[(b"range", b"bytes=-3")])
    await ask("GET", "/web/a/b", headers=[(b"range", b"bytes=200000-")])
    await ask("PUT", "/web/short", [b"xyz"], [(b"content-length", b"9")])
    await ask("GET", "/web/short")
    await ask("DELETE", "/web/a/b")
    await ask("GET", "/web/a/b")
    await ask("POST", "/web/a/b")
    messages, sent = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message["type"])

    await application({"type": "lifespan"}, receive, send)
    print(*sent)


asyncio.run(main())
