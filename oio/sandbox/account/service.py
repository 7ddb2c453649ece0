# SPDX-License-Identifier: Apache-2.0
"""Routes of the account service, its JSON answers and plain text errors."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from oio.sandbox.account import regional
from oio.sandbox.account.calls import Ask, Failure, create, date_of, handler_of, metadata_of, update
from oio.sandbox.account.regional_store import RegionalStore
from oio.sandbox.account.store import AccountStore, Filter, NotEmpty, NotFound, Stale, decimal
from oio.sandbox.http.values import is_true, parse_query
from oio.sandbox.messages import Response
from oio.sandbox.metadata.container import COUNTERS, ContainerState
from oio.sandbox.storage.listing import Folder

if TYPE_CHECKING:
    from oio.sandbox.messages import Request

_JSON: Final = ("Content-Type", "text/json; charset=utf-8")


class _Ask(Ask[AccountStore]):
    def filter(self) -> Filter:
        return Filter(
            limit=self.limit(),
            marker=self.query.get("marker", ""),
            end_marker=self.query.get("end_marker", ""),
            prefix=self.query.get("prefix", ""),
            delimiter=self.query.get("delimiter", ""),
            s3_buckets_only=is_true(self.query.get("s3_buckets_only", "")),
        )


class Account:
    """The account service without its sockets; safe from many threads.

    On a :class:`RegionalStore` it answers as the later service does.
    """

    def __init__(self, store: AccountStore) -> None:
        self._store = store

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        try:
            return self._answer(request)
        except Failure as failure:
            headers = []
            if isinstance(self._store, RegionalStore):
                headers = [("x-oio-req-id", str(request.get("x-oio-req-id")))]
            return Response(failure.status, headers, html.escape(failure.text).encode())

    def _answer(self, request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        query = {key: value.decode(errors="replace") for key, value in parse_query(request.query).items()}
        try:
            if isinstance(self._store, RegionalStore):
                return regional.answer(self._store, request.path, method, query, request.body)
            return handler_of(ROUTES, request.path, method)(_Ask(self._store, query, request.body))
        except (ValueError, TypeError, AttributeError, OverflowError) as exc:
            # The real service does not check its input either.
            raise Failure(500, f"Unmanaged error: {exc}") from exc


# -- accounts


def _status(ask: _Ask) -> Response:
    return _json({"account_count": len(ask.store.names())})


def _list(ask: _Ask) -> Response:
    return _json(ask.store.names())


def _delete(ask: _Ask) -> Response:
    try:
        ask.store.delete(ask.account())
    except NotFound as exc:
        raise Failure(404, "No such account") from exc
    except NotEmpty as exc:
        raise Failure(409, "Account not empty") from exc
    return _done()


def _show(ask: _Ask) -> Response:
    return _json(_shown(ask))


def _shown(ask: _Ask) -> dict[str, object]:
    try:
        return ask.store.show(ask.account())
    except NotFound as exc:
        raise Failure(404, "Account not found") from exc


def _refresh(ask: _Ask) -> Response:
    return _maintain(ask.store.refresh, ask.account())


def _flush(ask: _Ask) -> Response:
    return _maintain(ask.store.flush, ask.account())


def _maintain(action: Callable[[str], None], account: str) -> Response:
    try:
        action(account)
    except NotFound as exc:
        raise Failure(404, account) from exc
    return _done()


# -- containers


def _containers(ask: _Ask) -> Response:
    shown = _shown(ask)
    listing: list[list[object]] = []
    for item in ask.store.containers(ask.account(), ask.filter()):
        if isinstance(item, Folder):
            listing.append([item.name, 0, 0, 1, 0])
        else:
            listing.append([item.name, item.objects, item.bytes, 0, float(decimal(item.mtime))])
    return _json(shown | {"listing": listing})


def _show_container(ask: _Ask) -> Response:
    account, name = ask.account(), ask.container()
    try:
        entry, replicated = ask.store.container(account, name)
    except NotFound:
        entry, replicated = None, False
    shown: dict[str, object] = dict((entry or ContainerState(account, name)).counters)
    if entry is not None:
        shown |= {"name": entry.name, "mtime": decimal(entry.mtime), "dtime": decimal(entry.dtime)}
        shown |= {"bucket": entry.bucket} if entry.bucket else {}
    return _json(shown | {"replication_enabled": replicated})


def _update_container(ask: _Ask) -> Response:
    body = ask.body()
    account, name = ask.query.get("id"), body.get("name")
    if not account or not isinstance(name, str) or not name:
        raise Failure(400, "Missing account or container")
    numbers: dict[str, Any] = {key: int(str(body.get(key) or 0)) for key in COUNTERS}
    bucket = body.get("bucket")
    state = ContainerState(
        account,
        name,
        mtime=date_of(body.get("mtime")),
        dtime=date_of(body.get("dtime")),
        bucket=bucket if isinstance(bucket, str) else None,
        **numbers,
    )
    try:
        ask.store.update_container(state)
    except Stale as exc:
        raise _stale() from exc
    return Response(200, (), json.dumps(name).encode())


def _reset_container(ask: _Ask) -> Response:
    body = ask.body()
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise Failure(400, "Missing account or container")
    try:
        ask.store.reset_container(ask.account(), name, date_of(body.get("mtime")))
    except NotFound as exc:
        raise Failure(404, f"Container {name} not found") from exc
    except Stale as exc:
        raise _stale() from exc
    return _done()


def _stale() -> Failure:
    return Failure(409, "No update needed, event older than last container update")


# -- buckets


def _buckets(ask: _Ask) -> Response:
    shown, wanted = _shown(ask), ask.filter()
    found = ask.store.buckets(ask.account(), wanted)
    names = ("name", "objects", "bytes")
    listing = [
        {name: bucket[name] for name in names} | {"mtime": float(decimal(int(str(bucket["mtime"]))))}
        for bucket in found
    ]
    # A full page counts as truncated, even when nothing follows.
    truncated = len(found) == wanted.limit
    following = {"next_marker": found[-1]["name"]} if truncated else {}
    return _json(shown | {"listing": listing, "truncated": truncated} | following)


def _show_bucket(ask: _Ask) -> Response:
    try:
        return _json(ask.store.show_bucket(ask.bucket()))
    except NotFound as exc:
        raise Failure(404, "Bucket not found") from exc


def _update_bucket(ask: _Ask) -> Response:
    bucket = ask.bucket()
    metadata, to_delete = metadata_of(ask.body())
    ask.store.update_bucket(bucket, metadata, to_delete)
    return _json(ask.store.show_bucket(bucket))


def _refresh_bucket(ask: _Ask) -> Response:
    bucket = ask.bucket()
    try:
        ask.store.show_bucket(bucket)
    except NotFound as exc:
        raise Failure(404, f"Bucket {bucket} not found") from exc
    return _done()


# -- answers


def _json(value: object) -> Response:
    return Response(200, [_JSON], json.dumps(value).encode())


def _done() -> Response:
    return Response(204)


_Handler = Callable[[_Ask], Response]
_V1: Final = "/v1.0/account/"

ROUTES: Final[dict[str, dict[str, _Handler]]] = {
    "/status": {"GET": _status},
    f"{_V1}create": {"PUT": create},
    f"{_V1}list": {"GET": _list},
    f"{_V1}delete": {"POST": _delete},
    f"{_V1}update": {"PUT": update, "POST": update},
    f"{_V1}show": {"GET": _show},
    f"{_V1}containers": {"GET": _containers},
    f"{_V1}refresh": {"POST": _refresh},
    f"{_V1}flush": {"POST": _flush},
    f"{_V1}container/update": {"PUT": _update_container, "POST": _update_container},
    f"{_V1}container/reset": {"PUT": _reset_container, "POST": _reset_container},
    f"{_V1}container/show": {"GET": _show_container},
    f"{_V1}show-container": {"GET": _show_container},
    f"{_V1}buckets": {"GET": _buckets},
    f"{_V1}show-bucket": {"GET": _show_bucket},
    f"{_V1}update-bucket": {"PUT": _update_bucket},
    f"{_V1}refresh-bucket": {"POST": _refresh_bucket},
    "/v1.0/bucket/show": {"GET": _show_bucket},
    "/v1.0/bucket/update": {"PUT": _update_bucket},
    "/v1.0/bucket/refresh": {"POST": _refresh_bucket},
}
