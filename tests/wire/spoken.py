# SPDX-License-Identifier: Apache-2.0
"""Which call of which client says what was recorded of a request that was made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from oio.account.client import AccountClient
from oio.conscience.client import ConscienceClient, LbClient
from oio.container.client import ContainerClient
from oio.directory.client import DirectoryClient
from oio.rdir.client import RdirClient
from tests.wire.recorded import Exchange

Arguments = dict[str, Any]


class Unspeakable(Exception):
    """No call makes such a request: it lacks something, or is wrong on purpose."""


@dataclass(frozen=True)
class Route:
    """How the requests to a route are made.

    :param query: argument for each parameter
    :param body: gives the arguments for a body; None where bodies are ignored
    :param always: parameters that the client always sends, and what they are when nobody says
    :param needs: arguments that must be there
    :param twice: parameters that the client also sends, with what it says in the body
    :param is_repeated: whether the client says in a body, too, what is in the query
    """

    client: Any
    method: str
    query: dict[str, str]
    body: Callable[[Any], Arguments] | None = None
    always: dict[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()
    is_repeated: bool = False


#: Parameters that are flags, and those whose presence is enough.
FLAGS = {
    "append",
    "change_policy",
    "force",
    "flush",
    "full",
    "recompute",
    "replace",
    "repair",
    "before_incident",
}
PRESENCE = {"all", "deleted", "frozen"}
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}

CONTAINER = {"acct": "account", "ref": "reference", "cid": "cid"}
OBJECT = {**CONTAINER, "path": "path", "version": "version"}
CONTENT = {**OBJECT, "content": "content"}


def fields(*names: str, needed: bool = False) -> Callable[[Any], Arguments]:
    """A body that is an object with these fields, each of which is an argument."""

    def arguments(body: Any) -> Arguments:
        if body is None and not needed:
            return {}
        if not isinstance(body, dict) or body.keys() - set(names) or (needed and body.keys() != set(names)):
            raise Unspeakable
        if any(
            name in body and not isinstance(body[name], dict) for name in ("properties", "system", "metadata")
        ):
            raise Unspeakable
        return dict(body)

    return arguments


def names_in(argument: str, *, optional: bool = False) -> Callable[[Any], Arguments]:
    """A body that is a list."""

    def arguments(body: Any) -> Arguments:
        if body is None and optional:
            return {}
        if not isinstance(body, list):
            raise Unspeakable
        return {argument: body}

    return arguments


def items(collection: str, argument: str) -> Callable[[Any], Arguments]:
    """A body that is a list of objects with a name, all alike otherwise."""

    def arguments(body: Any) -> Arguments:
        found = body.get(collection) if isinstance(body, dict) else None
        if not isinstance(found, list) or not all(
            isinstance(item, dict) and "name" in item for item in found
        ):
            raise Unspeakable
        others = [{key: value for key, value in item.items() if key != "name"} for item in found]
        if any(other != others[0] for other in others):
            raise Unspeakable
        return {argument: [item["name"] for item in found], **(others[0] if others else {})}

    return arguments


def whole(argument: str) -> Callable[[Any], Arguments]:
    """A body that is one argument."""

    def arguments(body: Any) -> Arguments:
        if body is None:
            raise Unspeakable
        return {argument: body}

    return arguments


def _poll(body: Any) -> Arguments:
    body = {} if body is None else body
    if not isinstance(body, dict) or not all(isinstance(value, list) for value in body.values()):
        raise Unspeakable
    return body


def _pool(body: Any) -> Arguments:
    if not isinstance(body, dict) or "targets" not in body:
        raise Unspeakable
    targets = [tuple(target.split(",")) for target in body["targets"].split(";")]
    return {"targets": targets, "options": body.get("options")}


def _state(body: Any) -> Arguments:
    if not isinstance(body, dict) or "name" not in body:
        raise Unspeakable
    return {"container": body["name"], "metadata": {k: v for k, v in body.items() if k != "name"}}


def _reset(body: Any) -> Arguments:
    return {"container": body["name"], "mtime": body["mtime"]}


def _prepare(body: Any) -> Arguments:
    if not isinstance(body, dict) or body.get("policy", "") is None or "size" not in body:
        raise Unspeakable
    named = {"size": "size", "policy": "stgpol", "position": "position"}
    return {named[name]: value for name, value in body.items()}


def _snapshot(body: Any) -> Arguments:
    if not isinstance(body, dict) or body.keys() != {"account", "container"}:
        raise Unspeakable
    return {"dst_account": body["account"], "dst_reference": body["container"]}


def _spare(body: Any) -> Arguments:
    if not isinstance(body, dict) or body.keys() != {"notin", "broken"}:
        raise Unspeakable
    return {"data": body}


def _pushed(body: Any) -> Arguments:
    arguments = fields("container_id", "content_id", "chunk_id", "mtime")(body)
    if "chunk_id" not in arguments:
        raise Unspeakable
    return arguments


def _forgotten(body: Any) -> Arguments:
    arguments = fields("container_url", "container_id")(body)
    return {"container_path" if name == "container_url" else name: arguments[name] for name in arguments}


def _proxy() -> dict[tuple[str, str], Route]:
    """Routes of the proxy, by method and path."""

    def container(method: str, query: Any = CONTAINER, *args: Any, **kwargs: Any) -> Route:
        return Route(ContainerClient, method, query, *args, **kwargs)

    def directory(method: str, *args: Any, **query: str) -> Route:
        return Route(DirectoryClient, method, {**CONTAINER, **query}, *args)

    def conscience(method: str, *args: Any, **query: str) -> Route:
        return Route(ConscienceClient, method, query, *args)

    described = fields("properties", "system")
    lists = {"max": "limit", "all": "versions", "deleted": "deleted", "properties": "properties"}
    lists |= {name: name for name in ("marker", "end_marker", "prefix", "delimiter")}
    touched = {name: name for name in ("recompute", "damaged_objects", "missing_chunks")}
    modes = {name: name for name in ("append", "change_policy", "force")}
    posts = {
        "container/create": container(
            "container_create", CONTAINER, described, needs=("account", "reference")
        ),
        "container/create_many": container(
            "container_create_many", CONTAINER, items("containers", "containers"), needs=("account",)
        ),
        "container/destroy": container("container_delete", {**CONTAINER, "force": "force"}),
        "container/get_properties": container(
            "container_get_properties", CONTAINER, names_in("properties", optional=True)
        ),
        "container/set_properties": container(
            "container_set_properties", {**CONTAINER, "flush": "clear"}, described
        ),
        "container/del_properties": container("container_del_properties", CONTAINER, names_in("properties")),
        "container/touch": container("container_touch", {**CONTAINER, **touched}),
        "container/dedup": container("container_dedup"),
        "container/flush": container("container_flush"),
        "container/purge": container("container_purge", {**CONTAINER, "maxvers": "maxvers"}),
        "container/snapshot": container("container_snapshot", CONTAINER, _snapshot),
        "container/raw_insert": container(
            "container_raw_insert", {**CONTAINER, "force": "force", "frozen": "frozen"}, names_in("bean")
        ),
        "container/raw_update": container(
            "container_raw_update", {**CONTAINER, "frozen": "frozen"}, fields("old", "new", needed=True)
        ),
        "container/raw_delete": container("container_raw_delete", CONTAINER, names_in("data")),
        "admin/freeze": container("container_freeze", {**CONTAINER, "type": "type"}, needs=("type",)),
        "admin/enable": container("container_enable", {**CONTAINER, "type": "type"}, needs=("type",)),
        "content/create": container(
            "content_create", {**CONTAINER, "path": "path", **modes}, whole("data"), needs=("size",)
        ),
        "content/update": container(
            "content_update",
            {**CONTAINER, "path": "path"},
            names_in("chunks"),
            needs=("size", "stgpol", "content_id"),
        ),
        "content/prepare2": container("content_prepare", {**OBJECT, "content": "content_id"}, _prepare),
        "content/get_properties": container("content_get_properties", CONTENT),
        "content/set_properties": container(
            "content_set_properties", {**OBJECT, "flush": "clear"}, fields("properties", needed=True)
        ),
        "content/del_properties": container("content_del_properties", CONTENT, names_in("properties")),
        "content/delete": container("content_delete", CONTENT),
        "content/delete_many": container("content_delete_many", CONTAINER, items("contents", "paths")),
        "content/drain": container("content_drain", CONTENT),
        "content/touch": container("content_touch", CONTENT),
        "content/truncate": container("content_truncate", {**CONTENT, "size": "size"}),
        "content/purge": container("content_purge", {**CONTAINER, "path": "path", "maxvers": "maxvers"}),
        "content/spare": container(
            "content_spare",
            {**OBJECT, "stgpol": "stgpol", "position": "position"},
            _spare,
            needs=("stgpol", "position"),
        ),
        "reference/create": directory("create", fields("properties")),
        "reference/destroy": directory("delete", force="force"),
        "reference/link": directory("link", type="service_type"),
        "reference/unlink": directory("unlink", type="service_type"),
        "reference/renew": directory("renew", type="service_type"),
        "reference/force": directory("force", whole("services"), type="service_type", replace="replace"),
        "reference/get_properties": directory("get_properties", names_in("properties", optional=True)),
        "reference/set_properties": directory(
            "set_properties", fields("properties", needed=True), flush="clear"
        ),
        "reference/del_properties": Route(
            DirectoryClient, "del_properties", CONTAINER, names_in("properties"), needs=("properties",)
        ),
        "conscience/register": conscience("register", whole("service_definitions")),
        "conscience/deregister": conscience("deregister", whole("service_definitions")),
        "conscience/lock": conscience("lock_score", whole("infos_srv")),
        "conscience/unlock": conscience("unlock_score", whole("infos_srv")),
        "conscience/flush": Route(ConscienceClient, "flush", {"type": "srv_type"}, needs=("srv_type",)),
        "lb/poll": Route(
            LbClient, "poll", {"pool": "pool", "policy": "policy"}, _poll, needs=("pool|policy",)
        ),
        "lb/create_pool": Route(
            LbClient, "create_pool", {"name": "pool", "force": "force"}, _pool, needs=("pool",)
        ),
    }
    gets = {
        "container/show": container("container_show"),
        "container/list": container("content_list", {**CONTAINER, **lists}, always={"properties": "0"}),
        "content/locate": container(
            "content_locate", {**CONTENT, "properties": "properties"}, always={"properties": "1"}
        ),
        "reference/show": directory("list", type="service_type"),
        "conscience/list": Route(
            ConscienceClient, "all_services", {"type": "type_", "full": "full"}, needs=("type_",)
        ),
        "conscience/resolve": Route(
            ConscienceClient,
            "resolve",
            {"type": "srv_type", "service_id": "service_id"},
            needs=("srv_type", "service_id"),
        ),
        "lb/choose": Route(
            LbClient,
            "next_instances",
            {"type": "pool", "size": "size", "slot": "slot"},
            always={"size": "1"},
            needs=("pool",),
        ),
    }
    return {("POST", path): route for path, route in posts.items()} | {
        ("GET", path): route for path, route in gets.items()
    }


def _account() -> dict[tuple[str, str], Route]:
    """Routes of the account service."""

    def about(
        method: str,
        *args: Any,
        needs: Any = ("account",),
        always: Any = None,
        twice: tuple[str, ...] = (),
        **query: str,
    ) -> Route:
        parameters = {"id": "account", **query}
        return Route(AccountClient, method, parameters, *args, needs=needs, always=always or {}, twice=twice)

    def bucket(method: str, *args: Any) -> Route:
        return Route(AccountClient, method, {"id": "bucket"}, *args, needs=("bucket",))

    pages = {name: name for name in ("limit", "marker", "end_marker", "prefix")}
    changes = fields("metadata", "to_delete")
    return {
        ("PUT", "account/create"): about("account_create"),
        ("POST", "account/delete"): about("account_delete"),
        ("GET", "account/show"): about("account_show"),
        ("PUT", "account/update"): about(
            "account_update",
            lambda body: {"metadata": None, "to_delete": None, **changes(whole("_")(body)["_"])},
        ),
        ("POST", "account/refresh"): about("account_refresh"),
        ("POST", "account/flush"): about("account_flush"),
        ("GET", "account/containers"): about(
            "container_list",
            always={"s3_buckets_only": "0"},
            **pages,
            delimiter="delimiter",
            s3_buckets_only="s3_buckets_only",
        ),
        ("GET", "container/show"): about(
            "container_show", needs=("account", "container"), container="container"
        ),
        ("PUT", "container/update"): about("container_update", _state, twice=("container",)),
        ("PUT", "container/reset"): about("container_reset", _reset, twice=("container",)),
        ("GET", "account/buckets"): about("bucket_list", **pages),
        ("GET", "account/show-bucket"): bucket("bucket_show"),
        ("PUT", "account/update-bucket"): bucket("bucket_update", changes),
        ("POST", "account/refresh-bucket"): bucket("bucket_refresh"),
    }


def _rdir() -> dict[tuple[str, str], Route]:
    """Routes of the rdir service."""

    def about(method: str, volume: str, *args: Any, always: Any = None, **query: str) -> Route:
        return Route(
            RdirClient, method, {"vol": volume, **query}, *args, always=always or {}, needs=(volume,)
        )

    containers = ("container_url", "container_id")
    return {
        ("POST", "rdir/create"): about("create", "volume_id"),
        ("POST", "rdir/push"): about("chunk_push", "volume_id", _pushed, always={"create": "1"}),
        ("POST", "rdir/fetch"): about(
            "chunk_fetch", "volume", fields("limit", "start_after", "rebuild", "container_id")
        ),
        ("GET", "rdir/status"): about("status", "volume", always={"max": "1000"}, max="max", prefix="prefix"),
        ("GET", "admin/show"): about("admin_show", "volume"),
        ("POST", "admin/lock"): about("admin_lock", "volume", fields("who", needed=True)),
        ("POST", "admin/unlock"): about("admin_unlock", "volume"),
        ("GET", "admin/incident"): about("admin_incident_get", "volume"),
        ("POST", "admin/incident"): about("admin_incident_set", "volume", fields("date", needed=True)),
        ("POST", "admin/clear"): replace(about("admin_clear", "volume", all="clear_all"), is_repeated=True),
        ("POST", "meta2/create"): about("meta2_index_create", "volume_id"),
        ("POST", "meta2/push"): about("meta2_index_push", "volume_id", fields(*containers, "mtime")),
        ("POST", "meta2/delete"): about("meta2_index_delete", "volume_id", _forgotten),
        ("POST", "meta2/fetch"): about("meta2_index_fetch", "volume_id", fields("prefix", "marker", "limit")),
    }


ROUTES = {"proxy": _proxy(), "account": _account(), "rdir": _rdir()}


def _later() -> dict[str, dict[tuple[str, str], Route]]:
    """Routes of the services of 2026: what is named elsewhere, and what is new."""
    listing = ROUTES["proxy"]["GET", "container/list"]
    insertion = ROUTES["proxy"]["POST", "container/raw_insert"]
    containers = ROUTES["account"]["GET", "account/containers"]
    buckets = ROUTES["account"]["GET", "account/buckets"]
    named = {"id": "account", "container": "container"}
    region = {"region": "region"}

    def told(method: str, query: dict[str, str], *fields_of_body: str) -> Route:
        body = fields(*fields_of_body, needed=True)
        return Route(AccountClient, method, {**named, **query}, body, needs=("account", "container"))

    return {
        "proxy": ROUTES["proxy"]
        | {
            ("GET", "container/list"): replace(
                listing, query={**listing.query, "version_marker": "version_marker"}
            ),
            ("POST", "content/delete_many"): replace(
                ROUTES["proxy"]["POST", "content/delete_many"], body=_names_alone
            ),
            ("POST", "container/raw_insert"): replace(
                insertion, query={**insertion.query, "path": "path", "content": "content_id"}
            ),
        },
        "account": ROUTES["account"]
        | {
            ("GET", "account/list"): Route(AccountClient, "account_list", {}),
            ("GET", "account/containers"): replace(containers, query={**containers.query, **region}),
            ("GET", "account/buckets"): replace(buckets, query={**buckets.query, **region}),
            ("PUT", "container/update"): Route(
                AccountClient,
                "container_update",
                {**named, **region},
                lambda body: {"metadata": {k: v for k, v in whole("_")(body)["_"].items() if k != "name"}},
                needs=("account", "container", "region"),
            ),
            ("PUT", "container/reset"): told("container_reset", {}, "mtime"),
            ("POST", "container/delete"): told("container_delete", {}, "dtime"),
        },
        "rdir": ROUTES["rdir"]
        | {
            ("POST", "rdir/push"): _push_of_today(),
            ("DELETE", "rdir/delete"): _drop(),
            ("POST", "admin/clear"): _clear(),
        },
    }


def _names_alone(body: Any) -> Arguments:
    """Names of objects; versions are deleted one by one."""
    found = items("contents", "paths")(body)
    if found.keys() != {"paths"}:
        raise Unspeakable
    return found


def _push_of_today() -> Route:
    names = ("container_id", "content_id", "chunk_id", "path", "version", "mtime")
    route = ROUTES["rdir"]["POST", "rdir/push"]

    def pushed(body: Any) -> Arguments:
        if not isinstance(body, dict) or not body.keys() >= set(names) or isinstance(body["version"], str):
            raise Unspeakable
        return dict(body)

    return replace(route, body=pushed)


def _clear() -> Route:
    def cleared(body: Any) -> Arguments:
        arguments = fields("all", "before_incident", needed=True)(body)
        return {"clear_all": arguments.pop("all"), **arguments}

    return Route(RdirClient, "admin_clear", {"vol": "volume"}, cleared, twice=("all", "before_incident"))


def _drop() -> Route:
    names = ("container_id", "content_id", "chunk_id")
    return Route(RdirClient, "chunk_delete", {"vol": "volume_id"}, fields(*names, needed=True), needs=names)


ROUTES_2026 = _later()

#: Routes of the account service that have two names.
SAME = {
    "account/show-container": "container/show",
    "bucket/show": "account/show-bucket",
    "bucket/update": "account/update-bucket",
    "bucket/refresh": "account/refresh-bucket",
}

_DESCRIPTION = {
    "x-oio-content-meta-length": "size",
    "x-oio-content-meta-hash": "checksum",
    "x-oio-content-meta-id": "content_id",
    "x-oio-content-meta-policy": "stgpol",
    "x-oio-content-meta-version": "version",
    "x-oio-content-meta-mime-type": "mime_type",
    "x-oio-content-meta-chunk-method": "chunk_method",
}
_DESCRIBED = {
    "content/create": _DESCRIPTION,
    "content/update": {
        key: name for key, name in _DESCRIPTION.items() if name not in {"checksum", "mime_type"}
    },
}
_IGNORED = {"host", "connection", "content-length", "content-type", "accept-encoding", "user-agent"}


def path_of(exchange: Exchange) -> str:
    """The last two parts of the path, by which a route is known."""
    path = "/".join(urlsplit(exchange.target).path.split("/")[-2:])
    return SAME.get(path, path)


def call_of(exchange: Exchange, routes: Any = ROUTES) -> tuple[Route, Arguments]:
    """Return the method that makes a request, and its arguments.

    :param routes: those of the services, by their names
    :raises Unspeakable: there is none
    """
    path = path_of(exchange)
    route = routes.get(exchange.service, {}).get((exchange.method, path))
    proper = exchange.service != "proxy" or urlsplit(exchange.target).path == f"/v3.0/OPENIO/{path}"
    if route is None or not proper or exchange.request.chunked or exchange.http_1_0:
        raise Unspeakable
    body = exchange.request.json
    if body is None and exchange.request.length:
        raise Unspeakable
    arguments = {
        **_from_query(route, exchange),
        **_from_headers(path, exchange),
        **(route.body(body) if route.body else {}),
    }
    for need in route.needs:
        if all(arguments.get(name) in (None, "", []) for name in need.split("|")):
            raise Unspeakable
    arguments.pop("type", None)
    return route, arguments


def _from_query(route: Route, exchange: Exchange) -> Arguments:
    arguments: Arguments = {}
    try:
        query = parse_qs(
            urlsplit(exchange.target).query, keep_blank_values=True, strict_parsing=False, errors="strict"
        )
    except UnicodeDecodeError as err:
        raise Unspeakable from err
    for name, values in query.items():
        if name in route.always and route.always[name] == values[0] and name not in route.query:
            continue
        if name not in route.query or len(values) > 1:
            raise Unspeakable
        arguments[route.query[name]] = _value(name, values[0])
    if "cid" in arguments and (arguments["cid"] != arguments["cid"].upper() or "account" in arguments):
        raise Unspeakable
    if arguments.keys() & {"damaged_objects", "missing_chunks"} and "recompute" not in arguments:
        raise Unspeakable
    return arguments


def _value(name: str, text: str) -> Any:
    if name in PRESENCE:
        return True
    if name in FLAGS:
        if text.lower() not in TRUE:
            raise Unspeakable
        return True
    if name in {"properties", "s3_buckets_only"} and text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    return text


def _from_headers(path: str, exchange: Exchange) -> Arguments:
    arguments: Arguments = {}
    extra: dict[str, str] = {}
    for name, value in exchange.request.headers:
        key = name.lower()
        if key in _IGNORED:
            continue
        if key in extra or _DESCRIBED.get(path, {}).get(key) in arguments:
            raise Unspeakable
        if key in _DESCRIBED.get(path, {}):
            arguments[_DESCRIBED[path][key]] = value
        elif key == "x-oio-action-mode" and value == "autocreate":
            arguments["autocreate"] = True
        else:
            extra[key] = value
    return {**arguments, **({"headers": extra} if extra else {})}
