# SPDX-License-Identifier: Apache-2.0
"""The calls of the object storage API that change or remove objects."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from oio.api._facade.call import ApiBase, container_call, forgetting, object_call, object_notice
from oio.api._facade.checks import WrongValue, check_names, check_policy, check_size
from oio.api._operations.emptying import in_bulk
from oio.api._operations.leftovers import Leftovers
from oio.api._operations.rewrite import PolicyChange, truncate
from oio.api.types import Uploaded
from oio.common import exceptions as exc
from oio.common.cache import forget_object


class ChangeApi(ApiBase):
    """Calls that change or remove objects."""

    def _to_rewrite(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None,
        options: dict[str, Any],
    ) -> tuple[tuple[str, str], dict[str, Any], list[dict[str, Any]]]:
        """Look at an object as it is, whatever is cached.

        :param options: those of the call; what only says which object it is about is taken out
        :returns: names of the container, description and chunks
        """
        # What has vanished meanwhile must not come back empty.
        options.pop("autocreate", None)
        content_ids = {name: options.pop(name) for name in ("content", "content_id") if name in options}
        meta, chunks = self.container.content_locate(
            account, container, obj, version=version, properties=False, **content_ids, **options
        )
        return self._names_of(account, container, **options), meta, chunks

    def _files_of(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None,
        options: dict[str, Any],
    ) -> Leftovers:
        """What is in Backblaze of an object."""
        leftovers = Leftovers(self, account, container, options)
        content_ids = {name: options[name] for name in ("content", "content_id") if name in options}
        leftovers.look_at(obj, version, **content_ids)
        return leftovers

    @object_call
    @forgetting(forget_object)
    def object_change_policy(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        policy: str,
        version: int | str | None = None,
        **kwargs: Any,
    ) -> Uploaded:
        """Store an object with another policy. Its data are read, verified and stored again; its version,
        properties, MIME type and dates stay, it gets a new content ID.

        When it fails, the object is as it was.

        :param obj: name of the object
        :param policy: name of the storage policy
        :param version: version of the object, the latest by default
        :returns: list of chunks, size and hash of what has been stored, and description of the object
        :raises NoSuchObject: there is no such object
        :raises Conflict: the object has this policy
        :raises ClientException: the policy is unknown
        :raises ContentDrained: the chunks of the object were removed
        :raises OioException: the object cannot be read, see :meth:`object_fetch`, or not be stored, see
            :meth:`object_create_ext`

        >>> chunks, size, _, meta = api.object_change_policy("doc", "box", "hello", "SINGLE")
        >>> len(chunks), size, meta["policy"]
        (1, 5, 'SINGLE')
        """
        if check_policy(policy) is None:
            raise WrongValue("policy must be the name of one: None")
        names, meta, chunks = self._to_rewrite(account, container, obj, version, kwargs)
        if meta.get("policy") == policy:
            # The service accepts it, and stores all the data again (pitfalls row 110).
            raise exc.Conflict(409, None, f"The object is already using the {policy} storage policy")
        return PolicyChange(self, *names, meta, policy, **kwargs).of(chunks)

    @object_notice
    @forgetting(forget_object)
    def object_drain(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        """Remove all the chunks of an object, but keep all the metadata.

        :param obj: name of the object to drain
        :param version: version of the object, the latest by default
        :raises NoSuchObject: there is no such object; it is a NotFound too

        >>> api.object_drain("doc", "box", "hello")
        >>> api.object_get_properties("doc", "box", "hello")["chunk_method"]
        'drained'
        """
        with self._files_of(account, container, obj, version, kwargs).swept():
            self.container.content_drain(account, container, obj, version=version, **kwargs)

    @object_call
    @forgetting(forget_object)
    def object_truncate(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        size: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Truncate object at specified size. Only shrink is supported.

        Data are moved only when the size is inside a chunk: this one is downloaded, verified, and its
        beginning is stored again with the policy of the object. When that fails, the object is as it was;
        when the last requests fail, it may be longer than wanted, but ends at a chunk boundary.

        :param obj: name of the object to truncate
        :param version: version of the object, the latest by default
        :param size: new size of the object (bytes)
        :raises NoSuchObject: there is no such object
        :raises ContentDrained: the chunks of the object were removed
        :raises OioException: the object has fewer bytes; or what has to be stored again cannot be read, see
            :meth:`object_fetch`, or not be stored, see :meth:`object_create_ext`

        >>> api.object_truncate("doc", "box", "hello", size=4)
        >>> b"".join(api.object_fetch("doc", "box", "hello")[1])
        b'hell'
        """
        remaining = check_size("size", size)
        names, meta, chunks = self._to_rewrite(account, container, obj, version, kwargs)
        truncate(self, *names, meta, chunks, remaining, kwargs)

    @object_notice
    def object_touch(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        """Trigger a notification about an object (as if it just had been created).

        :param obj: name of the object to touch
        :param version: version of the object, the latest by default
        :raises NoSuchObject: there is no such object; it is a NotFound too

        >>> api.object_touch("doc", "box", "hello")
        """
        self.container.content_touch(account, container, obj, version=version, **kwargs)

    @object_call
    @forgetting(forget_object)
    def object_delete(
        self,
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        **kwargs: Any,
    ) -> bool:
        """Delete an object from a container. If versioning is enabled and no version is specified, the object
        will be marked as deleted but not actually deleted.

        What is actually deleted is also deleted from Backblaze, where there are credentials. What cannot be
        is logged.

        :param obj: name of the object to delete
        :param version: version of the object to delete. When a call without it fails for an unknown reason,
            look before calling again: the second one may remove the mark of the first.
        :returns: True on success
        :raises NoSuchObject: there is no such object, or version

        >>> api.object_delete("doc", "box", "hello")
        True
        """
        with self._files_of(account, container, obj, version, kwargs).swept():
            return self.container.content_delete(account, container, obj, version=version, **kwargs)

    @container_call
    def object_delete_many(
        self, account: str | None, container: str | None, objs: Iterable[str], **kwargs: Any
    ) -> list[tuple[str, bool]]:
        """Delete several objects, as many as one likes. Each is deleted as :meth:`object_delete` does it.

        When it fails, some of them may be deleted.

        :param objs: an iterable of object names
        :returns: a list of tuples with the name of the object, in the order of `objs`, and a boolean telling
            if the object has been successfully deleted; all of them are false when there is no such container
        :raises BadRequest: there is no name

        >>> api.object_delete_many("doc", "box", ["nothing"])
        [('nothing', False)]
        """
        names = check_names("objs", objs, "obj")
        leftovers = Leftovers(self, account, container, kwargs)
        leftovers.look_at_all((name, None) for name in dict.fromkeys(names))
        try:
            with leftovers.swept():
                return in_bulk(names, partial(self.container.content_delete_many, account, container), kwargs)
        finally:
            for name in names:
                forget_object(account, container, name, **kwargs)
