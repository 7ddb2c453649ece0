# SPDX-License-Identifier: Apache-2.0
"""Data of objects: chunks to write, and the changes that name them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

from oio.common.answers import ANSWER_ERRORS, JsonObject, unexpected
from oio.common.arguments import check_headers
from oio.common.constants import OBJECT_HEADERS
from oio.container._description import check_chunks, description_of, headers_of
from oio.container._requests import ContentRequests, content_params

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.chunks import ChunkDict
    from oio.common.keywords import RequestOptions

_DESCRIBED = ("id", "policy", "version", "mime_type", "chunk_method")
"""Fields of an object that a commit sends as headers, beside size and checksum."""


class DataRoutes(ContentRequests):
    """Requests that make and change the data of an object."""

    def content_prepare(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        size: int | None = None,
        cid: str | None = None,
        stgpol: str | None = None,
        content_id: str | None = None,
        version: int | str | None = None,
        position: int = 0,
        **kwargs: Unpack[RequestOptions],
    ) -> tuple[JsonObject, list[ChunkDict]]:
        """Ask where to store data of a new object; nothing is changed, and the container is not looked at.

        :param size: bytes to store; 1 gives one metachunk
        :param stgpol: storage policy; by default that of the namespace. The service takes an empty one for
            one of its own, of a single copy
        :param position: index of the metachunk
        :returns: description of the object, with ``chunk_size`` (bytes), and list of chunks
        """
        params = content_params(account, reference, path, cid, kwargs, content_id, version)
        description: JsonObject = {"size": size, "position": position}
        if stgpol is not None:
            description["policy"] = stgpol
        resp, body = self._post("prepare2", params, kwargs, data=json.dumps(description))
        if not isinstance(body, dict):
            self._expect(resp, body)
        meta = description_of(resp, self.proxy_netloc)
        try:
            # Two values are refused: the chunks could get another size than the services plan with.
            meta["chunk_size"] = int(", ".join(headers_of(resp)["x-oio-ns-chunk-size"][1:]))
            meta["properties"] = dict(body.get("properties") or {})
            return meta, check_chunks(body["chunks"])
        except ANSWER_ERRORS as err:
            raise unexpected(err, self.proxy_netloc) from err

    def content_create(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        size: int | None = None,
        checksum: str | None = None,
        data: JsonObject | None = None,
        cid: str | None = None,
        content_id: str | None = None,
        stgpol: str | None = None,
        version: int | str | None = None,
        mime_type: str | None = None,
        chunk_method: str | None = None,
        append: bool = False,
        change_policy: bool = False,
        force: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Create an object whose chunks are stored, or add chunks to one. Never sent twice.

        :param size: bytes of the object, or of what is appended
        :param checksum: hex digest of the same
        :param data: ``{"chunks": [...], "properties": {...}}``; properties of empty value are dropped
        :param kwargs: ``headers`` may override size and checksum
        :param append: put the chunks at the end of the object that exists
        :param change_policy: replace the chunks of this version of an object
        :param force: add chunks and properties to an object, unchecked
        """
        params = content_params(account, reference, path, cid, kwargs)
        for name, flag in (("append", append), ("change_policy", change_policy), ("force", force)):
            if flag:
                params[name] = 1
        described = self._content_headers(
            size, checksum, kwargs, content_id, stgpol, version, mime_type, chunk_method
        )
        self._post("create", params, kwargs, data=json.dumps(data), headers=described)

    def content_update(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        size: int | None = None,
        chunks: Iterable[ChunkDict] = (),
        cid: str | None = None,
        content_id: str | None = None,
        stgpol: str | None = None,
        version: int | str | None = None,
        chunk_method: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Replace the metachunks of an object at the positions of `chunks`. Never sent twice.

        :param content_id: of the object; without it the service loses the chunks (pitfall 145)
        :param version: of the object
        :param chunk_method: of the object
        :raises ValueError: content ID, policy or size is missing
        """
        for name, value in (("content_id", content_id), ("stgpol", stgpol), ("size", size)):
            if value is None:
                raise ValueError(f"{name} is required to update {path!r}")
        params = content_params(account, reference, path, cid, kwargs)
        described = self._content_headers(size, None, kwargs, content_id, stgpol, version, None, chunk_method)
        self._post("update", params, kwargs, data=json.dumps(list(chunks)), headers=described)

    @staticmethod
    def _content_headers(
        size: int | None, checksum: str | None, given: RequestOptions, *fields: object
    ) -> dict[str, object]:
        """Headers of a request that describes an object.

        :param given: options of the request, whose headers win over size and checksum
        :param fields: values of ``_DESCRIBED``
        """
        options = given.get("options")
        headers = check_headers(given.get("headers") if options is None else options.headers)
        own: dict[str, object] = {OBJECT_HEADERS["size"]: size, OBJECT_HEADERS["hash"]: checksum, **headers}
        for name, value in zip(_DESCRIBED, fields, strict=True):
            own[OBJECT_HEADERS[name]] = value
        return {name: value for name, value in own.items() if value is not None}

    def content_truncate(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        size: int | None = None,
        content: str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Cut an object at the end of one of its metachunks.

        :param size: what remains, in bytes
        :raises BadRequest: the size is not where a metachunk ends
        """
        params = content_params(account, reference, path, cid, kwargs, content or content_id, version)
        params["size"] = size
        self._post("truncate", params, kwargs)

    def content_request_transition(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        policy: str | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        content: str | None = None,
        skip_data_move: bool = False,
        internal_transition: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Announce that an object will change its policy; naming its own policy takes the announcement back.

        :param policy: name of the storage policy
        :param skip_data_move: do not leave it to the services to store the data again
        :param internal_transition: do not note the time in a property of the object
        :raises NotFound: there is no such object, or the services know no such route, as those of 7.3.0
        """
        params = content_params(account, reference, path, cid, kwargs, content, version)
        wishes = {"skip_data_move": skip_data_move, "internal_transition": internal_transition}
        self._post("transition", params, kwargs, data=json.dumps({"policy": policy, **wishes}))

    def content_spare(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        data: JsonObject | None = None,
        cid: str | None = None,
        stgpol: str | None = None,
        version: int | str | None = None,
        position: int | str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> JsonObject:
        """Ask for services that can take the missing chunks of a metachunk.

        :param data: ``{"notin": [...], "broken": [...]}``, chunks as located: those that are left, and those
            that are lost
        :returns: ``chunks``, one for each missing one, whose ``id`` is a chunk URL to write to, and
            ``properties``, how well they are placed
        :raises ValueError: policy or position is missing
        """
        for name, value in (("stgpol", stgpol), ("position", position)):
            if value is None:
                raise ValueError(f"{name} is required to find services for {path!r}")
        params = content_params(account, reference, path, cid, kwargs, version=version)
        params.update(stgpol=stgpol, position=position)
        # The service wants both lists.
        lists = {"notin": [], "broken": [], **(data or {})}
        resp, body = self._post("spare", params, kwargs, data=json.dumps(lists))
        return self._expect(resp, body)
