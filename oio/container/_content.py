# SPDX-License-Identifier: Apache-2.0
"""Routes of the proxy about objects ("contents"), as methods of the container client."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from oio.common import exceptions as exc
from oio.common.answers import ANSWER_ERRORS, JsonObject, expect, reading_answer, unexpected
from oio.common.client import ProxyClient
from oio.common.constants import OBJECT_HEADERS
from oio.container._metadata import check_chunks, extract_content_headers_meta, is_trustworthy
from oio.container._params import container_params, property_names

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.chunks import ChunkDict
    from oio.common.http_api import Answer, RequestExtras
    from oio.common.keywords import RequestOptions

_NO_CONTENT = 204
_NO_ROUTE = 404
"""Status, in the body of an answer, of a proxy that has no such route."""
_COMMITS = ("/content/create", "/content/update")
_DELETIONS = ("/content/delete", "/content/delete_many")


def _content_params(
    account: str | None,
    reference: str | None,
    path: str | None,
    cid: str | None,
    given: RequestOptions | None = None,
    content: str | None = None,
    version: int | str | None = None,
) -> JsonObject:
    """Name an object by its path, or by its content ID, and possibly one version of it."""
    if not cid and given and (options := given.get("options")) is not None:
        cid = options.cid
    params: JsonObject = {"cid": cid.upper()} if cid else {"acct": account, "ref": reference}
    if path is not None:
        params["path"] = path
    if content:
        params["content"] = content
    params["version"] = version
    return params


class ContentRoutes(ProxyClient):
    """Requests about objects; `path` is the name of one, `version` (decimal) one of its versions."""

    def _make_uri(self, target: str) -> str:
        """Make the URL of a route of another group than ``container``."""
        return f"{self.proxy_scheme}://{self.proxy_netloc}/v3.0/{self.ns}/{target}"

    def _is_repeatable(self, url: str, params: Mapping[str, object]) -> bool:
        # A second creation may be refused because of the first, a second update drops the chunks of the
        # first, a second deletion brings back what it has hidden: none is ever sent again (pitfalls 33 and
        # 142).
        return not (url.endswith(_COMMITS) or (params.get("version") is None and url.endswith(_DELETIONS)))

    def _expect(self, resp: Any, body: object) -> JsonObject:
        return expect(dict, resp, body, self.proxy_netloc)

    def _post(
        self,
        action: str,
        params: JsonObject,
        given: RequestOptions,
        data: str | None = None,
        **more: Unpack[RequestExtras],
    ) -> Answer:
        url = f"{self.proxy_scheme}://{self.proxy_netloc}/v3.0/{self.ns}/content/{action}"
        return self._send("POST", url, given, params, data, **more)

    def _in_pieces(
        self,
        names: list[str],
        send_all: Callable[[list[str]], list[tuple[str, bool]]],
        send_one: Callable[[str], bool],
    ) -> list[tuple[str, bool]]:
        """Send a request about many names, in halves when it is too large.

        A proxy that does not know the route gets a request for each name.
        """
        try:
            return send_all(names)
        except exc.TooLarge:
            if len(names) < 2:
                raise
            middle = len(names) // 2
            halves = names[:middle], names[middle:]
            return [item for half in halves for item in self._in_pieces(half, send_all, send_one)]
        except exc.NotFound as err:
            if err.status != _NO_ROUTE:
                raise
            return [(name, send_one(name)) for name in names]

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
        # For these two, presence counts and not the value (pitfall 92).
        if versions:
            params["all"] = 1
        if deleted:
            params["deleted"] = 1
        resp, body = self._send("GET", "/list", kwargs, params, path=None)
        return resp.headers, self._expect(resp, body)

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
        :param stgpol: storage policy; by default that of the namespace
        :param position: index of the metachunk
        :returns: description of the object, with ``chunk_size`` (bytes), and list of chunks
        """
        params = _content_params(account, reference, path, cid, kwargs, content_id, version)
        description: JsonObject = {"size": size, "position": position}
        if stgpol is not None:
            description["policy"] = stgpol
        resp, body = self._post("prepare2", params, kwargs, data=json.dumps(description))
        if not isinstance(body, dict):
            self._expect(resp, body)
        meta = extract_content_headers_meta(resp.headers)
        try:
            meta["chunk_size"] = int(resp.headers["x-oio-ns-chunk-size"])
            meta["properties"] = body.get("properties") or {}
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
        params = _content_params(account, reference, path, cid, kwargs)
        del params["version"]
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
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Replace the metachunks of an object at the positions of `chunks`. Never sent twice.

        :param content_id: of the object; without it the service loses the chunks (pitfall 145)
        :raises ValueError: content ID, policy or size is missing
        """
        for name, value in (("content_id", content_id), ("stgpol", stgpol), ("size", size)):
            if value is None:
                raise ValueError(f"{name} is mandatory to update {path!r}")
        params = _content_params(account, reference, path, cid, kwargs)
        described = self._content_headers(size, None, kwargs, content_id, stgpol, None, None, None)
        self._post("update", params, kwargs, data=json.dumps(list(chunks)), headers=described)

    @staticmethod
    def _content_headers(
        size: int | None, checksum: str | None, given: RequestOptions, *fields: object
    ) -> dict[str, object]:
        """Headers of a request that describes an object, with those of its caller, which win."""
        options = given.get("options")
        headers = (given.get("headers") if options is None else options.headers) or {}
        own: dict[str, object] = {OBJECT_HEADERS["size"]: size, OBJECT_HEADERS["hash"]: checksum, **headers}
        names = ("id", "policy", "version", "mime_type", "chunk_method")
        own.update({OBJECT_HEADERS[name]: value for name, value in zip(names, fields, strict=True)})
        return {name: value for name, value in own.items() if value is not None}

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
        params = _content_params(account, reference, path, cid, kwargs, content or content_id, version)
        if properties:
            try:
                resp, chunks = self._locate(params, True, kwargs)
            except exc.OioNetworkException as err:
                # Properties can also be too many, or break what comes after their headers.
                if not isinstance(err, exc.OioProtocolError) and "got more than" not in str(err):
                    raise
            else:
                if is_trustworthy(resp):
                    return extract_content_headers_meta(resp.headers), chunks
        resp, chunks = self._locate(params, False, kwargs)
        meta = extract_content_headers_meta(resp.headers)
        if properties:
            known = self.content_get_properties(
                account,
                reference,
                meta.get("name", path),
                cid=cid,
                version=meta.get("version", version),
                **kwargs,
            )
            meta["properties"] = known["properties"]
        return meta, chunks

    def _locate(
        self, params: JsonObject, properties: bool, given: RequestOptions
    ) -> tuple[Any, list[ChunkDict]]:
        params["properties"] = properties
        resp, body = self._send("GET", self._make_uri("content/locate"), given, params)
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
        params = _content_params(account, reference, path, cid, kwargs, content or content_id, version)
        resp, body = self._post("get_properties", params, kwargs)
        meta = extract_content_headers_meta(resp.headers)
        with reading_answer(self.proxy_netloc):
            meta["properties"] = dict(self._expect(resp, body)["properties"])
        return meta

    def content_set_properties(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        properties: dict[str, str] | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        clear: bool = False,
        **kwargs: Unpack[RequestOptions],
    ) -> None:
        """Set properties of an object; an empty value removes the property.

        :param clear: remove the others first
        """
        params = _content_params(account, reference, path, cid, kwargs, version=version)
        if clear:
            params["flush"] = 1
        self._post("set_properties", params, kwargs, data=json.dumps({"properties": properties or {}}))

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
        params = _content_params(account, reference, path, cid, kwargs, content or content_id, version)
        resp, _ = self._post("del_properties", params, kwargs, data=json.dumps(property_names(properties)))
        return bool(resp.status == _NO_CONTENT)

    def content_delete(
        self,
        account: str | None = None,
        reference: str | None = None,
        path: str | None = None,
        cid: str | None = None,
        version: int | str | None = None,
        content: str | None = None,
        content_id: str | None = None,
        **kwargs: Unpack[RequestOptions],
    ) -> bool:
        """Delete an object, or one version of it; True when done. Without a version, never sent twice."""
        params = _content_params(account, reference, path, cid, kwargs, content or content_id, version)
        resp, _ = self._post("delete", params, kwargs)
        return bool(resp.status == _NO_CONTENT)

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
        params = container_params(account, reference, cid, kwargs)

        def delete_all(names: list[str]) -> list[tuple[str, bool]]:
            data = json.dumps({"contents": [{"name": name} for name in names]})
            resp, body = self._post("delete_many", params, kwargs, data=data)
            with reading_answer(self.proxy_netloc):
                contents = self._expect(resp, body)["contents"]
                return [(item["name"], item["status"] == _NO_CONTENT) for item in contents]

        def delete_one(name: str) -> bool:
            with contextlib.suppress(exc.NotFound):
                return self.content_delete(account, reference, name, cid, **kwargs)
            return False

        return self._in_pieces(list(paths), delete_all, delete_one)

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
        """Make the object tell again that it was created."""
        self._post(
            "touch",
            _content_params(account, reference, path, cid, kwargs, content or content_id, version),
            kwargs,
        )

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
        self._post(
            "drain",
            _content_params(account, reference, path, cid, kwargs, content or content_id, version),
            kwargs,
        )

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
        params = _content_params(account, reference, path, cid, kwargs, content or content_id, version)
        params["size"] = size
        self._post("truncate", params, kwargs)

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
        params = _content_params(account, reference, path, cid, kwargs)
        params["maxvers"] = maxvers
        self._post("purge", params, kwargs)

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
        if stgpol is None or position is None:
            raise ValueError(f"stgpol and position are mandatory: got {stgpol!r} and {position!r}")
        params = _content_params(account, reference, path, cid, kwargs, version=version)
        params.update(stgpol=stgpol, position=position)
        # The service wants both lists.
        lists = {"notin": [], "broken": [], **(data or {})}
        resp, body = self._post("spare", params, kwargs, data=json.dumps(lists))
        return self._expect(resp, body)
