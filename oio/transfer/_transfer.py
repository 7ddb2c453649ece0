# SPDX-License-Identifier: Apache-2.0
"""Transfer: uploads, downloads, copies and synchronisations, of one object, many, or a tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from oio.common.arguments import WrongType, shorten
from oio.transfer import _plans as plans
from oio.transfer._base import TransferBase
from oio.transfer._checks import (
    Path,
    check_apart,
    check_directory,
    check_directory_prefix,
    check_path,
    target_file,
)
from oio.transfer._config import (
    COMPARE,
    Compare,
    Remote,
    check_choice,
    check_flag,
    check_name,
    check_remote,
)
from oio.transfer._copies import Copy
from oio.transfer._download import Download
from oio.transfer._filters import Filter, Patterns
from oio.transfer._results import Report, Result
from oio.transfer._session import Session
from oio.transfer._upload import Upload
from oio.transfer._worker_pool import Job


class Transfer(TransferBase):
    """Uploads, downloads, copies and synchronisations.

    A call returns when all is done. Several threads may share a Transfer; each call has its own workers.
    Failures of single objects are results in the report; calls about one object raise them.

    :param api: the client
    :param config: settings
    :param on_progress: called from time to time with a :class:`Progress`, and once at the end, in the thread
        that made the call. What it raises cancels the call, and comes out of it
    :param on_result: called with each :class:`Result`, in the same way
    :param progress_interval: seconds between two calls of `on_progress`
    :param clock: monotonic clock, in seconds
    :param sleep: waits a number of seconds; by default, a wait that :meth:`cancel` ends
    :raises TypeError: an argument has the wrong type

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory, Transfer(api) as transfer:
    ...     result = transfer.download_file(Remote("doc", "box"), "hello", f"{directory}/hello.txt")
    >>> result.outcome, result.size
    ('done', 5)
    """

    # --- uploads ---

    def upload_file(
        self, path: Path, target: Remote, name: str | None = None, *, deadline: float | None = None
    ) -> Result:
        """Upload one file.

        :param path: of the file; a symbolic link is followed
        :param target: account, container and prefix of the object
        :param name: of the object, without the prefix; by default, the last part of the path
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises FileRefused: it is no regular file
        :raises FileChanged: it was changed each time that it was read
        :raises OSError: it cannot be read
        :raises OioException: it cannot be stored
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        shown = check_path("path", path)
        check_remote("target", target)
        full = target.prefix + check_name("name", os.path.basename(shown) if name is None else name)
        return self._one(
            lambda session: Upload(session, shown, target, full, asks=True, follow=True), deadline
        )

    def upload_many(
        self, pairs: Iterable[tuple[Path, str]], target: Remote, *, deadline: float | None = None
    ) -> Report:
        """Upload files.

        :param pairs: path of each file, and name of its object, without the prefix; taken one by one, in the
            threads of the workers
        :param target: account, container and prefix of the objects
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises TransferCancelled: :meth:`cancel` was called
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        check_remote("target", target)

        def jobs(session: Session) -> Iterator[Job]:
            for path, name in pairs:
                shown = check_path("path", path)
                full = target.prefix + check_name("name", name)
                yield Upload(session, shown, target, full, asks=True, follow=True)

        return self._many(jobs, deadline=deadline)

    def upload_tree(
        self,
        directory: Path,
        target: Remote,
        *,
        include: Patterns = (),
        exclude: Patterns = (),
        deadline: float | None = None,
    ) -> Report:
        """Upload the files of a directory and of those below it. Objects that are there already are skipped:
        after a failure, call it again.

        Each object has the path of its file, with slashes, after the prefix, and a property ``file-mtime``.
        Modes, owners and empty directories are not kept.

        :param directory: its path
        :param target: account, container and prefix of the objects
        :param include: patterns of names to move; see :ref:`filters`
        :param exclude: patterns of names to leave alone
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises NotADirectoryError: it is no directory
        :raises OioException: the container cannot be listed
        :raises TransferCancelled: :meth:`cancel` was called
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        names = Filter.of(include, exclude)
        shown = check_directory("directory", directory)
        check_remote("target", target)
        plan = partial(plans.upload_tree, directory=shown, remote=target, names=names)
        return self._many(plan, deadline=deadline)

    # --- downloads ---

    def download_file(
        self,
        source: Remote,
        name: str,
        path: Path,
        *,
        version: int | str | None = None,
        deadline: float | None = None,
    ) -> Result:
        """Download one object.

        The file gets its name when it is complete and verified. Until then it is ``.oio-*.part``, in the same
        directory; when a large one is interrupted, the next call goes on there if the object is still the
        same.

        :param source: account, container and prefix of the object
        :param name: of the object, without the prefix
        :param path: of the file; its directory is made if need be
        :param version: of the object, the latest by default
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises NoSuchObject: there is no such object
        :raises FileRefused: the path is that of a directory; another transfer is writing the same file
        :raises ObjectChanged: it was replaced each time that it was read
        :raises DataMismatch: the data do not match the checksum of the object
        :raises OSError: the file cannot be written
        :raises OioException: the object cannot be read
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        check_remote("source", source)
        full = source.prefix + check_name("name", name)
        target = target_file(path)
        return self._one(lambda session: Download(session, source, full, target, version=version), deadline)

    def download_many(
        self, source: Remote, pairs: Iterable[tuple[str, Path]], *, deadline: float | None = None
    ) -> Report:
        """Download objects.

        :param source: account, container and prefix of the objects
        :param pairs: name of each object, without the prefix, and path of its file; taken one by one, in the
            threads of the workers
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises TransferCancelled: :meth:`cancel` was called
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        check_remote("source", source)

        def jobs(session: Session) -> Iterator[Job]:
            for name, path in pairs:
                yield Download(session, source, source.prefix + check_name("name", name), target_file(path))

        return self._many(jobs, deadline=deadline)

    def download_tree(
        self,
        source: Remote,
        directory: Path,
        *,
        include: Patterns = (),
        exclude: Patterns = (),
        deadline: float | None = None,
    ) -> Report:
        """Download the objects whose names have a prefix. Files that are there already are skipped.

        Names that would leave the directory, or that no file can have, are failures: with parts ``..``,
        absolute, with NUL, below another object, or below a symbolic link.

        :param source: account, container and prefix of the objects
        :param directory: path of the directory, which is made if need be; the rest of the name, after the
            prefix, is the path of the file from there
        :param include: patterns of names to move; see :ref:`filters`
        :param exclude: patterns of names to leave alone
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises NoSuchContainer: there is no such container
        :raises OioException: the container cannot be listed
        :raises TransferCancelled: :meth:`cancel` was called
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        names = Filter.of(include, exclude)
        check_remote("source", source)
        shown = check_path("directory", directory)
        plan = partial(plans.download_tree, remote=source, directory=shown, names=names)
        return self._many(plan, deadline=deadline)

    # --- copies ---

    def copy_object(
        self,
        source: Remote,
        name: str,
        target: Remote,
        new_name: str | None = None,
        *,
        deadline: float | None = None,
    ) -> Result:
        """Copy one object, if possible without copying its data.

        :param source: account, container and prefix of the object
        :param name: of the object, without the prefix
        :param target: account, container and prefix of the copy
        :param new_name: of the copy, without the prefix; by default the same
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises NoSuchObject: there is no such object
        :raises OioException: it cannot be copied
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        check_remote("source", source)
        check_remote("target", target)
        old = source.prefix + check_name("name", name)
        new = target.prefix + check_name("new_name", name if new_name is None else new_name)
        return self._one(lambda session: Copy(session, source, old, target, new, asks=True), deadline)

    def copy_many(
        self,
        source: Remote,
        pairs: Iterable[tuple[str, str]],
        target: Remote,
        *,
        deadline: float | None = None,
    ) -> Report:
        """Copy objects, if possible without copying their data.

        :param source: account, container and prefix of the objects
        :param pairs: name of each object and of its copy, without the prefixes
        :param target: account, container and prefix of the copies
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises TransferCancelled: :meth:`cancel` was called
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        check_remote("source", source)
        check_remote("target", target)

        def jobs(session: Session) -> Iterator[Job]:
            for name, new_name in pairs:
                old = source.prefix + check_name("name", name)
                new = target.prefix + check_name("new_name", new_name)
                yield Copy(session, source, old, target, new, asks=True)

        return self._many(jobs, deadline=deadline)

    def copy_tree(
        self,
        source: Remote,
        target: Remote,
        *,
        include: Patterns = (),
        exclude: Patterns = (),
        deadline: float | None = None,
    ) -> Report:
        """Copy the objects whose names have a prefix. Those that the target has already, with the same name,
        size and checksum, are skipped.

        :param source: account, container and prefix of the objects
        :param target: account, container and prefix of the copies
        :param include: patterns of names to move; see :ref:`filters`
        :param exclude: patterns of names to leave alone
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises OioException: a container cannot be listed
        :raises TransferCancelled: :meth:`cancel` was called
        :raises TransferDeadlineReached: the `deadline` was reached before all was done
        """
        names = Filter.of(include, exclude)
        check_apart(check_remote("source", source), check_remote("target", target))
        plan = partial(plans.copy_tree, source=source, target=target, names=names)
        return self._many(plan, deadline=deadline)

    # --- synchronisation ---

    def sync(
        self,
        source: Path | Remote,
        target: Path | Remote,
        *,
        compare: Compare | None = None,
        delete: bool = False,
        dry_run: bool = False,
        include: Patterns = (),
        exclude: Patterns = (),
        deadline: float | None = None,
    ) -> Report:
        """Make a target like its source: move the entries that differ, whatever ``overwrite`` says.

        Entries are compared by size and time, or by size and checksum; those of two containers always by size
        and checksum. The time is that of the file, which its object has as property ``file-mtime``; else that
        of the object.

        :param source: a directory, or objects whose names have a prefix
        :param target: the same; at least one of both is a :class:`Remote`
        :param compare: instead of that of the settings
        :param delete: delete entries that are missing in the source. A directory that cannot be read, a link
            or a special file protects the entries of its name, and a directory the empty object that
            represents it (``photos/``). An object whose name is refused protects the file that it means:
            ``a//b`` and ``./a/b`` protect ``a/b``, and what is below it
        :param dry_run: change nothing; the results are ``"planned"``
        :param include: patterns of names to move; see :ref:`filters`
        :param exclude: patterns of names to leave alone
        :param deadline: monotonic time at which the call must be over; see :doc:`/deadlines`
        :raises ValueError: `delete` is set, and a prefix does not end with a slash: ``photos`` is that of
            ``photos-of-others/cat`` too
        :raises NoSuchObject: `delete` is set, and no object begins with the prefix of the source
        :raises NotADirectoryError: the source is no directory
        :raises OioException: a container cannot be listed
        :raises TransferCancelled: :meth:`cancel` was called
        :raises TransferDeadlineReached: the `deadline` was reached before all was done

        >>> with Transfer(api) as transfer:
        ...     report = transfer.sync(Remote("doc", "box"), Remote("doc", "mirror"))
        ...     again = transfer.sync(Remote("doc", "box"), Remote("doc", "mirror"))
        >>> report.done, again.skipped
        (1, 1)
        """
        names = Filter.of(include, exclude)
        config = replace(self._config, overwrite="changed")
        if compare is not None:
            check_choice("compare", compare, COMPARE)
            config = replace(config, compare=compare)
        check_flag("delete", delete)
        check_flag("dry_run", dry_run)
        for end in (source, target) if delete else ():
            check_directory_prefix(end)
        plan: Callable[[Session], plans.Plan]
        if isinstance(source, Remote) and isinstance(target, Remote):
            check_apart(source, target)
            plan = partial(plans.copy_tree, source=source, target=target, names=names, delete=delete)
        elif isinstance(source, Remote):
            path = check_path("target", target)
            plan = partial(plans.download_tree, remote=source, directory=path, names=names, delete=delete)
        elif isinstance(target, Remote):
            path = check_directory("source", source)
            plan = partial(plans.upload_tree, directory=path, remote=target, names=names, delete=delete)
        else:
            raise WrongType(
                f"source or target must be an oio.transfer.Remote: {shorten(source)}, {shorten(target)}"
            )
        return self._many(plan, config, dry_run=dry_run, deadline=deadline)
