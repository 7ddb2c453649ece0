# SPDX-License-Identifier: Apache-2.0
"""Commands that ask no service: the settings in use, and the embedded namespace."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from oio.cli._base import Arguments, Base, Listing, Rows, Silent


class ShowSettings(Listing):
    """Print the settings in use, and where they come from."""

    def take_action(self, parsed_args: Arguments) -> Rows:
        return ("Setting", "Value", "Source"), self._settings()

    def _settings(self) -> Iterator[tuple[str, str | None, str]]:
        from oio.common.configuration import load_namespace_conf

        context = self.context
        yield "namespace", context.ns.value, context.ns.source
        yield "account", context.acct.value, context.acct.source
        name, proxy = context.ns.value, context.proxy
        conf = load_namespace_conf(name, failsafe=True, fresh=True) if name else None
        files = ", ".join(conf.files) if conf else ""
        if not proxy.value and conf and conf.get("proxy"):
            yield "proxy", conf["proxy"], f"files: {files}"
        else:
            yield "proxy", proxy.value, proxy.source
        for key, value in sorted((conf or {}).items()):
            if key not in {"namespace", "proxy"}:
                yield key, value, f"files: {files}"


class _Sandbox(Silent):
    """A command of the sandbox, which has options of its own."""

    command: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("arguments", nargs="*", help="those of 'python -m oio.sandbox'")

    def take_action(self, parsed_args: Arguments) -> None:
        from oio.sandbox.__main__ import main

        self.status = main([*self.command, *parsed_args.arguments])


class RunSandbox(_Sandbox):
    """Run an embedded namespace until Ctrl-C."""


class DemonstrateSandbox(_Sandbox):
    """Store files in an embedded namespace, stop a node, and read them back."""

    command = ["demo"]


class RunChaos(_Sandbox):
    """Let threads do everything at once in an embedded namespace that fails, and check all results."""

    command = ["chaos"]


COMMANDS: dict[str, type[Base]] = {
    "config": ShowSettings,
    "sandbox chaos": RunChaos,
    "sandbox demo": DemonstrateSandbox,
    "sandbox run": RunSandbox,
}
