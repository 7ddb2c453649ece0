# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests to the account service, and its failures."""

from __future__ import annotations

from typing import Final

#: Dates above this one are microseconds, others are seconds.
_MICROSECONDS: Final = 31494784780800


class Failure(Exception):
    """A failure: HTTP status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def date_of(value: object) -> int:
    """Return a date, given in seconds or microseconds, in microseconds."""
    number = float(str(value or 0))
    return int(number) if number > _MICROSECONDS else round(number * 1_000_000)


def metadata_of(body: dict[str, object]) -> tuple[dict[str, str], list[str]]:
    """Return the metadata to set, numbers as texts, and the names to delete."""
    metadata, to_delete = body.get("metadata") or {}, body.get("to_delete") or []
    if not isinstance(metadata, dict) or not isinstance(to_delete, list):
        raise TypeError("expected an object of metadata and an array of names")
    for value in metadata.values():
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise TypeError(f"Invalid input of type: '{type(value).__name__}'")
    return {key: str(value) for key, value in metadata.items()}, [str(name) for name in to_delete]
