# SPDX-License-Identifier: Apache-2.0
"""Commands on the services of the namespace."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from oio.cli._base import Arguments, Base, Fields, Listing, Rows, Showing
from oio.common.answers import JsonMapping, JsonObject
from oio.common.exceptions import CommandError, NotFound, OioException, OioNetworkException

_COLUMNS = ("Type", "Addr", "Service Id", "Volume", "Location", "Slots", "Up", "Score", "Locked")
_NOT_ASKED = -2
"""Score of a local service when the proxy does not know it."""
_Row: TypeAlias = tuple[str, str, int]
"""Type, ID and score of a service."""
_RESULTS = ("Type", "Service", "Result")


class _OnTypes(Base):
    """A command on services of some types, by default of all."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("types", metavar="SRV_TYPE", nargs="*", help="default: all types")
        super().add_arguments(parser)

    def types(self, parsed_args: Arguments) -> list[str]:
        if parsed_args.types:
            return list(parsed_args.types)
        return sorted(self.context.conscience.service_types(options=self.options))

    def services(self, parsed_args: Arguments, full: bool = False) -> Iterator[tuple[str, JsonObject]]:
        """The services, with their types; the failure of a type is reported."""
        for kind in self.types(parsed_args):
            try:
                found = self.context.conscience.all_services(kind, full=full, options=self.options)
            except OioException as err:
                # Today's conscience names types that it does not manage.
                if parsed_args.types or not isinstance(err, NotFound):
                    self.fail(err, f"{kind}: ")
                continue
            for service in found:
                yield kind, service


class _OnServices(Base):
    """A command on some services of a type."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("type", metavar="SRV_TYPE")
        parser.add_argument("services", metavar="SRV", nargs="+", help="address or ID")
        super().add_arguments(parser)

    @staticmethod
    def chosen(parsed_args: Arguments) -> Iterator[tuple[str, str]]:
        """Type and address, or ID, of each service."""
        return ((parsed_args.type, service) for service in parsed_args.services)


class ShowCluster(Showing):
    """Show the namespace: its policies, pools and options."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        info = self.context.conscience.info(options=self.options)
        fields: JsonObject = {"namespace": info["ns"], "chunksize": info["chunksize"]}
        for kind, name in (
            ("storage_policy", "storage_policy"),
            ("data_security", "data_security"),
            ("service_pools", "service_pool"),
        ):
            fields |= {f"{name}.{key}": value for key, value in (info.get(kind) or {}).items()}
        fields |= dict(sorted((info.get("options") or {}).items()))
        return list(fields), list(fields.values())


class ListServices(_OnTypes, Listing):
    """List services."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--stats", "--full", dest="stats", action="store_true", help="their figures")
        parser.add_argument("--tags", action="store_true", help="their tags")

    def take_action(self, parsed_args: Arguments) -> Rows:
        columns = [*_COLUMNS]
        prefixes = [("Stats", "stat.")] if parsed_args.stats else []
        prefixes += [("Tags", "tag.")] if parsed_args.tags else []
        columns += [name for name, _ in prefixes]
        rows = (
            (*_described(kind, service), *(_tagged(service["tags"], prefix) for _, prefix in prefixes))
            for kind, service in self.services(parsed_args, full=parsed_args.stats)
        )
        # A list, so that failures are reported before the table.
        return columns, list(rows)


def _described(kind: str, service: JsonMapping) -> Sequence[object]:
    tags = service.get("tags") or {}
    return (
        kind,
        service["addr"],
        tags.get("tag.service_id", "n/a"),
        tags.get("tag.vol", "n/a"),
        tags.get("tag.loc", "n/a"),
        tags.get("tag.slots", "n/a"),
        tags.get("tag.up", "n/a"),
        service["score"],
        tags.get("tag.lock", False),
    )


def _tagged(tags: JsonMapping, prefix: str) -> str:
    found = sorted((key, value) for key, value in tags.items() if key.startswith(prefix))
    return " ".join(f"{key}={value}" for key, value in found)


class ListLocalServices(_OnTypes, Listing):
    """List the services of the host of the proxy."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        found = self.context.conscience.local_services(options=self.options)
        wanted = parsed_args.types
        rows = [
            _described(service["type"], service)
            for service in found
            if not wanted or service["type"] in wanted
        ]
        if any(service["score"] == _NOT_ASKED for service in found):
            self.app.LOG.warning(
                "The proxy does not tell local scores, unless proxy.quirk.local_scores is set"
            )
        return _COLUMNS, rows


class ShowLocalConfiguration(Showing):
    """Show what the files of this host say of namespaces."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        from oio.common.configuration import load_namespace_conf

        name = self.context.namespace
        conf = load_namespace_conf(name, failsafe=True, fresh=True)
        return self.shown({f"{name}/{key}": value for key, value in conf.items() if key != "namespace"})


class ResolveService(Showing):
    """Show the address of a service."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("type", metavar="SRV_TYPE")
        parser.add_argument("service", metavar="SRV", help="its ID")

    def take_action(self, parsed_args: Arguments) -> Fields:
        known = self.context.conscience.resolve(parsed_args.type, parsed_args.service, options=self.options)
        return ("addr",), (known["addr"],)


class _OneByOne(Listing):
    """A command that does something to services, one by one."""

    def each(
        self, services: Iterable[tuple[str, str]], action: Callable[[str, str], object], done: str
    ) -> Rows:
        rows = []
        for kind, service in services:
            try:
                action(kind, service)
                rows.append((kind, service, done))
            except OioException as err:
                self.status = 1
                rows.append((kind, service, str(err)))
        return _RESULTS, rows

    def described(self, kind: str, service: str, score: int | None = None) -> JsonObject:
        return self.context.conscience.get_service_definition(kind, service, score=score)

    def unlock(self, kind: str, service: str) -> None:
        self.context.conscience.unlock_score(self.described(kind, service), options=self.options)


class LockServices(_OnServices, _OneByOne):
    """Fix the scores of services."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("-s", "--score", type=int, default=0, metavar="N", help="default: 0")

    def take_action(self, parsed_args: Arguments) -> Rows:
        score = parsed_args.score

        def lock(kind: str, service: str) -> None:
            self.context.conscience.lock_score(
                self.described(kind, service, score=score), options=self.options
            )

        return self.each(self.chosen(parsed_args), lock, f"locked to {score}")


class UnlockServices(_OnServices, _OneByOne):
    """Let the scores of services be computed again."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        return self.each(self.chosen(parsed_args), self.unlock, "unlocked")


class UnlockAllServices(_OnTypes, _OneByOne):
    """Let the scores of all services be computed again."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        services = ((kind, service["id"]) for kind, service in self.services(parsed_args))
        return self.each(services, self.unlock, "unlocked")


class DeregisterServices(_OnServices, _OneByOne):
    """Forget services."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        def deregister(kind: str, service: str) -> None:
            self.context.conscience.deregister(self.described(kind, service), options=self.options)

        return self.each(self.chosen(parsed_args), deregister, "deregistered")


class FlushServices(_OnTypes, Listing):
    """Forget all services of some types; of all types, when none is named."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        rows = []
        for kind in self.types(parsed_args):
            try:
                self.context.conscience.flush(kind, options=self.options)
                rows.append((kind, "flushed"))
            except OioException as err:
                self.status = 1
                rows.append((kind, str(err)))
        return ("Type", "Result"), rows


class WaitForServices(_OnTypes, Listing):
    """Wait until services have a score."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("-n", "--count", type=int, default=0, metavar="N", help="how many, by default all known ones")
        add("-d", "--delay", type=float, default=15.0, metavar="SECONDS", help="how long (default: 15)")
        add("-s", "--score", type=int, default=1, metavar="N", help="at least (default: 1)")
        add("-u", "--unlock", action="store_true", help="unlock them first")

    def take_action(self, parsed_args: Arguments) -> Rows:
        end = time.monotonic() + parsed_args.delay
        pauses = iter((1.0, 2.0))
        while True:
            below, up = self._look(parsed_args)
            if below is not None and (len(up) >= parsed_args.count if parsed_args.count else not below):
                return ("Type", "Service", "Score"), up
            left = end - time.monotonic()
            if left <= 0:
                for kind, service, score in below or ():
                    self.app.LOG.error("%s %s: score %s is below %d", kind, service, score, parsed_args.score)
                raise CommandError(f"Timeout ({parsed_args.delay}s): {len(up)} services are up")
            time.sleep(min(next(pauses, 4.0), left))

    def _look(self, parsed_args: Arguments) -> tuple[list[_Row] | None, list[_Row]]:
        """Services whose score is too low, or None after a network failure, and the others."""
        conscience = self.context.conscience
        below: list[_Row] = []
        up: list[_Row] = []
        try:
            for kind in self.types(parsed_args):
                try:
                    found = conscience.all_services(kind, options=self.options)
                except NotFound:
                    if parsed_args.types:
                        raise
                    continue
                if parsed_args.unlock and found:
                    conscience.unlock_score(
                        [conscience.get_service_definition(kind, srv["id"]) for srv in found],
                        options=self.options,
                    )
                for srv in found:
                    (up if srv["score"] >= parsed_args.score else below).append(
                        (kind, srv["id"], srv["score"])
                    )
        except OioNetworkException as err:
            self.app.LOG.warning("%s", err)
            return None, []
        return below, up


COMMANDS: dict[str, type[Base]] = {
    "cluster deregister": DeregisterServices,
    "cluster flush": FlushServices,
    "cluster list": ListServices,
    "cluster local conf": ShowLocalConfiguration,
    "cluster local list": ListLocalServices,
    "cluster lock": LockServices,
    "cluster resolve": ResolveService,
    "cluster show": ShowCluster,
    "cluster unlock": UnlockServices,
    "cluster unlockall": UnlockAllServices,
    "cluster wait": WaitForServices,
}
