# SPDX-License-Identifier: Apache-2.0
"""Exceptions for accounts, containers and objects that do not exist."""

from __future__ import annotations

from oio.common.exceptions import (
    ClientException,
    NoSuchAccount,
    NoSuchContainer,
    NoSuchObject,
    NotFound,
    OioException,
    reraise,
)

_NO_CONTAINER = (406, 431)
"""Statuses that mean "no such container": one is the directory's, the other the metadata service's."""


def raise_if_no_account(err: OioException, account: object) -> None:
    """Raise NoSuchAccount when the failure of a call about an account says so."""
    if isinstance(err, NotFound):
        reraise(NoSuchAccount, err, f"Account {account!r} does not exist.")


def raise_if_no_container(err: OioException, container: object) -> None:
    """Raise NoSuchContainer when the failure of a call about a container says so.

    :param container: its name or its ID
    """
    if isinstance(err, NotFound) or container_is_missing(err):
        reraise(NoSuchContainer, err, f"Container {container!r} does not exist.")


def raise_if_no_object(err: OioException, container: object, obj: object) -> None:
    """Raise NoSuchContainer or NoSuchObject when the failure of a call about an object says so."""
    if container_is_missing(err):
        reraise(NoSuchContainer, err, f"Container {container!r} does not exist.")
    if isinstance(err, NotFound):
        reraise(NoSuchObject, err, f"Object {obj!r} does not exist.")


def container_is_missing(err: OioException) -> bool:
    """Tell whether an answer means that there is no container.

    The HTTP status may be another one: that of a touch is 403 (pitfalls 85 and 132).
    """
    return isinstance(err, ClientException) and (
        err.status in _NO_CONTAINER or err.http_status in _NO_CONTAINER
    )
