# SPDX-License-Identifier: Apache-2.0
"""A service that keeps the notes of its users as objects."""

from __future__ import annotations

from collections.abc import Iterator

from oio import ObjectStorageApi
from oio.common import exceptions as exc


class Notes:
    """Notes in one container.

    :param api: a client, which the caller closes
    """

    def __init__(self, api: ObjectStorageApi, account: str, container: str) -> None:
        self._api = api
        self._place = account, container

    def write(self, user: str, title: str, text: str) -> None:
        self._api.object_create(*self._place, obj_name=f"{user}/{title}", data=text, mime_type="text/plain")

    def read(self, user: str, title: str) -> str | None:
        """The text of a note, or None when there is no such note."""
        try:
            _, stream = self._api.object_fetch(*self._place, f"{user}/{title}")
        except (exc.NoSuchObject, exc.NoSuchContainer):
            return None
        with stream:
            return stream.read().decode()

    def titles(self, user: str) -> Iterator[str]:
        prefix = f"{user}/"
        for entry in self._api.object_list_all(*self._place, prefix=prefix):
            yield entry["name"].removeprefix(prefix)
