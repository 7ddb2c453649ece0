# SPDX-License-Identifier: Apache-2.0
"""Decorators of the published API: request ID, default options, exceptions for what does not exist.

Several of them go in this order, outermost first: ``handle_*``, ``patch_kwargs``, ``ensure_headers``,
``ensure_request_id``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from oio.common.deadlines import set_deadline_from_read_timeout
from oio.common.exceptions import OioException
from oio.common.missing import explain_account, explain_container, explain_object
from oio.common.options import identify
from oio.common.utils import request_id

_F = TypeVar("_F", bound=Callable[..., Any])


def _replace(fnc: _F, wrapper: Callable[..., Any]) -> _F:
    return cast("_F", functools.update_wrapper(wrapper, fnc))


def ensure_headers(fnc: _F) -> _F:
    """Give the function a dictionary of headers, never the caller's own one (pitfall 71)."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        kwargs["headers"] = dict(kwargs.get("headers") or {})
        return fnc(*args, **kwargs)

    return _replace(fnc, wrapper)


def ensure_request_id2(prefix: str = "") -> Callable[[_F], _F]:
    """Give the function a request ID: both as keyword argument ``reqid`` and in its headers.

    It is the one of the headers, whatever the letter case of its name, else the one of the keyword argument,
    else a new one.

    :param prefix: start of a new ID.
    """

    def decorator(fnc: _F) -> _F:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            reqid, headers = identify(kwargs.get("headers"), kwargs.get("reqid"))
            if not reqid:
                reqid, headers = identify(headers, request_id(prefix))
            kwargs.update(headers=headers, reqid=reqid)
            return fnc(*args, **kwargs)

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


def _handling(explain: Callable[[OioException, dict[str, Any]], None]) -> Callable[[_F], _F]:
    """Make a decorator that explains the failures of a function.

    :param explain: raises another exception, given the failure and the arguments of the call by name
    """

    def decorator(fnc: _F) -> _F:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            try:
                return fnc(*args, **kwargs)
            except OioException as err:
                # By name, however the caller gave them (pitfall 86).
                explain(err, {**inspect.signature(fnc).bind_partial(*args, **kwargs).arguments, **kwargs})
                raise

        return _replace(fnc, wrapper)

    return decorator


def _container_of(given: dict[str, Any]) -> Any:
    return given.get("container") or given.get("cid")


handle_account_not_found = _handling(lambda err, given: explain_account(err, given.get("account")))
"""Raise NoSuchAccount when method ``fnc(self, account=None, ...)`` raises NotFound."""
handle_container_not_found = _handling(lambda err, given: explain_container(err, _container_of(given)))
"""Raise NoSuchContainer when method ``fnc(self, account, container, ...)`` raises NotFound."""
handle_object_not_found = _handling(
    lambda err, given: explain_object(err, _container_of(given), given.get("obj"))
)
"""Raise NoSuchContainer or NoSuchObject when ``fnc(self, account, container, obj, ...)`` raises NotFound."""
