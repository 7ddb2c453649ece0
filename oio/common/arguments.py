# SPDX-License-Identifier: Apache-2.0
"""Exceptions for mistakes in the arguments of a call."""

from __future__ import annotations

from oio.common.exceptions import BadRequest


class _WrongArgument(BadRequest):
    """A mistake in the arguments of a call: nothing was sent.

    :param text: which argument is wrong, and why
    """

    def __init__(self, text: str, *, reqid: str | None = None, service: str | None = None) -> None:
        super().__init__(None, None, text, reqid=reqid, service=service)

    def __str__(self) -> str:
        return str(self.message)


class WrongValue(_WrongArgument, ValueError):
    """A mistake in the value of an argument."""


class WrongType(_WrongArgument, TypeError):
    """A mistake in the type of an argument."""
