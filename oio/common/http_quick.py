# SPDX-License-Identifier: Apache-2.0
"""Answers of urllib3 that are read in few steps."""

from __future__ import annotations

import functools
import http.client
from typing import Any

import urllib3

from oio.common.http_heads import HTTPResponse


class QuickResponse(urllib3.HTTPResponse):
    """An answer that is made a whole response of urllib3 only once somebody wants more than our clients do.

    They want its status, its headers, and its body: in one piece, see :meth:`body_of`, or in blocks, see
    :meth:`block_of`. Making the rest takes as long as all that.

    :param answer: whose head was read
    :param rest: other arguments of the response of urllib3
    """

    def __init__(self, answer: HTTPResponse, **rest: Any) -> None:
        self._original_response = self._answer = answer
        self._rest = rest
        self.status, self.reason, self.version = answer.status, answer.reason, answer.version

    @functools.cached_property
    def headers(self) -> urllib3.HTTPHeaderDict:  # type: ignore[override]
        """All the headers, of which urllib3 takes long to make the same."""
        headers = urllib3.HTTPHeaderDict()
        headers._container = self._answer.index
        return headers

    def header(self, name: str) -> str:
        """Get a header, given in lower case; empty without one."""
        return ", ".join(self._answer.index.get(name, ("",))[1:])

    def body_of(self, limit: int) -> bytes | None:
        """Read a plain body, and give the connection back; None for one that needs more care, or was read.

        :param limit: bytes of the largest body that is taken
        """
        length = self._answer.length
        if length is None or length > limit or not self._is_plain():
            return None
        self._data = data = self._take(None)
        return data

    def block_of(self, size: int) -> bytes | None:
        """Read the next bytes of a plain body, and give the connection back after the last ones.

        :param size: at most so many bytes; fewer come when the connection has ended
        :returns: None for a body that needs more care, or was read to its end
        """
        return self._take(size) if self._answer.length is not None and self._is_plain() else None

    def _is_plain(self) -> bool:
        return "connection" in self.__dict__.get("_rest", ()) and "content-encoding" not in self._answer.index

    def _take(self, size: int | None) -> bytes:
        """Read so many bytes, or all."""
        answer = self._answer
        try:
            data = answer.whole() if size is None or size >= (answer.length or 0) else None
            if data is None:
                data = answer.read(size)
            if not data and answer.length:
                raise http.client.IncompleteRead(data, answer.length)
        except BaseException as err:
            # Translates what went wrong, and closes.
            with self._error_catcher():
                raise err from err.__cause__
        if answer.isclosed():
            self._rest["pool"]._put_conn(self._rest.pop("connection"))
        return data

    @property
    def data(self) -> bytes:
        """The whole body."""
        data: bytes | None = self.__dict__.get("_data")
        return super().data if data is None else data

    @property
    def closed(self) -> bool:
        """Whether the body was read to its end, or given up."""
        return self._answer.isclosed() if "_rest" in self.__dict__ else super().closed

    def complete(self) -> None:
        """Become a whole response of urllib3.

        :raises urllib3.exceptions.HTTPError: its frame makes no sense
        """
        answer, rest = self._answer, self.__dict__.pop("_rest")
        data = self.__dict__.get("_data")
        super().__init__(
            answer,
            self.headers,
            answer.status,
            answer.version,
            reason=answer.reason,
            preload_content=False,
            decode_content=False,
            original_response=answer,
            **rest,
        )
        if data is not None:
            self._body, self._fp_bytes_read, self.length_remaining = data, len(data), 0
        elif self.length_remaining:
            # Some blocks may have been read.
            self._fp_bytes_read = self.length_remaining - (answer.length or 0)
            self.length_remaining = answer.length

    def __getattr__(self, name: str) -> Any:
        # What is not there is what the response of urllib3 would have set.
        if "_rest" not in self.__dict__:
            raise AttributeError(name)
        self.complete()
        return getattr(self, name)
