# SPDX-License-Identifier: Apache-2.0
"""Lazy responses: read in few steps, and completed as those of urllib3 only when somebody needs that."""

from __future__ import annotations

import functools
import http.client
import sys
from typing import Any

import urllib3

from oio.common.http_heads import HTTPResponse


class LazyResponse(urllib3.HTTPResponse):
    """An answer that only becomes a whole response of urllib3 when somebody needs one.

    Our clients need its status, its headers, and its body: in one piece or in blocks, see :meth:`read_block`.
    To make the rest takes as long as all that.

    :param answer: whose head was read
    :param pool: that the connection is given back to
    :param connection: that the answer comes on
    :param method: of the request
    :param target: of the request
    :raises urllib3.exceptions.HTTPError: headers of the answer contradict each other about its length
    """

    #: Connection that the answer comes on, until it is read.
    _lent: Any = None
    _data: bytes | None = None

    def __init__(self, answer: HTTPResponse, pool: Any, connection: Any, method: str, target: str) -> None:
        self._original_response = self._answer = answer
        self._rest = (pool, method, target)
        self._lent = connection
        self.status, self.reason, self.version = answer.status, answer.reason, answer.version
        index = answer.index
        lengths = index.get("content-length", ("", "0"))
        is_odd = len(lengths) > 2 or not lengths[1].isdecimal()
        if answer.length is None or is_odd or "transfer-encoding" in index:
            # urllib3 may refuse it, also when there is no body.
            self.complete()

    @functools.cached_property
    def headers(self) -> urllib3.HTTPHeaderDict:  # type: ignore[override]
        """All the headers, made sooner than by urllib3 itself."""
        headers = urllib3.HTTPHeaderDict()
        headers._container = self._answer.index
        return headers

    def header(self, name: str) -> str:
        """Get a header, given in lower case; empty without one."""
        return ", ".join(self._answer.index.get(name, ("",))[1:])

    def read_block(self, size: int | None = None, limit: int = sys.maxsize) -> bytes | None:
        """Read the next bytes of a plain body, and give the connection back after the last ones.

        :param size: largest number of bytes; fewer come when the connection has ended. None for a whole body,
            which is kept as :attr:`data`
        :param limit: bytes of the largest body that is taken
        :returns: None for another kind of body, a larger one, or one that was read to its end
        """
        answer = self._answer
        left = answer.length
        if self._lent is None or left is None or left > limit or "content-encoding" in answer.index:
            return None
        try:
            data = answer.whole() if size is None or size >= left else None
            if data is None:
                data = answer.read(size)
            if not data and answer.length:
                raise http.client.IncompleteRead(data, answer.length)
        except BaseException as err:
            # urllib3's own translator of failures, which closes the answer too.
            with self._error_catcher():
                raise err from err.__cause__
        if size is None:
            self._data = data
        if answer.fp is None:
            connection, self._lent = self._lent, None
            if (kept := self._rest[0].pool) is None:
                connection.close()
            else:
                kept.put(connection)
        return data

    @property
    def data(self) -> bytes:
        """The whole body."""
        return super().data if self._data is None else self._data

    @property
    def closed(self) -> bool:
        """Whether the body was read to its end, or given up."""
        return self._answer.fp is None if "_rest" in self.__dict__ else super().closed

    def complete(self) -> None:
        """Become a whole response of urllib3.

        :raises urllib3.exceptions.HTTPError: see the class
        """
        answer, data = self._answer, self._data
        pool, method, target = self.__dict__.pop("_rest")
        connection, self._lent = self._lent, None
        super().__init__(
            answer,
            self.headers,
            answer.status,
            answer.version,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
            original_response=answer,
            pool=pool,
            connection=connection,
            retries=pool.retries,
            request_method=method,
            request_url=target,
        )
        if data is not None:
            self._body, self._fp_bytes_read, self.length_remaining = data, len(data), 0
        elif self.length_remaining:
            # Some blocks may have been read.
            self._fp_bytes_read = self.length_remaining - (answer.length or 0)
            self.length_remaining = answer.length

    def __getattr__(self, name: str) -> Any:
        # An attribute that is missing is one that urllib3's constructor sets.
        if "_rest" not in self.__dict__:
            raise AttributeError(name)
        self.complete()
        return getattr(self, name)
