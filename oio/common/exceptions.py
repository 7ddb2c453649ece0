# SPDX-License-Identifier: Apache-2.0
"""Exceptions of the library: one tree, of which every class pickles and copies.

Whatever leaves the library for a reason other than a mistake in the arguments of a call derives from
:class:`OioException`, and tells, when they are known, which request (``reqid``) and which service failed.
"""

from __future__ import annotations

import copyreg
from typing import Any, ClassVar, NoReturn

from oio.common.constants import REQID_HEADER

MAX_TEXT = 2000
"""Characters of the text of a service that a message quotes at most."""


class _Explanation:
    """Attribute for the first argument of an exception, as text; an exception may set another value."""

    def __get__(self, err: OioException | None, owner: type[OioException]) -> Any:
        return self if err is None else err._explanation()


class OioException(Exception):
    """Base of the exceptions of the library.

    :param args: what happened, the explanation first.
    :param reqid: ID of the request that failed.
    :param service: address of the service that failed (``host:port``).

    >>> err = OioException("no answer", service="127.0.0.1:6000")
    >>> str(err), err.message
    ('no answer (service=127.0.0.1:6000)', 'no answer')
    """

    #: What happened, without the details that follow it in the text. No data descriptor: programs derive
    #: classes from this one whose constructors set their own.
    message = _Explanation()

    def __init__(self, *args: object, reqid: str | None = None, service: str | None = None) -> None:
        super().__init__(*args)
        self.reqid = reqid
        self.service = service

    def __reduce__(self) -> tuple[object, ...]:
        # Without the constructor, whose arguments need not be those that are kept (pitfall 81).
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def _explanation(self) -> str:
        first = self.args[0] if self.args else None
        if isinstance(first, OioException):
            return str(first.message)
        return "" if first is None else str(first)

    def _text(self) -> str:
        """What happened, without the request ID and the service."""
        texts = list(dict.fromkeys(str(arg) for arg in self.args if arg is not None))
        if len(texts) < 2:
            return "".join(texts)
        return f"{texts[0]} ({', '.join(texts[1:])})"

    def __str__(self) -> str:
        text = self._text()
        context = ", ".join(
            f"{name}={value}"
            for name, value in (("reqid", self.reqid), ("service", self.service))
            if value and str(value) not in text
        )
        return " ".join(part for part in (text, f"({context})" if context else "") if part)


class UnknownOption(UserWarning):
    """A keyword argument that no method knows, and that is ignored: it may be misspelt."""


class ChunksNotVerified(UserWarning):
    """Chunks are read without being verified: their checksums cannot be computed here."""


class CommandError(Exception):
    """A command line is wrong."""


class ECError(Exception):
    """The erasure coding library failed."""


class EmptyByteRange(Exception):
    """Nothing is left to read of a range."""


class ConfigurationException(OioException):
    """The configuration lacks something, or is wrong."""


class MissingAttribute(OioException):
    """An attribute of a chunk is missing.

    :param attribute: its name.
    """

    def __init__(
        self, attribute: str | None = None, *, reqid: str | None = None, service: str | None = None
    ) -> None:
        super().__init__(attribute, reqid=reqid, service=service)
        self.attribute = attribute

    def __str__(self) -> str:
        return str(self.attribute)


class ServerException(OioException):
    """A service failed."""


class ExplicitBury(OioException):
    """An event must be set aside."""


class RetryLater(OioException):
    """An operation must be tried again later."""


class ChunkException(OioException):
    """Something is wrong with a chunk."""


class CorruptedChunk(ChunkException):
    """The data of a chunk are not those that were stored."""


class FaultyChunk(ChunkException):
    """The metadata of a chunk are incomplete; arguments are the :class:`MissingAttribute` found."""


class OrphanChunk(ChunkException):
    """A chunk belongs to no object."""


class Meta2Exception(OioException):
    """The metadata service refused something."""


class SpareChunkException(Meta2Exception):
    """No spare chunk could be found."""


class ContentException(OioException):
    """Something is wrong with an object."""


class ContentNotFound(ContentException):
    """An object does not exist."""


class ChecksumUnavailable(OioException):
    """A checksum is needed that cannot be computed: the package for it is not installed."""


class ChecksumRefused(OioException):
    """The chunk servers do not compute the checksums that were asked for."""


class UnrecoverableContent(ContentException):
    """Too many chunks of an object are lost to read it."""


class ServiceUnavailable(OioException):
    """Too many services failed."""


class ObjectUnavailable(ServiceUnavailable):
    """Too many chunks of an object are out of reach, for now."""


class InvalidStorageMethod(OioException):
    """The chunk method of an object is unknown, or lacks parameters."""


class PreconditionFailed(OioException):
    """A condition set by the caller is not met."""


class EtagMismatch(OioException):
    """The checksum of the data is not the one that the caller announced."""


class MissingContentLength(OioException):
    """The length of the data is not known."""


class MissingData(OioException):
    """No data were given."""


class MissingName(OioException):
    """No name was given, and none can be deduced."""


class FileNotFound(OioException):
    """The file to read does not exist."""


class LifecycleNotFound(OioException):
    """A container has no lifecycle configuration."""


class ContainerNotEmpty(OioException):
    """A container holds objects."""


class NoSuchAccount(OioException):
    """An account does not exist."""


class NoSuchContainer(OioException):
    """A container does not exist."""


class NoSuchObject(OioException):
    """An object does not exist."""


class NoSuchReference(OioException):
    """A reference does not exist in the directory."""


class SourceReadError(OioException):
    """The source of the data to store failed."""


class VolumeException(OioException):
    """Something is wrong with a volume."""


class DeadlineReached(OioException):
    """The time granted to an operation is spent."""

    def _explanation(self) -> str:
        return super()._explanation() or "Deadline reached"

    def _text(self) -> str:
        return super()._text() or "Deadline reached"


class OioNetworkException(OioException):
    """A service could not be reached, or the connection broke."""


class OioConnectionException(OioNetworkException):
    """The connection to a service could not be established."""


class OioProtocolError(OioNetworkException):
    """A service gave an answer that the protocol does not allow."""


class OioTimeout(OioNetworkException):
    """A service took too long."""


class SourceReadTimeout(OioTimeout):
    """The source of the data to store took too long."""


class UnfinishedUploadException(OioException):
    """An upload failed after some chunks were written.

    :param exception: what made it fail.
    :param chunks_already_uploaded: descriptions of the chunks that were written.
    """

    def __init__(
        self,
        exception: BaseException,
        chunks_already_uploaded: list[dict[str, Any]],
        *,
        reqid: str | None = None,
        service: str | None = None,
    ) -> None:
        super().__init__(exception, chunks_already_uploaded, reqid=reqid, service=service)
        self.exception = exception
        self.chunks_already_uploaded = chunks_already_uploaded

    def _text(self) -> str:
        return f"{self.exception} ({len(self.chunks_already_uploaded)} chunks already uploaded)"

    def reraise(self) -> NoReturn:
        """Raise what made the upload fail."""
        raise self.exception


class StatusMessageException(OioException):
    """A service answered with an error.

    :param http_status: status of the HTTP response.
    :param status: status in the body of the response, which tells more than the HTTP one.
    :param message: explanation of the service.

    >>> str(NotFound(404, 420, "Alias not found"))
    'Alias not found (HTTP 404) (STATUS 420)'
    """

    default_http_status: ClassVar[int | None] = None
    #: Seconds after which the service wants to be asked again; None when it does not tell.
    retry_after: float | None = None

    def __init__(
        self,
        http_status: Any = None,
        status: Any = None,
        message: object = None,
        *,
        reqid: str | None = None,
        service: str | None = None,
    ) -> None:
        if http_status is None:
            http_status = self.default_http_status
        message = "n/a" if message is None else message
        super().__init__(message, reqid=reqid, service=service)
        self.http_status = http_status
        self.status = status
        self.message = message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.http_status!r}, {self.status!r}, {self.message!r})"

    def _text(self) -> str:
        text = f"{self.message} (HTTP {self.http_status})"
        return text if self.status is None else f"{text} (STATUS {self.status})"


class ClientException(StatusMessageException):
    """A service refused a request."""


class BadRequest(ClientException):
    """HTTP 400: the request is wrong."""

    default_http_status = 400


class Unauthorized(ClientException):
    """HTTP 401: the request is not authenticated."""

    default_http_status = 401


class Forbidden(ClientException):
    """HTTP 403: the operation is not allowed."""

    default_http_status = 403


class NotFound(ClientException):
    """HTTP 404: what the request names does not exist."""

    default_http_status = 404


class MethodNotAllowed(ClientException):
    """HTTP 405: the operation is disabled."""

    default_http_status = 405


class Conflict(ClientException):
    """HTTP 409: what the request creates exists already, or is in use."""

    default_http_status = 409


class ObjectExists(Conflict, FileExistsError):
    """An object that had to be new exists already."""

    def __new__(cls, *args: object, **_kwargs: object) -> ObjectExists:
        """Make it with its arguments: an OSError leaves them to the constructor, which copies go without."""
        made = super().__new__(cls)
        made.args = args
        return made


class ContentDrained(ClientException):
    """HTTP 410: the object has no data any more."""

    default_http_status = 410


class ClientPreconditionFailed(ClientException):
    """HTTP 412: a condition of the request is not met."""

    default_http_status = 412


class TooLarge(ClientException):
    """HTTP 413: the request names too many things."""

    default_http_status = 413


class UnsatisfiableRange(ClientException):
    """HTTP 416: the range starts after the end of the data."""

    default_http_status = 416


class ServiceBusy(ClientException):
    """HTTP 503: the service cannot answer now."""

    default_http_status = 503


# The classes above: those of programs that derive from them come later.
_CLASS_OF_STATUS = {cls.default_http_status: cls for cls in ClientException.__subclasses__()}


def brief(said: Any) -> Any:
    """Text of a service, cut when it is too long for a message; bytes are decoded.

    >>> len(brief("x" * 9_000_000))
    2000
    """
    if isinstance(said, bytes):
        said = said[: 4 * MAX_TEXT].decode("utf-8", errors="replace")
    text = str(said)
    return said if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def from_status(status: int, reason: str = "n/a") -> ClientException:
    """Make the exception for an HTTP status and its reason phrase.

    >>> from_status(404, "gone fishing")
    NotFound(404, None, 'gone fishing')
    """
    return _CLASS_OF_STATUS.get(status, ClientException)(status, None, reason)


def from_response(resp: Any, body: object = None, *, reqid: str | None = None) -> ClientException:
    """Make the exception for an HTTP response.

    :param resp: the response: anything with ``status`` or ``status_code``, and ``reason``.
    :param body: its body: JSON already decoded, text or bytes. An object gives message and status, anything
        else is the message (pitfalls 78 and 79). Without a body, the reason phrase stands for the status.
    :param reqid: ID of the request; by default the one that the response has.
    """
    http_status = getattr(resp, "status", None)
    if http_status is None:
        http_status = resp.status_code
    cls = _CLASS_OF_STATUS.get(http_status, ClientException)
    if reqid is None:
        headers: Any = getattr(resp, "headers", None)
        reqid = headers.get(REQID_HEADER) if hasattr(headers, "get") else None
    if not body:
        return cls(http_status, brief(getattr(resp, "reason", None) or None), reqid=reqid)
    if isinstance(body, dict):
        return cls(http_status, brief(body.get("status")), brief(body.get("message")), reqid=reqid)
    return cls(http_status, None, brief(body), reqid=reqid)


def reraise(
    exc_type: type[OioException], exc_value: BaseException, extra_message: str | None = None
) -> NoReturn:
    """Raise another class of exception, with the explanation, cause and traceback of the first one.

    :param exc_type: class to raise.
    :param exc_value: exception to take the arguments of; of one with a status, only the message is taken.
    :param extra_message: explanation to put before them.
    """
    args = list(exc_value.args)
    if isinstance(exc_value, StatusMessageException):
        args = [exc_value.message]
    if extra_message is not None:
        args.insert(0, extra_message)
    exc: OioException
    if issubclass(exc_type, StatusMessageException):
        # These take a status first, and no text.
        text = ": ".join(str(arg) for arg in args)
        exc = exc_type(status=getattr(exc_value, "status", None), message=text or None)
    else:
        exc = exc_type(*args)
    exc.reqid = getattr(exc_value, "reqid", None)
    exc.service = getattr(exc_value, "service", None)
    try:
        raise exc.with_traceback(exc_value.__traceback__) from exc_value
    finally:
        del exc  # A name in this frame would keep it, by its traceback.
