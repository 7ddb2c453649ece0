# SPDX-License-Identifier: Apache-2.0
"""Commands on buckets, as the account service counts them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from oio.cli._base import Arguments, Base, Fields, Listing, Rows, Showing, Silent
from oio.cli._values import Full, boolean, utc_time
from oio.common.answers import JsonMapping
from oio.common.constants import M2_PROP_BUCKET_NAME, M2_PROP_VERSIONING_POLICY
from oio.common.exceptions import CommandError, NoSuchContainer


class _OnBucket(Base):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("bucket", metavar="BUCKET")
        super().add_arguments(parser)


class ListBuckets(Listing):
    """List the buckets of the account."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--prefix", help="names that begin so only")
        add("--marker", help="names after this one only")
        add("--limit", type=int, metavar="N", help="of a page")
        add("--no-paging", "--full", dest="full", action=Full, help="list all, as -f value")
        add("--versioning", action="store_true", help="whether they keep versions")

    def take_action(self, parsed_args: Arguments) -> Rows:
        """List a page of them, or all."""
        columns = ["Name", "Bytes", "Objects", "Mtime"]
        listed = self._listed(parsed_args)
        keys = [name.lower() for name in columns]
        if not parsed_args.versioning:
            return columns, ([row[key] for key in keys] for row in listed)
        rows = ([*(row[key] for key in keys), self._versioning(row["name"])] for row in listed)
        return [*columns, "Versioning"], rows

    def _listed(self, given: Arguments) -> Iterator[JsonMapping]:
        marker = given.marker
        while True:
            page = self.api.account.bucket_list(
                self.context.account,
                limit=None if given.full else given.limit,
                marker=marker,
                prefix=given.prefix,
                options=self.options,
            )
            yield from page["listing"]
            if not (given.full and page.get("truncated")):
                return
            marker = page["next_marker"]

    def _versioning(self, name: str) -> str:
        try:
            known = self.api.container_get_properties(self.context.account, name)
        except NoSuchContainer:
            return "Error"
        return "Suspended" if known["system"].get(M2_PROP_VERSIONING_POLICY, "0") in {"0", ""} else "Enabled"


class _Shown(_OnBucket, Showing):
    def described(self, known: JsonMapping, parsed_args: Arguments) -> Fields:
        fields = dict(known)
        if parsed_args.formatter == "table" and "mtime" in fields:
            fields["mtime"] = utc_time(fields["mtime"])
        return self.shown(fields)


class ShowBucket(_Shown):
    """Show a bucket."""

    def take_action(self, parsed_args: Arguments) -> Fields:
        known = self.api.account.bucket_show(parsed_args.bucket, options=self.options)
        return self.described(known, parsed_args)


class SetBucket(_Shown):
    """Set a setting of a bucket."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--replicate", "--replication", dest="replicate", type=boolean, metavar="BOOL")

    def take_action(self, parsed_args: Arguments) -> Fields:
        """Set it, and show the bucket."""
        metadata = {}
        if parsed_args.replicate is not None:
            metadata["replication_enabled"] = str(parsed_args.replicate).lower()
        known = self.api.account.bucket_update(parsed_args.bucket, metadata, None, options=self.options)
        return self.described(known, parsed_args)


class RefreshBucket(_OnBucket, Silent):
    """Count the objects and bytes of a bucket again."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        super().add_arguments(parser)
        add = parser.add_argument
        add("--touch", action="store_true", help="let each of its containers send its state first")
        add("--recompute", action="store_true", help="and count objects and bytes before (needs --touch)")

    def take_action(self, parsed_args: Arguments) -> None:
        if parsed_args.recompute and not parsed_args.touch:
            raise CommandError("--recompute needs --touch")
        bucket = parsed_args.bucket
        if parsed_args.touch:
            account = self.api.account.bucket_show(bucket, options=self.options).get("account")
            if not account:
                raise CommandError(f"Bucket {bucket!r} has no account, and so no containers to touch")
            for name, *_ in self.api.container_list_all(account):
                system = self.api.container_get_properties(account, name)["system"]
                if system.get(M2_PROP_BUCKET_NAME) == bucket:
                    self.api.container_touch(account, name, recompute=parsed_args.recompute)
        self.api.account.bucket_refresh(bucket, options=self.options)


COMMANDS: dict[str, type[Base]] = {
    "bucket list": ListBuckets,
    "bucket refresh": RefreshBucket,
    "bucket set": SetBucket,
    "bucket show": ShowBucket,
}
