# SPDX-License-Identifier: Apache-2.0
"""Descriptions of objects: where their chunks are, their properties, and listings of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from oio.common import exceptions as exc
from oio.common import http_stack
from oio.common.answers import ANSWER_ERRORS, JsonObject, Response, expect, is_truncated, unexpected
from oio.common.constants import (
    LIST_TRUNCATED_HEADER,
    OBJECT_METADATA_KEYS,
    OBJECT_METADATA_PREFIX,
    SHARD_HEADER,
)
from oio.container._requests import ContentRequests, container_params, content_params, property_names

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.common.chunks import ChunkDict
    from oio.common.keywords import RequestOptions

CONTENT_HEADER_PREFIX = OBJECT_METADATA_PREFIX
SYSMETA_KEYS = OBJECT_METADATA_KEYS

CHUNK_SYSMETA_PREFIX = "__OIO_CHUNK__"
"""Prefix of the properties that tell how well a chunk is placed."""

_TARGET_POLICY = "target-policy"
"""Field of an object that waits for another policy; among properties, maybe a property of the user."""
_FIELDS = {CONTENT_HEADER_PREFIX + key: key.replace("-", "_") for key in (*SYSMETA_KEYS, _TARGET_POLICY)}
"""Lower-case name of a header -> field of the description."""
_OF_ALL = {"name", "version", "ctime", "mtime", "deleted"}
"""Fields that the descriptions of delete markers have too."""
_OF_OBJECTS = {_FIELDS[CONTENT_HEADER_PREFIX + key] for key in SYSMETA_KEYS}
"""Fields that the descriptions of objects have."""
_PREFIX_LENGTH = len(CONTENT_HEADER_PREFIX)
_HIGHEST = 1e9
"""No score is higher: services give 0 to 100."""
_MANY_DIGITS = 10
"""Digits that the position of no chunk has; Python refuses to read thousands of them."""
_ESCAPED_VALUE = re.compile(r"[A-Za-z0-9._~%!*'()-]*")
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


def extract_chunk_qualities(properties: Any, raw: bool = False) -> JsonObject:
    """Take the placement of chunks from the properties of an object.

    :param properties: dict of properties, or list of ``{"key": name, "value": text}`` when `raw`
    :returns: the quality dict of each chunk URL

    >>> extract_chunk_qualities({"__OIO_CHUNK__http://h/AB": '{"final_dist": 1}', "color": "red"})
    {'http://h/AB': {'final_dist': 1}}
    """
    items = ((p["key"], p["value"]) for p in properties) if raw else properties.items()
    return {
        key[len(CHUNK_SYSMETA_PREFIX) :]: json.loads(value)
        for key, value in items
        if key.startswith(CHUNK_SYSMETA_PREFIX)
    }


def extract_content_headers_meta(headers: Mapping[str, str]) -> JsonObject:
    """Make the description of an object from the headers of a response.

    :param headers: mapping of names, in any case, to values
    :returns: a dict of the fields found (text), with the properties of the user in ``properties``

    >>> extract_content_headers_meta({"X-Oio-Content-Meta-Mime-Type": "text/plain"})
    {'properties': {}, 'mime_type': 'text/plain'}
    """
    return _described(http_stack.index_of(headers.items()))[0]


def headers_of(resp: Response) -> dict[str, list[str]]:
    """Lower-case name of each header of a response -> its name as it came first, and all its values."""
    answer = getattr(resp, "_original_response", None)
    return (
        answer.index
        if isinstance(answer, http_stack.HTTPResponse)
        else http_stack.index_of(resp.headers.items())
    )


def _described(index: dict[str, list[str]]) -> tuple[JsonObject, bool]:
    """Make a description, and tell whether each header has one value, which is escaped if it is a property's.

    :param index: see :func:`headers_of`
    """
    properties: dict[str, str] = {}
    meta: JsonObject = {"properties": properties}
    is_clear = True
    for key, found in index.items():
        field = _FIELDS.get(key)
        if field is not None or key.startswith(CONTENT_HEADER_PREFIX):
            # Of several values, the last one counts.
            value = found[-1]
            # The name of the header and one value.
            if len(found) > 2 or not (field or _ESCAPED_VALUE.fullmatch(value)):
                is_clear = False
            if "%" in value:
                value = unquote(value)
            if field is None:
                properties[found[0][_PREFIX_LENGTH:]] = value
            else:
                meta[field] = value
    return meta, is_clear


def description_of(resp: Response, service: str | None = None) -> JsonObject:
    """Make the description of an object from the headers of a response, which must have all its fields.

    The fake answers of applications' tests may have fewer.

    :raises OioProtocolError: some are missing
    """
    meta, _ = _described(headers_of(resp))
    wanted = _OF_ALL if meta.get("deleted", "").lower() == "true" else _OF_OBJECTS
    if not meta.keys() >= wanted and not http_stack.is_made_up(resp):
        missing = ", ".join(sorted(wanted - meta.keys()))
        raise exc.OioProtocolError(f"answer has no {missing} of the object", service=service)
    return meta


def faithful_description(resp: Response) -> JsonObject | None:
    """Make the description of an object from the headers of a ``locate`` with properties, if they are right.

    Keys of properties are sent raw: some hide the headers that follow, some double a real one, some are
    cut at a colon (pitfall 158). The damage shows as a missing or doubled header, as a complaint of the
    parser, or as a value that is not escaped.

    :returns: None when the headers may describe something else than the object and its properties
    """
    original = getattr(resp, "_original_response", None)
    if isinstance(original, http_stack.HTTPResponse):
        is_broken, index = original.head_is_broken, original.index
    elif http_stack.is_made_up(resp):
        return _described(headers_of(resp))[0]
    else:
        message = getattr(original, "msg", None)
        is_broken = message is not None and (message.defects or message.get_payload())
        index = http_stack.index_of(resp.headers.items())
    if is_broken:
        return None
    meta, is_clear = _described(index)
    return meta if is_clear and meta.keys() >= _OF_OBJECTS and "target_policy" not in meta else None


def check_chunks(chunks: list[ChunkDict]) -> list[ChunkDict]:
    """Check that chunks tell where they are, and which part of the object they hold; returns them.

    :raises LookupError: one does not; or TypeError, ValueError
    """
    # An object may have thousands of chunks: values that many share are checked once.
    texts: list[str] = []
    scores, positions = set(), set()
    for chunk in chunks:
        texts.append(chunk["url"])
        if (address := chunk.get("real_url")) is not None:
            texts.append(address)
        if (digest := chunk.get("hash")) is not None:
            texts.append(digest)
        scores.add(chunk.get("score"))
        positions.add(chunk["pos"])
    # Raises TypeError for anything but text.
    joined = "".join(texts)
    if "[" in joined or "]" in joined or not joined.isascii():
        for text in texts:
            urlsplit(text)
    for score in scores:
        # A larger one would swallow the fraction that sorts equal chunks at random.
        if score is not None and not -_HIGHEST <= score <= _HIGHEST:
            raise ValueError(f"the score of a chunk is {score!r:.80}")
    for position in positions:
        if not (type(position) is str and len(position) < _MANY_DIGITS and position.isdecimal()):
            int(str(position).partition(".")[0])
    return chunks
