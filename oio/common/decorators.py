# SPDX-License-Identifier: Apache-2.0
"""What the methods of the object storage API have in common: request ID, defaults, errors.

Several of them go in this order, outermost first: ``handle_*``, ``patch_kwargs``, ``ensure_headers``,
``ensure_request_id``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from oio.common.constants import REQID_HEADER, STRLEN_REQID
from oio.common.deadlines import set_deadline_from_read_timeout
from oio.common.easy_value import text_value
from oio.common.exceptions import (
    ClientException,
    NoSuchAccount,
    NoSuchContainer,
    NoSuchObject,
    NotFound,
    reraise,
)
from oio.common.utils import request_id

_F = TypeVar("_F", bound=Callable[..., Any])

_NO_CONTAINER = (406, 431)
"""Statuses that mean "no such container": one is the directory's, the other the metadata service's."""


def _replace(fnc: _F, wrapper: Callable[..., Any]) -> _F:
    return cast("_F", functools.update_wrapper(wrapper, fnc))


def ensure_headers(fnc: _F) -> _F:
    """Give the function a dictionary of headers, never the caller's own one (pitfalls row 71)."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        kwargs["headers"] = dict(kwargs.get("headers") or {})
        return fnc(*args, **kwargs)

    return _replace(fnc, wrapper)


def ensure_request_id2(prefix: str = "") -> Callable[[_F], _F]:
    """Give the function a request ID: both as keyword argument ``reqid`` and in its headers.

    It is the one of the headers, whatever the letter case of its name, else the one of the keyword argument,
    else a new one.

    :param prefix: what a new ID starts with.
    """

    def decorator(fnc: _F) -> _F:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            headers = dict(kwargs.get("headers") or {})
            reqid = kwargs.get("reqid")
            # Services must not get the ID twice under names of different case (pitfalls row 68).
            for name in [name for name in headers if name.lower() == REQID_HEADER]:
                reqid = headers.pop(name) or reqid
            reqid = text_value(reqid or request_id(prefix))[:STRLEN_REQID]
            headers[REQID_HEADER] = reqid
            return fnc(*args, **{**kwargs, "headers": headers, "reqid": reqid})

        return _replace(fnc, wrapper)

    return decorator


ensure_request_id = ensure_request_id2()


def patch_kwargs(fnc: _F) -> _F:
    """Give a method the options of its object that the caller has not set, and a deadline.

    The options are in attribute ``_global_kwargs``; the deadline comes from ``read_timeout``.
    """

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs = {**self._global_kwargs, **kwargs}
        set_deadline_from_read_timeout(kwargs)
        return fnc(self, *args, **kwargs)

    return _replace(fnc, wrapper)


def handle_account_not_found(fnc: _F) -> _F:
    """Raise NoSuchAccount when method ``fnc(self, account=None, ...)`` raises NotFound."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return fnc(*args, **kwargs)
        except NotFound as err:
            given = _arguments(fnc, args, kwargs)
            reraise(NoSuchAccount, err, f"Account {given.get('account')!r} does not exist.")

    return _replace(fnc, wrapper)


def handle_container_not_found(fnc: _F) -> _F:
    """Raise NoSuchContainer when method ``fnc(self, account, container, ...)`` raises NotFound."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return fnc(*args, **kwargs)
        except ClientException as err:
            if isinstance(err, NotFound) or _container_is_missing(err):
                _raise_no_container(err, _arguments(fnc, args, kwargs))
            raise

    return _replace(fnc, wrapper)


def handle_object_not_found(fnc: _F) -> _F:
    """Raise what is missing when method ``fnc(self, account, container, obj, ...)`` raises NotFound.

    That is NoSuchContainer, or else NoSuchObject.
    """

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return fnc(*args, **kwargs)
        except ClientException as err:
            if _container_is_missing(err):
                _raise_no_container(err, _arguments(fnc, args, kwargs))
            if isinstance(err, NotFound):
                given = _arguments(fnc, args, kwargs)
                reraise(NoSuchObject, err, f"Object {given.get('obj')!r} does not exist.")
            raise

    return _replace(fnc, wrapper)


def _container_is_missing(err: ClientException) -> bool:
    # The HTTP status may be another one: that of a touch is 403 (pitfalls rows 85 and 132).
    return err.status in _NO_CONTAINER or err.http_status in _NO_CONTAINER


def _raise_no_container(err: ClientException, given: Mapping[str, Any]) -> None:
    name = given.get("container") or given.get("cid")
    reraise(NoSuchContainer, err, f"Container {name!r} does not exist.")


def _arguments(fnc: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Get the arguments of a call by name, however the caller gave them (pitfalls row 86)."""
    return {**inspect.signature(fnc).bind_partial(*args, **kwargs).arguments, **kwargs}
