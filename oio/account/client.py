# SPDX-License-Identifier: Apache-2.0
"""Client of the account service, whose address is asked of the proxy."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common.answers import expect, reading_answer, refuse_stranger
from oio.common.backoff import back_off, check_attempts
from oio.common.easy_value import true_value
from oio.common.http_api import HttpApi
from oio.common.utils import monotonic_time
from oio.conscience.client import LbClient

_CREATED = 201


class AccountClient(HttpApi):
    """Requests to the account service, one method for each of its routes.

    Every method takes the options of a request as keywords: ``headers``, ``reqid``, ``deadline``,
    ``connection_timeout``, ``read_timeout``, ``perfdata``...

    :param conf: a dict with at least ``namespace``
    :param endpoint: URL of the account service, ``http://host:port/v1.0/account``; by default the proxy
        chooses one
    :param proxy_endpoint: URL or ``host:port`` of the proxy
    :param refresh_delay: seconds after which the proxy is asked again
    :param kwargs: options of :class:`~oio.common.http_api.HttpApi`, and ``request_attempts``: how often a
        request is tried in all when the service says that it is busy

    >>> client = AccountClient({"namespace": "NS"}, proxy_endpoint="127.0.0.1:6000")
    >>> client.endpoint is None
    True
    """

    def __init__(
        self,
        conf: dict[str, Any],
        endpoint: str | None = None,
        proxy_endpoint: str | None = None,
        refresh_delay: float = 3600.0,
        logger: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(endpoint=endpoint, service_type="account-service", **kwargs)
        self.logger = logger or logging.getLogger(__name__)
        self._request_attempts = check_attempts(kwargs.get("request_attempts"))
        self._lb: LbClient | None = None
        if endpoint is None:
            options = {**kwargs, "pool_manager": self.pool_manager, "logger": logger}
            self._lb = LbClient(conf, endpoint=proxy_endpoint, **options)
        self._refresh_delay = float(refresh_delay)
        self._next_refresh = 0.0

    def _get_account_addr(self, **kwargs: Any) -> str:
        """Ask the proxy for the address of an account service (``host:port``)."""
        if self._lb is None:
            raise exc.ConfigurationException(f"the account service is fixed: {self.endpoint}")
        try:
            service = self._lb.next_instance("account", **kwargs)
        except (exc.NotFound, LookupError) as err:
            # Not to be taken for an account that does not exist.
            raise exc.ServiceUnavailable(
                f"the proxy knows no account service: {err}", service=self._lb.proxy_netloc
            ) from err
        with reading_answer(self._lb.proxy_netloc):
            return service["addr"]

    def _refresh_endpoint(self, **kwargs: Any) -> None:
        """Take the address that the proxy gives now."""
        self.endpoint = f"http://{self._get_account_addr(**kwargs)}/v1.0/account"
        self._next_refresh = monotonic_time() + self._refresh_delay

    def _maybe_refresh_endpoint(self, **kwargs: Any) -> None:
        """Take the address that the proxy gives now, if there is none or it is old.

        An old one still serves when the proxy gives none.
        """
        if self._lb is None or (self.endpoint is not None and monotonic_time() < self._next_refresh):
            return
        if self.endpoint is None:
            self._refresh_endpoint(**kwargs)
        else:
            self._found_another(**kwargs)

    def _direct_request(  # type: ignore[override]
        self, method: str, url: str, request_attempts: Any = None, **kwargs: Any
    ) -> tuple[Any, Any]:
        attempts = check_attempts(request_attempts, self._request_attempts)
        for attempt in range(1, attempts + 1):
            try:
                resp, body = super()._direct_request(method, url, **kwargs)
                refuse_stranger(resp, urlsplit(url).netloc, kwargs.get("reqid"))
                return resp, body
            except exc.ServiceBusy as err:
                if attempt == attempts or not back_off(attempt, kwargs.get("deadline")):
                    raise
                self.logger.debug("Attempt %d of %d failed, trying again: %s", attempt, attempts, err)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def account_request(
        self,
        account: str | None,
        method: str,
        action: str,
        params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, Any]:
        """Send a request about an account.

        When the service does not answer, the next request goes to the one that the proxy chooses then; a
        read is sent to it at once.
        """
        params = {**({} if account is None else {"id": account}), **(params or {})}
        wish = kwargs.get("force_master")
        if true_value(self.force_master if wish is None else wish):
            # The service has no regard for the header that the proxy knows.
            params["force_master"] = 1
        options = {name: value for name, value in kwargs.items() if name != "data"}
        self._maybe_refresh_endpoint(**options)
        try:
            return self._request(method, action, params=params, **kwargs)
        except exc.OioNetworkException:
            if not self._found_another(**options) or method != "GET":
                raise
            return self._request(method, action, params=params, **kwargs)

    def _found_another(self, **kwargs: Any) -> bool:
        """Ask for another service after a failure; what goes wrong here must not hide it (row 105)."""
        if self._lb is None:
            return False
        try:
            self._refresh_endpoint(**kwargs)
        except exc.OioException as err:
            self.logger.warning("No other account service: %s", err)
            return False
        return True

    def _service(self) -> str:
        return urlsplit(self.endpoint or "").netloc

    def account_create(self, account: str, **kwargs: Any) -> bool:
        """Create an account.

        :returns: True when created, False when it existed
        """
        resp, _ = self.account_request(account, "PUT", "create", **kwargs)
        return bool(resp.status == _CREATED)

    def account_delete(self, account: str | None, **kwargs: Any) -> None:
        """Delete an account.

        :raises Conflict: it has containers
        """
        self.account_request(account, "POST", "delete", **kwargs)

    def account_list(self, **kwargs: Any) -> list[str]:
        """List the names of the accounts, in no order."""
        resp, body = self.account_request(None, "GET", "list", **kwargs)
        return expect(list, resp, body, self._service())

    def account_show(self, account: str | None, **kwargs: Any) -> dict[str, Any]:
        """Get the counters of an account, and its properties in ``metadata``."""
        resp, body = self.account_request(account, "GET", "show", **kwargs)
        return expect(dict, resp, body, self._service())

    def account_update(
        self,
        account: str | None,
        metadata: dict[str, str] | None = None,
        to_delete: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove properties of an account, then set some. The account is created when it does not exist."""
        names = None if to_delete is None else list(to_delete)
        data = json.dumps({"metadata": metadata, "to_delete": names})
        self.account_request(account, "PUT", "update", data=data, **kwargs)

    def account_refresh(self, account: str | None, **kwargs: Any) -> None:
        """Compute the counters of an account again, from those of its containers."""
        self.account_request(account, "POST", "refresh", **kwargs)

    def account_flush(self, account: str | None, **kwargs: Any) -> None:
        """Forget the containers of an account, which stay where they are."""
        self.account_request(account, "POST", "flush", **kwargs)

    def container_list(
        self,
        account: str | None,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        s3_buckets_only: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """List the containers of an account.

        :param limit: size of the page, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :param delimiter: what follows it in names is folded into prefixes
        :param s3_buckets_only: only names that can be those of buckets
        :returns: as :meth:`account_show`, and ``listing``: lists of name, number of objects, bytes, 1 for a
            prefix or 0, and time of the last change
        """
        params = {
            "limit": limit,
            "marker": marker,
            "end_marker": end_marker,
            "prefix": prefix,
            "delimiter": delimiter,
            "s3_buckets_only": s3_buckets_only,
        }
        resp, body = self.account_request(account, "GET", "containers", params, **kwargs)
        return expect(dict, resp, body, self._service())

    def container_show(self, account: str, container: str, **kwargs: Any) -> dict[str, Any]:
        """Get what the account knows of a container: counters, and time of the last change."""
        params = {"container": container}
        resp, body = self.account_request(account, "GET", "container/show", params, **kwargs)
        return expect(dict, resp, body, self._service())

    def container_update(
        self, account: str, container: str, metadata: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        """Tell the account the state of a container.

        :param metadata: ``mtime`` or ``dtime`` (seconds), ``objects``, ``bytes``...
        :raises Conflict: the account knows a later state
        """
        data = json.dumps({**(metadata or {}), "name": container})
        _, body = self.account_request(account, "PUT", "container/update", data=data, **kwargs)
        return body

    def container_reset(self, account: str, container: str, mtime: float, **kwargs: Any) -> None:
        """Set the counters of a container to 0 in its account.

        :param mtime: time of the reset (seconds), which must be the latest event of the container
        """
        data = json.dumps({"name": container, "mtime": mtime})
        self.account_request(account, "PUT", "container/reset", data=data, **kwargs)

    def bucket_list(
        self,
        account: str,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """List the buckets of an account: the containers that say which bucket they are of.

        :param limit: size of the page, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :returns: as :meth:`account_show`, and ``listing``: dicts with ``name``, ``objects``, ``bytes`` and
            ``mtime``; ``truncated``, and then ``next_marker`` (an empty page may follow)
        """
        params = {"limit": limit, "marker": marker, "end_marker": end_marker, "prefix": prefix}
        resp, body = self.account_request(account, "GET", "buckets", params, **kwargs)
        return expect(dict, resp, body, self._service())

    def bucket_show(self, bucket: str, **kwargs: Any) -> dict[str, Any]:
        """Get the account and the counters of a bucket, along with its properties.

        :raises NotFound: there is no such bucket
        """
        resp, body = self.account_request(bucket, "GET", "show-bucket", **kwargs)
        return expect(dict, resp, body, self._service())

    def bucket_update(
        self,
        bucket: str,
        metadata: dict[str, str] | None = None,
        to_delete: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Remove properties of a bucket, then set some. The bucket is created when it does not exist.

        :returns: as :meth:`bucket_show`
        """
        data = json.dumps({"metadata": metadata or {}, "to_delete": list(to_delete or ())})
        resp, body = self.account_request(bucket, "PUT", "update-bucket", data=data, **kwargs)
        return expect(dict, resp, body, self._service())

    def bucket_refresh(self, bucket: str, **kwargs: Any) -> None:
        """Compute the counters of a bucket again, from those of its containers.

        :raises NotFound: there is no such bucket
        """
        self.account_request(bucket, "POST", "refresh-bucket", **kwargs)
