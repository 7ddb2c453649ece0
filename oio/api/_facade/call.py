# SPDX-License-Identifier: Apache-2.0
"""Calls of the API: keywords and defaults made into options, checks, and the exceptions that leave them."""

from __future__ import annotations

import abc
import difflib
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from oio.api._facade.checks import check_name, check_option, check_version
from oio.api._operations.services import Services
from oio.b2.clients import B2Clients
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.exceptions import NoSuchContainer, NoSuchObject, NotFound, OioException, UnknownOption
from oio.common.missing import explain_account, explain_container, explain_object
from oio.common.options import KNOWN_NAMES, Options

if TYPE_CHECKING:
    from logging import Logger
    from types import FrameType

    from oio.account.client import AccountClient
    from oio.blob.client import BlobClient
    from oio.common.client import ProxyClient
    from oio.container.client import ContainerClient
    from oio.directory.client import DirectoryClient


class NotFoundObject(NoSuchObject, NotFound):
    """An object does not exist; see :class:`NoticeCall`."""


class NotFoundContainer(NoSuchContainer, NotFound):
    """A container does not exist; see :class:`NoticeCall`."""


class ApiBase(abc.ABC):
    """State that the parts of the API share.

    Applications' tests make objects without it, hence the defaults.
    """

    namespace: str
    logger: Logger
    account: AccountClient
    container: ContainerClient
    directory: DirectoryClient
    _global_kwargs: Mapping[str, Any]
    _defaults: tuple[dict[str, Any], Options] | None = None
    """Copy of the keywords that the options were made of, and the options."""

    @cached_property
    def _b2_clients(self) -> B2Clients:
        # Two threads may make one each: either authorises for itself, and nothing is lost.
        return B2Clients()

    @property
    def _options(self) -> Options:
        """Options of a call without keywords: subclasses may change them."""
        if self._defaults is None or self._defaults[0] != self._global_kwargs:
            self._defaults = dict(self._global_kwargs), Options.of(self._global_kwargs)
        return self._defaults[1]

    @property
    @abc.abstractmethod
    def blob_client(self) -> BlobClient:
        """A low-level client to rawx services."""

    @property
    @abc.abstractmethod
    def proxy_client(self) -> ProxyClient:
        """A client of the routes of the proxy that have no namespace."""

    @property
    def _services(self) -> Services:
        """The clients, as they are now: an application may have replaced some."""
        return Services(
            self.namespace,
            self.logger,
            self.account,
            self.container,
            lambda: self.directory,
            lambda: self.blob_client,
            lambda: self.proxy_client,
            lambda: self._b2_clients,
        )

    def _names_of(self, account: str | None, container: str | None, options: Options) -> tuple[str, str]:
        """Get the names of a container, which chunks carry and a container ID does not tell.

        :raises NotFound: the directory does not know them
        """
        if account is not None and container is not None:
            return account, container
        reference = self.directory.list(cid=options.cid, options=options)
        with reading_answer():
            account, container = reference["account"], reference["name"]
        if account is None or container is None:
            raise NotFound(404, 406, f"The names of container {options.cid} are not known")
        return account, container


class Call:
    """One call of the API, about nothing in particular.

    Entering it gives the options of the call. Exceptions of the library that leave it know the request ID.

    :param api: the object that is called
    :param given: keywords of the caller
    """

    prefix: ClassVar[str] = ""
    """Start of the request IDs that are made here."""
    known: ClassVar[frozenset[str]] = KNOWN_NAMES
    """Keywords that it takes."""

    __slots__ = ("_api", "_given", "options")

    def __init__(self, api: ApiBase, given: Mapping[str, object]) -> None:
        self._api = api
        self._given = given

    def __enter__(self) -> Options:
        api, given = self._api, self._given
        if not given.keys() <= self.known:
            warn_unknown(given.keys() - self.known, self.known)
        checked = [(name, check_option(name, value)) for name, value in given.items()] if given else []
        self.options = Options.make(checked, api._options, begin=self.prefix)
        self._check()
        return self.options

    def __exit__(self, _kind: object, err: BaseException | None, _trace: object) -> None:
        if isinstance(err, OioException):
            err.reqid = err.reqid or self.options.reqid
            self._explain(err)

    def _check(self) -> None:
        """Check the names of what the call is about."""

    def _explain(self, err: OioException) -> None:
        """Raise another exception, which tells what does not exist."""


class AccountCall(Call):
    """One call of the API about an account."""

    __slots__ = ("_account",)

    def __init__(self, api: ApiBase, given: Mapping[str, object], account: str | None) -> None:
        super().__init__(api, given)
        self._account = account

    def _check(self) -> None:
        check_name("account", self._account)

    def _explain(self, err: OioException) -> None:
        explain_account(err, self._account)


class ContainerCall(Call):
    """One call of the API about a container, given by names or by ``cid``.

    :param forgets: drops from the cache of the caller what the call, even a failed one, makes out of date;
        takes account, container, and keywords ``cid`` and ``cache``
    """

    __slots__ = ("_account", "_container", "_forgets")

    def __init__(
        self,
        api: ApiBase,
        given: Mapping[str, object],
        account: str | None,
        container: str | None,
        *,
        forgets: Callable[..., None] | None = None,
    ) -> None:
        super().__init__(api, given)
        self._account = account
        self._container = container
        self._forgets = forgets

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        if self.options.cache is not None:
            self._forget(self.options)
        super().__exit__(kind, err, trace)

    def _forget(self, options: Options) -> None:
        if self._forgets is not None:
            self._forgets(self._account, self._container, cid=options.cid, cache=options.cache)

    def _check(self) -> None:
        if self.options.cid is None or self._account is not None:
            check_name("account", self._account)
        if self.options.cid is None or self._container is not None:
            check_name("container", self._container)

    def _explain(self, err: OioException) -> None:
        explain_container(err, self._container or self.options.cid)


class CreationCall(ContainerCall):
    """One call of the API that creates an object: only its container may be missing."""

    prefix = "create-"
    known = KNOWN_NAMES | {"change_policy", "meta_pos"}
    """Options of requests that programs give to calls that create objects."""

    __slots__ = ()


class ObjectCall(ContainerCall):
    """One call of the API about an object, given by its name or by ``content_id``.

    :param version: of the object
    :param changes: the call makes what is cached of the object out of date
    """

    __slots__ = ("_changes", "_obj", "_version")

    def __init__(
        self,
        api: ApiBase,
        given: Mapping[str, object],
        account: str | None,
        container: str | None,
        obj: str | None,
        version: int | str | None = None,
        *,
        changes: bool = False,
    ) -> None:
        super().__init__(api, given, account, container)
        self._changes = changes
        self._obj = obj
        self._version = version

    def _forget(self, options: Options) -> None:
        if self._changes:
            forget_object(self._account, self._container, self._obj, cid=options.cid, cache=options.cache)

    def _check(self) -> None:
        super()._check()
        if self._obj is not None or self.options.content_id is None:
            check_name("obj", self._obj)
        if self._version is not None:
            check_version(self._version)

    def _explain(self, err: OioException) -> None:
        explain_object(err, self._container or self.options.cid, self._obj)


class NoticeCall(ObjectCall):
    """One call of the API about an object, whose exceptions for what is missing are NotFound too.

    Earlier clients raised the answer of the service as it was.
    """

    __slots__ = ()

    def _explain(self, err: OioException) -> None:
        try:
            super()._explain(err)
        except (NoSuchObject, NoSuchContainer) as missing:
            if not isinstance(err, NotFound):
                raise
            kind = NotFoundObject if isinstance(missing, NoSuchObject) else NotFoundContainer
            text = missing.args[0]
            raise kind(
                err.http_status, err.status, text, reqid=missing.reqid, service=missing.service
            ) from err


def warn_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Warn the first caller outside of the library about keyword arguments that are ignored."""
    for name in sorted(names):
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        _warn(f"Unknown keyword argument {name!r} is ignored{hint}", UnknownOption)


def warn_deprecated(text: str) -> None:
    """Warn the first caller outside of the library."""
    _warn(text, DeprecationWarning)


def _warn(text: str, category: type[Warning]) -> None:
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith("oio."):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)
