# SPDX-License-Identifier: Apache-2.0
"""Plans for trees: iterators of jobs, each looked for while others are done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeAlias

from oio.common import exceptions as exc
from oio.common.arguments import shorten
from oio.transfer._config import Remote
from oio.transfer._copies import Copy, DeleteFile, DeleteObject
from oio.transfer._download import Download
from oio.transfer._entries import LocalFile, RemoteObject, Skipped, merge, name_of, objects, walk
from oio.transfer._filters import Filter
from oio.transfer._names import ParentNames, lineage, plain_name, split_name
from oio.transfer._results import NameRefused, Result
from oio.transfer._session import Session
from oio.transfer._target_files import TargetFile
from oio.transfer._upload import Upload
from oio.transfer._worker_pool import Job

Plan: TypeAlias = "Iterator[Job | Result]"


def upload_tree(
    session: Session, directory: str, remote: Remote, names: Filter, *, delete: bool = False
) -> Plan:
    """Upload the files of a directory.

    :param names: which of them, below the prefix
    :param delete: delete the objects that have no file
    """
    config = session.config
    follow = config.follow_symlinks
    needed = delete or config.overwrite != "always"
    listed = _if_any(objects(session.api, remote, session.deadline)) if needed else iter(())
    # A file that is left out protects the object of its name.
    kept = ParentNames()
    for file, obj in merge(walk(directory, follow=follow), listed):
        # A walk may find nothing to move for long: a cancelled call must end all the same.
        session.pool.check()
        taken = names.takes(name_of(file, obj))
        if isinstance(file, Skipped):
            kept.add(file.name)
            if taken:
                yield _skipped(remote.prefix + file.name, file)
        elif not taken:
            continue
        elif file is not None:
            yield Upload(session, file.path, remote, remote.prefix + file.name, obj, follow=follow)
        elif obj is not None and delete and not kept.covers(obj.name):
            if _is_marker(obj) and _has_directory(directory, obj):
                continue
            yield DeleteObject(session, remote, remote.prefix + obj.name, obj)


def _is_marker(obj: RemoteObject) -> bool:
    """Whether an object represents a directory, maybe that of the prefix: some programs make such objects."""
    return not obj.size and (not obj.name or obj.name.endswith("/"))


def _has_directory(directory: str, obj: RemoteObject) -> bool:
    """Whether the directory is there that an object represents."""
    try:
        parts = split_name(obj.name[:-1]) if obj.name else ()
    except NameRefused:
        return False
    return os.path.isdir(os.path.join(os.fsencode(directory), *parts))


def _skipped(name: str, file: Skipped) -> Result:
    if file.error is None:
        return Result("upload", name, file.path, "skipped", reason=file.reason)
    return Result("upload", name, file.path, "failed", error=file.error)


def download_tree(
    session: Session, remote: Remote, directory: str, names: Filter, *, delete: bool = False
) -> Plan:
    """Download the objects whose names have a prefix.

    :param names: which of them, below the prefix
    :param delete: delete the files that have no object
    """
    parents = ParentNames()
    refused: set[str] | None = None
    held: list[Download] = []
    there: Iterator[LocalFile | Skipped] = iter(())
    if delete and os.path.isdir(directory):
        there = walk(directory, follow=False)
    for obj, file in merge(_source(session, remote, delete=delete), there):
        session.pool.check()
        name = name_of(obj, file)
        yield from _passed(held, remote.prefix + name)
        if not names.takes(name):
            continue
        if obj is not None:
            job = _download(session, remote, directory, obj, parents)
            if delete and isinstance(job, Download) and os.path.isdir(job.target.path):
                # The files of the directory that is in its place come later, and are deleted first.
                held.append(job)
            else:
                yield job
        elif isinstance(file, LocalFile):
            # Files only: links, and the files below them, are not ours to delete.
            if refused is None:
                # All at once, before the first deletion: z/../b comes after b.
                refused = _refused_names(session, remote, names)
            if not refused.isdisjoint(lineage(file.name)):
                continue
            target = TargetFile(directory, tuple(file.name.encode().split(b"/")))
            # Deleted at once: a later object may need a directory in the place of this file.
            yield DeleteFile(session, target, remote.prefix + file.name, file.size).run()
    yield from reversed(held)


def _passed(held: list[Download], name: str) -> Iterator[Download]:
    """Give, and forget, those that no name can lie below any more."""
    while held and not name.startswith(held[-1].name):
        yield held.pop()


def _refused_names(session: Session, remote: Remote, names: Filter) -> set[str]:
    """What is meant by the names that no file can have."""
    refused: set[str] = set()
    for obj in objects(session.api, remote, session.deadline):
        session.pool.check()
        if _is_marker(obj) or not names.takes(obj.name):
            continue
        try:
            split_name(obj.name)
        except NameRefused:
            refused.add(plain_name(obj.name))
    return refused


def _download(
    session: Session, remote: Remote, directory: str, obj: RemoteObject, parents: ParentNames
) -> Job | Result:
    name = remote.prefix + obj.name
    path = f"{directory}/{obj.name}"
    if _is_marker(obj):
        return Result("download", name, path, "skipped", reason="directory marker")
    try:
        target = TargetFile(directory, split_name(obj.name))
        if parents.covers(obj.name):
            raise NameRefused(f"name {name!r} clashes with an object whose name is the beginning of it")
    except NameRefused as err:
        return Result("download", name, path, "failed", obj.size, err)
    parents.add(obj.name)
    return Download(session, remote, name, target, obj)


def copy_tree(
    session: Session, source: Remote, target: Remote, names: Filter, *, delete: bool = False
) -> Plan:
    """Copy the objects whose names have a prefix.

    :param names: which of them, below the prefix
    :param delete: delete the objects of the target that are missing in the source
    """
    needed = delete or session.config.overwrite != "always"
    there = _if_any(objects(session.api, target, session.deadline)) if needed else iter(())
    for obj, known in merge(_source(session, source, delete=delete), there):
        session.pool.check()
        if not names.takes(name_of(obj, known)):
            continue
        if obj is not None:
            old, new = source.prefix + obj.name, target.prefix + obj.name
            yield Copy(session, source, old, target, new, obj, known)
        elif known is not None and delete:
            yield DeleteObject(session, target, target.prefix + known.name, known)


def _source(session: Session, remote: Remote, *, delete: bool) -> Iterator[RemoteObject]:
    """The objects of a source.

    :raises NoSuchObject: there is none, and all of the target would be deleted
    """
    listed = objects(session.api, remote, session.deadline)
    first = next(listed, None)
    if first is not None:
        yield first
        yield from listed
    elif delete and remote.prefix:
        # More likely a mistake than a directory that has lost all.
        raise exc.NoSuchObject(
            f"no object of container {remote.container!r} begins with the prefix of the source, "
            f"{shorten(remote.prefix)}: nothing was deleted"
        )


def _if_any(listed: Iterator[RemoteObject]) -> Iterator[RemoteObject]:
    """Objects of a container that may not exist yet."""
    try:
        yield from listed
    except exc.NoSuchContainer:
        return
