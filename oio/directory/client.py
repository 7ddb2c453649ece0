# SPDX-License-Identifier: Apache-2.0
"""Client of the directory: references (names of things in accounts), and the services linked to them."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from oio.common import exceptions as exc
from oio.common.answers import JsonObject, expect
from oio.common.client import ProxyClient

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.keywords import ProxyOptions, RequestOptions, SendOptions

_CREATED = 201


class DirectoryClient(ProxyClient):
    """Requests about references, one method for each route of the proxy.

    Every method names the reference by `account` and `reference`, or by its ID `cid` (64 upper-case hex
    digits), and takes the options of a request as keywords, as
    :class:`~oio.container.client.ContainerClient` does.

    :param conf: a dict with at least ``namespace``
    :param kwargs: options of :class:`~oio.common.client.ProxyClient`

    >>> DirectoryClient({"namespace": "NS"}, endpoint="127.0.0.1:6000").endpoint
    'http://127.0.0.1:6000/v3.0/NS/reference'
    """

    def __init__(self, conf: JsonObject, **kwargs: Unpack[ProxyOptions]) -> None:
        super().__init__(conf, request_prefix="/reference", **kwargs)

    def create(
        self,
        account: str,
        reference: str,
        properties: dict[str, str] | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> bool:
        """Create a reference; an existing one is left as it is.

        :returns: True when created, False when it existed
        """
        data = json.dumps({"properties": properties or {}})
        resp, _ = self._send("POST", "/create", kwargs, _params(account, reference), data)
        # No response: it exists since an earlier attempt, of ours or of somebody else.
        return resp is not None and resp.status == _CREATED

    def has(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> bool:
        """Tell whether a reference exists. (The proxy has no route of this name: the reference is shown.)"""
        try:
            self.list(account, reference, cid=cid, **kwargs)
        except exc.NotFound:
            return False
        return True

    def list(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        service_type: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Get a reference, with its services.

        :param service_type: only the services of this type
        :returns: ``account``, ``name``, ``cid``, ``dir`` (directory services) and ``srv`` (linked ones)
        :raises NotFound: there is no such reference
        """
        resp, body = self._send("GET", "/show", kwargs, _params(account, reference, cid, service_type))
        return expect(dict, resp, body, self.proxy_netloc)

    show = list  # noqa: A003 - the names are published

    def delete(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        force: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Delete a reference.

        :param force: also when services or properties are left
        :raises Forbidden: some are left
        """
        params = _params(account, reference, cid)
        if force:
            params["force"] = 1
        self._send("POST", "/destroy", kwargs, params)

    destroy = delete

    # --- properties

    def get_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: Iterable[str] | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Get properties of a reference.

        :param properties: their names; none for all of them
        :returns: ``cid`` and ``properties``
        """
        params, data = _params(account, reference, cid), json.dumps([*(properties or ())])
        resp, body = self._send("POST", "/get_properties", kwargs, params, data)
        return expect(dict, resp, body, self.proxy_netloc)

    def set_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: dict[str, str] | None = None,
        clear: bool = False,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Set properties of a reference; an empty value removes the property.

        :param clear: remove the others first
        """
        params = _params(account, reference, cid)
        if clear:
            params["flush"] = 1
        data = json.dumps({"properties": properties or {}})
        self._send("POST", "/set_properties", kwargs, params, data)

    def del_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: Iterable[str] = (),
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Remove properties of a reference.

        :param properties: their names; without any, nothing is removed, and nothing is sent
        """
        names = [*properties]
        if names:
            # The service takes an empty list for all of them (pitfall 103).
            params, data = _params(account, reference, cid), json.dumps(names)
            self._send("POST", "/del_properties", kwargs, params, data)

    # --- services

    def link(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        cid: str | None = None,
        autocreate: bool = False,
        **kwargs: Unpack[SendOptions],
    ) -> None:
        """Choose services of a type for a reference, unless it has some.

        :param autocreate: create the reference when it does not exist
        """
        params = _params(account, reference, cid, service_type)
        self._send("POST", "/link", kwargs, params, autocreate=autocreate)

    def unlink(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Forget the services of a type that are linked to a reference."""
        self._send("POST", "/unlink", kwargs, _params(account, reference, cid, service_type))

    def renew(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Choose services of a type for a reference again."""
        self._send("POST", "/renew", kwargs, _params(account, reference, cid, service_type))

    def relink(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        kept: JsonObject | None = None,
        replaced: JsonObject | None = None,
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> builtins.list[JsonObject]:
        """Replace one of the services of a type that are linked to a reference; the new one is chosen.

        :param kept: a service that stays, as :meth:`list` shows it
        :param replaced: the service that goes
        :returns: the services that are linked now
        :raises ValueError: nothing is kept, which crashes the real service (pitfall 157)
        """
        if not kept:
            raise ValueError("kept is required (a service that stays linked)")
        params = _params(account, reference, cid, service_type)
        data = json.dumps({"kept": kept, "replaced": replaced})
        resp, body = self._send("POST", "/relink", kwargs, params, data)
        return expect(builtins.list, resp, body, self.proxy_netloc)

    def force(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        services: JsonObject | None = None,
        cid: str | None = None,
        autocreate: bool = False,
        replace: bool = False,
        **kwargs: Unpack[SendOptions],
    ) -> None:
        """Link a chosen service to a reference.

        :param services: one service: ``{"seq": 1, "type": "rdir", "host": "1.2.3.4:6010", "args": ""}``
        :param autocreate: create the reference when it does not exist
        :param replace: unlink what is linked
        :raises Forbidden: another one is linked
        """
        params = _params(account, reference, cid, service_type)
        if replace:
            params["replace"] = "yes"
        self._send("POST", "/force", kwargs, params, json.dumps(services), autocreate=autocreate)


def _params(
    account: str | None, reference: str | None, cid: str | None = None, service_type: str | None = None
) -> JsonObject:
    # Another spelling of the ID would be that of another reference (pitfall 146).
    params: JsonObject = {"cid": cid.upper()} if cid else {"acct": account, "ref": reference}
    if service_type:
        params["type"] = service_type
    return params
