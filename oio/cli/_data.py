# SPDX-License-Identifier: Apache-2.0
"""Commands that move data: single objects, directories, standard input and output."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Literal

from oio.cli._bars import Count, bar, watched
from oio.cli._base import (
    Arguments,
    Base,
    Listing,
    OnContainer,
    OnObjects,
    Rows,
    Silent,
    Versioned,
    add_properties,
)
from oio.cli._values import byte_range, positive
from oio.common.exceptions import CommandError, NoSuchObject

if TYPE_CHECKING:
    from oio import ObjectStorageApi
    from oio.api.types import ClientOptions, FetchedObject
    from oio.common.perfdata import Perfdata
    from oio.common.sources import Readable
    from oio.transfer import Remote, Report, Transfer

_JOBS = 8
_INTERRUPTED = 130
_SCHEME = "oio://"


class Moving(Base):
    """A command that moves data."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--jobs", type=positive, default=_JOBS, metavar="N", help="transfers at once, of directories")
        add("--tls", action="store_true", help="prefer chunk servers that speak TLS")
        add("--key-file", metavar="FILE", help="credentials of Backblaze")

    def client_of(self, parsed_args: Arguments) -> ObjectStorageApi:
        """The client, with the options of the command."""
        return self.context.client(self.client_options(parsed_args))

    def client_options(self, parsed_args: Arguments) -> ClientOptions:
        """Options of the client that the command has."""
        options: ClientOptions = {}
        if parsed_args.tls:
            options["tls"] = True
        if parsed_args.key_file:
            options["key_file"] = parsed_args.key_file
        return options

    @contextlib.contextmanager
    def transfer(
        self,
        parsed_args: Arguments,
        policy: str | None = None,
        overwrite: Literal["changed", "always"] = "changed",
    ) -> Iterator[Transfer]:
        """Make a transfer, with a bar.

        :raises CommandError: a request ID was given, but each object has requests of its own
        """
        from oio.transfer import Transfer, TransferConfig

        if "reqid" in self.context.call:
            raise CommandError("--request-id is for single objects, not for directories")
        verify = getattr(parsed_args, "verify", "default") != "none"
        config = TransferConfig(overwrite=overwrite, workers=parsed_args.jobs, verify=verify, policy=policy)
        api = self.context.client(self.client_options(parsed_args), for_transfer=True)
        with bar(self.app) as told, Transfer(api, config, on_progress=told) as transfer:
            yield transfer

    @property
    def deadline(self) -> float | None:
        """Deadline of transfers (monotonic time)."""
        return self.context.call.get("deadline")

    def tell_failures(self, report: Report) -> None:
        """Report the failures of a transfer."""
        for result in report.failures:
            if result.error is not None:
                self.fail(result.error, f"Failed: {result.name}: ")


class Reading(Moving):
    """A command that reads objects."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--verify",
            choices=["default", "strict", "server", "none"],
            default="default",
            help="verification of what is read: strict also verifies ranges",
        )

    def client_options(self, parsed_args: Arguments) -> ClientOptions:
        options = super().client_options(parsed_args)
        if parsed_args.verify != "default":
            options["verify_checksum"] = {"none": False}.get(parsed_args.verify, parsed_args.verify)
        return options


class CreateObjects(Moving, OnObjects, Listing):
    """Create objects from files, directories, or the standard input (-, which needs --name)."""

    nargs, dest, metavar = "+", "files", "FILE"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--name", dest="keys", action="append", default=[], metavar="NAME", help="in order of the files")
        add("--policy", help="storage policy (default: that of the namespace)")
        add("--mime-type", metavar="TYPE")
        add("--perfdata-column", action="store_true", help="with the time that each took")
        add("--no-autocreate", dest="autocreate", action="store_false", help="the container must exist")
        add_properties(parser)

    def take_action(self, parsed_args: Arguments) -> Rows:
        """Create them; whatever fails, the others are created."""
        container_of = self.container_of(parsed_args)
        keys = iter(parsed_args.keys)
        rows: list[tuple[object, ...]] = []
        for file in parsed_args.files:
            name = _name_of_path(file)
            try:
                if file != "-" and os.path.isdir(file):
                    rows += self._create_tree(parsed_args, file, next(keys, name), container_of)
                    continue
                with self._opened(file) as opened, watched(self.app, opened) as source:
                    name = self._name_of(file, name, next(keys, None))
                    rows.append(self._create(parsed_args, source, name, container_of(name)))
            except KeyboardInterrupt:
                rows.append((name, 0, None, "Interrupted"))
                self.status = _INTERRUPTED
                break
            except Exception as err:  # noqa: BLE001 - the other objects are created, whatever fails
                rows.append((name, 0, None, "Failed"))
                where = parsed_args.container or "--auto"
                self.fail(err, f"Failed to upload {file} in {where}: ")
        if self.status == 1:
            self.app.LOG.error("Too many errors occured")
        columns = ["Name", "Size", "Hash", "Status"]
        if parsed_args.perfdata_column:
            # Failures, and files of directories, have no figures.
            return [*columns, "Perfdata"], [(*row, None)[:5] for row in rows]
        return columns, rows

    @staticmethod
    def _name_of(file: str, name: str, key: str | None) -> str:
        if key == "":
            raise CommandError("--name must not be empty")
        if key is None and file == "-":
            raise CommandError("the standard input needs --name")
        return name if key is None else key

    def _opened(self, file: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        if file == "-":
            if self.app.in_batch:
                raise CommandError("the standard input has the commands of the batch")
            return contextlib.nullcontext(self.app.stdin.buffer)
        return open(file, "rb")

    def _create(
        self, parsed_args: Arguments, source: Readable, name: str, container: str
    ) -> tuple[object, ...]:
        where, named, cid = self.named(parsed_args, container)
        perfdata: Perfdata | None = {} if parsed_args.perfdata_column else self.context.call.get("perfdata")
        _, size, checksum, _ = self.client_of(parsed_args).object_create_ext(
            where,
            named,
            file_or_path=source,
            obj_name=name,
            policy=parsed_args.policy,
            mime_type=parsed_args.mime_type,
            properties=parsed_args.properties,
            autocreate=parsed_args.autocreate,
            cid=cid,
            perfdata=perfdata,
        )
        row = (name, size, checksum.upper(), "Ok")
        return (*row, json.dumps(perfdata)) if parsed_args.perfdata_column else row

    def _create_tree(
        self, parsed_args: Arguments, directory: str, name: str, container_of: Callable[[str], str]
    ) -> Iterator[tuple[object, ...]]:
        """Upload a directory: names of objects are its name and the paths of the files in it."""
        if parsed_args.auto or parsed_args.properties or parsed_args.mime_type:
            raise CommandError("--auto, --property and --mime-type are for files, not for directories")
        from oio.transfer import Remote

        prefix = name.rstrip("/") + "/" if name else ""
        account, container = self.names(parsed_args, container_of(name))
        if not parsed_args.autocreate:
            self.api.container_show(account, container)
        with self.transfer(parsed_args, policy=parsed_args.policy) as moving:
            report = moving.upload_tree(directory, Remote(account, container, prefix), deadline=self.deadline)
        self.tell_failures(report)
        for result in report:
            yield (
                result.name,
                result.size,
                None,
                {"done": "Ok"}.get(result.outcome, result.outcome.capitalize()),
            )


class SaveObject(Reading, Versioned, OnObjects, Silent):
    """Save an object to a file, or all objects of a prefix to a directory."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--file", metavar="FILE", help="default: the name of the object; - is the standard output")
        add("--range", type=byte_range, metavar="FIRST-LAST", help="only these bytes, as in HTTP")
        add("--recursive", action="store_true", help="OBJECT is what the names of the objects begin with")

    def take_action(self, parsed_args: Arguments) -> None:
        from oio.transfer import Remote
        from oio.transfer._target_files import followed, is_special

        given = parsed_args
        is_stream = given.file and (given.file == "-" or is_special(given.file))
        if given.file and not is_stream:
            # A link that the user names is followed; those that names of objects lead to are not.
            given.file = followed(given.file)
        if is_stream or given.range:
            if given.recursive:
                raise CommandError("--recursive needs a directory, and takes no --range")
            self._copy(self.client_of(given), given)
            return
        container = self.container_of(given)(given.obj)
        if given.recursive:
            prefix = given.obj.rstrip("/") + "/"
            source = Remote(*self.names(given, container), prefix)
            directory = given.file or _own_path(given.obj.rstrip("/"))
            with self.transfer(given) as moving:
                report = moving.download_tree(source, directory, deadline=self.deadline)
            self.tell_failures(report)
            if not (report.done or report.skipped or report.failed):
                raise NoSuchObject(f"No object begins with {prefix!r}")
            return
        path = given.file or _own_path(given.obj)
        if self.context.call:
            # Transfers do not take all of these keywords.
            self._copy(self.client_of(given), given)
            return
        with self.transfer(given, overwrite="always") as moving:
            moving.download_file(
                Remote(*self.names(given, container)), given.obj, path, version=given.version
            )

    def _copy(self, api: ObjectStorageApi, given: Arguments) -> None:
        account, container, name, cid = self.target(given)
        meta, stream = api.object_fetch(
            account,
            container,
            name,
            version=given.version,
            ranges=[given.range] if given.range else None,
            on_unsatisfiable="raise",
            cid=cid,
        )
        # On the standard output, the object may go to the terminal of the bar.
        told_by = contextlib.nullcontext() if given.file == "-" else bar(self.app)
        size = None if given.range else int(meta["length"])
        with contextlib.closing(stream), told_by as told, self._output(given, meta) as output:
            count = Count(size, told)
            for block in stream:
                output.write(block)
                count.add(len(block))

    @contextlib.contextmanager
    def _output(self, given: Arguments, meta: FetchedObject) -> Iterator[IO[bytes]]:
        """Open the output. A file gets its name when it is complete."""
        if given.file == "-":
            output: IO[bytes] = self.app.stdout.buffer
            yield output
            output.flush()
            return
        from oio.transfer._checks import target_file
        from oio.transfer._download import written_file

        target = target_file(given.file or _own_path(given.obj))
        with written_file(target, meta, whole=not given.range) as output:
            yield output


class CatObject(SaveObject):
    """Write an object to the standard output."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the same arguments, and fix the file."""
        super().add_arguments(parser)
        parser.set_defaults(file="-", recursive=False)


class SaveContainer(Reading, OnContainer, Silent):
    """Save all objects of a container below the current directory."""

    def take_action(self, parsed_args: Arguments) -> None:
        from oio.transfer import Remote

        source = Remote(*self.names(parsed_args, parsed_args.container))
        with self.transfer(parsed_args) as moving:
            self.tell_failures(moving.download_tree(source, ".", deadline=self.deadline))


class Sync(Reading, Listing):
    """Make a target like its source: directories, or oio://CONTAINER/PREFIX; one or both are in the store."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("source", metavar="SOURCE", help="a directory, or oio://CONTAINER/PREFIX")
        add("target", metavar="TARGET", help="the same")
        add("--delete", action="store_true", help="delete what the source has not")
        add("--dry-run", action="store_true", help="change nothing, and tell what would be done")
        add("--compare", choices=["size+mtime", "checksum"], default="size+mtime", help="what differs")
        add("--policy", help="storage policy of the objects that are uploaded")
        add("--include", action="append", default=[], metavar="PATTERN", help="names to move, as 2026/*.jpg")
        add("--exclude", action="append", default=[], metavar="PATTERN", help="names to leave alone")

    def take_action(self, parsed_args: Arguments) -> Rows:
        """Move the entries that differ."""
        source, target = (self._place(text) for text in (parsed_args.source, parsed_args.target))
        if isinstance(source, str) and isinstance(target, str):
            raise CommandError(f"SOURCE or TARGET must be {_SCHEME}CONTAINER/PREFIX")
        with self.transfer(parsed_args, policy=parsed_args.policy) as moving:
            report = moving.sync(
                source,
                target,
                compare=parsed_args.compare,
                delete=parsed_args.delete,
                dry_run=parsed_args.dry_run,
                include=parsed_args.include,
                exclude=parsed_args.exclude,
                deadline=self.deadline,
            )
        self.tell_failures(report)
        rows = (
            (result.action, result.name, result.size, result.outcome)
            for result in report
            if result.outcome != "skipped"
        )
        return ("Action", "Name", "Size", "Outcome"), rows

    def _place(self, text: str) -> str | Remote:
        from oio.transfer import Remote

        if not text.startswith(_SCHEME):
            return text
        container, _, prefix = text.removeprefix(_SCHEME).partition("/")
        if prefix and not prefix.endswith("/"):
            # "photos" is a directory: --delete must not reach "photos-of-others/".
            prefix += "/"
        return Remote(self.context.account, container, prefix)


def _name_of_path(path: str) -> str:
    """Last part of a path, by which its object, or those of its directory, are named."""
    name = os.path.basename(os.path.normpath(path))
    if path and name in {".", ".."}:
        # Objects named so could not be saved again.
        return os.path.basename(os.path.abspath(path))
    return name


def _own_path(name: str) -> str:
    """Path of the file of an object that is saved under its own name.

    :raises CommandError: the path is not below the current directory
    """
    if os.path.isabs(name) or not name or ".." in name.split("/"):
        raise CommandError(f"{name!r} is no path below this directory: give --file")
    return name


COMMANDS: dict[str, type[Base]] = {
    "container save": SaveContainer,
    "object cat": CatObject,
    "object create": CreateObjects,
    "object save": SaveObject,
    "sync": Sync,
}
