# SPDX-License-Identifier: Apache-2.0
"""Client of the directory: references (accounts' names for things), and the services linked to them."""

from __future__ import annotations

import builtins
import json
from collections.abc import Iterable
from typing import Any

from oio.common import exceptions as exc
from oio.common.answers import expect
from oio.common.client import ProxyClient
from oio.container._params import container_params

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

    def __init__(self, conf: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(conf, request_prefix="/reference", **kwargs)

    def create(
        self, account: str, reference: str, properties: dict[str, str] | None = None, **kwargs: Any
    ) -> bool:
        """Create a reference; an existing one is left as it is.

        :returns: True when created, False when it existed
        """
        data = json.dumps({"properties": properties or {}})
        resp, _ = self._request("POST", "/create", params=_params(account, reference), data=data, **kwargs)
        # No response: it exists since an earlier attempt, of ours or of somebody else.
        return resp is not None and resp.status == _CREATED

    def has(
        self, account: str | None = None, reference: str | None = None, cid: str | None = None, **kwargs: Any
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
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Get a reference, with its services.

        :param service_type: only the services of this type
        :returns: ``account``, ``name``, ``cid``, ``dir`` (directory services) and ``srv`` (linked ones)
        :raises NotFound: there is no such reference
        """
        params = _params(account, reference, cid, service_type)
        resp, body = self._request("GET", "/show", params=params, **kwargs)
        return expect(dict, resp, body, self.proxy_netloc)

    show = list  # noqa: A003 - the names are published

    def delete(
        self,
        account: str | None = None,
        reference: str | None = None,
        cid: str | None = None,
        force: bool = False,
        **kwargs: Any,
    ) -> None:
        """Delete a reference.

        :param force: also when services or properties are left
        :raises Forbidden: some are left
        """
        params = _params(account, reference, cid)
        if force:
            params["force"] = 1
        self._request("POST", "/destroy", params=params, **kwargs)

    destroy = delete

    def get_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: Iterable[str] | None = None,
        cid: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Get properties of a reference.

        :param properties: their names; none for all of them
        :returns: ``cid`` and ``properties``
        """
        params, data = _params(account, reference, cid), json.dumps([*(properties or ())])
        resp, body = self._request("POST", "/get_properties", params=params, data=data, **kwargs)
        return expect(dict, resp, body, self.proxy_netloc)

    def set_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: dict[str, str] | None = None,
        clear: bool = False,
        cid: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Set properties of a reference; an empty value removes the property.

        :param clear: remove the others first
        """
        params = _params(account, reference, cid)
        if clear:
            params["flush"] = 1
        data = json.dumps({"properties": properties or {}})
        self._request("POST", "/set_properties", params=params, data=data, **kwargs)

    def del_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        properties: Iterable[str] = (),
        cid: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove properties of a reference.

        :param properties: their names; with none, nothing is removed, nor asked
        """
        names = [*properties]
        if names:
            # None at all would be all of them for the service (pitfalls row 103).
            params, data = _params(account, reference, cid), json.dumps(names)
            self._request("POST", "/del_properties", params=params, data=data, **kwargs)

    def link(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        cid: str | None = None,
        autocreate: bool = False,
        **kwargs: Any,
    ) -> None:
        """Choose services of a type for a reference, unless it has some.

        :param autocreate: create the reference when it does not exist
        """
        params = _params(account, reference, cid, service_type)
        self._request("POST", "/link", params=params, autocreate=autocreate, **kwargs)

    def unlink(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        cid: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Forget the services of a type that are linked to a reference."""
        self._request("POST", "/unlink", params=_params(account, reference, cid, service_type), **kwargs)

    def renew(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        cid: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Choose services of a type for a reference again."""
        self._request("POST", "/renew", params=_params(account, reference, cid, service_type), **kwargs)

    def relink(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        kept: dict[str, Any] | None = None,
        replaced: dict[str, Any] | None = None,
        cid: str | None = None,
        **kwargs: Any,
    ) -> builtins.list[dict[str, Any]]:
        """Replace one of the services of a type that are linked to a reference by one that is chosen.

        :param kept: a service that stays, as :meth:`list` shows it
        :param replaced: the service that goes
        :returns: the services that are linked now
        :raises ValueError: nothing is kept, which the real service crashes of (pitfalls row 157)
        """
        if not kept:
            raise ValueError(f"kept must be a service that stays linked, not {kept!r}")
        params = _params(account, reference, cid, service_type)
        data = json.dumps({"kept": kept, "replaced": replaced})
        resp, body = self._request("POST", "/relink", params=params, data=data, **kwargs)
        return expect(builtins.list, resp, body, self.proxy_netloc)

    def force(
        self,
        account: str | None = None,
        reference: str | None = None,
        service_type: str | None = None,
        services: dict[str, Any] | None = None,
        cid: str | None = None,
        autocreate: bool = False,
        replace: bool = False,
        **kwargs: Any,
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
        data = json.dumps(services)
        self._request("POST", "/force", params=params, data=data, autocreate=autocreate, **kwargs)


def _params(
    account: str | None, reference: str | None, cid: str | None = None, service_type: str | None = None
) -> dict[str, Any]:
    params = container_params(account, reference, cid)
    if service_type:
        params["type"] = service_type
    return params
