# SPDX-License-Identifier: Apache-2.0
"""The base of the clients of HTTP services: one request, its time limits, and its errors."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from oio.common import exceptions as exc
from oio.common import green
from oio.common.constants import (
    ADMIN_HEADER,
    CONNECTION_TIMEOUT,
    FORCEMASTER_HEADER,
    PERFDATA_HEADER,
    READ_TIMEOUT,
    REQID_HEADER,
    STRLEN_REQID,
    TIMEOUT_HEADER,
)
from oio.common.easy_value import text_value, true_value
from oio.common.http_urllib3 import (
    URLLIB3_POOLMANAGER_KWARGS,
    get_pool_manager,
    oio_exception_from_httperror,
    urllib3,
)
from oio.common.json import json as jsonlib
from oio.common.perfdata import add_figure
from oio.common.utils import deadline_to_timeout, monotonic_time

#: The server's share of the time that we wait: it must give up first, to tell us why (pitfalls row 73).
_SERVER_SHARE = 0.99


class HttpApi:
    """Requests to one HTTP service, over a pool of connections.

    :param endpoint: URL that the routes are joined to, ``http://host:port/prefix``
    :param pool_manager: connections shared with other clients; by default a pool of its own
    :param connection: ``keep-alive`` or ``close``
    :param service_type: the name under which performance data are filed
    :param kwargs: options of :func:`~oio.common.http_urllib3.get_pool_manager`, and what every request
        has by default: ``admin_mode``, ``force_master``, ``connection_timeout``, ``read_timeout`` (seconds)

    >>> with HttpApi("http://127.0.0.1:6000") as api:
    ...     api.endpoint
    'http://127.0.0.1:6000'
    """

    def __init__(
        self,
        endpoint: str | None = None,
        pool_manager: Any = None,
        connection: str = "keep-alive",
        service_type: str = "unknown",
        **kwargs: Any,
    ) -> None:
        self.endpoint = endpoint
        self._owns_pool = pool_manager is None
        if pool_manager is None:
            options = {name: kwargs[name] for name in URLLIB3_POOLMANAGER_KWARGS if name in kwargs}
            pool_manager = get_pool_manager(**options)
        self.pool_manager = pool_manager
        self.connection = connection
        self.service_type = service_type
        self.admin_mode = true_value(kwargs.get("admin_mode", False))
        self.force_master = true_value(kwargs.get("force_master", False))
        self._default_timeouts = {
            name: kwargs[name]
            for name in ("connection_timeout", "read_timeout")
            if kwargs.get(name) is not None
        }

    def close(self) -> None:
        """Close the idle connections, unless their pool was given by the caller."""
        if self._owns_pool:
            self.pool_manager.clear()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _request(self, method: str, url: str, endpoint: str | None = None, **kwargs: Any) -> tuple[Any, Any]:
        """Send a request to a route of the endpoint; see :meth:`_direct_request`.

        :raises ValueError: when there is no endpoint
        """
        endpoint = endpoint or self.endpoint
        if not endpoint:
            raise ValueError(f"endpoint is not set: cannot request {url!r}")
        return self._direct_request(method, f"{endpoint.rstrip('/')}/{url.lstrip('/')}", **kwargs)

    def _direct_request(
        self,
        method: str,
        url: str,
        headers: Any = None,
        data: Any = None,
        json: Any = None,
        params: Any = None,
        admin_mode: Any = None,
        pool_manager: Any = None,
        force_master: Any = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Send a request and read its answer whole.

        :param headers: extra headers, text or bytes; copied
        :param data: the body, text or bytes
        :param json: an object to send as JSON instead
        :param params: of the query; None values are left out, booleans are sent as 1 and 0
        :param admin_mode: True or False (or a word for it), by default what the constructor was given
        :param force_master: the same
        :param kwargs: ``connection_timeout``, ``read_timeout``, ``timeout`` (seconds), ``deadline``
            (monotonic seconds), ``reqid``, ``perfdata`` (a dict to add to)
        :returns: the response and its body: an object when it was JSON, else bytes
        :raises DeadlineReached: before anything is sent
        :raises OioNetworkException: or OioTimeout, when there is no proper answer
        :raises ClientException: or a subclass, for statuses from 400 on
        """
        service = urlsplit(url).netloc
        what = f"{method} {urlsplit(url).path}"
        limits = self._limits(kwargs, what, service)
        perfdata = kwargs.get("perfdata")
        out_headers = self._headers(headers, admin_mode, force_master, kwargs.get("reqid"), perfdata, limits)
        body = _encode_body(data, json, out_headers)
        query = _encode_query(params)
        target = f"{url}?{query}" if query else url
        reqid = out_headers.get(REQID_HEADER)
        start = monotonic_time()
        what = f"reqid={reqid}, host={service}: {what}"
        try:
            # urllib3 limits each read; what comes drop by drop is limited here.
            with (
                green.as_oio_timeout(_total(limits), what, reqid=reqid, service=service),
                green.naming("reading the answer"),
            ):
                resp = (pool_manager or self.pool_manager).request(
                    method, target, headers=out_headers, body=body, timeout=limits, redirect=False
                )
                raw = resp.data
        except urllib3.exceptions.HTTPError as err:
            oio_exception_from_httperror(err, reqid=reqid, url=url)
        if perfdata is not None:
            _add_perfdata(
                perfdata, self.service_type, monotonic_time() - start, resp.headers.get(PERFDATA_HEADER)
            )
        answer = _decode_body(raw)
        if resp.status >= 400:
            self._refused(resp, answer, reqid, service)
        return resp, answer

    def _refused(self, resp: Any, answer: Any, reqid: str | None, service: str | None) -> None:
        """Raise the exception that stands for an answer with an error status."""
        # No variable here names it: it would keep itself by its traceback, and the connections with it.
        raise _refusal(resp, answer, reqid, service)

    def _limits(self, kwargs: Any, what: str, service: str) -> urllib3.Timeout:
        """The time limits of one request, from the keyword arguments of a call."""
        options = {**self._default_timeouts, **{k: v for k, v in kwargs.items() if v is not None}}
        connect = float(options.get("connection_timeout", CONNECTION_TIMEOUT))
        read = float(options.get("read_timeout", READ_TIMEOUT))
        timeout = options.get("timeout")
        if isinstance(timeout, urllib3.Timeout):
            return timeout
        if timeout is not None:
            read = float(timeout)
        if "deadline" in options:
            left = deadline_to_timeout(options["deadline"])
            if left <= 0:
                text = f"Deadline reached before {what}"
                raise exc.DeadlineReached(text, reqid=kwargs.get("reqid"), service=service)
            read = left if timeout is None and "read_timeout" not in options else min(read, left)
            return urllib3.Timeout(total=left, connect=min(connect, left), read=read)
        return urllib3.Timeout(total=connect + read, connect=connect, read=read)

    def _headers(
        self,
        given: Any,
        admin_mode: Any,
        force_master: Any,
        reqid: Any,
        perfdata: Any,
        limits: urllib3.Timeout,
    ) -> urllib3.HTTPHeaderDict:
        headers = urllib3.HTTPHeaderDict()
        for name, value in (given or {}).items():
            headers[name] = text_value(value)
        if true_value(self.admin_mode if admin_mode is None else admin_mode):
            headers[ADMIN_HEADER] = "1"
        if true_value(self.force_master if force_master is None else force_master):
            headers[FORCEMASTER_HEADER] = "1"
        if reqid:
            headers[REQID_HEADER] = text_value(reqid)
        if REQID_HEADER in headers:
            # Longer ones are cut by the services, and would not be found in their logs (pitfalls row 69).
            headers[REQID_HEADER] = headers[REQID_HEADER][:STRLEN_REQID]
        if perfdata is not None:
            headers[PERFDATA_HEADER] = "enabled"
        if TIMEOUT_HEADER not in headers and isinstance(limits._read, (int, float)):
            headers[TIMEOUT_HEADER] = str(max(1, int(limits._read * 1e6 * _SERVER_SHARE)))
        headers.setdefault("Connection", self.connection)
        return headers


def _total(limits: urllib3.Timeout) -> float | None:
    return limits.total if isinstance(limits.total, (int, float)) else None


def _encode_query(params: Any) -> str:
    if not params:
        return ""
    pairs = params.items() if hasattr(params, "items") else params
    return urlencode([(k, int(v) if isinstance(v, bool) else v) for k, v in pairs if v is not None])


def _encode_body(data: Any, json: Any, headers: urllib3.HTTPHeaderDict) -> bytes | None:
    """The body as bytes: the proxy does not read one of unknown length (pitfalls row 144)."""
    if json is not None:
        headers["Content-Type"] = "application/json"
        data = jsonlib.dumps(json)
    if isinstance(data, str):
        return data.encode("utf-8")
    if data is None or isinstance(data, bytes):
        return data
    raise TypeError(f"data must be text or bytes, not {type(data).__name__}")


def _decode_body(raw: bytes) -> Any:
    if not raw:
        return raw
    try:
        return jsonlib.loads(raw)
    except (ValueError, RecursionError):
        return raw


def _add_perfdata(perfdata: dict[str, Any], service_type: str, overall: float, header: str | None) -> None:
    """Add the time of a request (seconds) to the caller's figures, never replacing them (row 121)."""
    figures = perfdata.setdefault(service_type, {})
    add_figure(figures, "overall", overall)
    for item in (header or "").split(","):
        name, _, value = item.partition("=")
        if value.isdigit():
            add_figure(figures, name, int(value) / 1e6)


def _refusal(resp: Any, answer: Any, reqid: str | None, service: str | None) -> exc.OioException:
    """Make the exception that stands for an answer with an error status."""
    error = exc.from_response(resp, answer)
    error.reqid, error.service = reqid, service
    return error
