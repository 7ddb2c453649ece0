# SPDX-License-Identifier: Apache-2.0
"""Base of the clients of HTTP services: requests, their time limits, attempts and errors."""

from __future__ import annotations

import logging
import re
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common import green, http_stack
from oio.common.answers import refusal_of, refuse_stranger
from oio.common.arguments import FRAMING_HEADERS, check_flag, check_framing, check_headers
from oio.common.constants import (
    ADMIN_HEADER,
    FORCEMASTER_HEADER,
    MAX_ANSWER_SIZE,
    PERFDATA_HEADER,
    REQID_HEADER,
    STRLEN_REQID,
    TIMEOUT_HEADER,
    URLLIB3_POOLMANAGER_KWARGS,
)
from oio.common.easy_value import int_value, text_value
from oio.common.events import FAILED_OVER, RETRIED, Event, Watcher, outcome_of, tell
from oio.common.interruptions import reraise_interruption
from oio.common.json import json as jsonlib
from oio.common.limits import NO_LIMITS, Limits, check_seconds
from oio.common.perfdata import add_request
from oio.common.retry import ONCE, Attempts, Retry, check_retry
from oio.common.shared_pool import LocklessProperty, SharedPool
from oio.common.utils import encode_query

if TYPE_CHECKING:
    from typing import TypeAlias

    import urllib3
    from typing_extensions import Self, Unpack

    from oio.common.events import Listener, Watch
    from oio.common.keywords import HttpOptions, Params, RequestExtras, RequestParts, SendOptions

    Answer: TypeAlias = tuple[Any, Any]
    """A response, and its body: an object when it was JSON, else bytes."""
    Data: TypeAlias = "str | bytes | Literal[_Nothing.NO_DATA] | None"
    """The body of a request."""
    Headers: TypeAlias = dict[str, str] | urllib3.HTTPHeaderDict
    Place: TypeAlias = tuple[str, str]
    """Scheme and ``host:port`` of a service."""


class _Nothing(Enum):
    NO_DATA = "no data"


NO_DATA = _Nothing.NO_DATA
"""Stands for the body of a request that has none."""

_LOGGER = logging.getLogger(__name__)

_DECODER = jsonlib.JSONDecoder()
_VERSION = re.compile(r"^/(v[0-9.]+/)?")
_READING = frozenset({"GET", "HEAD"})
#: Options that limit the time of a request.
_TIMES = frozenset({"limits", "timeout", "connection_timeout", "read_timeout", "deadline"})
#: Options that win over a header of the caller.
_ASSIGNED = frozenset({"admin_mode", "force_master"})
_LOOKED_AT = FRAMING_HEADERS | {"connection", "content-type"}
"""Lower-case names that are sent in another spelling here, or that may contradict the body."""
#: The server's share of the time that we wait: it must give up first, to tell us why (pitfall 73).
_SERVER_SHARE = 0.99


class HttpApi:
    """Requests to one HTTP service, over a pool of connections.

    :param endpoint: URL that the routes are joined to, ``http://host:port/prefix``
    :param pool_manager: connections shared with other clients; by default a pool of its own
    :param connection: ``keep-alive`` or ``close``
    :param service_type: the name under which performance data are filed
    :param kwargs: options of :func:`~oio.common.http_urllib3.get_pool_manager`, and defaults of every
        request: ``admin_mode``, ``force_master``, ``connection_timeout``, ``read_timeout`` (seconds),
        ``retry`` (which requests are sent again, see :class:`~oio.common.retry.Retry`), ``on_event`` (is told
        of requests, see :mod:`oio.common.events`);
        ``max_answer_size``, bytes of the largest answer that is taken

    >>> with HttpApi("http://127.0.0.1:6000") as api:
    ...     api.endpoint
    'http://127.0.0.1:6000'
    """

    logger: logging.Logger = _LOGGER
    #: Policy of the requests that do not bring their own.
    _retry = Retry()
    _max_answer_size = MAX_ANSWER_SIZE
    _on_event: Listener | None = None

    #: Ends of the routes whose POST changes nothing.
    _reading_posts: ClassVar[tuple[str, ...]] = ()
    #: Options that are flags, the headers that stand for them, and their values.
    _flags: ClassVar[tuple[tuple[str, str, str], ...]] = (
        ("admin_mode", ADMIN_HEADER, "1"),
        ("force_master", FORCEMASTER_HEADER, "1"),
    )

    def __init__(
        self,
        endpoint: str | None = None,
        pool_manager: urllib3.PoolManager | SharedPool | None = None,
        connection: str = "keep-alive",
        service_type: str = "unknown",
        **kwargs: Unpack[HttpOptions],
    ) -> None:
        self.endpoint = endpoint
        self._owns_pool = pool_manager is None
        if pool_manager is None:
            options = {name: value for name, value in kwargs.items() if name in URLLIB3_POOLMANAGER_KWARGS}
            pool_manager = http_stack.get_pool_manager(**options) if options else SharedPool()
        self._pool = pool_manager
        self.connection = connection
        self.service_type = service_type
        self.admin_mode = check_flag("admin_mode", kwargs.get("admin_mode"))
        self.force_master = check_flag("force_master", kwargs.get("force_master"))
        self._limits = Limits.of(kwargs.get("connection_timeout"), kwargs.get("read_timeout"))
        self._retry = check_retry("retry", kwargs.get("retry")) or self._retry
        self._on_event = kwargs.get("on_event")
        self._max_answer_size = int_value(kwargs.get("max_answer_size"), self._max_answer_size)

    @LocklessProperty
    def pool_manager(self) -> urllib3.PoolManager:
        """Connections to the service. Programs may replace it."""
        return self._pool.get() if isinstance(self._pool, SharedPool) else self._pool

    @property
    def _connections(self) -> urllib3.PoolManager | SharedPool:
        """Connections for other clients to share, which are not made for that."""
        made: urllib3.PoolManager | None = vars(self).get("pool_manager")
        return self._pool if made is None else made

    def close(self) -> None:
        """Close the idle connections, unless their pool was given by the caller."""
        if self._owns_pool:
            self._connections.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _request(
        self, method: str, url: str, endpoint: str | None = None, **kwargs: Unpack[RequestParts]
    ) -> Answer:
        """Send a request to a route of the endpoint; see :meth:`_direct_request`.

        :raises ValueError: there is no endpoint
        """
        endpoint = endpoint or self.endpoint
        if not endpoint:
            raise ValueError(f"endpoint is required to request {url!r}")
        return self._direct_request(method, f"{endpoint.rstrip('/')}/{url.lstrip('/')}", **kwargs)

    def _send(
        self,
        method: str,
        url: str,
        given: SendOptions,
        params: Params = None,
        data: Data = NO_DATA,
        **more: Unpack[RequestExtras],
    ) -> Answer:
        """Send a request with the options of a call.

        :param url: whole, or a route of the endpoint when it begins with a slash
        :param given: options as keywords, or as one value under ``options``
        :param data: the body. None is no body either, but is passed on: applications' tests look at it
        :param more: ``json``, ``headers``... of this request only
        """
        options = given.get("options")
        known: dict[str, Any] = dict(given) if options is None else options.for_request()
        known.update(more)
        if params is not None:
            known["params"] = params
        if data is not NO_DATA:
            known["data"] = data
        ask = self._request if url.startswith("/") else self._direct_request
        return ask(method, url, **known)

    def _direct_request(self, method: str, url: str, **kwargs: Unpack[RequestParts]) -> Answer:
        """Send a request, as often as the policy allows, and read its answer whole.

        :param kwargs: options of the request; beside them ``data`` (the body, text or bytes) or ``json`` (an
            object to send as JSON), and ``params`` of the query. ``headers`` may be text or bytes, and are
            copied
        :returns: the response and its body: an object when it was JSON, else bytes. (None, None) when a
            repeated request is refused because an earlier attempt has done it
        :raises ValueError: headers contradict the length or the place of the request, or a flag is none
        :raises DeadlineReached: before anything is sent
        :raises OioNetworkException: or OioTimeout, when there is no proper answer
        :raises OioProtocolError: the answer does not come from a service
        :raises ClientException: or a subclass, for statuses from 400 on
        """
        attempts: Attempts | None = None
        tried: list[Place] = []
        limits = kwargs.get("limits")
        begin = time.monotonic() if limits is None else limits.clock()
        listener = kwargs.get("on_event", self._on_event)
        while True:
            try:
                if listener is None:
                    return self._exchange(method, url, kwargs)
                attempt = 1 if attempts is None else attempts.failed + 1
                return self._watched(method, url, kwargs, listener, attempt)
            except exc.OioException as err:
                # A service that has answered is not out of reach.
                answered = isinstance(err, exc.StatusMessageException)
                if not answered and (other := self._elsewhere(url, err, tried)) is not None:
                    url = other
                    if listener is not None:
                        tell(listener, self._event(FAILED_OVER, method, url, kwargs, err, attempt))
                    continue
                if attempts is None:
                    retry = self._policy(method, url, kwargs)
                    if not retry.is_transient(err):
                        # As most refusals are: nothing is made for other attempts.
                        raise
                    limits = limits or Limits.of(deadline=kwargs.get("deadline"))
                    attempts = Attempts(retry, limits, begin)
                elif self._is_done(method, err):
                    return None, None
                if not attempts.again(err):
                    raise
                self._note_retry(listener, method, url, kwargs, err, attempts.failed)
                tried.clear()

    def _watched(
        self, method: str, url: str, given: RequestParts, listener: Listener, attempt: int
    ) -> Answer:
        """Send a request once, as :meth:`_exchange` does, and tell of its beginning and of its end."""
        watch = Watcher(listener, _reqid_of(given)).watch(
            self.service_type,
            urlsplit(url).netloc,
            self._operation(method, url),
            attempt,
            self._chunk_of(url),
        )
        try:
            resp, answer = self._exchange(method, url, given, watch)
        except BaseException as err:
            watch.end(err)
            raise
        watch.end(status=resp.status)
        return resp, answer

    def _note_retry(
        self,
        listener: Listener | None,
        method: str,
        url: str,
        given: RequestParts,
        failure: exc.OioException,
        failed: int,
    ) -> None:
        """Tell, and log, that a request is sent again.

        :param failed: number of attempts that have failed
        """
        if listener is not None:
            tell(listener, self._event(RETRIED, method, url, given, failure, failed + 1))
        if self.logger.isEnabledFor(logging.DEBUG):
            fields = self._event(RETRIED, method, url, given, failure, failed).fields()
            text = "Attempt %d of %s failed, trying again: %s"
            self.logger.debug(text, failed, url, failure, extra=fields)

    def _chunk_of(self, _url: str) -> str:
        """The chunk that a request is about; empty when it is about none."""
        return ""

    def _operation(self, method: str, url: str) -> str:
        """Name the operation of a request, without parts that differ from one request to the next."""
        return f"{method} {_VERSION.sub('', urlsplit(url).path)}"

    def _event(
        self,
        kind: str,
        method: str,
        url: str,
        given: RequestParts,
        failure: exc.OioException,
        attempt: int,
    ) -> Event:
        return Event(
            kind=kind,
            reqid=_reqid_of(given),
            service=self.service_type,
            address=urlsplit(url).netloc,
            operation=self._operation(method, url),
            attempt=attempt,
            begin=time.monotonic(),
            outcome=outcome_of(failure),
            error=str(failure),
        )

    def _elsewhere(self, url: str, failure: exc.OioException, tried: list[Place]) -> str | None:
        """URL of the same route of another service that may serve; None when there is none.

        :param tried: services that were asked in this attempt, to be added to
        """
        return None

    def _policy(self, method: str, url: str, given: RequestParts) -> Retry:
        """Policy of one request, made of that of the client or of the call."""
        only_reads = method.upper() in _READING or (
            method.upper() == "POST" and url.endswith(self._reading_posts)
        )
        if not (only_reads or self._is_repeatable(url, given)):
            return ONCE
        retry = given.get("retry") or self._retry
        if (wish := given.get("request_attempts")) is not None:
            retry = retry.times(wish)
        return retry if only_reads else retry.for_changes()

    def _is_repeatable(self, url: str, given: RequestParts) -> bool:
        """Whether a request that changes something may be sent again after a busy service has refused it."""
        return True

    def _is_done(self, method: str, refusal: exc.OioException) -> bool:
        """Whether the refusal of a repeated request tells that an earlier attempt has done it."""
        return False

    def _exchange(self, method: str, url: str, given: RequestParts, watch: Watch | None = None) -> Answer:
        """Send a request once, and read its answer whole; see :meth:`_direct_request`.

        :param watch: gets the numbers of bytes
        """
        # Before the time that is left is looked at: the first request imports much.
        pool: Any = given.get("pool_manager")
        if pool is None:
            pool = self.pool_manager
        usual = self._usual_timeout if _TIMES.isdisjoint(given) else None
        timeout = usual or self._timeout(method, url, given)
        data, json = given.get("data"), given.get("json")
        body = None if data is None and json is None else encode_body(data, json)
        headers = self._headers(given, timeout, len(body or b""))
        params, perfdata = given.get("params"), given.get("perfdata")
        target = f"{url}?{query}" if params and (query := encode_query(params)) else url
        reqid = headers.get(REQID_HEADER)
        # The fake pools of applications need not know that there are bodies to read.
        unread = http_stack.UNREAD if isinstance(pool, http_stack.urllib3.PoolManager) else {}
        if watch is not None:
            watch.sent = len(body or b"")
        start = time.monotonic()
        # urllib3 limits each read; an answer that comes drop by drop is limited here.
        limit = green.OioTimeout(timeout.total if isinstance(timeout.total, (int, float)) else None)
        try:
            with limit:
                resp = pool.request(
                    method, target, headers=headers, body=body, timeout=timeout, redirect=False, **unread
                )
                raw = http_stack.read_whole(method, resp, self._max_answer_size, url, reqid)
        except green.OioTimeout as err:
            if err is not limit:
                raise
            parts = urlsplit(url)
            what = f"reqid={reqid}, host={parts.netloc}: {method} {parts.path}"
            text = f"{what}: {err.doing or 'reading the answer'}: {err}"
            raise exc.OioTimeout(text, reqid=reqid, service=parts.netloc) from err
        except http_stack.urllib3.exceptions.HTTPError as err:
            reraise_interruption(err)
            http_stack.oio_exception_from_httperror(err, reqid=reqid, url=url)
        if watch is not None and isinstance(raw, bytes):
            watch.received = len(raw)
        if perfdata is not None:
            spent = time.monotonic() - start
            add_request(perfdata, self.service_type, spent, resp.headers.get(PERFDATA_HEADER))
        answer = decode_body(raw) if isinstance(raw, bytes) and raw else raw
        if not 200 <= resp.status < 300 or (isinstance(answer, bytes) and http_stack.is_page(resp)):
            self._refused(resp, answer, reqid, urlsplit(url).netloc)
        return resp, answer

    def _refused(self, resp: Any, answer: object, reqid: str | None, service: str | None) -> None:
        """Raise the exception that stands for an answer that is no result."""
        if resp.status >= 400:
            # In a variable, it would keep itself alive by its traceback, and the connections with it.
            raise refusal_of(resp, answer, reqid, service)
        refuse_stranger(resp, service, reqid)

    def _timeout(self, method: str, url: str, given: RequestParts) -> urllib3.Timeout:
        """Time limits of one request, from the options of a call."""
        limits = given.get("limits")
        timeout = given.get("timeout")
        if isinstance(timeout, http_stack.urllib3.Timeout):
            return timeout
        if limits is None or timeout is not None:
            limits = Limits.of(
                given.get("connection_timeout") if limits is None else limits.connection,
                given.get("read_timeout") if timeout is None else check_seconds("timeout", timeout),
                None,
                given.get("deadline") if limits is None else limits.deadline,
            )
        known = reqid if isinstance(reqid := given.get("reqid"), str) else None
        connect, read, total = limits.for_request(self._limits, method, url, known)
        if read <= 0:
            # urllib3 refuses it in words of its own.
            parts = urlsplit(url)
            text = f"No time is left for {method} {parts.path}"
            raise exc.DeadlineReached(text, reqid=known, service=parts.netloc)
        return http_stack.RequestTimeout(connect, read, total)

    @LocklessProperty
    def _usual_timeout(self) -> urllib3.Timeout | None:
        """Time limits of the requests of calls that bring none; None when no time would be left."""
        connect, read, total = NO_LIMITS.for_request(self._limits)
        return http_stack.RequestTimeout(connect, read, total) if read > 0 else None

    def _headers(self, given: RequestParts, timeout: urllib3.Timeout, size: int) -> Headers:
        """Headers of one request: those of the caller, and those that options stand for.

        :param size: bytes of its body
        """
        theirs = check_headers(given.get("headers"))
        headers: Headers = {}
        for name, value in theirs.items():
            simple = type(name) is str and name.islower() and name not in _LOOKED_AT
            if not simple and type(headers) is dict:
                # A name may come in two spellings: all but two that are added here are in lower case.
                headers = http_stack.urllib3.HTTPHeaderDict(headers)
                check_framing(theirs, size)
            headers[name] = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for option, header, text in self._flags:
            wish = given.get(option)
            if wish is None:
                wish = getattr(self, option, None)
            if not (wish is None or wish is True or wish is False):
                wish = check_flag(option, wish)
            if wish and (option in _ASSIGNED or header not in headers):
                headers[header] = text
        if reqid := given.get("reqid"):
            headers[REQID_HEADER] = reqid.decode("latin-1") if isinstance(reqid, bytes) else str(reqid)
        if len(headers.get(REQID_HEADER, "")) > STRLEN_REQID:
            # Longer ones are cut by the services, and would not be found in their logs (pitfall 69).
            headers[REQID_HEADER] = headers[REQID_HEADER][:STRLEN_REQID]
        if given.get("perfdata") is not None:
            headers[PERFDATA_HEADER] = "enabled"
        read = timeout._read
        if TIMEOUT_HEADER not in headers and isinstance(read, (int, float)):
            headers[TIMEOUT_HEADER] = str(max(1, int(read * 1e6 * _SERVER_SHARE)))
        headers.setdefault("Connection", self.connection)
        if given.get("json") is not None:
            headers["Content-Type"] = "application/json"
        return headers


def _reqid_of(given: RequestParts) -> str:
    return text_value(given.get("reqid") or "")


def encode_body(data: object, json: object) -> bytes | None:
    """The body as bytes: the proxy does not read one of unknown length (pitfall 144).

    :param data: text or bytes; None when there is none
    :param json: an object to send as JSON instead
    """
    if json is not None:
        data = jsonlib.dumps(json)
    if isinstance(data, str):
        return data.encode("utf-8")
    if data is None or isinstance(data, bytes):
        return data
    raise TypeError(f"data must be text or bytes, not {type(data).__name__}")


def decode_body(raw: bytes) -> Any:
    """Read the body of an answer: an object when it is JSON, else the same bytes."""
    try:
        # Most often UTF-8: the standard function looks for other encodings first.
        text = raw.decode("utf-8", "surrogatepass").strip(" \t\n\r")
        answer, end = _DECODER.raw_decode(text)
        if end == len(text):
            return answer
    except (ValueError, RecursionError):
        pass
    try:
        # A byte order mark, or another encoding.
        return jsonlib.loads(raw)
    except (ValueError, RecursionError):
        return raw
