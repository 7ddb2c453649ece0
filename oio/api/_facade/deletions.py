# SPDX-License-Identifier: Apache-2.0
"""Calls that delete objects, or their chunks alone."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from oio.api import _operations as operations
from oio.api._facade.argument_checks import check_names, check_versions_of
from oio.api._facade.call import ApiBase, ContainerCall, NoticeCall, ObjectCall
from oio.api._operations.bulk import delete_each, in_bulk
from oio.common.arguments import check_flag
from oio.common.cache import forget_object

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api._operations.bulk import Wanted
    from oio.api._operations.orphan_files import Look
    from oio.api.types import BulkOptions, DeletedObject, ReadOptions
    from oio.common.cache import Cache
    from oio.common.options import Options
    from oio.container._removal import Deletion

_NO_FILES = nullcontext()


class DeletionApi(ApiBase):
    """Calls that delete objects, or their chunks alone."""

    def object_drain(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Unpack[ReadOptions],
    ) -> None:
        """Remove all the chunks of an object, but keep all the metadata.

        :param obj: name of the object to drain
        :param version: version of the object, the latest by default
        :raises NoSuchObject: there is no such object; it is a NotFound too

        >>> api.object_drain("doc", "box", "hello")
        >>> api.object_get_properties("doc", "box", "hello")["chunk_method"]
        'drained'
        """
        with (
            NoticeCall(self, kwargs, account, container, obj, version, changes=True) as options,
            self._files_of(account, container, [(obj, version, options.content_id)], options),
        ):
            self.container.content_drain(
                account, container, obj, version=version, content=options.content_id, options=options
            )

    def object_delete(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        bypass_governance: bool = False,
        **kwargs: Unpack[ReadOptions],
    ) -> bool:
        """Delete an object from a container. If versioning is enabled and no version is specified, the object
        will be marked as deleted but not actually deleted.

        What is actually deleted is also deleted from Backblaze, where there are credentials. What cannot be
        is logged.

        :param obj: name of the object to delete
        :param version: version of the object to delete. When a call without it fails for an unknown reason,
            look before calling again: the second one may remove the mark of the first.
        :param bypass_governance: also delete a version that has to be retained, unless that is in compliance
            mode or under legal hold. Services of 7.3 lock no versions
        :returns: True on success
        :raises NoSuchObject: there is no such object, or version
        :raises Forbidden: this version is locked

        >>> api.object_delete("doc", "box", "hello")
        True
        """
        with (
            ObjectCall(self, kwargs, account, container, obj, version, changes=True) as options,
            self._files_of(account, container, [(obj, version, options.content_id)], options),
        ):
            return self.container.content_delete(
                account,
                container,
                obj,
                version=version,
                content=options.content_id,
                bypass_governance=check_flag("bypass_governance", bypass_governance),
                options=options,
            )

    def object_delete_many(
        self,
        account: str | None,
        container: str | None,
        objs: Iterable[str],
        bypass_governance: bool = False,
        **kwargs: Unpack[BulkOptions],
    ) -> list[tuple[str, bool]]:
        """Delete several objects, any number of them. Each is deleted as :meth:`object_delete` does it.

        When it fails, some of them may be deleted.

        :param objs: an iterable of object names
        :param bypass_governance: also delete what has to be retained, see :meth:`object_delete`; objects are
            deleted one by one then
        :returns: a list of tuples with the name of the object, in the order of `objs`, and a boolean telling
            if the object has been successfully deleted; all of them are false when there is no such container
            (of no name at all, the list is empty, and nothing is asked)

        >>> api.object_delete_many("doc", "box", ["nothing"])
        [('nothing', False)]
        """
        names: list[str] = []
        with ContainerCall(self, kwargs, account, container, forgets=partial(_forget, names)) as options:
            names += check_names("objs", objs, "obj")
            bypasses = check_flag("bypass_governance", bypass_governance)
            # Most clients have no credentials: nothing is made of each name then.
            with self._files_of(account, container, ((name, None) for name in names), options):
                if not bypasses:
                    ask = partial(self.container.content_delete_many, account, container)
                    return in_bulk(names, ask, options)
                wanted: list[Wanted] = [(name, None) for name in names]
                deletions = delete_each(self, account, container, wanted, options, bypass_governance=True)
                return [(name, deletion.deleted) for name, deletion in deletions]

    def object_delete_ext(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        bypass_governance: bool = False,
        **kwargs: Unpack[ReadOptions],
    ) -> DeletedObject:
        """Delete an object as :meth:`object_delete` does it, and tell what became of it.

        :param obj: name of the object to delete
        :param version: version of the object to delete
        :param bypass_governance: also delete a version that has to be retained, unless that is in compliance
            mode or under legal hold. Services of 7.3 lock no versions
        :returns: a dict with ``deleted`` (True), ``version`` and ``delete_marker``: which version was
            deleted, or was made to mark the object as deleted. Services of 7.3 do not tell: None, but for a
            `version` that was given.
        :raises NoSuchObject: there is no such object, or version
        :raises Forbidden: this version is locked

        >>> api.object_delete_ext("doc", "box", "hello")["deleted"]
        True
        """
        with (
            ObjectCall(self, kwargs, account, container, obj, version, changes=True) as options,
            self._files_of(account, container, [(obj, version, options.content_id)], options),
        ):
            deletion = self.container.content_delete_ext(
                account,
                container,
                obj,
                version=version,
                content=options.content_id,
                bypass_governance=check_flag("bypass_governance", bypass_governance),
                options=options,
            )
            return _shown(obj, deletion)

    def object_delete_many_ext(
        self,
        account: str | None,
        container: str | None,
        objs: Iterable[str | tuple[str, int | str | None]],
        bypass_governance: bool = False,
        **kwargs: Unpack[BulkOptions],
    ) -> list[DeletedObject]:
        """Delete several objects, or versions of them, and tell what became of each.

        Objects are deleted many at a time, as by :meth:`object_delete_many`, and versions one by one: in a
        request about many, services of 7.3 would delete the latest version instead.

        :param objs: names of objects, and tuples of name and version
        :param bypass_governance: also delete what has to be retained, see :meth:`object_delete`; objects are
            deleted one by one then
        :returns: a dict for each of them, in order, with ``name``, ``deleted``, ``version`` and
            ``delete_marker`` (see :meth:`object_delete_ext`; of what is deleted by its name alone, services
            tell neither), and ``error``, which says why it was not deleted

        >>> (known,) = api.object_delete_many_ext("doc", "box", [("hello", 1)])
        >>> known["name"], known["version"], known["deleted"]
        ('hello', '1', False)
        """
        names: list[str] = []
        with ContainerCall(self, kwargs, account, container, forgets=partial(_forget, names)) as options:
            wanted = check_versions_of("objs", objs)
            names += [name for name, _ in wanted]
            bypasses = check_flag("bypass_governance", bypass_governance)
            with self._files_of(account, container, wanted, options):
                deletions = delete_each(self, account, container, wanted, options, bypass_governance=bypasses)
                return [_shown(name, deletion) for name, deletion in deletions]

    def _files_of(
        self,
        account: str | None,
        container: str | None,
        objects: Iterable[Look],
        options: Options,
    ) -> AbstractContextManager[object]:
        """The files that objects have in Backblaze; none where there are no credentials."""
        if not operations.orphan_files.has_credentials(options):
            return _NO_FILES
        orphans = operations.orphan_files.OrphanFiles(self, account, container, options)
        orphans.track_all(objects)
        return orphans


def _forget(
    names: Iterable[str], account: str | None, container: str | None, *, cid: str | None, cache: Cache
) -> None:
    for name in names:
        forget_object(account, container, name, cid=cid, cache=cache)


def _shown(name: str | None, deletion: Deletion) -> DeletedObject:
    return {
        "name": name,
        "deleted": deletion.deleted,
        "version": deletion.version,
        "delete_marker": deletion.delete_marker,
        "error": deletion.error,
    }
