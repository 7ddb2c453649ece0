# SPDX-License-Identifier: Apache-2.0
"""The calls of the object storage API that change or remove objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from oio.api._calls import ApiBase, container_call, object_call
from oio.api._checks import check_names
from oio.common.cache import del_cached_object_metadata


class ChangeApi(ApiBase):
    """Calls that change or remove objects."""

    @object_call
    def object_touch(
        self, account: str, container: str, obj: str, version: int | str | None = None, **kwargs: Any
    ) -> None:
        """Trigger a notification about an object (as if it just had been created).

        :param obj: name of the object to touch
        :param version: version of the object, the latest by default
        :raises NoSuchObject: there is no such object

        >>> api.object_touch("doc", "box", "hello")
        """
        self.container.content_touch(account, container, obj, version=version, **kwargs)

    @object_call
    def object_delete(
        self, account: str, container: str, obj: str, version: int | str | None = None, **kwargs: Any
    ) -> bool:
        """Delete an object from a container. If versioning is enabled and no version is specified, the object
        will be marked as deleted but not actually deleted.

        :param obj: name of the object to delete
        :param version: version of the object to delete. When a call without it fails for an unknown reason,
            look before calling again: the second one may remove the mark of the first.
        :returns: True on success
        :raises NoSuchObject: there is no such object, or version

        >>> api.object_delete("doc", "box", "hello")
        True
        """
        try:
            return self.container.content_delete(account, container, obj, version=version, **kwargs)
        finally:
            del_cached_object_metadata(account, container, obj, **kwargs)

    @container_call
    def object_delete_many(
        self, account: str, container: str, objs: Iterable[str], **kwargs: Any
    ) -> list[tuple[str, bool]]:
        """Delete several objects.

        :param objs: an iterable of object names
        :returns: a list of tuples with the name of the object and a boolean telling if the object has been
            successfully deleted; all of them are false when there is no such container
        :raises BadRequest: there is no name

        >>> api.object_delete_many("doc", "box", ["nothing"])
        [('nothing', False)]
        """
        names = check_names("objs", objs, "obj")
        try:
            return self.container.content_delete_many(account, container, names, **kwargs)
        finally:
            for name in names:
                del_cached_object_metadata(account, container, name, **kwargs)
