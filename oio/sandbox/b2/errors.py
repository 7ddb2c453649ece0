# SPDX-License-Identifier: Apache-2.0
"""Refusals of the B2 service: HTTP status, code and message."""

from __future__ import annotations

from oio.sandbox.http.dialects import B2_CODES


class B2Refusal(Exception):
    """A request that the B2 service refuses.

    :param status: HTTP status.
    :param message: one line for humans.
    :param code: error code for programs; None for the usual one of the status.

    >>> B2Refusal(404, "no such file").code
    'not_found'
    """

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(status, message, code)
        self.status = status
        self.message = message
        self.code = code or B2_CODES.get(status, B2_CODES[400] if status < 500 else B2_CODES[500])


def bad_request(message: str, code: str | None = None) -> B2Refusal:
    """Return the refusal of a malformed request."""
    return B2Refusal(400, message, code)


def not_found(message: str) -> B2Refusal:
    """Return the refusal of a request for something that does not exist."""
    return B2Refusal(404, message)
