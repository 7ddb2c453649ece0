# SPDX-License-Identifier: Apache-2.0
"""Routes of the account service that knows regions, and its answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

from oio.sandbox.account.calls import Ask, Failure, create, date_of, handler_of, metadata_of, update
from oio.sandbox.account.regional_store import RegionalFilter, RegionalStore, seconds
from oio.sandbox.account.store import NotEmpty, NotFound, Stale
from oio.sandbox.http.values import is_true
from oio.sandbox.messages import Response
from oio.sandbox.metadata.container import ContainerState

if TYPE_CHECKING:
    from oio.sandbox.storage.listing import Page

_JSON: Final = ("Content-Type", "application/json")
_T = TypeVar("_T")
_NO_ACCOUNT: Final = "Account not found"


class _Ask(Ask[RegionalStore]):
    def filter(self) -> RegionalFilter:
        try:
            limit = self.limit()
        except ValueError as exc:
            raise Failure(400, str(exc)) from exc
        return RegionalFilter(
            limit=limit,
            marker=self.query.get("marker", ""),
            end_marker=self.query.get("end_marker", ""),
            prefix=self.query.get("prefix", ""),
            region=self.query.get("region", "").upper(),
            bucket=self.query.get("bucket", ""),
        )


def answer(store: RegionalStore, route: str, method: str, query: Mapping[str, str], data: bytes) -> Response:
    """Answer one request.

    :raises Failure: it is refused.
    """
    return handler_of(ROUTES, route, method)(_Ask(store, query, data))


# -- accounts


def _status(ask: _Ask) -> Response:
    return _json({"account_count": len(ask.store.names())})


def _list(ask: _Ask) -> Response:
    listing, truncated = ask.store.accounts(ask.filter(), stats=is_true(ask.query.get("stats", "")))
    return _json(_page(listing, truncated, "id"))


def _page(listing: list[dict[str, object]], truncated: bool, name: str) -> dict[str, object]:
    following = {"next_marker": listing[-1][name]} if truncated else {}
    return {"listing": listing, "truncated": truncated} | following


def _show(ask: _Ask) -> Response:
    return _json(_found(lambda: ask.store.show(ask.account()), _NO_ACCOUNT))


def _delete(ask: _Ask) -> Response:
    account = ask.account()
    try:
        _found(lambda: ask.store.delete(account), "Account doesn't exist")
    except NotEmpty as exc:
        count = ask.store.show(account)["containers"]
        raise Failure(409, f"Account not empty: {count} containers remaining") from exc
    return Response(204)


def _refresh(ask: _Ask) -> Response:
    account = ask.account()
    _found(lambda: ask.store.refresh(account), account)
    return Response(204)


def _flush(ask: _Ask) -> Response:
    account = ask.account()
    _found(lambda: ask.store.flush(account), "Account doesn't exist")
    return Response(204)


# -- containers


def _containers(ask: _Ask) -> Response:
    account, wanted = ask.account(), ask.filter()
    shown = _found(lambda: ask.store.show(account), _NO_ACCOUNT)
    page: Page[ContainerState] = ask.store.container_page(account, wanted)
    listing = [[item.name, item.objects, item.bytes, 0, seconds(item.mtime)] for item in page.rows]
    following = {"next_marker": page.rows[-1].name} if page.truncated else {}
    return _json(shown | {"listing": listing, "truncated": page.truncated} | following)


def _show_container(ask: _Ask) -> Response:
    account, name = ask.account(), ask.container()
    return _json(_found(lambda: ask.store.show_container(account, name), "Container not found"))


def _update_container(ask: _Ask) -> Response:
    account, name, body = ask.account(), ask.container(), ask.body()
    region = ask.required("region", "region")
    if body.get("dtime") is not None:
        raise Failure(400, "Deletion is no more accepted. Use '/v1.0/account/container/delete'.")
    if body.get("mtime") is None:
        raise Failure(400, "Missing modification time")
    sums = {kind: int(str(body.get(kind) or 0)) for kind in ("objects", "bytes")}
    details = {kind: _details(body, kind) for kind in sums}
    for kind, total in sums.items():
        detailed = sum(details[kind].values())
        if total != detailed:
            raise Failure(400, f"Mismatch between total {kind} ({total}) and detailed {kind} ({detailed})")
    bucket = body.get("bucket")
    state = ContainerState(
        account,
        name,
        mtime=date_of(body["mtime"]),
        objects=sums["objects"],
        bytes=sums["bytes"],
        bucket=bucket if isinstance(bucket, str) else None,
        region=region,
        objects_details=details["objects"],
        bytes_details=details["bytes"],
    )
    _applied(lambda: ask.store.update_container(state), "update_event")
    return _json(name)


def _details(body: dict[str, object], kind: str) -> dict[str, int]:
    given = body.get(f"{kind}-details") or {}
    if not isinstance(given, dict):
        raise TypeError(f"{kind}-details: expected an object")
    return {str(policy): int(str(number)) for policy, number in given.items()}


def _delete_container(ask: _Ask) -> Response:
    account, name = ask.account(), ask.container()
    dtime = date_of(ask.body().get("dtime"))
    state = ContainerState(account, name, dtime=dtime)
    _applied(lambda: ask.store.update_container(state), "delete_event")
    return Response(204)


def _reset_container(ask: _Ask) -> Response:
    account, name = ask.account(), ask.container()
    mtime = date_of(ask.body().get("mtime"))

    def reset() -> None:
        ask.store.reset_container(account, name, mtime)

    _found(lambda: _applied(reset, "update_event"), "Container doesn't exist")
    return Response(204)


def _applied(change: Callable[[], None], event: str) -> None:
    try:
        change()
    except Stale as exc:
        message = "No update needed, event older than last container update"
        raise Failure(409, f"{message} (existing_container, {event})") from exc


# -- buckets


def _buckets(ask: _Ask) -> Response:
    account, wanted = ask.account(), ask.filter()
    shown = _found(lambda: ask.store.show(account), _NO_ACCOUNT)
    listing, truncated = ask.store.bucket_page(account, wanted)
    return _json(shown | _page(listing, truncated, "name"))


def _reserve_bucket(ask: _Ask) -> Response:
    ask.bucket()
    ask.required("account", "account ID")
    return Response(201)


def _create_bucket(ask: _Ask) -> Response:
    bucket, account = ask.bucket(), ask.required("account", "account ID")
    if ask.store.create_bucket(bucket, account, ask.required("region", "region")):
        return Response(201, (), bucket.encode())
    return Response(202)


def _delete_bucket(ask: _Ask) -> Response:
    _owned(ask, ask.store.delete_bucket)
    return Response(204)


def _show_bucket(ask: _Ask) -> Response:
    bucket, account = ask.bucket(), ask.query.get("account")
    shown = _found(lambda: ask.store.show_bucket(bucket), "No owner")
    if account and account != shown["account"]:
        raise Failure(404, "Bucket not found")
    return _json(shown)


def _update_bucket(ask: _Ask) -> Response:
    metadata, to_delete = metadata_of(ask.body())
    _owned(ask, lambda bucket: ask.store.update_bucket(bucket, metadata, to_delete))
    return Response(204)


def _refresh_bucket(ask: _Ask) -> Response:
    _owned(ask, ask.store.owner)
    return Response(204)


def _owner(ask: _Ask) -> Response:
    return _json(_owned(ask, ask.store.owner))


def _owned(ask: _Ask, action: Callable[[str], _T]) -> _T:
    bucket = ask.bucket()
    return _found(lambda: action(bucket), "No owner")


# -- answers


def _found(action: Callable[[], _T], message: str) -> _T:
    try:
        return action()
    except NotFound as exc:
        raise Failure(404, message) from exc


def _json(value: object) -> Response:
    return Response(200, [_JSON], json.dumps(value, separators=(",", ":")).encode())


_Handler = Callable[[_Ask], Response]
_V1: Final = "/v1.0/account/"
_BUCKET: Final = "/v1.0/bucket/"

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
    f"{_V1}container/delete": {"POST": _delete_container},
    f"{_V1}container/reset": {"PUT": _reset_container, "POST": _reset_container},
    f"{_V1}container/show": {"GET": _show_container},
    f"{_V1}show-container": {"GET": _show_container},
    f"{_V1}buckets": {"GET": _buckets},
    f"{_V1}show-bucket": {"GET": _show_bucket},
    f"{_V1}update-bucket": {"PUT": _update_bucket},
    f"{_V1}refresh-bucket": {"POST": _refresh_bucket},
    f"{_BUCKET}reserve": {"PUT": _reserve_bucket},
    f"{_BUCKET}create": {"PUT": _create_bucket},
    f"{_BUCKET}delete": {"POST": _delete_bucket},
    f"{_BUCKET}show": {"GET": _show_bucket},
    f"{_BUCKET}update": {"PUT": _update_bucket},
    f"{_BUCKET}refresh": {"POST": _refresh_bucket},
    f"{_BUCKET}get-owner": {"GET": _owner},
}
