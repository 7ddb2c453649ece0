# SPDX-License-Identifier: Apache-2.0
"""Decorators of the published API: request ID, default options, exceptions for missing things.

Several of them go in this order, outermost first: ``handle_*``, ``patch_kwargs``, ``ensure_headers``,
``ensure_request_id``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from oio.common.answers import JsonObject
from oio.common.deadlines import set_deadline_from_read_timeout
from oio.common.exceptions import OioException
from oio.common.not_found import raise_if_no_account, raise_if_no_container, raise_if_no_object
from oio.common.options import identify
from oio.common.utils import request_id

_P = ParamSpec("_P")
_R = TypeVar("_R")


def ensure_headers(fnc: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give the function a dictionary of headers, never the caller's own one (pitfall 71)."""

    @functools.wraps(fnc)
    def wrapper(*args: Any, **kwargs: Any) -> _R:
        kwargs["headers"] = dict(kwargs.get("headers") or {})
        return fnc(*args, **kwargs)

    return wrapper


def ensure_request_id2(prefix: str = "") -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Give the function a request ID: both as keyword argument ``reqid`` and in its headers.

    That of the headers, in any letter case, comes first, then that of the keyword argument, then a new one.

    :param prefix: start of a new ID.
    """

    def decorator(fnc: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(fnc)
        def wrapper(*args: Any, **kwargs: Any) -> _R:
            reqid, headers = identify(kwargs.get("headers"), kwargs.get("reqid"))
            if not reqid:
                reqid, headers = identify(headers, request_id(prefix))
            kwargs.update(headers=headers, reqid=reqid)
            return fnc(*args, **kwargs)

        return wrapper

    return decorator


ensure_request_id = ensure_request_id2()


def patch_kwargs(fnc: Callable[_P, _R]) -> Callable[_P, _R]:
    """Give a method the options of its object that the caller has not set, and a deadline.

    The options are in attribute ``_global_kwargs``; the deadline comes from ``read_timeout``.
    """

    @functools.wraps(fnc)
    def wrapper(*args: Any, **kwargs: Any) -> _R:
        known = {**args[0]._global_kwargs, **kwargs}
        set_deadline_from_read_timeout(known)
        return fnc(*args, **known)

    return wrapper


def _handling(
    explain: Callable[[OioException, JsonObject], None],
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Make a decorator that explains the failures of a function.

    :param explain: raises another exception, given the failure and the arguments of the call by name
    """

    def decorator(fnc: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(fnc)
        def wrapper(*args: Any, **kwargs: Any) -> _R:
            try:
                return fnc(*args, **kwargs)
            except OioException as err:
                # By name, however the caller gave them (pitfall 86).
                known = inspect.signature(fnc).bind_partial(*args, **kwargs).arguments
                explain(err, known | kwargs)
                raise

        return wrapper

    return decorator


def _container_of(given: JsonObject) -> object:
    return given.get("container") or given.get("cid")


handle_account_not_found = _handling(lambda err, given: raise_if_no_account(err, given.get("account")))
"""Raise NoSuchAccount when method ``fnc(self, account=None, ...)`` raises NotFound."""
handle_container_not_found = _handling(lambda err, given: raise_if_no_container(err, _container_of(given)))
"""Raise NoSuchContainer when method ``fnc(self, account, container, ...)`` raises NotFound."""
handle_object_not_found = _handling(
    lambda err, given: raise_if_no_object(err, _container_of(given), given.get("obj"))
)
"""Raise NoSuchContainer or NoSuchObject when ``fnc(self, account, container, obj, ...)`` raises NotFound."""
