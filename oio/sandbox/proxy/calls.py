# SPDX-License-Identifier: Apache-2.0
"""Requests to the proxy: deadline, container, object and properties."""

from __future__ import annotations

import time
from typing import Final

from oio.sandbox.http.calls import JsonCall
from oio.sandbox.http.values import is_hexadecimal, is_true, parse_integer
from oio.sandbox.messages import Request
from oio.sandbox.metadata.directory import Target
from oio.sandbox.refusals import UNAVAILABLE, Refusal, bad_request

_DEFAULT_TIMEOUT: Final = 60_000_000
_CONTENT_HEADER: Final = "x-oio-content-meta-"


class Call(JsonCall):
    """One request to the proxy."""

    def __init__(self, request: Request) -> None:
        self._begin = time.monotonic_ns()
        super().__init__(request)
        #: The shard of the container that the request was sent on to.
        self.shard: str | None = None
        timeout = self.header("x-oio-timeout") or ""
        microseconds = parse_integer(timeout) or 0
        if microseconds <= 0:
            microseconds = _DEFAULT_TIMEOUT
        self._deadline = self._begin + microseconds * 1000

    def expired(self) -> bool:
        """Whether the deadline of the request has passed."""
        return time.monotonic_ns() >= self._deadline

    def elapsed(self) -> int:
        """Return the microseconds spent on the request so far."""
        return (time.monotonic_ns() - self._begin) // 1000

    def check_deadline(self) -> None:
        """Refuse a request whose deadline has passed."""
        if self.expired():
            raise Refusal(UNAVAILABLE, "Deadline reached")

    def content_header(self, name: str) -> str | None:
        """Return the request header that describes one aspect of an object."""
        return self.request.get(_CONTENT_HEADER + name)

    @property
    def by_administrator(self) -> bool:
        """Whether the request is made as an administrator."""
        return is_true(self.header("x-oio-admin") or "")

    def target(self) -> Target:
        """Return the container that the request is about."""
        cid = self.param("cid")
        if cid:
            return Target.by_id(cid)
        account, name = self.param("acct"), self.param("ref")
        if not account or not name:
            raise bad_request("Directory error: Incomplete URL")
        return Target.named(account, name)

    def path(self) -> str:
        """Return the object name, which may be empty but not absent."""
        return self.required("path", "Missing path in query string")

    def content_id(self) -> str | None:
        """Return the content ID of the query string, None when it is none."""
        text = self.param("content") or ""
        return text.upper() if is_hexadecimal(text) else None


def text_properties(value: object) -> dict[str, str]:
    """Return properties whose values must be texts; null is an empty one."""
    if not isinstance(value, dict):
        raise bad_request('Bad "properties" field')
    properties: dict[str, str] = {}
    for key, text in value.items():
        if text is not None and not isinstance(text, str):
            raise bad_request(f"Invalid property '{key}'")
        properties[key] = text or ""
    return properties
