# SPDX-License-Identifier: Apache-2.0
"""Base of the clients of the proxy: its address, and the refusals that are worth another attempt."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common import http_stack
from oio.common.answers import JsonObject, Response
from oio.common.arguments import shorten
from oio.common.configuration import load_namespace_conf
from oio.common.events import FAILED_OVER, Event, outcome_of
from oio.common.http_api import HttpApi

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.keywords import ServiceOptions

_LOGGER = logging.getLogger(__name__)

#: Statuses, in the body of a 409, of a creation whose subject exists: user, content, container.
_EXISTS = frozenset({408, 421, 433})


class ProxyClient(HttpApi):
    """Requests to the routes of a proxy.

    :param conf: a dict with at least ``namespace``; ``proxyd_url`` says where the proxy is
    :param request_prefix: path of the group of routes, such as ``/container``
    :param no_ns_in_url: for the few routes without a namespace
    :param endpoint: URL or ``host:port`` of the proxy; by default that of ``conf``, else of the
        namespace's configuration file. Of several, separated by ``;`` or ``,``, the first is used until no
        connection to it can be made, then the next one.
    :param request_attempts: how often a request is sent in all, when that is harmless
    :param kwargs: options of :class:`~oio.common.http_api.HttpApi`, ``retry`` among them

    >>> ProxyClient({"namespace": "NS"}, request_prefix="/container", endpoint="127.0.0.1:6000").endpoint
    'http://127.0.0.1:6000/v3.0/NS/container'
    """

    _reading_posts = ("/get_properties", "/prepare", "/prepare2", "/spare", "/lb/poll")
    _flags = (
        *HttpApi._flags,
        # Create the container that the request needs; give chunk addresses that speak TLS.
        ("autocreate", "x-oio-action-mode", "autocreate"),
        ("tls", "x-oio-upgrade-to-tls", "1"),
    )

    def __init__(
        self,
        conf: JsonObject,
        request_prefix: str = "",
        no_ns_in_url: bool = False,
        endpoint: str | None = None,
        request_attempts: int | str | None = None,
        logger: logging.Logger | None = None,
        service_type: str = "proxy",
        **kwargs: Unpack[ServiceOptions],
    ) -> None:
        self.conf = conf
        self.ns = conf.get("namespace")
        if not self.ns:
            raise exc.ConfigurationException(f"conf must have a namespace: {shorten(conf)}")
        self.logger = _LOGGER if logger is None else logger
        where = conf.get("proxyd_url") if endpoint is None else endpoint
        if where is None:
            where = load_namespace_conf(self.ns)["proxy"]
        self._proxies = _parse_endpoints(where)
        parts = ["", "v3.0"]
        if not no_ns_in_url:
            parts.append(self.ns)
        if request_prefix:
            parts.append(request_prefix.strip("/"))
        self._path = "/".join(parts)
        super().__init__(service_type=service_type, **kwargs)
        self._retry = self._retry.times(request_attempts)
        self._use(*self._proxies[0])

    def _use(self, scheme: str, netloc: str) -> None:
        """Send the next requests to this proxy."""
        self.proxy_scheme, self.proxy_netloc = scheme, netloc
        self.endpoint = f"{scheme}://{netloc}{self._path}"
        #: URL of the routes of the namespace, of whatever group.
        self._root = f"{scheme}://{netloc}/v3.0/{self.ns}"

    def _operation(self, method: str, url: str) -> str:
        # The namespace is the same in all of them.
        return super()._operation(method, url).replace(f" {self.ns}/", " ", 1)

    def _is_done(self, method: str, refusal: exc.OioException) -> bool:
        # A service may carry out a request that it has refused for being busy (pitfall 33).
        return isinstance(refusal, exc.Conflict) and method.upper() == "POST" and refusal.status in _EXISTS

    def _elsewhere(self, url: str, failure: exc.OioException, tried: list[tuple[str, str]]) -> str | None:
        # Another proxy gets a request when no connection can be made (pitfall 125).
        if not http_stack.nothing_was_sent(failure):
            return None
        parts = urlsplit(url)
        asked = parts.scheme, parts.netloc
        if asked not in self._proxies:
            return None
        tried.append(asked)
        place = self._proxies.index(asked)
        for other in (*self._proxies[place + 1 :], *self._proxies[:place]):
            if other not in tried:
                event = Event(
                    kind=FAILED_OVER,
                    reqid=failure.reqid or "",
                    service=self.service_type,
                    address=other[1],
                    outcome=outcome_of(failure),
                    error=str(failure),
                )
                text = "Proxy %s is out of reach, trying %s: %s"
                self.logger.warning(text, asked[1], other[1], failure, extra=event.fields())
                self._use(*other)
                return f"{other[0]}://{other[1]}{url.partition(asked[1])[2]}"
        return None

    def _refused(self, resp: Response, answer: object, reqid: str | None, service: str | None) -> None:
        if resp.status == 404 and http_stack.is_page(resp):
            # A page comes from another server, which cannot tell what is missing here.
            raise exc.ClientException(404, None, exc.brief(resp.data), reqid=reqid, service=service)
        super()._refused(resp, answer, reqid, service)


def _parse_endpoints(endpoints: str) -> list[tuple[str, str]]:
    texts = re.split(r"\s*[;,]\s*", endpoints) if isinstance(endpoints, str) else []
    return [_parse_endpoint(text) for text in filter(None, texts)] or [_parse_endpoint(endpoints)]


def _parse_endpoint(endpoint: str) -> tuple[str, str]:
    """Get the scheme and the ``host:port`` of a proxy, without the credentials that a URL may have.

    :raises ConfigurationException: this is no address of a proxy
    """
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        netloc = parts.netloc.rpartition("@")[2]
        if not valid or any(char.isspace() or char in ";," for char in netloc):
            raise ValueError("a host and a port are expected")
        if parts.path not in ("", "/") or "?" in endpoint or "#" in endpoint:
            raise ValueError("it must have no path, query or fragment")
    except (TypeError, ValueError) as err:
        raise exc.ConfigurationException(
            f"endpoint {shorten(endpoint)} is not that of a proxy: {err}"
        ) from err
    return parts.scheme, netloc
