# SPDX-License-Identifier: Apache-2.0
"""Removal of objects, of their versions and of their data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from oio.common import exceptions as exc
from oio.common.answers import Response, reading_answer
from oio.common.easy_value import boolean_value
from oio.container._requests import ContentRequests, container_params, content_params

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.keywords import RequestOptions

_NO_CONTENT, _FAILURES = 204, 500


class Deletion(NamedTuple):
    """Outcome of the deletion of an object, as the service tells it.

    :param deleted: it was done
    :param version: version that was deleted, or that of the new delete marker; None when it is not told
    :param delete_marker: a delete marker was made, or was deleted; None when it is not told
    :param error: why it was not done
    """

    deleted: bool
    version: str | None = None
    delete_marker: bool | None = None
    error: str | None = None

    @classmethod
    def of(cls, resp: Response, asked: int | str | None) -> Deletion:
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
        :raises ClientException: the service has failed, and refused nothing
        """
        if err.http_status >= _FAILURES:
            raise err
        return cls(False, None if asked is None else str(asked), error=str(err.message))

    @classmethod
    def not_done(cls, item: Mapping[str, Any]) -> Deletion:
        """Read the entry of an object that was not deleted, in an answer about many."""
        return cls(False, error=str(item.get("message") or item["status"]))


_DELETED: Final = Deletion(True)


class RemovalRoutes(ContentRequests):
    """Requests that remove objects; without a version, a deletion is never sent twice."""

    def content_delete(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        content: str | None = None,
        content_id: str | None = None,
        bypass_governance: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> bool:
        """Delete an object, or one version of it; True when done. Without a version, never sent twice.

        :param bypass_governance: also a version that has to be retained, unless that is in compliance mode
            or under legal hold; services of 7.3 lock no versions
        :raises Forbidden: the version is locked
        """
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        if bypass_governance:
            params["bypass_governance"] = 1
        resp, _ = self._post("delete", params, kwargs)
        return bool(resp.status == _NO_CONTENT)

    def content_delete_ext(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        content: str | None = None,
        content_id: str | None = None,
        bypass_governance: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> Deletion:
        """Delete an object, and tell what became of it; see :meth:`content_delete`."""
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        if bypass_governance:
            params["bypass_governance"] = 1
        resp, _ = self._post("delete", params, kwargs)
        with reading_answer(self.proxy_netloc):
            return Deletion.of(resp, version)

    def content_delete_many(
        self,
        account: str | None = None,
        reference: str | None = None,
        paths: Iterable[str] = (),
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> list[tuple[str, bool]]:
        """Delete several objects. Never sent twice.

        :returns: for each name, in order, whether it was deleted
        """
        deletions = self.content_delete_many_ext(account, reference, paths, cid, **kwargs)
        return [(name, deletion.deleted) for name, deletion in deletions]

    def content_delete_many_ext(
        self,
        account: str | None = None,
        reference: str | None = None,
        paths: Iterable[str] = (),
        cid: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> list[tuple[str, Deletion]]:
        """Delete several objects, and tell what became of each; see :meth:`content_delete_many`.

        Versions cannot be named: services of 7.3 would ignore them, and delete the latest ones.
        """
        params = container_params(account, reference, cid, kwargs)

        def delete_all(names: list[str]) -> list[tuple[str, Deletion]]:
            # The text of dumps(), which needs a dict for each name, and as long as the rest of the call.
            items = ", ".join([f'{{"name": {quoted(name)}}}' for name in names])
            data = f'{{"contents": [{items}]}}'
            resp, body = self._post("delete_many", params, kwargs, data=data)
            with reading_answer(self.proxy_netloc):
                contents = self._expect(resp, body)["contents"]
                return [
                    (item["name"], _DELETED if item["status"] == _NO_CONTENT else Deletion.not_done(item))
                    for item in contents
                ]

        def delete_one(name: str) -> Deletion:
            try:
                return self.content_delete_ext(account, reference, name, cid, **kwargs)
            except exc.ClientException as err:
                return Deletion.refused(err)

        return self._in_pieces(list(paths), delete_all, delete_one)

    def content_drain(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        content: str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Delete the chunks of an object, and keep its description."""
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        self._post("drain", params, kwargs)

    def content_purge(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        maxvers: int | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Drop the oldest versions of an object.

        :param maxvers: how many are kept; by default what the container says
        """
        params = content_params(account, reference, path, cid, kwargs)
        params["maxvers"] = maxvers
        self._post("purge", params, kwargs)
