# SPDX-License-Identifier: Apache-2.0
"""Descriptions of objects, and listings: where their chunks are, and their properties."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from oio.common import exceptions as exc
from oio.common import http_stack
from oio.common.answers import ANSWER_ERRORS, JsonObject, expect, is_truncated, unexpected
from oio.common.constants import LIST_TRUNCATED_HEADER, SHARD_HEADER
from oio.container._metadata import check_chunks, description_of, faithful_description
from oio.container._requests import ContentRequests, container_params, content_params, property_names

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.chunks import ChunkDict
    from oio.common.keywords import RequestOptions

_NO_CONTENT = 204
_LOOKS = 5
"""How often an object is located that is replaced by others at the same time."""


class DescriptionRoutes(ContentRequests):
    """Requests about the descriptions of objects; they leave the data alone."""

    def content_shard(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> str | None:
        """Get the ID of the shard that holds an object, when its container is divided among shards.

        Requests about rows (``container_raw_*``) only reach the object by this ID.

        :returns: None when the container is not divided
        """
        params = content_params(account, reference, path, cid, kwargs, version=version)
        resp, _ = self._locate(params, False, kwargs)
        found = resp.headers.get(SHARD_HEADER)
        return str(found).upper() if found else None

    def content_locate(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        content: str | None = None,
        version: int | str | None = None,
        properties: bool = True,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> tuple[JsonObject, list[ChunkDict]]:
        """Get the description of an object, and its chunks.

        :param content: content ID, which can replace `path` (also as `content_id`)
        :param properties: give the properties too, in one request when that can be done faithfully, else in
            three. Those named exactly like a field of the description (``hash``, ``size``...) are only seen
            by :meth:`content_get_properties` (pitfall 148).
        """
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        if properties:
            try:
                resp, chunks = self._locate(params, True, kwargs)
            except exc.OioNetworkException as err:
                # Properties can also be too many for a head, or break what follows them in it.
                if not isinstance(err, exc.OioProtocolError) and "got more than" not in str(err):
                    raise
            else:
                if (found := faithful_description(resp)) is not None:
                    return found, chunks
        for look in range(1, _LOOKS + 1):
            resp, chunks = self._locate(params, False, kwargs)
            meta = description_of(resp, self.proxy_netloc)
            if not properties:
                break
            try:
                known = self.content_get_properties(
                    account,
                    reference,
                    meta.get("name", path),
                    cid=cid,
                    version=meta.get("version", version),
                    **kwargs,
                )
            except exc.NotFound:
                # Between the two requests, another object has taken its place.
                if version is not None or look == _LOOKS:
                    raise
                continue
            meta["properties"] = known["properties"]
            break
        return meta, chunks

    def _locate(
        self, params: JsonObject, properties: bool, given: RequestOptions
    ) -> tuple[Any, list[ChunkDict]]:
        params["properties"] = properties
        resp, body = self._send("GET", f"{self._root}/content/locate", given, params)
        try:
            return resp, check_chunks(body if isinstance(body, list) else expect(list, resp, body))
        except ANSWER_ERRORS as err:
            raise unexpected(err, self.proxy_netloc) from err

    def content_get_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        properties: Iterable[str] | None = None,
        cid: str | None = None,
        content: str | None = None,
        version: int | str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Get the description of an object, with all its properties, even those named like a field.

        :param properties: ignored
        """
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        resp, body = self._post("get_properties", params, kwargs, None)
        meta = description_of(resp, self.proxy_netloc)
        try:
            known = self._expect(resp, body)
            if known or not http_stack.is_made_up(resp):
                meta["properties"] = dict(known["properties"])
        except ANSWER_ERRORS as err:
            raise unexpected(err, self.proxy_netloc) from err
        return meta

    def content_set_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        properties: dict[str, str] | dict[str, dict[str, str]] | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        clear: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Set properties of an object; an empty value removes the property.

        :param properties: names and values; or the whole body of the request: ``{"properties": {...}}``
        :param clear: remove the others first
        """
        params = content_params(account, reference, path, cid, kwargs, version=version)
        if clear:
            params["flush"] = 1
        given = properties or {}
        # No value of a property is a dict.
        is_body = given.keys() == {"properties"} and isinstance(given["properties"], dict)
        self._post(
            "set_properties", params, kwargs, data=json.dumps(given if is_body else {"properties": given})
        )

    def content_del_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        properties: Iterable[str] | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        content: str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> bool:
        """Remove properties of an object; True when done.

        :param properties: their names; an empty list stands for **all of them**
        :raises ValueError: there is no list
        """
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        resp, _ = self._post("del_properties", params, kwargs, data=json.dumps(property_names(properties)))
        return bool(resp.status == _NO_CONTENT)

    def content_touch(
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
        """Make the services announce again that an object was created."""
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        self._post("touch", params, kwargs)

    def content_list(
        self,
        account: str | None = None,
        reference: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        properties: bool = False,
        cid: str | None = None,
        versions: bool = False,
        deleted: bool = False,
        version_marker: int | str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> tuple[Any, JsonObject]:
        """List the objects of a container.

        :param limit: size of the page, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :param delimiter: one character; what follows it in names is folded into prefixes
        :param properties: also give the properties of each object
        :param versions: also give the older versions, and delete markers
        :param deleted: also give the names whose latest version is a delete marker
        :param version_marker: of the name `marker`, also give the versions that are older than this one;
            services of 7.3 ignore it
        :returns: headers, which tell about the next page, and body
        """
        params = container_params(account, reference, cid, kwargs)
        params.update(
            max=limit,
            marker=marker,
            end_marker=end_marker,
            prefix=prefix,
            delimiter=delimiter,
            properties=properties,
        )
        # The presence of these two counts, not their value (pitfall 92).
        if versions:
            params["all"] = 1
        if deleted:
            params["deleted"] = 1
        if version_marker is not None:
            params["version_marker"] = version_marker
        resp, body = self._send("GET", "/list", kwargs, params, path=None)
        is_truncated(resp, LIST_TRUNCATED_HEADER, self.proxy_netloc)
        return resp.headers, self._expect(resp, body)
