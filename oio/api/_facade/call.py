# SPDX-License-Identifier: Apache-2.0
"""Calls of the API: options made of defaults and keywords, checks of what is addressed, and exceptions."""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from oio.api._data.source import Source
from oio.api._facade.argument_checks import check_name, check_version
from oio.api._facade.option_checks import OPTION_CHECKS
from oio.api._operations.scores import REFRESH_DELAY, Scores
from oio.api._operations.services import Services
from oio.b2.clients import B2Clients
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.exceptions import NoSuchContainer, NoSuchObject, NotFound, OioException, UnknownOption
from oio.common.hedging import Hedging
from oio.common.http_keepalive import POOL
from oio.common.not_found import raise_if_no_account, raise_if_no_container, raise_if_no_object
from oio.common.options import KNOWN_NAMES, Options
from oio.common.shared_pool import LocklessProperty
from oio.common.utils import warn_caller

if TYPE_CHECKING:
    from oio.common.sources import Readable
    from oio.conscience.client import ConscienceClient


class NotFoundObject(NoSuchObject, NotFound):
    """An object does not exist; see :func:`as_not_found`."""


class NotFoundContainer(NoSuchContainer, NotFound):
    """A container does not exist; see :func:`as_not_found`."""


class ApiBase(Services):
    """State that the parts of the API share.

    All of it has defaults: tests of applications make objects whose constructor sets nothing.
    """

    _scores_delay: float = REFRESH_DELAY
    """Seconds for which the scores of chunk servers hold."""
    _global_kwargs: Mapping[str, Any]
    _ca_certs: str | None = None
    _defaults: tuple[dict[str, Any], Options] | None = None
    """Copy of `_global_kwargs`, and the options that were made of it."""

    @LocklessProperty
    def _b2_clients(self) -> B2Clients:
        # Two threads may make one each: either authorises for itself, and nothing is lost.
        return B2Clients(ca_certs=self._ca_certs)

    @LocklessProperty
    def _scores(self) -> Scores:
        return Scores(lambda: self._conscience, self._scores_delay, self.logger)

    @LocklessProperty
    def _hedging(self) -> Hedging:
        return Hedging()

    @property
    def _options(self) -> Options:
        """Options of a call without keywords. Subclasses may change `_global_kwargs` at any time."""
        if self._defaults is None or self._defaults[0] != self._global_kwargs:
            # A dict of figures that all calls share must not grow with each chunk.
            made = Options.of(self._global_kwargs).changed(figures_by_chunk=False, hedging=self._hedging)
            self._defaults = dict(self._global_kwargs), made
        return self._defaults[1]

    @property
    @abc.abstractmethod
    def _conscience(self) -> ConscienceClient:
        """A client of the conscience."""

    def _names_of(self, account: str | None, container: str | None, options: Options) -> tuple[str, str]:
        """Get the names of an account and a container, which chunks are stored with.

        :raises NotFound: only the container ID is given, and the directory does not know it
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

    Entering it gives the options of the call. Exceptions of the library that leave it get the request ID.

    :param api: the object that is called
    :param given: keywords of the caller
    :param account: like the next three, checked by the classes of calls that need it
    :param forgets: drops from the cache of the caller what the call, even a failed one, makes out of date;
        takes account, container, and keywords ``cid`` and ``cache``
    :param changes: the call changes the object: what is cached of it is dropped
    """

    prefix: ClassVar[str] = ""
    """Start of the request IDs that are made here."""
    known: ClassVar[frozenset[str]] = KNOWN_NAMES
    """Keywords that it takes."""

    __slots__ = (
        "_account",
        "_api",
        "_changes",
        "_container",
        "_forgets",
        "_given",
        "_name",
        "_obj",
        "_version",
        "options",
    )

    def __init__(
        self,
        api: ApiBase,
        given: Mapping[str, object],
        account: str | None = None,
        container: str | None = None,
        obj: str | None = None,
        version: int | str | None = None,
        *,
        forgets: Callable[..., None] | None = None,
        changes: bool = False,
    ) -> None:
        self._api = api
        self._given = given
        self._account = account
        self._container = container
        self._obj = self._name = obj
        self._version = version
        self._forgets = forgets
        self._changes = changes

    def __enter__(self) -> Options:
        api, given = self._api, self._given
        POOL.expire()
        if not given.keys() <= self.known:
            warn_unknown(given.keys() - self.known, self.known)
        options = Options.make(given.items(), api._options, self.prefix, OPTION_CHECKS)
        self.options = options if options.on_event is None else options.watched()
        self._check()
        return self.options

    def __exit__(self, _kind: object, err: BaseException | None, _trace: object) -> None:
        if self.options.cache is not None:
            self._forget(self.options)
        if isinstance(err, OioException):
            self._complete(err)

    def _complete(self, err: OioException) -> None:
        """Tell in an exception which call it left."""
        err.reqid = err.reqid or self.options.reqid
        self._explain(err)

    def _check(self) -> None:
        """Check the names of what the call is about."""

    def _forget(self, options: Options) -> None:
        """Drop from the cache what the call makes out of date."""
        if self._forgets is not None:
            self._forgets(self._account, self._container, cid=options.cid, cache=options.cache)

    def _explain(self, err: OioException) -> None:
        """Raise the exception that tells what does not exist, if that is why the call failed."""


class AccountCall(Call):
    """One call of the API about an account."""

    __slots__ = ()

    def _check(self) -> None:
        check_name("account", self._account)

    def _explain(self, err: OioException) -> None:
        raise_if_no_account(err, self._account)


class ContainerCall(Call):
    """One call of the API about a container, given by names or by ``cid``."""

    __slots__ = ()

    def _check(self) -> None:
        if self.options.cid is None or self._account is not None:
            check_name("account", self._account)
        if self.options.cid is None or self._container is not None:
            check_name("container", self._container)

    def _explain(self, err: OioException) -> None:
        raise_if_no_container(err, self._container or self.options.cid)


class CreationCall(ContainerCall):
    """One call of the API that creates an object: only its container may be missing.

    `obj` is given only when the object must exist already.
    """

    prefix = "create-"
    known = KNOWN_NAMES | {"change_policy", "meta_pos"}
    """Options of requests that programs give to calls that create objects."""

    __slots__ = ("_source",)

    def read(self, source: Readable, size: int | None, argument: str) -> Source:
        """Make a source of the data of the object. Its exceptions are the application's: they are left alone.

        :param size: bytes that it must have; None when unknown
        :param argument: name of the argument with the data
        """
        self._source: Source = Source(source, self.options.limits, size, argument)
        return self._source

    def _complete(self, err: OioException) -> None:
        source: Source | None = getattr(self, "_source", None)
        if source is None or err is not source.error:
            super()._complete(err)

    def _explain(self, err: OioException) -> None:
        if self._obj is None:
            super()._explain(err)
        else:
            raise_if_no_object(err, self._container or self.options.cid, self._obj)


class ObjectCall(ContainerCall):
    """One call of the API about an object, given by its name or by ``content_id``."""

    __slots__ = ()

    def _look_for_name(self, options: Options) -> None:
        """Ask for the name, which the cache goes by: after the change, nobody may know the content ID."""
        try:
            meta = self._api.container.content_get_properties(
                self._account,
                self._container,
                content=options.content_id,
                version=self._version,
                options=options,
            )
        except OioException as err:
            self._api.logger.info("The name of object %s is not known: %s", options.content_id, err)
        else:
            self._name = meta.get("name")

    def _forget(self, options: Options) -> None:
        if self._changes:
            forget_object(self._account, self._container, self._name, cid=options.cid, cache=options.cache)

    def _check(self) -> None:
        ContainerCall._check(self)
        if self._obj is not None or self.options.content_id is None:
            check_name("obj", self._obj)
        if self._version is not None:
            check_version("version", self._version)
        if self._changes and self._obj is None and self.options.cache is not None:
            self._look_for_name(self.options)

    def _explain(self, err: OioException) -> None:
        raise_if_no_object(err, self._container or self.options.cid, self._obj)


class NoticeCall(ObjectCall):
    """One call of the API about an object, whose exceptions for what is missing are NotFound too."""

    __slots__ = ()

    def _explain(self, err: OioException) -> None:
        as_not_found(super()._explain, err)


def as_not_found(explain: Callable[[OioException], None], err: OioException) -> None:
    """Explain a failure by exceptions that are NotFound too.

    That is for the few calls where earlier clients raised what the service had answered.

    :param explain: raises NoSuchObject or NoSuchContainer, if that is what the failure means
    """
    try:
        explain(err)
    except (NoSuchObject, NoSuchContainer) as missing:
        if not isinstance(err, NotFound):
            raise
        kind = NotFoundObject if isinstance(missing, NoSuchObject) else NotFoundContainer
        text = f"{missing.message} ({err.message})"
        raise kind(err.http_status, err.status, text, reqid=missing.reqid, service=missing.service) from err


def warn_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Warn the first caller outside of the library about keyword arguments that are ignored."""
    for name in sorted(names):
        # Seldom needed: the client is ready sooner without it.
        import difflib

        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        warn_caller(f"Unknown keyword argument {name!r} is ignored{hint}", UnknownOption)


def warn_deprecated(text: str) -> None:
    """Warn the first caller outside of the library."""
    warn_caller(text, DeprecationWarning)
