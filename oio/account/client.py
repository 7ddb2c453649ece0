# SPDX-License-Identifier: Apache-2.0
"""Client of the account service, which the proxy finds."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common.answers import JsonObject, expect, reading_answer
from oio.common.easy_value import true_value
from oio.common.http_api import HttpApi
from oio.common.retry import Retry
from oio.common.utils import monotonic_time
from oio.conscience.client import LbClient

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.http_api import Answer
    from oio.common.keywords import RequestOptions, ServiceOptions

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
    :param request_attempts: how often a request is tried in all when the service is busy
    :param kwargs: options of :class:`~oio.common.http_api.HttpApi`

    >>> client = AccountClient({"namespace": "NS"}, proxy_endpoint="127.0.0.1:6000")
    >>> client.endpoint is None
    True
    """

    def __init__(
        self,
        conf: JsonObject,
        endpoint: str | None = None,
        proxy_endpoint: str | None = None,
        refresh_delay: float = 3600.0,
        logger: logging.Logger | None = None,
        request_attempts: int | str | None = 1,
        **kwargs: Unpack[ServiceOptions],
    ) -> None:
        super().__init__(endpoint=endpoint, service_type="account-service", **kwargs)
        self.logger = logger or logging.getLogger(__name__)
        self._retry = Retry.of(request_attempts)
        self._lb: LbClient | None = None
        if endpoint is None:
            kwargs["pool_manager"] = self.pool_manager
            self._lb = LbClient(
                conf, endpoint=proxy_endpoint, logger=logger, request_attempts=request_attempts, **kwargs
            )
        self._refresh_delay = float(refresh_delay)
        self._next_refresh = 0.0

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
            # Not to be taken for an account that does not exist.
            raise exc.ServiceUnavailable(
                f"the proxy knows no account service: {err}", service=self._lb.proxy_netloc
            ) from err
        with reading_answer(self._lb.proxy_netloc):
            return service["addr"]

    def _refresh_endpoint(self, **kwargs: Unpack[RequestOptions]) -> None:
        """Use the address that the proxy gives now."""
        self.endpoint = f"http://{self._get_account_addr(**kwargs)}/v1.0/account"
        self._next_refresh = monotonic_time() + self._refresh_delay

    def _maybe_refresh_endpoint(self, **kwargs: Unpack[RequestOptions]) -> None:
        """Use the address that the proxy gives now, if there is none or it is old.

        An old one still serves when the proxy gives none.
        """
        if self._lb is None or (self.endpoint is not None and monotonic_time() < self._next_refresh):
            return
        if self.endpoint is None:
            self._refresh_endpoint(**kwargs)
        else:
            self._found_another(kwargs)

    def _found_another(self, given: RequestOptions) -> bool:
        """Ask for another service after a failure, which must not be hidden by another one (pitfall 105)."""
        if self._lb is None:
            return False
        try:
            self._refresh_endpoint(**given)
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
        """Send a request about an account.

        When the service does not answer, the next request goes to the one that the proxy chooses then; a
        read is sent to it at once.

        :param data: the body
        """
        options = kwargs.get("options")
        given = kwargs if options is None else cast("RequestOptions", options.for_request())
        query: dict[str, object] = {} if account is None else {"id": account}
        query.update(params or {})
        wish = given.get("force_master")
        if true_value(self.force_master if wish is None else wish):
            # The service ignores the header that the proxy knows.
            query["force_master"] = 1
        self._maybe_refresh_endpoint(**given)
        route = f"/{action.lstrip('/')}"
        try:
            return self._send(method, route, given, query, data)
        except exc.OioNetworkException:
            if not self._found_another(given) or method != "GET":
                raise
            return self._send(method, route, given, query, data)

    def _ask(
        self,
        name: str | None,
        method: str,
        action: str,
        given: RequestOptions,
        params: Mapping[str, object] | None = None,
    ) -> Answer:
        """Send a request without a body, by the method that programs may replace."""
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
        self, name: str | None, action: str, given: RequestOptions, described: Mapping[str, object]
    ) -> Answer:
        return self.account_request(name, "PUT", action, data=json.dumps(described), **given)

    # --- accounts

    def account_create(self, account: str, **kwargs: Unpack[RequestOptions]) -> bool:
        """Create an account.

        :returns: True when created, False when it existed
        """
        resp, _ = self._ask(account, "PUT", "create", kwargs)
        return bool(resp.status == _CREATED)

    def account_delete(self, account: str | None, **kwargs: Unpack[RequestOptions]) -> None:
        """Delete an account.

        :raises Conflict: it has containers
        """
        self._post(account, "delete", kwargs)

    def account_list(self, **kwargs: Unpack[RequestOptions]) -> list[str]:
        """List the names of the accounts, in no order."""
        resp, body = self._ask(None, "GET", "list", kwargs)
        return expect(list, resp, body, self._service)

    def account_show(self, account: str | None, **kwargs: Unpack[RequestOptions]) -> JsonObject:
        """Get the counters of an account, and its properties in ``metadata``."""
        return self._read(account, "show", kwargs)

    def account_update(
        self,
        account: str | None,
        metadata: dict[str, str] | None = None,
        to_delete: Iterable[str] | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Remove properties of an account, then set some. The account is created when it does not exist."""
        names = None if to_delete is None else list(to_delete)
        self._write(account, "update", kwargs, {"metadata": metadata, "to_delete": names})

    def account_refresh(self, account: str | None, **kwargs: Unpack[RequestOptions]) -> None:
        """Compute the counters of an account again, from those of its containers."""
        self._post(account, "refresh", kwargs)

    def account_flush(self, account: str | None, **kwargs: Unpack[RequestOptions]) -> None:
        """Forget the containers of an account, which stay where they are."""
        self._post(account, "flush", kwargs)

    # --- containers

    def container_list(
        self,
        account: str | None,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        s3_buckets_only: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
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
        page = _page(limit, marker, end_marker, prefix)
        page.update(delimiter=delimiter, s3_buckets_only=s3_buckets_only)
        return self._read(account, "containers", kwargs, page)

    def container_show(self, account: str, container: str, **kwargs: Unpack[RequestOptions]) -> JsonObject:
        """Get what the account knows of a container: counters, and time of the last change."""
        return self._read(account, "container/show", kwargs, {"container": container})

    def container_update(
        self,
        account: str,
        container: str,
        metadata: JsonObject | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> Any:
        """Tell the account the state of a container.

        :param metadata: ``mtime`` or ``dtime`` (seconds), ``objects``, ``bytes``...
        :raises Conflict: the account knows a later state
        """
        described = dict(metadata or {}, name=container)
        return self._write(account, "container/update", kwargs, described)[1]

    def container_reset(
        self, account: str, container: str, mtime: float, **kwargs: Unpack[RequestOptions]
    ) -> None:
        """Set the counters of a container to 0 in its account.

        :param mtime: time of the reset (seconds), which must be the latest event of the container
        """
        self._write(account, "container/reset", kwargs, {"name": container, "mtime": mtime})

    # --- buckets

    def bucket_list(
        self,
        account: str,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """List the buckets of an account: the containers that say which bucket they are of.

        :param limit: size of the page, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :returns: as :meth:`account_show`, and ``listing``: dicts with ``name``, ``objects``, ``bytes`` and
            ``mtime``; ``truncated``, and then ``next_marker`` (an empty page may follow)
        """
        return self._read(account, "buckets", kwargs, _page(limit, marker, end_marker, prefix))

    def bucket_show(self, bucket: str, **kwargs: Unpack[RequestOptions]) -> JsonObject:
        """Get the account and the counters of a bucket, along with its properties.

        :raises NotFound: there is no such bucket
        """
        return self._read(bucket, "show-bucket", kwargs)

    def bucket_update(
        self,
        bucket: str,
        metadata: dict[str, str] | None = None,
        to_delete: Iterable[str] | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Remove properties of a bucket, then set some. The bucket is created when it does not exist.

        :returns: as :meth:`bucket_show`
        """
        described = {"metadata": metadata or {}, "to_delete": list(to_delete or ())}
        resp, body = self._write(bucket, "update-bucket", kwargs, described)
        return expect(dict, resp, body, self._service)

    def bucket_refresh(self, bucket: str, **kwargs: Unpack[RequestOptions]) -> None:
        """Compute the counters of a bucket again, from those of its containers.

        :raises NotFound: there is no such bucket
        """
        self._post(bucket, "refresh-bucket", kwargs)


def _page(
    limit: int | None, marker: str | None, end_marker: str | None, prefix: str | None
) -> dict[str, object]:
    return {"limit": limit, "marker": marker, "end_marker": end_marker, "prefix": prefix}
