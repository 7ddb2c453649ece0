# SPDX-License-Identifier: Apache-2.0
"""Copy and deletion of one object."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from oio.common import exceptions as exc
from oio.transfer._config import Remote
from oio.transfer._entries import RemoteObject
from oio.transfer._results import ObjectChanged, Result
from oio.transfer._session import ByteCount, Session
from oio.transfer._target_files import TargetFile
from oio.transfer._upload import look, store


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy of one object: a link where its policy has links, else its data are read and stored.

    :param name: of the object, with the prefix
    :param new_name: of the copy, with the prefix
    :param known: the object at the target, None if there is none
    :param asks: nobody has looked yet whether there is one
    """

    session: Session
    source: Remote
    name: str
    target: Remote
    new_name: str
    original: RemoteObject | None = None
    known: RemoteObject | None = None
    asks: bool = False

    def run(self) -> Result:
        """Copy it unless it is there."""
        return self.session.guarded(Result("copy", self.new_name, None, "done"), self._run)

    def _run(self, result: Result) -> Result:
        session = self.session
        original = self.original or session.attempt(lambda: look(session, self.source, self.name))
        if original is None:
            raise exc.NoSuchObject(f"object {self.name!r} does not exist")
        result = replace(result, size=original.size)
        reason = self._reason_to_skip(original)
        if reason:
            return replace(result, outcome="skipped", reason=reason)
        if session.dry_run:
            return replace(result, outcome="planned")
        session.pool.count(found=original.size)
        return replace(result, size=store(session, self.target, self.new_name, self._copy))

    def _reason_to_skip(self, original: RemoteObject) -> str:
        config = self.session.config
        if config.overwrite == "always":
            return ""
        there = self.known
        if self.asks:
            there = self.session.attempt(lambda: look(self.session, self.target, self.new_name))
        if there is None:
            return ""
        if config.overwrite == "never":
            return "exists"
        same = original.size == there.size and original.hash.lower() == there.hash.lower()
        # An object without a checksum, as after an append, is copied again.
        return "same" if same and original.hash else ""

    def _copy(self, content_id: str) -> int:
        with ByteCount(self.session) as moved:
            try:
                linked = self.session.api.object_link(
                    self.source.account,
                    self.source.container,
                    self.name,
                    self.target.account,
                    self.target.container,
                    self.new_name,
                    link_content_id=content_id,
                    deadline=self.session.deadline,
                )
            except exc.InvalidStorageMethod:
                return self._copy_data(content_id, moved)
            moved.add(int(linked["length"]))
            return int(linked["length"])

    def _copy_data(self, content_id: str, moved: ByteCount) -> int:
        api, source, deadline = self.session.api, self.source, self.session.deadline
        # object_fetch does not give the properties that are named like a field (pitfall 148).
        meta = api.object_get_properties(source.account, source.container, self.name, deadline=deadline)
        try:
            _, stream = api.object_fetch(
                source.account,
                source.container,
                self.name,
                version=meta["version"],
                properties=False,
                deadline=deadline,
            )
        except exc.NoSuchObject as err:
            raise ObjectChanged(f"object {self.name!r} was replaced while it was copied") from err
        with stream:

            def blocks() -> Iterator[bytes]:
                for block in stream:
                    moved.add(len(block))
                    yield block

            _, size, _, _ = api.object_create_ext(
                self.target.account,
                self.target.container,
                data=blocks(),
                obj_name=self.new_name,
                size=int(meta["length"]),
                policy=self.session.config.policy or meta["policy"],
                mime_type=meta["mime_type"],
                properties=meta["properties"],
                content_id=content_id,
                deadline=deadline,
            )
        if size != int(meta["length"]):
            raise ObjectChanged(f"object {self.name!r} was replaced while it was copied")
        return size


@dataclass(frozen=True, slots=True)
class DeleteObject:
    """Deletion of an object that is missing in the source."""

    session: Session
    remote: Remote
    name: str
    known: RemoteObject

    def run(self) -> Result:
        return self.session.guarded(Result("delete", self.name, None, "done", self.known.size), self._run)

    def _run(self, result: Result) -> Result:
        if self.session.dry_run:
            return replace(result, outcome="planned")

        failed: list[bool] = []

        def delete() -> None:
            if failed:
                # In a container with versions, a second deletion would delete another version.
                there = look(self.session, self.remote, self.name)
                if there is None or there.id != self.known.id:
                    return
            failed.append(True)
            with contextlib.suppress(exc.NoSuchObject, exc.NotFound):
                self.session.api.object_delete(
                    self.remote.account, self.remote.container, self.name, deadline=self.session.deadline
                )

        self.session.attempt(delete)
        return result


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Deletion of a file that is missing in the source."""

    session: Session
    target: TargetFile
    name: str
    size: int

    def run(self) -> Result:
        """Delete it, and the directories that this leaves empty."""
        result = Result("delete", self.name, self.target.path, "done", self.size)
        return self.session.guarded(result, self._run)

    def _run(self, result: Result) -> Result:
        if self.session.dry_run:
            return replace(result, outcome="planned")
        with self.session.directories:
            self.target.remove()
        return result
