# SPDX-License-Identifier: Apache-2.0
"""What every call of the object storage API goes through: defaults, request ID, checks, and errors."""

from __future__ import annotations

import abc
import contextlib
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from oio.api._facade.checks import (
    check_backblaze,
    check_checksum_algo,
    check_cid,
    check_content_id,
    check_headers,
    check_name,
    check_numbers,
    check_version,
)
from oio.common.answers import reading_answer
from oio.common.decorators import (
    ensure_headers,
    ensure_request_id2,
    handle_account_not_found,
    handle_container_not_found,
    handle_object_not_found,
    patch_kwargs,
)
from oio.common.exceptions import NoSuchContainer, NoSuchObject, NotFound, OioException

if TYPE_CHECKING:
    from types import FrameType

    from oio.account.client import AccountClient
    from oio.api._operations.leftovers import Buckets
    from oio.blob.client import BlobClient
    from oio.common.client import ProxyClient
    from oio.container.client import ContainerClient
    from oio.directory.client import DirectoryClient

_F = TypeVar("_F", bound=Callable[..., Any])

OPTIONS = frozenset(
    {
        "admin_mode",
        "autocreate",
        "backblaze_api_url",
        "cache",
        "chunk_buffer_max",
        "chunk_buffer_min",
        "chunk_checksum_algo",
        "cid",
        "connection_timeout",
        "content",
        "content_id",
        "deadline",
        "force_master",
        "headers",
        "key_file",
        "perfdata",
        "pool_manager",
        "read_timeout",
        "reqid",
        "request_attempts",
        "ssl_context",
        "timeout",
        "tls",
        "verify_checksum",
        "version",
        "write_timeout",
    }
)
"""Options of every call, which the signatures do not show."""

_CREATION_OPTIONS = frozenset({"change_policy", "meta_pos"})
"""Options of requests that programs give to calls that create objects."""


class NotFoundObject(NoSuchObject, NotFound):
    """An object does not exist; see :func:`object_notice`."""


class NotFoundContainer(NoSuchContainer, NotFound):
    """A container does not exist; see :func:`object_notice`."""


class ApiBase(abc.ABC):
    """What the parts of the API share."""

    namespace: str
    logger: Any
    account: AccountClient
    container: ContainerClient
    directory: DirectoryClient
    _buckets: Buckets
    _global_kwargs: dict[str, Any]
    _unknown_options: set[str]

    @property
    @abc.abstractmethod
    def blob_client(self) -> BlobClient:
        """A low-level client to rawx services."""

    @property
    @abc.abstractmethod
    def proxy_client(self) -> ProxyClient:
        """A client of the routes of the proxy that have no namespace."""

    def _names_of(
        self, account: str | None, container: str | None, cid: str | None = None, **kwargs: Any
    ) -> tuple[str, str]:
        """Get the names of a container, which chunks carry and a container ID does not tell.

        :raises NotFound: nobody knows them
        """
        if account is not None and container is not None:
            return account, container
        reference = self.directory.list(cid=cid, **kwargs)
        with reading_answer():
            account, container = reference["account"], reference["name"]
        if account is None or container is None:
            raise NotFound(404, 406, f"The names of container {cid} are not known")
        return account, container

    def _warn_about_unknown(self, options: set[str]) -> None:
        """Tell about each unknown option once: it may be a misspelt one."""
        for name in sorted(options - self._unknown_options):
            self._unknown_options.add(name)
            self.logger.warning("Unknown keyword argument %r is ignored", name)


def warn_deprecated(text: str) -> None:
    """Warn the first caller outside of the library."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith("oio."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, DeprecationWarning, stacklevel=level)


def plain_call(fnc: _F, prefix: str = "", options: frozenset[str] = OPTIONS) -> _F:
    """Make a method of the API.

    :param prefix: of the request IDs that are made for it
    :param options: those that it knows besides its arguments
    """
    checked = _checked(fnc, options)
    return _with_sound_options(patch_kwargs(ensure_headers(ensure_request_id2(prefix)(checked))))


def account_call(fnc: _F) -> _F:
    """Make a method of the API about an account."""
    return handle_account_not_found(plain_call(fnc))


def container_call(fnc: _F) -> _F:
    """Make a method of the API about a container, given by names or by ``cid``."""
    return handle_container_not_found(plain_call(fnc))


def object_call(fnc: _F) -> _F:
    """Make a method of the API about an object."""
    return handle_object_not_found(plain_call(fnc))


def object_notice(fnc: _F) -> _F:
    """Make a method of the API about an object, which earlier clients let raise what the service says.

    What is missing is told by an exception that is a NotFound too.
    """
    call = object_call(fnc)

    @functools.wraps(call)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except (NoSuchObject, NoSuchContainer) as err:
            answer = err.__cause__
            if not isinstance(answer, NotFound):
                raise
            kind = NotFoundObject if isinstance(err, NoSuchObject) else NotFoundContainer
            raise kind(
                answer.http_status, answer.status, err.args[0], reqid=err.reqid, service=err.service
            ) from answer

    return cast("_F", wrapper)


def creation_call(fnc: _F) -> _F:
    """Make a method of the API that creates an object: only its container may be missing."""
    return handle_container_not_found(plain_call(fnc, prefix="create-", options=OPTIONS | _CREATION_OPTIONS))


def forgetting(forget: Callable[..., None]) -> Callable[[_F], _F]:
    """Make a method drop what its change, even one that fails, makes out of date in the caller's cache.

    :param forget: takes the names of the account and of the container, ``path`` of the object, and options
    """

    def decorator(fnc: _F) -> _F:
        signature = inspect.signature(fnc)

        @functools.wraps(fnc)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return fnc(*args, **kwargs)
            finally:
                if kwargs.get("cache") is not None:
                    named = signature.bind(*args, **kwargs).arguments
                    target = named["account"], named["container"]
                    forget(*target, path=named.get("obj"), **named["kwargs"])

        return cast("_F", wrapper)

    return decorator


def _with_sound_options(fnc: _F) -> _F:
    """Check the options that others are deduced from."""

    @functools.wraps(fnc)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        check_headers(kwargs.get("headers"), kwargs.get("reqid"))
        check_backblaze(kwargs)
        if "chunk_checksum_algo" in kwargs:
            kwargs["chunk_checksum_algo"] = check_checksum_algo(kwargs["chunk_checksum_algo"])
        return fnc(*args, **{**kwargs, **check_numbers(kwargs)})

    return cast("_F", wrapper)


def _checked(fnc: _F, known: frozenset[str]) -> _F:
    """Check the arguments that many methods have; tell about unknown options, and drop them.

    What goes on could be an argument of one of the requests that the call is made of, and change it.
    """
    signature = inspect.signature(fnc)

    @functools.wraps(fnc)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        named = bound.arguments
        options = named.get("kwargs", {})
        _check_target(named, options)
        unknown = options.keys() - known
        named["self"]._warn_about_unknown(unknown)
        for name in unknown:
            del options[name]
        with identified(options.get("reqid")):
            return fnc(*bound.args, **bound.kwargs)

    return cast("_F", wrapper)


@contextlib.contextmanager
def identified(reqid: str | None) -> Iterator[None]:
    """Note in the exceptions of the library which request they come of, unless they know."""
    try:
        yield
    except OioException as err:
        err.reqid = err.reqid or reqid
        raise


def _check_target(named: dict[str, Any], options: dict[str, Any]) -> None:
    """Check what a call is about: the account, the container, the object and its version."""
    if "cid" in named:
        named["cid"] = check_cid(named["cid"])
    if options.get("cid") is not None:
        options["cid"] = check_cid(options["cid"])
    elif "cid" in options:
        del options["cid"]
    content_ids = [name for name in ("content", "content_id") if options.get(name) is not None]
    for name in content_ids:
        check_content_id(name, options[name])
    for name in ("account", "container"):
        if name in named and not (named[name] is None and "cid" in options):
            check_name(name, named[name])
    if "obj" in named and not (named["obj"] is None and content_ids):
        check_name("obj", named["obj"])
    for arguments in (named, options):
        if arguments.get("version") is not None:
            check_version(arguments["version"])
