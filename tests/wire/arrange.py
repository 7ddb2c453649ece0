# SPDX-License-Identifier: Apache-2.0
"""Bringing the sandbox to the state that a capture began in.

Captures of a client begin in the middle of things. What was there before them is what their answers tell: an object
that is located was there with those chunks, a container that is listed had those properties. So each answer is
taken as a description of the state before, until the capture itself has changed the thing described.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from oio.sandbox import beans, contents, versions
from oio.sandbox.account_store import ContainerEntry
from oio.sandbox.conscience import Service
from oio.sandbox.container import FROZEN
from oio.sandbox.directory import META2, Link, Target
from oio.sandbox.layout import Chunk
from tests.wire.recorded import Exchange
from tests.wire.world import World

_MISSING = (406, 431)
_META = "x-oio-content-meta-"


class Arranger:
    """Arranges one world from the exchanges of one capture, in order."""

    def __init__(self, world: World) -> None:
        self._world = world
        # Containers and objects that the capture has already been seen to make or change.
        self._settled: set[object] = set()

    def arrange(self, exchanges: list[Exchange], *, services_only: bool) -> None:
        """Make all that the answers show, or only the services of the namespace."""
        for exchange in exchanges:
            if exchange.response is None:
                continue
            if services_only and exchange.route not in {"conscience/list", "local/list"}:
                continue
            if exchange.service == "proxy":
                self._proxy(exchange)
            elif exchange.service == "account":
                self._account(exchange)

    # -- proxy

    def _proxy(self, exchange: Exchange) -> None:
        group, _, action = exchange.route.partition("/")
        body = exchange.response.json if exchange.response else None
        if exchange.route == "container/snapshot":
            self._snapshot(exchange)
        if exchange.route in {"conscience/list", "local/list"} and isinstance(body, list):
            self._services(exchange, body)
        elif group == "reference":
            self._reference(exchange, action, body)
        elif exchange.route == "container/create_many":
            self._created_many(exchange, body)
        elif group in {"container", "content", "admin"} and ("ref" in exchange.query or "cid" in exchange.query):
            self._container(exchange, group, action, body)

    def _services(self, exchange: Exchange, items: list[dict[str, Any]]) -> None:
        for item in items:
            kind = item.get("type") or exchange.query["type"]
            tags = {key: value for key, value in item["tags"].items() if key != "tag.lock"}
            self._world.conscience.register(Service(kind, item["addr"], score=50, tags=tags))

    def _target(self, exchange: Exchange) -> Target:
        query = exchange.query
        if "cid" in query:
            found = self._world.named.get(query["cid"])
            return found or Target(query["cid"], "unknown", query["cid"][:8])
        return Target.named(query.get("acct", ""), query.get("ref", ""))

    def _reference(self, exchange: Exchange, action: str, body: Any) -> None:
        target = self._target(exchange)
        if exchange.error in _MISSING or target in self._settled:
            self._settled.add(target)
            return
        self._settled.add(target)
        if isinstance(body, dict) and body.get("cid"):
            names = (body.get("account") or target.account, body.get("name") or target.name)
            target = Target(body["cid"], *names)
        if action == "create" and exchange.response and exchange.response.status == 201:
            return
        with self._world.metadata.directory() as directory:
            directory.create(target, (body or {}).get("properties", {}) if isinstance(body, dict) else {})
            for service in (body.get("srv", []) if isinstance(body, dict) else []):
                link = Link(service["seq"], service["type"], service["host"], service["args"])
                directory.force(target, link, replace=True)
            if exchange.error == 407 or action == "unlink":
                directory.link(target, META2, self._world.metadata.meta2)

    def _snapshot(self, exchange: Exchange) -> None:
        asked = exchange.request.json
        copy = Target.named(asked["account"], asked["container"])
        self._settled |= {copy, (copy, "properties")}
        if exchange.error == 400:
            self._world.metadata.create(copy, {}, {})

    def _created_many(self, exchange: Exchange, body: Any) -> None:
        for item in body["containers"]:
            if item["status"] == 433:
                self._world.metadata.create(Target.named(exchange.query["acct"], item["name"]), {}, {})

    def _container(self, exchange: Exchange, group: str, action: str, body: Any) -> None:
        target, response = self._target(exchange), exchange.response
        assert response is not None
        if target not in self._settled:
            self._settled.add(target)
            missing = exchange.error in _MISSING or _all_missing(body)
            if missing:
                if exchange.error == 431:
                    self._world.metadata.create(target, {}, {})
                    self._world.metadata.destroy(target, force=True)
                return
            created = (group, action) == ("container", "create") and response.status == 201
            prepared = action.startswith("prepare")
            autocreated = action == "create" and "autocreate" in (exchange.request.get("x-oio-action-mode") or "")
            if prepared:
                self._settled.discard(target)
                return
            if created or (group == "content" and autocreated and not self._needs_object(exchange)):
                return
            self._world.metadata.create(target, {}, {})
        if isinstance(body, dict):
            self._container_properties(target, exchange, body)
        if exchange.error == 436:
            with self._world.metadata.writing(target, even=[FROZEN]) as container:
                container.set("sys.status", str(FROZEN))
        self._objects(exchange, target, group, action, body)

    @staticmethod
    def _needs_object(exchange: Exchange) -> bool:
        return exchange.error in {421, 424} or "change_policy" in exchange.query

    def _container_properties(self, target: Target, exchange: Exchange, body: dict[str, Any]) -> None:
        assert exchange.response is not None
        system = dict(body.get("system") or {})
        if (target, "properties") in self._settled or exchange.error or not (system or "properties" in body):
            return
        if exchange.route.startswith("container/"):
            self._settled.add((target, "properties"))
            with self._world.metadata.writing(target) as container:
                for key, value in (body.get("properties") or {}).items():
                    container.set(f"user.{key}", value)
                for key, value in system.items():
                    container.set(key, value)
            self._world.counters.setdefault(target, system)

    def _objects(self, exchange: Exchange, target: Target, group: str, action: str, body: Any) -> None:
        response, name = exchange.response, exchange.query.get("path")
        assert response is not None
        if (group, action) == ("container", "list") and isinstance(body, dict) and not exchange.error:
            for item in body["objects"]:
                self._listed(target, item)
            for prefix in body["prefixes"]:
                self._invented(target, f"{prefix}x", None)
        elif group != "content" or not response.status < 400:
            if exchange.error == 427:
                self._drained(target, str(name))
            elif self._needs_object(exchange):
                self._conflicting(exchange, target)
            elif exchange.error == 438:
                self._invented(target, "something", None)
        elif response.get(_META + "version") and not action.startswith("prepare"):
            self._described(target, response, body, exchange)
        elif action == "delete_many":
            for item in body["contents"]:
                if item["status"] == 204:
                    self._invented(target, item["name"], None)
        elif action in {"delete", "drain", "truncate", "touch", "set_properties", "del_properties", "purge"} and name:
            self._invented(target, name, exchange.query.get("version"))
        if action == "create" and group == "content":
            self._settled.add((target, name))

    def _conflicting(self, exchange: Exchange, target: Target) -> None:
        name, version = exchange.query["path"], exchange.request.get(_META + "version")
        # A version is refused when it is there already, or when a newer one is.
        self._invented(target, name, str(int(version or 0) + (exchange.error == 424)))

    # -- objects

    def _new(self, target: Target, name: str) -> bool:
        if (target, name) in self._settled:
            return False
        self._settled.add((target, name))
        return True

    def _described(self, target: Target, response: Any, body: Any, exchange: Exchange) -> None:
        """Make the object that the headers of an answer describe."""
        meta = {key.lower().removeprefix(_META): value for key, value in response.headers}
        name = unquote(meta["name"])
        chunks = body if isinstance(body, list) else []
        if not self._new(target, (name, meta["version"]) if "version" in exchange.query else name):
            self._complete(target, name, meta["version"], body)
            return
        self._insert(
            target,
            {
                "name": name,
                "version": int(meta["version"]),
                "deleted": meta["deleted"] == "True",
                "ctime": int(meta["ctime"]),
                "mtime": int(meta["mtime"]),
                **{key: meta.get(key) for key in ("id", "size", "hash", "policy", "chunk-method", "mime-type")},
            },
            [Chunk(chunk["url"], chunk["pos"], chunk["size"], chunk["hash"]) for chunk in chunks],
            _properties(meta, body),
        )

    def _complete(self, target: Target, name: str, version: str, body: Any) -> None:
        """Add the properties that a second answer shows of an object that an earlier one has described."""
        if isinstance(body, dict) and (target, name, "complete") not in self._settled:
            self._settled.add((target, name, "complete"))

    def _listed(self, target: Target, item: dict[str, Any]) -> None:
        """Make an object that a listing shows."""
        if not self._new(target, (item["name"], str(item["version"]))) or (target, item["name"]) in self._settled:
            return
        size = item["size"] or 0
        chunks = [Chunk(self._world.chunk_url(), "0", size, item["hash"] or "")]
        drained = item["chunk-method"] == contents.DRAINED
        self._insert(target, item, [] if drained else chunks, item.get("properties", {}))

    def _invented(self, target: Target, name: str, version: str | None) -> None:
        """Make an object of which nothing is known but that it was there."""
        if self._new(target, name):
            item = {"name": name, "version": int(version or 1600000000000000), "size": 10, "id": None}
            self._insert(target, item, [Chunk(self._world.chunk_url(), "0", 10, "0" * 32)], {})

    def _drained(self, target: Target, name: str) -> None:
        self._invented(target, name, None)
        with self._world.metadata.writing(target) as container:
            versions.drain(container, contents.find(container, name))

    def _insert(
        self, target: Target, item: dict[str, Any], chunks: list[Chunk], properties: dict[str, str]
    ) -> None:
        content_id = item.get("id") or contents.new_content_id()
        alias = beans.Alias(
            item["name"],
            item["version"],
            content_id,
            item.get("ctime", 1600000000),
            item.get("mtime", 1600000000),
            item.get("deleted", False),
        )
        with self._world.metadata.writing(target, even=[FROZEN]) as container:
            beans.insert(container, alias, replace=True)
            if not alias.deleted:
                header = beans.Header(
                    content_id,
                    item.get("hash") or "",
                    int(item.get("size") or 0),
                    item.get("chunk-method") or "plain/nb_copy=1",
                    item.get("mime-type") or "application/octet-stream",
                )
                beans.insert(container, header, replace=True)
                container.db.execute(
                    "UPDATE headers SET policy = ? WHERE base = ? AND id = ?",
                    (item.get("policy") or "SINGLE", container.base, content_id),
                )
                contents.insert_chunks(container, content_id, chunks)
            content = contents.find(container, alias.name, alias.version)
            contents.set_properties(container, content, properties, flush=False)
            container.recount(0, 0)
            for key, value in self._world.counters.get(target, {}).items():
                container.set(key, value)

    # -- account

    def _account(self, exchange: Exchange) -> None:
        account, response = exchange.query.get("id"), exchange.response
        assert response is not None
        if exchange.route == "/v1.0/account/list" and isinstance(response.json, list):
            for name in response.json:
                self._world.accounts.create(name)
        if not account or account in self._settled:
            return
        self._settled.add(account)
        creating = exchange.route.endswith(("/create", "/update"))
        if response.status in {404} or (creating and response.status in {201, 204}):
            return
        self._world.accounts.create(account)
        body = response.json
        if response.status == 409:
            self._world.accounts.update_container(account, ContainerEntry("something", mtime=1))
        elif isinstance(body, dict):
            self._described_account(account, body)

    def _described_account(self, account: str, body: dict[str, Any]) -> None:
        self._world.accounts.update(account, body["metadata"], [])
        entries = [
            ContainerEntry(name, round(mtime * 1_000_000), objects=objects, bytes=size)
            for name, objects, size, is_prefix, mtime in body.get("listing", [])
            if not is_prefix
        ]
        prefixes = [f"{item[0]}x" for item in body.get("listing", []) if item[3]]
        entries += [ContainerEntry(name, 1) for name in prefixes]
        # What the page does not show lies before it or after it.
        missing = {
            "objects": body["objects"] - sum(entry.objects for entry in entries),
            "bytes": body["bytes"] - sum(entry.bytes for entry in entries),
        }
        for index in range(body["containers"] - len(entries)):
            entries.append(ContainerEntry(f"\U0010ffff{index:05}", 1, **(missing if index == 0 else {})))
        for entry in entries:
            self._world.accounts.update_container(account, entry)


def _all_missing(body: Any) -> bool:
    items = body.get("contents", []) if isinstance(body, dict) else []
    return any(item["status"] in _MISSING for item in items if "status" in item)


def _properties(meta: dict[str, str], body: Any) -> dict[str, str]:
    if isinstance(body, dict):
        return dict(body.get("properties", {}))
    known = {"chunk-method", "ctime", "deleted", "hash", "hash-method", "id", "length", "mime-type", "mtime", "name"}
    known |= {"policy", "size", "version"}
    own = {key: value for key, value in meta.items() if key not in known and not key.startswith("x-oio")}
    http = {"connection", "content-type", "content-length", "x-oio-perfdata"}
    return {key: unquote(value) for key, value in own.items() if key not in http}
