# SPDX-License-Identifier: Apache-2.0
"""Commands on objects that move no data."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from oio.cli._base import (
    Arguments,
    Base,
    Fields,
    Listing,
    OnObjects,
    Rows,
    Showing,
    Silent,
    Versioned,
    add_listing,
    add_properties,
    add_property_names,
)
from oio.cli._values import in_format, utc_time
from oio.common.answers import JsonMapping
from oio.common.easy_value import boolean_value
from oio.common.exceptions import BadRequest, CommandError

_TAGGING = "x-object-sysmeta-swift3-tagging"


class DeleteObjects(Versioned, OnObjects, Listing):
    """Delete objects."""

    nargs, dest = "+", "objs"

    def take_action(self, parsed_args: Arguments) -> Rows:
        """Delete one, whose failure is an error, or many, each of which may fail."""
        names = parsed_args.objs
        container_of = self.container_of(parsed_args)
        if len(names) == 1:
            account, container, cid = self.named(parsed_args, container_of(names[0]))
            deleted = self.api.object_delete(
                account, container, names[0], version=parsed_args.version, cid=cid
            )
            return ("Name", "Deleted"), [(names[0], deleted)]
        if parsed_args.version is not None:
            raise CommandError("Cannot specify a version for several objects")
        return ("Name", "Deleted"), self._delete_many(parsed_args, names, container_of)

    def _delete_many(
        self, parsed_args: Arguments, names: Sequence[str], container_of: Callable[[str], str]
    ) -> Iterator[tuple[str, bool]]:
        by_container: dict[str, list[str]] = {}
        for name in names:
            by_container.setdefault(container_of(name), []).append(name)
        for where, some in by_container.items():
            account, container, cid = self.named(parsed_args, where)
            yield from self.api.object_delete_many(account, container, some, cid=cid)


class ListObjects(OnObjects, Listing):
    """List the objects of a container."""

    dest = ""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_listing(parser)
        add = parser.add_argument
        add("--limit", type=int, metavar="N", help="of a page (default: 1000)")
        add("--properties", "--long", dest="long", action="store_true", help="with all that is known")
        add("--versions", "--all-versions", dest="versions", action="store_true", help="all versions")
        add("--local", action="store_true", help="ignored")
        add("--attempts", type=int, default=0, metavar="N", help="ignored: busy services are asked again")
        add("--concurrency", type=int, default=100, metavar="N", help="ignored")

    def take_action(self, parsed_args: Arguments) -> Rows:
        make = self._long_row if parsed_args.long else self._row
        columns = ["Name", "Size", "Hash", "Version"]
        if parsed_args.long:
            columns += ["Deleted", "Content-Type", "Last-Modified", "Policy", "Properties"]
        if parsed_args.auto:
            listed: Iterable[JsonMapping] = self._auto(parsed_args)
        else:
            listed = self._listed(parsed_args, self.container_of(parsed_args)(""))
        return columns, (make(item, parsed_args.formatter) for item in listed)

    def _auto(self, parsed_args: Arguments) -> Iterator[JsonMapping]:
        """Objects of all the containers that --auto may have made."""
        account, builder = self.context.account, self.builder(parsed_args)
        for name, *_ in self.api.container_list_all(account):
            if builder.verify(name):
                yield from self._listed(parsed_args, name)

    def _listed(self, given: Arguments, where: str) -> Iterable[JsonMapping]:
        account, container, cid = self.named(given, where)
        which: dict[str, Any] = {
            name: getattr(given, name) for name in ("prefix", "delimiter", "marker", "end_marker", "versions")
        }
        which["properties"] = given.long
        if given.full:
            found = self.api.object_list_all(account, container, **which, cid=cid)
            return (item for item in found if "name" in item)
        page = self.api.object_list(account, container, limit=given.limit, **which, cid=cid)
        if page["truncated"]:
            self.app.LOG.info("There are more: the next page begins with --marker %r", page["next_marker"])
        return page["objects"]

    @staticmethod
    def _row(item: JsonMapping, _formatter: str) -> Sequence[object]:
        marker = boolean_value(item.get("deleted"), False)
        return item["name"], "deleted" if marker else item["size"], item.get("hash"), item["version"]

    @staticmethod
    def _long_row(item: JsonMapping, formatter: str) -> Sequence[object]:
        marker = boolean_value(item.get("deleted"), False)
        return (
            item["name"],
            None if marker else item["size"],
            item.get("hash"),
            item["version"],
            marker,
            item.get("mime_type"),
            utc_time(item["mtime"]),
            item.get("policy"),
            in_format(item.get("properties") or {}, formatter),
        )


class ShowObject(Versioned, OnObjects, Showing):
    """Show an object."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        account, container, name, cid = self.target(parsed_args)
        known: dict[str, Any] = dict(
            self.api.object_get_properties(account, container, name, version=parsed_args.version, cid=cid)
        )
        if boolean_value(known.get("deleted"), False):
            known |= dict.fromkeys(("hash", "id", "mime_type", "policy", "length"), "n/a")
        fields = {
            "account": account,
            "container": container,
            "ctime": known.get("ctime"),
            "hash": known.get("hash"),
            "id": known.get("id"),
            "mime-type": known.get("mime_type"),
            "mtime": known.get("mtime"),
            "object": name,
            "policy": known.get("policy"),
            "size": known.get("length"),
            "version": known.get("version"),
        }
        fields |= {f"meta.{key}": value for key, value in (known.get("properties") or {}).items()}
        return self.shown(fields)


class SetObject(Versioned, OnObjects, Silent):
    """Set properties of an object."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_properties(parser)
        parser.add_argument("--clear", action="store_true", help="remove the others first")
        parser.add_argument("--tagging", metavar="JSON", help="S3 tags, as an object")

    def take_action(self, parsed_args: Arguments) -> None:
        account, container, name, cid = self.target(parsed_args)
        properties = dict(parsed_args.properties)
        if parsed_args.tagging is not None:
            properties[_TAGGING] = _tags(parsed_args.tagging)
        if not properties and not parsed_args.clear:
            raise BadRequest(400, 400, 'Bad "properties" field')
        self.api.object_set_properties(
            account,
            container,
            name,
            properties,
            version=parsed_args.version,
            clear=parsed_args.clear,
            cid=cid,
        )


def _tags(text: str) -> str:
    """XML of S3 tags."""
    from html import escape

    try:
        tags = json.loads(text)
    except ValueError:
        tags = None
    if not isinstance(tags, dict):
        raise CommandError("--tags: Not a JSON object")
    inside = "".join(
        f"<Tag><Key>{escape(key, False)}</Key><Value>{escape(str(value), False)}</Value></Tag>"
        for key, value in tags.items()
    )
    return f"<Tagging><TagSet>{inside}</TagSet></Tagging>"


class UnsetObject(Versioned, OnObjects, Silent):
    """Remove properties of an object."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add_property_names(parser)
        parser.add_argument("--tagging", action="store_true", help="the S3 tags")

    def take_action(self, parsed_args: Arguments) -> None:
        """Remove them; none is no error."""
        account, container, name, cid = self.target(parsed_args)
        names = [*parsed_args.properties, *([_TAGGING] if parsed_args.tagging else [])]
        self.api.object_del_properties(account, container, name, names, version=parsed_args.version, cid=cid)


class TouchObjects(Versioned, OnObjects, Silent):
    """Let the services tell again that objects were created."""

    nargs, dest = "+", "objs"

    def take_action(self, parsed_args: Arguments) -> None:
        """Touch them; the first failure ends it."""
        for account, container, name, cid in self.targets(parsed_args):
            self.api.object_touch(account, container, name, version=parsed_args.version, cid=cid)


class DrainObjects(OnObjects, Silent):
    """Remove the data of objects, and keep what describes them."""

    nargs, dest = "+", "objs"

    def take_action(self, parsed_args: Arguments) -> None:
        """Drain them; the first failure ends it."""
        for account, container, name, cid in self.targets(parsed_args):
            self.api.object_drain(account, container, name, cid=cid)


class LocateObject(Versioned, OnObjects, Listing):
    """List the chunks of an object."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--chunk-info", action="store_true", help="ask the chunk servers too")

    def take_action(self, parsed_args: Arguments) -> Rows:
        account, container, name, cid = self.target(parsed_args)
        _, found = self.api.object_locate(
            account, container, name, version=parsed_args.version, chunk_info=parsed_args.chunk_info, cid=cid
        )
        chunks: Iterable[Any] = found
        columns = ["Pos", "Id", "Metachunk size", "Metachunk hash"]
        if not parsed_args.chunk_info:
            return columns, ((c["pos"], c["url"], c["size"], c["hash"]) for c in chunks)
        columns += ["Chunk size", "Chunk hash"]
        return columns, (
            (
                c["pos"],
                c["url"],
                c["size"],
                c["hash"],
                c.get("chunk_size", "n/a"),
                c.get("chunk_hash", "n/a"),
            )
            for c in chunks
        )


class LinkObject(Versioned, OnObjects, Silent):
    """Make a shallow copy of an object."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("dest_obj", metavar="DEST-OBJECT")
        add("--dest-account", "--link-account", dest="dest_account", metavar="ACCOUNT")
        add("--dest-container", "--link-container", dest="dest_container", metavar="CONTAINER")
        add("--content-id", metavar="ID", help="of the object that is copied")
        add("--dest-content-id", "--link-content-id", dest="dest_content_id", metavar="ID")
        add_properties(parser)

    def take_action(self, parsed_args: Arguments) -> None:
        container_of = self.container_of(parsed_args)
        given = parsed_args
        account, container = self.names(given, container_of(given.obj))
        target = given.dest_container or (container_of(given.dest_obj) if given.auto else container)
        self.api.object_link(
            account,
            container,
            given.obj,
            given.dest_account or account,
            target,
            given.dest_obj,
            target_version=given.version,
            target_content_id=given.content_id,
            link_content_id=given.dest_content_id,
            properties_directive="REPLACE" if given.properties else "COPY",
            properties=given.properties or None,
        )


class PurgeObject(OnObjects, Silent):
    """Delete the oldest versions of an object."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--max-versions", type=int, metavar="N", help="default: the container's")

    def take_action(self, parsed_args: Arguments) -> None:
        account, container, name, cid = self.target(parsed_args)
        self.api.container.content_purge(
            account, container, name, maxvers=parsed_args.max_versions, options=self.options, cid=cid
        )


COMMANDS: dict[str, type[Base]] = {
    "object delete": DeleteObjects,
    "object drain": DrainObjects,
    "object link": LinkObject,
    "object list": ListObjects,
    "object locate": LocateObject,
    "object purge": PurgeObject,
    "object set": SetObject,
    "object show": ShowObject,
    "object touch": TouchObjects,
    "object unset": UnsetObject,
}
