# SPDX-License-Identifier: Apache-2.0
"""Client of the account service, which the proxy finds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from oio.account._requests import AccountRequests
from oio.common import exceptions as exc
from oio.common.answers import JsonObject, expect, reading_answer
from oio.common.arguments import wrong_type

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.keywords import RequestOptions

_CREATED = 201
_NO_CONTENT = 204
_NO_POLICY = "NONE"
"""Policy that objects count for when the namespace names no default."""


class AccountClient(AccountRequests):
    """Requests to the account service, one method for each of its routes.

    Every method takes the options of a request as keywords: ``headers``, ``reqid``, ``deadline``,
    ``connection_timeout``, ``read_timeout``, ``perfdata``...

    :param conf: a dict with at least ``namespace``
    :param endpoint: URL of the account service, ``http://host:port/v1.0/account``; by default the proxy
        chooses one
    :param proxy_endpoint: URL or ``host:port`` of the proxy
    :param refresh_delay: seconds after which the proxy is asked again
    :param request_attempts: how often a request is sent in all, when that is harmless
    :param kwargs: options of :class:`~oio.common.http_api.HttpApi`

    >>> client = AccountClient({"namespace": "NS"}, proxy_endpoint="127.0.0.1:6000")
    >>> client.endpoint is None
    True
    """

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
        """List the names of the accounts, in no order.

        A service that gives them in pages is asked for all of them.
        """
        names, rows = self._accounts({}, kwargs)
        with reading_answer(self._service):
            return names + [row["id"] for row in rows]

    def account_list_ext(
        self, prefix: str | None = None, **kwargs: Unpack[RequestOptions]
    ) -> list[JsonObject]:
        """List the accounts along with their counters, in no order.

        Services of 7.3 list names only: each account is asked for, by one request.

        :param prefix: names that begin so only
        :returns: as :meth:`account_show`; services of 2026 leave out the ``regions`` here
        """
        if not isinstance(prefix, (str, type(None))):
            raise wrong_type("prefix", "a str", prefix)
        names, rows = self._accounts({"prefix": prefix, "stats": "true"}, kwargs)
        for name in names:
            if name.startswith(prefix or ""):
                # It may have been deleted meanwhile.
                with contextlib.suppress(exc.NotFound):
                    rows.append(self.account_show(name, **kwargs))
        return rows

    def _accounts(
        self, query: Mapping[str, object], given: RequestOptions
    ) -> tuple[list[str], list[JsonObject]]:
        """List the accounts: by name, as services of 7.3 do it, or by rows, page after page."""
        rows: list[JsonObject] = []
        marker: str | None = None
        while True:
            resp, body = self._ask(None, "GET", "list", given, {**query, "marker": marker})
            if isinstance(body, list):
                return body, rows
            with reading_answer(self._service):
                listed = expect(dict, resp, body, self._service)
                page = listed["listing"]
                rows += [row | {"id": row["id"]} for row in page]
                if not listed["truncated"]:
                    return [], rows
                following = str(listed["next_marker"])
            if marker is not None and following <= marker:
                raise exc.OioProtocolError(
                    f"the accounts do not go on after {marker!r}", service=self._service
                )
            marker = following

    def account_show(self, account: str | None, **kwargs: Unpack[RequestOptions]) -> JsonObject:
        """Get the counters of an account, and its properties in ``metadata``.

        Services of 2026 also tell ``regions`` and ``shards``, and no longer what is damaged.
        """
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
        region: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """List the containers of an account.

        Services of 2026 ignore `delimiter` and `s3_buckets_only`, those of 7.3 ignore `region`; answers of
        the former have ``regions``.

        :param limit: size of the page, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :param delimiter: what follows it in names is folded into prefixes
        :param s3_buckets_only: only names that can be those of buckets
        :param region: only the containers of this region
        :returns: as :meth:`account_show`, and ``listing``: lists of name, number of objects, bytes, 1 for a
            prefix or 0, and time of the last change
        """
        page = _page(limit, marker, end_marker, prefix)
        page.update(delimiter=delimiter, s3_buckets_only=s3_buckets_only)
        if region is not None:
            page["region"] = region
        return self._read(account, "containers", kwargs, page)

    def container_show(self, account: str, container: str, **kwargs: Unpack[RequestOptions]) -> JsonObject:
        """Get what the account knows of a container: counters, and time of the last change.

        :raises NotFound: it does not know the container; services of 7.3 answer with zeros instead
        """
        return self._read(account, "container/show", kwargs, {"container": container})

    def container_update(
        self,
        account: str,
        container: str,
        metadata: JsonObject | None = None,
        region: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> Any:
        """Tell the account the state of a container.

        :param metadata: ``mtime`` or ``dtime`` (seconds), ``objects``, ``bytes``, ``bucket``... Services of
            2026 count by storage policy: ``objects-details`` and ``bytes-details``, dicts of numbers by
            policy. Without them, all counts for the default policy of the namespace.
        :param region: of the container, which services of 2026 want to know; by default that of the
            namespace
        :raises Conflict: the account knows a later state
        """
        known = self._config.get(self.endpoint)
        state = _State(account, container, dict(metadata or {}), region)
        try:
            return self._update(state if known is None else state.completed(*known), kwargs)
        except exc.BadRequest as refusal:
            if state.metadata.get("dtime") is not None:
                return self._delete_instead(state, refusal, kwargs)
            complete = state.completed(*self._read_config(refusal, kwargs))
            if known is not None or complete == state:
                raise
            return self._update(complete, kwargs)

    def _update(self, state: _State, given: RequestOptions) -> Any:
        # Services of one release read the body, those of the other the query.
        described = dict(state.metadata, name=state.container)
        query = {"container": state.container, "region": state.region}
        return self._write(state.account, "container/update", given, described, query)[1]

    def _delete_instead(self, state: _State, refusal: exc.BadRequest, given: RequestOptions) -> str:
        """Delete a container by the route for that, after a service has refused to do it by an update."""
        try:
            self._delete(state.account, state.container, state.metadata["dtime"], given)
        except exc.NotFound:
            raise refusal from None
        self._forgets_by_update.discard(self.endpoint)
        return state.container

    def _read_config(self, refusal: exc.BadRequest | None, given: RequestOptions) -> tuple[str | None, str]:
        """Get the region and the default policy of the namespace, from the proxy.

        :param refusal: answer of a service to a request that lacked them, if there was one
        :raises BadRequest: the refusal, when there is no proxy to ask
        """
        if self._lb is None:
            raise refusal or exc.ConfigurationException(f"the account service is fixed: {self.endpoint}")
        url = f"{self._lb.proxy_scheme}://{self._lb.proxy_netloc}/v3.0/config"
        resp, body = self._lb._send("GET", url, given)
        config = expect(dict, resp, body, self._lb.proxy_netloc)
        known = config.get("ns.region"), config.get("ns.storage_policy") or _NO_POLICY
        self._config.set(self.endpoint, known)
        return known

    def container_delete(
        self, account: str, container: str, dtime: float, **kwargs: Unpack[RequestOptions]
    ) -> None:
        """Make the account forget a container.

        :param dtime: time of its destruction (seconds), which must be the latest event of the container
        :raises Conflict: the account knows a later state
        """
        if not self._forgets_by_update.get(self.endpoint):
            try:
                self._delete(account, container, dtime, kwargs)
                return
            except exc.NotFound:
                # Services of 7.3 have no such route; those of 2026 forget what they do not know, too.
                self._forgets_by_update.set(self.endpoint, True)
        self.container_update(account, container, {"dtime": dtime}, **kwargs)

    def _delete(self, account: str, container: str, dtime: float, given: RequestOptions) -> None:
        data = json.dumps({"dtime": dtime})
        self.account_request(account, "POST", "container/delete", {"container": container}, data, **given)

    def container_reset(
        self, account: str, container: str, mtime: float, **kwargs: Unpack[RequestOptions]
    ) -> None:
        """Set the counters of a container to 0 in its account.

        :param mtime: time of the reset (seconds), which must be the latest event of the container
        """
        described = {"name": container, "mtime": mtime}
        self._write(account, "container/reset", kwargs, described, {"container": container})

    # --- buckets

    def bucket_list(
        self,
        account: str,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        region: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """List the buckets of an account.

        For services of 7.3, a container that says which bucket it is of makes one; those of 2026 have to be
        told of each.

        :param limit: size of the page, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :param region: only the buckets of this region; services of 7.3 have no regions, and ignore it
        :returns: as :meth:`account_show`, and ``listing``: dicts with ``name``, ``objects``, ``bytes`` and
            ``mtime``; ``truncated``, and then ``next_marker`` (an empty page may follow)
        """
        page = _page(limit, marker, end_marker, prefix) | {"region": region}
        return self._read(account, "buckets", kwargs, page)

    def bucket_create(
        self, bucket: str, account: str, region: str | None = None, **kwargs: Unpack[RequestOptions]
    ) -> bool:
        """Create a bucket. Its name is reserved before.

        :param region: of the bucket; by default that of the namespace
        :returns: True when created, False when it existed
        :raises NotFound: the service knows no such route, as those of 7.3, where a container that says which
            bucket it is of makes one
        """
        self._ask(bucket, "PUT", "bucket/reserve", kwargs, {"account": account})
        return self._change_bucket("PUT", "bucket/create", bucket, account, region, kwargs) == _CREATED

    def bucket_delete(
        self, bucket: str, account: str, region: str | None = None, **kwargs: Unpack[RequestOptions]
    ) -> None:
        """Delete a bucket; its containers stay.

        :param region: of the bucket; by default that of the namespace
        :raises NotFound: there is no such bucket; or the service knows no such route, as those of 7.3
        """
        self._change_bucket("POST", "bucket/delete", bucket, account, region, kwargs)

    def _change_bucket(
        self,
        method: str,
        action: str,
        bucket: str,
        account: str,
        region: str | None,
        given: RequestOptions,
    ) -> int:
        """Send a request about a bucket and its region, and get the status of the answer."""
        if region is None and self._lb is not None:
            region, _ = self._config.get(self.endpoint) or self._read_config(None, given)
        resp, _ = self._ask(bucket, method, action, given, {"account": account, "region": region})
        return int(resp.status)

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
        """Remove properties of a bucket, then set some.

        :returns: as :meth:`bucket_show`
        :raises NotFound: there is no such bucket; services of 7.3 create it instead
        """
        described = {"metadata": metadata or {}, "to_delete": list(to_delete or ())}
        resp, body = self._write(bucket, "update-bucket", kwargs, described)
        if resp.status == _NO_CONTENT:
            return self.bucket_show(bucket, **kwargs)
        return expect(dict, resp, body, self._service)

    def bucket_refresh(self, bucket: str, **kwargs: Unpack[RequestOptions]) -> None:
        """Compute the counters of a bucket again, from those of its containers.

        :raises NotFound: there is no such bucket
        """
        self._post(bucket, "refresh-bucket", kwargs)


class _State(NamedTuple):
    """State of a container, as it is told to its account."""

    account: str
    container: str
    metadata: JsonObject
    region: str | None

    def completed(self, region: str | None, policy: str) -> _State:
        """The same, with the fields that services of 2026 need.

        :param region: of the namespace, where that of the container is not known
        :param policy: default policy of the namespace, for numbers that are not told by policy
        """
        metadata = dict(self.metadata)
        for kind in ("objects", "bytes"):
            if metadata.get(kind):
                metadata.setdefault(f"{kind}-details", {policy: metadata[kind]})
        return self._replace(metadata=metadata, region=self.region or region)


def _page(
    limit: int | None, marker: str | None, end_marker: str | None, prefix: str | None
) -> dict[str, object]:
    return {"limit": limit, "marker": marker, "end_marker": end_marker, "prefix": prefix}
