# SPDX-License-Identifier: Apache-2.0
"""Refusals: statuses of error bodies, and the HTTP statuses they come with."""

from __future__ import annotations

from typing import Final

BAD_REQUEST: Final = 400
NOT_ALLOWED: Final = 403
NOT_FOUND: Final = 404
READ_ONLY: Final = 405
NO_REFERENCE: Final = 406
REFERENCE_IN_USE: Final = 407
TOO_LARGE: Final = 413
NO_CONTENT: Final = 420
CONTENT_EXISTS: Final = 421
CONTENT_PRECONDITION: Final = 424
CONTENT_BROKEN: Final = 425
CONTENT_DELETED: Final = 426
CONTENT_DRAINED: Final = 427
NO_CONTAINER: Final = 431
CONTAINER_EXISTS: Final = 433
CONTAINER_FROZEN: Final = 436
CONTAINER_DISABLED: Final = 437
CONTAINER_NOT_EMPTY: Final = 438
CONTAINER_ENABLED: Final = 439
CONTAINER_DRAINING: Final = 440
CONTAINER_FLUSHING: Final = 441
CONTAINER_FULL: Final = 445
NO_SUCH_TYPE: Final = 453
ALREADY_LINKED: Final = 455
NO_SUCH_POLICY: Final = 480
POLICY_UNSATISFIABLE: Final = 481
UNAVAILABLE: Final = 503
CONSTRAINT: Final = 19

_HTTP: Final = {
    CONSTRAINT: 400,
    BAD_REQUEST: 400,
    NOT_ALLOWED: 403,
    CONTAINER_DRAINING: 403,
    CONTAINER_FLUSHING: 403,
    NOT_FOUND: 404,
    READ_ONLY: 405,
    NO_REFERENCE: 404,
    NO_CONTENT: 404,
    CONTENT_DELETED: 404,
    NO_CONTAINER: 404,
    NO_SUCH_TYPE: 404,
    CONTENT_EXISTS: 409,
    CONTENT_PRECONDITION: 409,
    CONTAINER_EXISTS: 409,
    CONTAINER_NOT_EMPTY: 409,
    CONTENT_DRAINED: 410,
    TOO_LARGE: 413,
    CONTAINER_FROZEN: 503,
    UNAVAILABLE: 503,
}


class Refusal(Exception):
    """A request that the namespace refuses.

    :param status: status of the JSON body, such as :data:`NO_CONTENT`.
    :param message: one line for humans.
    :param http: HTTP status, when the route does not use the common one for ``status``.

    >>> Refusal(NO_CONTENT, "Alias not found").http
    404
    """

    def __init__(self, status: int, message: str, http: int | None = None) -> None:
        super().__init__(status, message, http)
        self.status = status
        self.message = message
        self.http = http if http is not None else _HTTP.get(status, 500)

    def answered_with(self, http: int) -> Refusal:
        """Return the same refusal under another HTTP status (some routes have their own)."""
        return Refusal(self.status, self.message, http)


def bad_request(message: str) -> Refusal:
    """Return the refusal of a malformed request."""
    return Refusal(BAD_REQUEST, message)
