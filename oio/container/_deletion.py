# SPDX-License-Identifier: Apache-2.0
"""What became of an object that was to be deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from oio.common import exceptions as exc
from oio.common.easy_value import boolean_value

_NO_CONTENT, _FAILURES = 204, 500


class Deletion(NamedTuple):
    """What a service tells of the deletion of an object.

    :param deleted: it was done
    :param version: of what was deleted, or of the delete marker that was made; None when it is not told
    :param delete_marker: a delete marker was made, or is what was deleted; None when it is not told
    :param error: why it was not done
    """

    deleted: bool
    version: str | None = None
    delete_marker: bool | None = None
    error: str | None = None

    @classmethod
    def of(cls, resp: Any, asked: int | str | None) -> Deletion:
        """Read an answer about one object; those of services of 7.3 tell nothing.

        :param asked: the version that was to be deleted
        """
        version, marker = (resp.headers.get(f"x-oio-{name}") for name in ("version-id", "delete-marker"))
        known = None if version is None else boolean_value(marker, False)
        if version is None and asked is not None:
            version = str(asked)
        return cls(bool(resp.status == _NO_CONTENT), version, known)

    @classmethod
    def refused(cls, err: exc.ClientException, asked: int | str | None = None) -> Deletion:
        """Read a refusal to delete one object.

        :param asked: the version that was to be deleted
        :raises ClientException: it is none: the service has failed
        """
        if err.http_status >= _FAILURES:
            raise err
        return cls(False, None if asked is None else str(asked), error=str(err.message))

    @classmethod
    def told(cls, item: Mapping[str, Any]) -> Deletion:
        """Read the part about one object of an answer about many."""
        if item["status"] == _NO_CONTENT:
            return _DELETED
        return cls(False, error=str(item.get("message") or item["status"]))


_DELETED: Final = Deletion(True)
