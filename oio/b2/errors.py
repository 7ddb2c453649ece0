# SPDX-License-Identifier: Apache-2.0
"""Exceptions of Backblaze B2, which show neither key nor token."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from oio.common import exceptions as exc
from oio.common import http_stack

REDACTED = "<redacted>"
_SECRET_HEADERS = {"authorization", "proxy-authorization"}

#: Codes for a token that has expired, or is unknown. An answer without a body has no code.
_STALE_CODES = {"expired_auth_token", "bad_auth_token", "missing_auth_token", None}
_GONE_CODES = {"file_not_present", "not_found"}


class Secret(str):
    """Key or token: text whose representation hides it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED


def is_in_clear(url: str) -> bool:
    """Tell whether a URL is one of plain http to another host, so that others can read what is sent.

    >>> is_in_clear("http://b2.example.com"), is_in_clear("http://127.0.0.1:80"), is_in_clear("https://b2")
    (True, False, False)
    """
    parts = urlsplit(url)
    # For urllib3, which connects, a backslash ends the name of the host.
    return parts.scheme != "https" and ("\\" in url or not _is_this_host(parts.netloc))


@functools.lru_cache(64)
def _is_this_host(netloc: str) -> bool:
    host = urlsplit(f"//{netloc}").hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_secrecy(url: str) -> str:
    """Refuse a URL of the service that would get keys or tokens in clear.

    :raises OioProtocolError: it is one of plain http, to another host
    """
    if is_in_clear(url):
        raise exc.OioProtocolError(f"Backblaze names {url!r:.200}: keys and tokens are sent over https only")
    return url


def redact_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Copy the headers of a request, without credentials.

    >>> redact_headers({"Authorization": "Basic YTpi", "Range": "bytes=0-"})
    {'Authorization': '<redacted>', 'Range': 'bytes=0-'}
    """
    return {
        name: REDACTED if name.lower() in _SECRET_HEADERS else value
        for name, value in (headers or {}).items()
    }


def _without_secrets(message: str, headers: Mapping[str, str] | None) -> str:
    """Remove from a message the credentials that the service may have repeated."""
    for name, value in (headers or {}).items():
        if name.lower() in _SECRET_HEADERS:
            for word in {str(value), str(value).rpartition(" ")[2]} - {"", REDACTED}:
                message = message.replace(word, REDACTED)
    return message


class BackblazeException(exc.OioException):
    """Backblaze B2 has refused a request.

    :param status_code: HTTP status
    :param message: explanation of the service
    :param response: anything with ``headers``, or None
    :param headers_send: headers of the request; credentials are replaced before they are kept

    >>> str(BackblazeException(404, "File not present", None, {}))
    '(404) File not present'
    """

    def __init__(
        self, status_code: int, message: object, response: object, headers_send: Mapping[str, str] | None
    ) -> None:
        text = exc.brief(_without_secrets(str(message), headers_send))
        # The response is not kept: it knows its request, and cannot be pickled (pitfall 81).
        super().__init__(status_code, text, None, redact_headers(headers_send))
        received = getattr(response, "headers", None) or {}
        self._headers_received = {str(name).lower(): value for name, value in dict(received).items()}
        #: Code in the body of the answer (``bad_request``), None when there is none.
        self.code: str | None = None
        #: An earlier attempt at the same request may have reached the service.
        self.repeated = False

    def __str__(self) -> str:
        return f"({self.status_code}) {self.message}"

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return int(self.args[0])

    @property
    def message(self) -> str:
        """Explanation of the service."""
        return str(self.args[1])

    @property
    def headers_send(self) -> dict[str, str]:
        """Headers of the request, credentials replaced."""
        return dict(self.args[3])

    @property
    def headers_received(self) -> dict[str, str]:
        """Headers of the answer, names in lower case."""
        return dict(self._headers_received)

    @property
    def is_stale_token(self) -> bool:
        """Whether another token may be accepted."""
        return self.status_code == 401 and self.code in _STALE_CODES

    @property
    def is_gone(self) -> bool:
        """Whether what was to be deleted does not exist any more."""
        return self.status_code in (400, 404) and self.code in _GONE_CODES


class BackblazeUtilsException(exc.ConfigurationException):
    """The credentials for a bucket of Backblaze cannot be found.

    :param string: what is missing, and where
    """

    def __init__(self, string: str, *, reqid: str | None = None, service: str | None = None) -> None:
        super().__init__(string, reqid=reqid, service=service)


class NotBackblaze(exc.OioProtocolError):
    """An answer does not come from Backblaze, even if its status is one of success."""


def is_transient(error: BaseException) -> bool:
    """Tell whether the same request may succeed later.

    >>> is_transient(BackblazeException(503, "busy", None, {}))
    True
    """
    if isinstance(error, BackblazeException):
        return error.status_code in (408, 429) or error.status_code >= 500
    if isinstance(error, NotBackblaze):
        return False
    return isinstance(error, exc.OioNetworkException) and not http_stack.is_untrusted(error)


def was_refused(error: BaseException) -> bool:
    """Tell whether a request that failed was certainly not executed."""
    return isinstance(error, BackblazeException) and (
        error.status_code == 503 or (error.status_code < 500 and error.status_code != 408)
    )


def check_progress(following: object, begin: object) -> None:
    """Refuse a listing that would go on for ever.

    :raises OioProtocolError: its next page is the one just read
    """
    if following == begin:
        raise exc.OioProtocolError(f"a listing of B2 goes on where it began, at {begin!r}")
