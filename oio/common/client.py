# SPDX-License-Identifier: Apache-2.0
"""The base of the clients of the proxy: where it is, and which refusals are worth another try."""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common.answers import is_page, refuse_stranger
from oio.common.backoff import back_off, check_attempts
from oio.common.configuration import load_namespace_conf
from oio.common.easy_value import true_value
from oio.common.http_api import HttpApi
from oio.common.http_urllib3 import nothing_was_sent

_LOGGER = logging.getLogger(__name__)

#: Requests that may be sent twice whatever became of the first.
_REPEATABLE = frozenset({"GET", "HEAD"})
#: Statuses, in the body of a 409, that say that what is to be created exists: user, content, container.
_EXISTS = frozenset({408, 421, 433})


class ProxyClient(HttpApi):
    """Requests to the routes of a proxy.

    :param conf: a dict with at least ``namespace``; ``proxyd_url`` says where the proxy is
    :param request_prefix: path of the group of routes, such as ``/container``
    :param no_ns_in_url: for the few routes without a namespace
    :param endpoint: URL or ``host:port`` of the proxy; by default that of ``conf``, else of the
        namespace's configuration file. Of several, separated by ``;`` or ``,``, the first is used until no
        connection to it can be made, then the next one.
    :param request_attempts: how often a request is tried in all when the service says that it is busy

    >>> ProxyClient({"namespace": "NS"}, request_prefix="/container", endpoint="127.0.0.1:6000").endpoint
    'http://127.0.0.1:6000/v3.0/NS/container'
    """

    def __init__(
        self,
        conf: dict[str, Any],
        request_prefix: str = "",
        no_ns_in_url: bool = False,
        endpoint: str | None = None,
        request_attempts: Any = 1,
        logger: Any = None,
        **kwargs: Any,
    ) -> None:
        self.conf = conf
        self.ns = conf.get("namespace")
        if not self.ns:
            raise exc.ConfigurationException(f"conf has no namespace: {conf!r}")
        self.logger = logger or _LOGGER
        self._request_attempts = check_attempts(request_attempts)
        where = endpoint or conf.get("proxyd_url") or load_namespace_conf(self.ns)["proxy"]
        self._proxies = _parse_endpoints(where)
        parts = ["", "v3.0"]
        if not no_ns_in_url:
            parts.append(self.ns)
        if request_prefix:
            parts.append(request_prefix.strip("/"))
        self._path = "/".join(parts)
        kwargs.setdefault("service_type", "proxy")
        super().__init__(**kwargs)
        self._use(*self._proxies[0])

    def _use(self, scheme: str, netloc: str) -> None:
        """Send the next requests to this proxy."""
        self.proxy_scheme, self.proxy_netloc = scheme, netloc
        self.endpoint = f"{scheme}://{netloc}{self._path}"

    _wait = staticmethod(back_off)

    def _direct_request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        headers: Any = None,
        request_attempts: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Send a request; see :meth:`HttpApi._direct_request`.

        :param request_attempts: how often it is tried in all when the service is busy (503), and, for
            reads, when the network fails; the tries share the deadline of the call
        :param kwargs: also ``autocreate`` (create what the request needs), ``tls`` (ask for chunk
            addresses that speak TLS)
        :returns: response and body; (None, None) when what a repeated POST would create exists
        """
        headers = dict(headers or {})
        if true_value(kwargs.pop("autocreate", None)):
            headers.setdefault("x-oio-action-mode", "autocreate")
        if true_value(kwargs.pop("tls", None)):
            headers.setdefault("x-oio-upgrade-to-tls", "1")
        attempts = check_attempts(request_attempts, self._request_attempts)
        worth_another_try: tuple[type[exc.OioException], ...] = (exc.ServiceBusy,)
        if method.upper() in _REPEATABLE:
            worth_another_try += (exc.OioNetworkException,)
        for attempt in range(1, attempts + 1):
            try:
                resp, body = self._send_to_any(method, url, headers=headers, **kwargs)
                refuse_stranger(resp, self.proxy_netloc, kwargs.get("reqid"))
                return resp, body
            except worth_another_try as err:
                if attempt == attempts or not self._wait(attempt, kwargs.get("deadline")):
                    raise
                self.logger.debug("Attempt %d of %d failed, trying again: %s", attempt, attempts, err)
            except exc.Conflict as err:
                # What the first try was refused for may have been done all the same (pitfalls row 33).
                if attempt == 1 or method.upper() != "POST" or err.status not in _EXISTS:
                    raise
                return None, None
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _send_to_any(self, method: str, url: str, **kwargs: Any) -> tuple[Any, Any]:
        """Send a request, once; another proxy gets it when no connection can be made (pitfalls row 125)."""
        asked = urlsplit(url)[:2]
        if asked in self._proxies:
            place = self._proxies.index(asked)
            for other in (*self._proxies[place + 1 :], *self._proxies[:place]):
                try:
                    return super()._direct_request(method, url, **kwargs)
                except exc.OioNetworkException as err:
                    if not nothing_was_sent(err):
                        raise
                    self.logger.warning("Proxy %s is out of reach, trying %s: %s", asked[1], other[1], err)
                url = f"{other[0]}://{other[1]}{url.partition(asked[1])[2]}"
                self._use(*other)
                asked = other
        return super()._direct_request(method, url, **kwargs)

    def _refused(self, resp: Any, answer: Any, reqid: str | None, service: str | None) -> None:
        if resp.status == 404 and is_page(resp):
            # Some other server knows nothing of what is missing here.
            text = resp.data.decode("utf-8", errors="replace")
            raise exc.ClientException(404, None, text, reqid=reqid, service=service)
        super()._refused(resp, answer, reqid, service)


def _parse_endpoints(endpoints: Any) -> list[tuple[str, str]]:
    texts = re.split(r"\s*[;,]\s*", endpoints) if isinstance(endpoints, str) else []
    return [_parse_endpoint(text) for text in filter(None, texts)] or [_parse_endpoint(endpoints)]


def _parse_endpoint(endpoint: Any) -> tuple[str, str]:
    """Get the scheme and the ``host:port`` of a proxy, without the credentials that a URL may hold.

    :raises ConfigurationException: this is no address of a proxy
    """
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        netloc = parts.netloc.rpartition("@")[2]
        if not valid or any(char.isspace() or char in ";," for char in netloc):
            raise ValueError("a host and a port are expected")
    except (TypeError, ValueError) as err:
        raise exc.ConfigurationException(f"endpoint {endpoint!r} is not that of a proxy: {err}") from err
    return parts.scheme, netloc
