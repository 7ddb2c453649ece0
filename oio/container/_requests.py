# SPDX-License-Identifier: Apache-2.0
"""Requests to the proxy about containers and objects: how they are named, sent, and sent in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from oio.common import exceptions as exc
from oio.common.answers import JsonObject, Response, expect
from oio.common.client import ProxyClient
from oio.common.http_api import NO_DATA

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.http_api import Answer, Data
    from oio.common.keywords import RequestExtras, RequestOptions, RequestParts

_T = TypeVar("_T")

_NO_ROUTE = 404
"""Status, in the body of an answer, that tells that the proxy has no such route."""
_COMMITS = ("/content/create", "/content/update")
_DELETIONS = ("/content/delete", "/content/delete_many")


def container_params(
    account: str | None, reference: str | None, cid: str | None, given: RequestOptions | None = None
) -> JsonObject:
    """Parameters that name a container: its ID when it is known, else its account and its own name.

    :param given: options of the request, which may have the ID
    """
    return content_params(account, reference, None, cid, given)


def property_names(names: Iterable[str] | None) -> list[str]:
    """Names of the properties to remove.

    :raises ValueError: there is no list; an empty one removes all properties (pitfall 103)
    """
    if names is None:
        raise ValueError("properties is required (names of those to remove, an empty list for all of them)")
    return list(names)


def content_params(
    account: str | None,
    reference: str | None,
    path: str | None,
    cid: str | None,
    given: RequestOptions | None = None,
    content: str | None = None,
    version: int | str | None = None,
) -> JsonObject:
    """Parameters that name an object: its path or its content ID, and a version, if one is wanted."""
    if not cid and given and (options := given.get("options")) is not None:
        cid = options.cid
    # An ID in lower case would be that of another container (pitfall 146).
    params: JsonObject = {"cid": cid.upper()} if cid else {"acct": account, "ref": reference}
    if path is not None:
        params["path"] = path
    if content:
        params["content"] = content
    if version is not None:
        params["version"] = version
    return params


class ContentRequests(ProxyClient):
    """Base of the routes about objects."""

    def _is_repeatable(self, url: str, given: RequestParts) -> bool:
        # A second creation may be refused because of the first, a second update drops the chunks of the
        # first, a second deletion brings back what it has hidden: none is ever sent again (pitfalls 33 and
        # 142).
        if url.endswith(_DELETIONS):
            return dict(given.get("params") or {}).get("version") is not None
        return not url.endswith(_COMMITS)

    def _expect(self, resp: Response, body: object) -> JsonObject:
        return expect(dict, resp, body, self.proxy_netloc)

    def _post(
        self,
        action: str,
        params: JsonObject,
        given: RequestOptions,
        data: Data = NO_DATA,
        **more: Unpack[RequestExtras],
    ) -> Answer:
        return self._send("POST", f"{self._root}/content/{action}", given, params, data, **more)

    def _in_pieces(
        self,
        names: list[str],
        send_all: Callable[[list[str]], list[tuple[str, _T]]],
        send_one: Callable[[str], _T],
    ) -> list[tuple[str, _T]]:
        """Send a request about many names, in halves when it is too large.

        A proxy that does not know the route gets a request for each name.
        """
        try:
            return send_all(names)
        except exc.TooLarge:
            if len(names) < 2:
                raise
            middle = len(names) // 2
            halves = names[:middle], names[middle:]
            return [item for half in halves for item in self._in_pieces(half, send_all, send_one)]
        except exc.NotFound as err:
            if err.status != _NO_ROUTE:
                raise
            return [(name, send_one(name)) for name in names]
