# SPDX-License-Identifier: Apache-2.0
"""Results of transfers: of one object and of a call, progress, and exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from oio.common.exceptions import DeadlineReached, OioException


class TransferError(OioException):
    """A transfer failed."""


class TransfersFailed(TransferError):
    """Some of many transfers failed; `report` tells which."""

    report: Report | None = None


class TransferCancelled(TransferError):
    """A transfer was cancelled; `report` has the results until then."""

    report: Report | None = None


class TransferDeadlineReached(TransferError, DeadlineReached):
    """The deadline of a call was reached before all was done; `report` has the results until then."""

    report: Report | None = None


class NameRefused(TransferError):
    """The name of an object cannot be that of a file in the target directory, or the other way round."""


class FileRefused(TransferError):
    """A file cannot be uploaded or written: it is no regular file, or is being written already."""


class FileChanged(TransferError):
    """A file was changed while it was read; nothing was stored."""


class ObjectChanged(TransferError):
    """An object was replaced while it was downloaded."""


class DataMismatch(TransferError):
    """The downloaded bytes do not match the checksum of the object; they were thrown away."""


@dataclass(frozen=True, slots=True)
class Result:
    """Result of the work on one object.

    :param action: the work
    :param name: name of the object; of a copy, the new one
    :param path: path of the file, or None for a copy
    :param outcome: ``"done"``; ``"skipped"``, for the `reason` given; ``"failed"``, with `error`; or
        ``"planned"``, in a dry run
    :param size: bytes of the object, 0 when it is not known
    :param reason: why it was skipped: ``"same"``, ``"exists"``, ``"symbolic link"``...
    """

    action: Literal["upload", "download", "copy", "delete"]
    name: str
    path: str | None
    outcome: Literal["done", "skipped", "failed", "planned"]
    size: int = 0
    error: BaseException | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        error = self.error
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error.filename, str):
            # It names nothing, or bytes that may be relative to a descriptor.
            error.filename = self.path or error.filename

    def raise_failure(self) -> None:
        """Raise the exception of a failure, if it is one."""
        if self.error is not None:
            raise self.error


class Report:
    """Results of a call. Iterate over it for those that it keeps: all, unless there are very many.

    >>> report = Report(1)
    >>> report.add(Result("upload", "a", "files/a", "done", 5))
    >>> report.add(Result("upload", "b", "files/b", "done", 6))
    >>> report.done, report.bytes, len(list(report)), report.is_complete
    (2, 11, 1, False)
    """

    def __init__(self, kept: int) -> None:
        self.done = self.skipped = self.failed = self.planned = 0
        #: Bytes of the objects that were moved.
        self.bytes = 0
        #: Whether all results were kept.
        self.is_complete = True
        self.failures: list[Result] = []
        self._others: list[Result] = []
        self._kept = kept

    def add(self, result: Result) -> None:
        """Count a result, and keep it if there is room."""
        setattr(self, result.outcome, getattr(self, result.outcome) + 1)
        if result.outcome == "done" and result.action != "delete":
            self.bytes += result.size
        kept = self.failures if result.outcome == "failed" else self._others
        if len(kept) < self._kept:
            kept.append(result)
        else:
            self.is_complete = False

    def __iter__(self) -> Iterator[Result]:
        yield from self._others
        yield from self.failures

    def __repr__(self) -> str:
        return (
            f"<Report: {self.done} done, {self.skipped} skipped, {self.failed} failed, "
            f"{self.planned} planned, {self.bytes} bytes>"
        )

    def raise_failures(self) -> None:
        """Raise an exception if anything failed.

        :raises TransfersFailed: from the first failure
        """
        if not self.failed:
            return
        first = self.failures[0] if self.failures else None
        example = "" if first is None else f", the first: {first.name!r}: {first.error}"
        error = TransfersFailed(f"{self.failed} transfers failed{example}")
        error.report = self
        raise error from (None if first is None else first.error)


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a call.

    :param bytes: moved so far; those that have to be moved again are taken off
    :param objects: finished so far, whatever their outcome
    :param total_bytes: to be moved in all, without those of skipped objects; None while more objects may be
        found
    :param total_objects: None while more may be found
    :param found_bytes: to be moved for the objects found so far
    :param found_objects: found so far
    :param failed: failed so far
    """

    bytes: int
    objects: int
    total_bytes: int | None
    total_objects: int | None
    found_bytes: int
    found_objects: int
    failed: int
