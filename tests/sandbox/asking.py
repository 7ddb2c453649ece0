# SPDX-License-Identifier: Apache-2.0
"""Asking the services of a namespace by hand, without the client."""

from __future__ import annotations

import json
from typing import Any

from oio.sandbox import Namespace
from oio.sandbox.messages import Request, Response
from oio.sandbox.proxy.service import Proxy
from tests.kit.chunkdata import HEADERS, md5
from tests.kit.rawsocket import RawSocket

KEEP = [("Connection", "keep-alive")]


def ask_proxy(namespace: Namespace, method: str, route: str, body: Any = None) -> Any:
    """Return the JSON answer of the proxy, None when there is no body."""
    with RawSocket(namespace.proxy.address) as connection:
        data = b"" if body is None else json.dumps(body).encode()
        answer = connection.ask(method, f"/v3.0/{namespace.name}/{route}", KEEP, data)
    assert answer.status in {200, 201, 204}, answer
    return json.loads(answer.body) if answer.body else None


def scores(namespace: Namespace) -> dict[str, int]:
    """Return the score of each rawx, by its address."""
    return {item["addr"]: item["score"] for item in ask_proxy(namespace, "GET", "conscience/list?type=rawx")}


def store_object(namespace: Namespace, name: str) -> str:
    """Store an object of one chunk by hand; return the URL of its chunk."""
    target = f"acct=acct&ref=ref&path={name}"
    made = ask_proxy(namespace, "POST", f"content/prepare2?{target}", {"size": 4, "policy": "SINGLE"})
    (url,) = [item["url"] for item in made["chunks"]]
    address, _, chunk_id = url.removeprefix("http://").partition("/")
    with RawSocket(address) as connection:
        assert connection.ask("PUT", f"/{chunk_id}", HEADERS, b"data").status == 201
    headers = {
        "x-oio-action-mode": "autocreate",
        "x-oio-content-meta-length": "4",
        "x-oio-content-meta-hash": "8D777F385D3DFEC8815D20F7496026DC",
        "x-oio-content-meta-id": md5(name.encode()),
        "x-oio-content-meta-policy": "SINGLE",
        "x-oio-content-meta-version": "1700000000000000",
        "x-oio-content-meta-chunk-method": "plain/nb_copy=1",
    }
    entry = {"url": url, "pos": "0", "size": 4, "hash": "8D777F385D3DFEC8815D20F7496026DC"}
    with RawSocket(namespace.proxy.address) as connection:
        answer = connection.ask(
            "POST",
            f"/v3.0/{namespace.name}/content/create?{target}",
            list(headers.items()),
            json.dumps({"chunks": [entry], "properties": {}}).encode(),
        )
    assert answer.status == 204, answer
    return str(url)


def ask_rdir(namespace: Namespace, method: str, route: str, volume: str, body: Any = None) -> Any:
    """Return the JSON answer of the rdir about a volume, None when there is no body."""
    with RawSocket(namespace.rdir.address) as connection:
        data = b"" if body is None else json.dumps(body).encode()
        answer = connection.ask(method, f"/v1/rdir/{route}?vol={volume}", (), data)
    assert answer.status in {200, 201, 204, 404}, answer
    return json.loads(answer.body) if answer.body else None


def indexed(namespace: Namespace, number: int = 0) -> list[str]:
    """Return what the rdir knows of the chunks of a rawx, without their dates."""
    found = ask_rdir(namespace, "POST", "fetch", namespace.rawx[number].address)
    return [key for key, _ in found] if isinstance(found, list) else []


def ask(proxy: Proxy, method: str, route: str, query: str = "", body: object = None, **meta: str) -> Response:
    """Ask a proxy that has no sockets; ``meta`` are headers that describe an object."""
    data = b"" if body is None else json.dumps(body).encode()
    headers = [(f"x-oio-content-meta-{name.replace('_', '-')}", value) for name, value in meta.items()]
    return proxy.handle(Request(method, f"/v3.0/NS/{route}?{query}", headers, data))


def status(response: Response) -> tuple[int, int]:
    """Return the status of an error, and that of its body."""
    assert isinstance(response.body, bytes)
    return response.status, json.loads(response.body)["status"]
