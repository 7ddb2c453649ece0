# SPDX-License-Identifier: Apache-2.0
"""Why the B2 service refuses a request: HTTP status, code for programs, message for humans."""

from __future__ import annotations

from oio.sandbox.http.dialects import B2_CODES


class B2Refusal(Exception):
    """A request that the B2 service refuses.

    :param status: HTTP status.
    :param message: one line for a human.
    :param code: what programs may decide on; None for the usual one of the status.

    >>> B2Refusal(404, "no such file").code
    'not_found'
    """

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(status, message, code)
        self.status = status
        self.message = message
        self.code = code or B2_CODES.get(status, B2_CODES[400] if status < 500 else B2_CODES[500])


def bad_request(message: str, code: str | None = None) -> B2Refusal:
    """Return the refusal of a request that makes no sense."""
    return B2Refusal(400, message, code)


def not_found(message: str) -> B2Refusal:
    """Return the refusal of a look at what is not there."""
    return B2Refusal(404, message)
