# SPDX-License-Identifier: Apache-2.0
"""Bringing the sandbox to the state that a capture began in.

Captures of a client begin in the middle of things. What was there before is what their answers tell: an
object that is located was there with those chunks, a container that is listed had those properties. So every
answer is taken as a description of the state before, unless the capture itself has made or changed the thing
by then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from oio.sandbox.metadata import beans, contents, versions
from oio.sandbox.metadata.container import FROZEN, ContainerState
from oio.sandbox.metadata.directory import META2, Link, Target
from oio.sandbox.metadata.layout import Chunk
from oio.sandbox.proxy.registry import Service
from oio.sandbox.rawx.service import Rawx
from oio.sandbox.rdir.store import CHUNKS, CONTAINERS, ChunkEntry, ContainerRecord
from tests.wire.recorded import Exchange, Message
from tests.wire.world import World

_MISSING = (406, 431)
_META = "x-oio-content-meta-"
_SYSTEM = "x-oio-container-meta-sys-"
_METADATA = {
    *(
        "chunk-method",
        "ctime",
        "deleted",
        "hash",
        "hash-method",
        "id",
        "length",
        "mime-type",
        "mtime",
        "name",
    ),
    *("policy", "size", "version"),
}
_SERVICES = {"conscience/list", "local/list"}
#: Requests that succeed only on an object that is there.
_NEEDING = {
    "transition",
    "delete",
    "drain",
    "truncate",
    "touch",
    "set_properties",
    "del_properties",
    "update",
}
_READING = {"list", "locate", "show", "get_properties", "prepare", "prepare2"}


def arrange_services(world: World, exchanges: list[Exchange]) -> None:
    """Register the services that answers list, with the tags they had."""
    for exchange in exchanges:
        if exchange.route in _SERVICES and exchange.response and isinstance(exchange.response.json, list):
            for item in exchange.response.json:
                kind = item.get("type") or exchange.query["type"]
                tags = {key: value for key, value in item["tags"].items() if key != "tag.lock"}
                world.conscience.register(Service(kind, item["addr"], health=50, tags=tags))


def arrange_copies(world: World, exchanges: list[Exchange]) -> None:
    """Have the rawx that refused to copy chunks refuse it."""
    for exchange in exchanges:
        if exchange.method == "COPY" and exchange.response and exchange.response.status == 405:
            rawx, _ = world.services[exchange.peer]
            assert isinstance(rawx, Rawx)
            rawx.shallow_copy = False


def arrange_state(world: World, exchanges: list[Exchange]) -> None:
    """Make the accounts, references, containers, objects and chunks that answers show."""
    arrangers = {
        "proxy": Containers(world).arrange,
        "account": _Accounts(world).arrange,
        "rawx": _Chunks(world).arrange,
        "rdir": _Volumes(world).arrange,
    }
    for exchange in exchanges:
        if exchange.response is not None and exchange.service in arrangers:
            arrangers[exchange.service](exchange, exchange.response)


def arrange_volumes(world: World, exchanges: list[Exchange]) -> None:
    """Make the indexes of volumes that answers show, and the references that name their rdir."""
    for exchange in exchanges:
        if exchange.response is not None and exchange.service == "rdir":
            _Volumes(world).arrange(exchange, exchange.response)
        elif exchange.response is not None and exchange.route == "reference/show":
            Containers(world).arrange(exchange, exchange.response)


class Containers:
    """References, containers and objects."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._met: set[Target] = set()
        self._changed: set[Target] = set()
        self._described: set[Target] = set()
        self._objects: set[tuple[Target, str, int | None]] = set()

    def arrange(self, exchange: Exchange, response: Message) -> None:
        group, _, action = exchange.route.partition("/")
        if exchange.route == "container/create_many":
            self._create_many(exchange, response)
        elif group == "reference":
            self._reference(exchange, response, action)
        elif group in {"container", "content", "admin"} and not action.startswith("prepare"):
            target = self._target(exchange)
            self._container(target, exchange, response)
            if response.get("x-oio-delete-marker"):
                self._set(target, {"sys.m2.policy.version": "-1"})
            if exchange.error == 436:
                self._set(target, {"sys.status": str(FROZEN)})
            if (
                response.status < 400
                and action in {"show", "get_properties", "list"}
                and group == "container"
            ):
                self._properties(target, response, action)
            if group == "content" or action == "list":
                self._object(target, exchange, response, action)
            if exchange.error == 438:
                self._invent(target, "something")
            if action == "snapshot":
                self._snapshot(exchange, response)
            if action not in _READING:
                self._changed.add(target)

    def _target(self, exchange: Exchange) -> Target:
        query = exchange.query
        if "cid" in query:
            return Target(query["cid"], "unknown", query["cid"][:8])
        return Target.named(query["acct"], query["ref"])

    # -- references

    def _reference(self, exchange: Exchange, response: Message, action: str) -> None:
        target = self._target(exchange)
        if target in self._met or (action, response.status) == ("create", 201):
            self._met.add(target)
            return
        self._met.add(target)
        if exchange.error in _MISSING:
            return
        body = response.json if isinstance(response.json, dict) else {}
        if body.get("account"):
            target = Target(body["cid"], body["account"], body["name"])
        with self._world.metadata.directory() as directory:
            directory.create(target, body.get("properties", {}))
            for service in body.get("srv", []):
                directory.force(target, Link(**service), replace=True)
            if exchange.error == 407:
                directory.link(target, META2, self._world.metadata.meta2)

    # -- containers

    def _create_many(self, exchange: Exchange, response: Message) -> None:
        for item in response.json["containers"]:
            if item["status"] == 433:
                self._world.metadata.create(Target.named(exchange.query["acct"], item["name"]), {}, {})

    def _container(self, target: Target, exchange: Exchange, response: Message) -> None:
        if target in self._met:
            return
        self._met.add(target)
        created = (exchange.route, response.status) == ("container/create", 201)
        autocreated = (
            exchange.route == "content/create"
            and response.status < 400
            and not exchange.query.keys()
            & {
                "append",
                "change_policy",
            }
        )
        if created or autocreated:
            return
        items = response.json.get("contents", []) if isinstance(response.json, dict) else []
        errors = {exchange.error, *(item.get("status") for item in items)}
        if errors & {*_MISSING}:
            if 431 in errors:
                self._world.metadata.create(target, {}, {})
                self._world.metadata.destroy(target, force=True)
            return
        self._world.metadata.create(target, {}, {})

    def _properties(self, target: Target, response: Message, action: str) -> None:
        if target in self._described | self._changed:
            return
        self._described.add(target)
        body = response.json
        raw = {f"user.{key}": value for key, value in body["properties"].items()}
        if action == "show":
            headers = [(name, value) for name, value in response.headers if name.startswith(_SYSTEM)]
            raw |= {
                "sys." + name.removeprefix(_SYSTEM).replace("-", "."): unquote(value)
                for name, value in headers
            }
        self._world.counters[target] = body.get("system", {})
        self._set(target, raw | body.get("system", {}))

    def _set(self, target: Target, raw: dict[str, str]) -> None:
        with self._world.metadata.writing(target, even=[FROZEN]) as container:
            container.update(raw, keep_empty=True)

    def _snapshot(self, exchange: Exchange, response: Message) -> None:
        asked = exchange.request.json
        copy = Target.named(asked["account"], asked["container"])
        self._met.add(copy)
        self._changed.add(copy)
        if response.status == 400:
            self._world.metadata.create(copy, {}, {})

    # -- objects

    def _object(self, target: Target, exchange: Exchange, response: Message, action: str) -> None:
        name, version = exchange.query.get("path"), exchange.query.get("version")
        if action == "list":
            if response.status < 400 and target not in self._changed:
                self._list(target, response)
        elif response.get(_META + "version"):
            self._describe(target, response, by_version=version is not None)
        elif action == "delete_many" and response.status < 400:
            for item in response.json["contents"]:
                if item["status"] == 204:
                    self._invent(target, item["name"])
        elif name and action in _NEEDING and response.status < 400:
            self._invent(target, name, version)
        elif name and action == "create":
            self._create(target, exchange, response, name)
        elif name and exchange.error == 427:
            self._invent(target, name)
            with self._world.metadata.writing(target) as container:
                versions.drain(container, contents.find(container, name))
        elif name and exchange.error == 426 and self._is_new(target, name, None):
            self.insert(target, {"name": name, "version": 1600000000000001, "deleted": True}, [], {})

    def _create(self, target: Target, exchange: Exchange, response: Message, name: str) -> None:
        """Make the object that is in the way of one that is refused, or that is appended to or changed."""
        version = int(exchange.request.get(_META + "version") or 0)
        if exchange.error in {421, 424}:
            self._invent(target, name, str(version + (exchange.error == 424)))
        elif response.status < 400:
            self._objects.add((target, name, None))
        if "change_policy" in exchange.query and response.status < 400:
            self._begin_transition(target, name, version, exchange.request.get(_META + "policy") or "")

    def _begin_transition(self, target: Target, name: str, version: int, policy: str) -> None:
        """Ask for the change of policy, where that has to be done before."""
        if self._world.metadata.release.transitions:
            with self._world.metadata.writing(target) as container:
                content = contents.find(container, name, version)
                contents.begin_transition(container, content, policy, internal=True)

    def _is_new(self, target: Target, name: str, version: int | None) -> bool:
        if (target, name, version) in self._objects or target in self._changed & self._described:
            return False
        self._objects |= {(target, name, version), (target, name, None)}
        return True

    def _describe(self, target: Target, response: Message, *, by_version: bool) -> None:
        """Make the object that the headers and the body of an answer describe."""
        meta = {name.lower().removeprefix(_META): value for name, value in response.headers}
        name, body = unquote(meta["name"]), response.json
        if not self._is_new(target, name, int(meta["version"]) if by_version else None):
            return
        item = {key: meta.get(key) for key in ("id", "size", "hash", "policy", "chunk-method", "mime-type")}
        dates = {key: int(meta[key]) for key in ("version", "ctime", "mtime")}
        chunks = [
            Chunk(chunk["url"], chunk["pos"], chunk["size"], chunk["hash"])
            for chunk in (body if isinstance(body, list) else [])
        ]
        if isinstance(body, dict):
            properties = body["properties"]
        else:
            lines = [line for line in response.headers if line[0].startswith(_META)]
            properties = {key.removeprefix(_META): unquote(value) for key, value in lines}
            properties = {key: value for key, value in properties.items() if key not in _METADATA}
        self.insert(
            target, {"name": name, "deleted": meta["deleted"] == "True"} | dates | item, chunks, properties
        )

    def _list(self, target: Target, response: Message) -> None:
        """Make the objects that a listing shows, one under each prefix, one after it if there are more."""
        items, prefixes = response.json["objects"], response.json["prefixes"]
        for item in items:
            if self._is_new(target, item["name"], item["version"]):
                chunks = [Chunk(self._world.chunk_url(), "0", item["size"] or 0, item["hash"] or "")]
                kept = [] if item["chunk-method"] in {None, contents.DRAINED} else chunks
                self.insert(target, item, kept, item.get("properties", {}))
        for prefix in prefixes:
            self._invent(target, f"{prefix}x")
        if response.get("x-oio-list-truncated") == "true":
            self._invent(target, max([item["name"] for item in items] + prefixes) + "~")

    def _invent(self, target: Target, name: str, version: str | None = None) -> None:
        """Make an object of which nothing is known but that it was there."""
        if self._is_new(target, name, None):
            chunk = Chunk(self._world.chunk_url(), "0", 10, "0" * 32)
            self.insert(
                target, {"name": name, "version": int(version or 1600000000000000), "size": 10}, [chunk], {}
            )

    def insert(
        self, target: Target, item: dict[str, Any], chunks: list[Chunk], properties: dict[str, str]
    ) -> None:
        alias = beans.Alias(
            item["name"],
            item["version"],
            item.get("id") or (contents.MARKER_ID if item.get("deleted") else contents.new_content_id()),
            item.get("ctime", 1600000000),
            item.get("mtime", 1600000000),
            item.get("deleted", False),
        )
        header = beans.Header(
            alias.content,
            item.get("hash") or "",
            int(item.get("size") or 0),
            item.get("chunk-method") or "plain/nb_copy=1",
            item.get("mime-type") or "application/octet-stream",
        )
        with self._world.metadata.writing(target, even=[FROZEN]) as container:
            beans.insert(container, alias, replace=True)
            if not alias.deleted:
                beans.insert(container, header, replace=True)
                container.db.execute(
                    "UPDATE headers SET policy = ? WHERE base = ? AND id = ?",
                    (item.get("policy") or "SINGLE", container.base, header.id),
                )
                contents.insert_chunks(container, header.id, chunks)
            content = contents.find(container, alias.name, alias.version)
            contents.set_properties(container, content, properties, flush=False)
            container.recount(0, 0)
            container.set("sys.m2.version", container.get("sys.m2.objects") or "0")
            container.update(self._world.counters.get(target, {}))


class _Accounts:
    """Accounts and what they know of containers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._met: set[str] = set()
        self._described: set[str] = set()

    def arrange(self, exchange: Exchange, response: Message) -> None:
        account, body = exchange.query.get("id"), response.json
        if exchange.route == "/v1.0/account/list":
            names = body if isinstance(body, list) else [item["id"] for item in body["listing"]]
            for name in names:
                self._world.accounts.create(name)
        if not account:
            return
        creating = exchange.route.endswith(("/create", "/account/update")) and response.status in {201, 204}
        if account not in self._met and not creating and response.status != 404:
            self._world.accounts.create(account)
        if response.status == 409:
            self._world.accounts.update_container(ContainerState(account, "something", mtime=1))
        elif isinstance(body, dict) and account not in self._described and not creating:
            self._describe(account, body)
        self._met.add(account)
        if exchange.method != "GET" and not exchange.route.endswith("/refresh"):
            self._described.add(account)

    def _describe(self, account: str, body: dict[str, Any]) -> None:
        """Make an account as an answer shows it; containers that the page does not show fill its sums."""
        self._described.add(account)
        self._world.accounts.update(account, body["metadata"], [])
        shown = body.get("listing", [])
        entries = [
            ContainerState(
                account,
                f"{name}x" if is_prefix else name,
                round(mtime * 1e6) or 1,
                objects=objects,
                bytes=size,
            )
            for name, objects, size, is_prefix, mtime in shown
        ]
        missing = {
            key: body[key] - sum(getattr(entry, key) for entry in entries) for key in ("objects", "bytes")
        }
        # They hide behind a prefix, if there is one, or after all names.
        hiding = next((item[0] for item in shown if item[3]), "\U0010ffff")
        entries += [
            ContainerState(account, f"{hiding}{number:05}", 1, **({} if number else missing))
            for number in range(body["containers"] - len(entries))
        ]
        for entry in [_by_region(entries[0], body), *entries[1:]] if entries else []:
            self._world.accounts.update_container(entry)


def _by_region(state: ContainerState, account: dict[str, Any]) -> ContainerState:
    """Return the state of one container that makes the sums of its account by region and policy."""
    for region, sums in account.get("regions", {}).items():
        details = {f"{kind}_details": sums[f"{kind}-details"] for kind in ("objects", "bytes")}
        return replace(state, region=region, **details)
    return state


class _Chunks:
    """Chunks on the rawx."""

    def __init__(self, world: World) -> None:
        self._world = world

    def arrange(self, exchange: Exchange, response: Message) -> None:
        chunk_id = exchange.route.lstrip("/")
        there = response.status == 409 if exchange.method == "PUT" else response.status not in {400, 404}
        if there:
            self._world.store_chunk(exchange.peer, chunk_id, response)
        self._world.chunks.add((exchange.peer, chunk_id))
        if exchange.method == "COPY":
            copy = (exchange.request.get("destination") or "").rpartition("/")[2]
            self._world.chunks.add((exchange.peer, copy))


class _Volumes:
    """The indexes of volumes, as pages and totals show them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def arrange(self, exchange: Exchange, response: Message) -> None:
        volume, body = exchange.query.get("vol"), response.json
        if volume is None or response.status == 404:
            return
        self._world.reverse.create(CONTAINERS if "/meta2/" in exchange.route else CHUNKS, volume)
        if exchange.route == "/v1/rdir/fetch":
            for key, value in body:
                self._push(volume, _entry(key, value))
        elif exchange.route == "/v1/rdir/meta2/fetch":
            for record in body["records"]:
                known = ContainerRecord(record["container_url"], record["container_id"], record["mtime"])
                self._world.reverse.push_container(volume, known)
        elif exchange.route == "/v1/rdir/status":
            for container, totals in body["container"].items():
                for number in range(totals["total"]):
                    self._push(volume, ChunkEntry(container, "AB", f"{number:064X}"))

    def _push(self, volume: str, entry: ChunkEntry) -> None:
        self._world.reverse.push_chunk(volume, entry, create=False)


def _entry(key: str, value: dict[str, Any]) -> ChunkEntry:
    container, *content, chunk = key.split("|")
    if content:
        return ChunkEntry(container, *content, chunk, value["mtime"])
    return ChunkEntry(container, value["content_id"], chunk, value["mtime"], value["path"], value["version"])
