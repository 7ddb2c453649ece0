# SPDX-License-Identifier: Apache-2.0
"""Requests to the account service, and where it is."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common.answers import JsonObject, expect, reading_answer
from oio.common.arguments import check_flag
from oio.common.events import FAILED_OVER, RETRIED, tell
from oio.common.http_api import NO_DATA, HttpApi
from oio.common.limits import Limits
from oio.common.retry import ONCE, Attempts, Retry
from oio.common.ttl_cache import TTLCache
from oio.common.utils import monotonic_time
from oio.conscience.client import LbClient

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.http_api import Answer
    from oio.common.keywords import RequestOptions, RequestParts, ServiceOptions

_ACCOUNTS, _BUCKET = "/account", "bucket/"
"""End of the endpoint, and beginning of the routes that are beside it."""


class AccountRequests(HttpApi):
    """Base of the client: the proxy finds the service, and finds another one when it fails."""

    def __init__(
        self,
        conf: JsonObject,
        endpoint: str | None = None,
        proxy_endpoint: str | None = None,
        refresh_delay: float = 3600.0,
        logger: logging.Logger | None = None,
        request_attempts: int | str | None = None,
        **kwargs: Unpack[ServiceOptions],
    ) -> None:
        super().__init__(endpoint=endpoint, service_type="account-service", **kwargs)
        self.logger = logging.getLogger(__name__) if logger is None else logger
        self._retry = self._retry.times(request_attempts)
        self._lb: LbClient | None = None
        if endpoint is None:
            kwargs["pool_manager"] = self._connections
            self._lb = LbClient(
                conf, endpoint=proxy_endpoint, logger=logger, request_attempts=request_attempts, **kwargs
            )
        self._refresh_delay = float(refresh_delay)
        self._next_refresh = 0.0
        #: Region and default policy of the namespace, by the endpoints of services that want to be told.
        self._config: TTLCache[tuple[str | None, str]] = TTLCache()
        #: Services that take deletions of containers as updates, by their endpoints.
        self._forgets_by_update: TTLCache[bool] = TTLCache()

    # --- where the service is

    @property
    def _service(self) -> str:
        return urlsplit(self.endpoint or "").netloc

    def _get_account_addr(self, **kwargs: Unpack[RequestOptions]) -> str:
        """Ask the proxy for the address of an account service (``host:port``)."""
        if self._lb is None:
            raise exc.ConfigurationException(f"the account service is fixed: {self.endpoint}")
        try:
            service = self._lb.next_instance("account", **kwargs)
        except (exc.NotFound, LookupError) as err:
            # Callers would take a 404 for an account that does not exist.
            raise exc.ServiceUnavailable(
                f"the proxy knows no account service: {err}", service=self._lb.proxy_netloc
            ) from err
        with reading_answer(self._lb.proxy_netloc):
            return service["addr"]

    def _refresh_endpoint(self, given: RequestOptions) -> None:
        """Use the address that the proxy gives now."""
        self.endpoint = f"http://{self._get_account_addr(**given)}/v1.0/account"
        self._next_refresh = monotonic_time() + self._refresh_delay

    def _maybe_refresh_endpoint(self, given: RequestOptions) -> None:
        """Use the address that the proxy gives now, if there is none or it is old.

        An old one still serves when the proxy gives none.
        """
        if self._lb is None:
            return
        if self.endpoint is None:
            self._refresh_endpoint(given)
        elif monotonic_time() >= self._next_refresh:
            # A new address is not worth a wait.
            self._found_another(given | {"retry": ONCE, "request_attempts": None})

    def _found_another(self, given: RequestOptions) -> bool:
        """Ask for another service after a failure, which must not be hidden by another one (pitfall 105)."""
        if self._lb is None:
            return False
        try:
            self._refresh_endpoint(given)
        except exc.OioException as err:
            self.logger.warning("No other account service: %s", err)
            return False
        return True

    # --- requests

    def account_request(
        self,
        account: str | None,
        method: str,
        action: str,
        params: Mapping[str, object] | None = None,
        data: str | bytes | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> Answer:
        """Send a request about an account, or about a bucket by a route ``bucket/...``.

        When the service does not answer, the next request goes to the one that the proxy chooses then; a
        read is sent to it at once.

        :param data: the body
        """
        options = kwargs.get("options")
        given = kwargs if options is None else cast("RequestOptions", options.for_request())
        query: dict[str, object] = {} if account is None else {"id": account}
        query.update(params or {})
        wish = given.get("force_master")
        if check_flag("force_master", self.force_master if wish is None else wish):
            # The service ignores the header that the proxy knows.
            query["force_master"] = 1
        self._maybe_refresh_endpoint(given)
        action, body = action.lstrip("/"), NO_DATA if data is None else data
        attempts: Attempts | None = None
        while True:
            asked = self.endpoint
            route = f"/{action}"
            if action.startswith(_BUCKET):
                route = f"{(asked or '').rstrip('/').removesuffix(_ACCOUNTS)}{route}"
            try:
                return self._send(method, route, given, query, body)
            except exc.OioNetworkException as err:
                if not self._found_another(given):
                    raise
                if attempts is None:
                    limits = given.get("limits") or Limits.of(deadline=given.get("deadline"))
                    attempts = Attempts(
                        super()._policy(method, f"/{action}", cast("RequestParts", given)), limits
                    )
                if not attempts.again(err, at_once=self.endpoint != asked):
                    raise
                listener = given.get("on_event", self._on_event)
                if listener is not None:
                    kind = RETRIED if self.endpoint == asked else FAILED_OVER
                    where = f"{(self.endpoint or '').rstrip('/')}/{action}"
                    parts = cast("RequestParts", given)
                    tell(listener, self._event(kind, method, where, parts, err, attempts.failed + 1))

    def _policy(self, method: str, url: str, given: RequestParts) -> Retry:
        retry = super()._policy(method, url, given)
        # The service may have moved: the proxy is asked before another attempt.
        return retry if self._lb is None else replace(retry, final=(exc.OioNetworkException,))

    def _ask(
        self,
        name: str | None,
        method: str,
        action: str,
        given: RequestOptions,
        params: Mapping[str, object] | None = None,
    ) -> Answer:
        """Send a request without a body, through the public method, which programs may replace."""
        return self.account_request(name, method, action, params, **given)

    def _read(
        self,
        name: str | None,
        action: str,
        given: RequestOptions,
        params: Mapping[str, object] | None = None,
    ) -> JsonObject:
        """Get the JSON object that describes an account or something in it."""
        resp, body = self._ask(name, "GET", action, given, params)
        return expect(dict, resp, body, self._service)

    def _post(self, name: str | None, action: str, given: RequestOptions) -> None:
        self._ask(name, "POST", action, given)

    def _write(
        self,
        name: str | None,
        action: str,
        given: RequestOptions,
        described: Mapping[str, object],
        params: Mapping[str, object] | None = None,
    ) -> Answer:
        return self.account_request(name, "PUT", action, params, json.dumps(described), **given)
