# SPDX-License-Identifier: Apache-2.0
"""Full path of a chunk: its owner, in one header."""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus, unquote, unquote_plus

_PLAIN_PARTS = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+){4}")


def encode_fullpath(account: str, container: str, path: str, version: int | str, content_id: str) -> str:
    """Join the five parts, each percent-encoded on its own (pitfall 118).

    :raises ValueError: a part is missing.

    >>> encode_fullpath("acct", "c/1", "é t", 12, "AB")
    'acct/c%2F1/%C3%A9%20t/12/AB'
    """
    if not (account and container and path and version and content_id):
        parts = {"account": account, "container": container, "path": path, "version": version}
        _refuse_missing(parts | {"content_id": content_id})
    joined = f"{account}/{container}/{path}/{version}/{content_id}"
    if _PLAIN_PARTS.fullmatch(joined):
        return joined
    return (
        f"{quote(account, '')}/{quote(container, '')}/{quote(path, '')}/"
        f"{quote(str(version), '')}/{quote(content_id, '')}"
    )


def decode_fullpath(fullpath: str) -> tuple[str, str, str, str, str]:
    """Split a full path in account, container, path, version and content ID.

    :raises ValueError: there are not exactly five parts.

    >>> decode_fullpath("acct/c%2F1/%C3%A9%20t/12/AB")
    ('acct', 'c/1', 'é t', '12', 'AB')
    """
    parts = fullpath.split("/")
    if len(parts) != 5:
        raise ValueError(f"full path {fullpath!r} has {len(parts)} parts instead of 5")
    account, container, path, version, content_id = map(unquote, parts)
    return account, container, path, version, content_id


def encode_old_fullpath(account: str, container: str, path: str, version: int | str) -> str:
    """Join the four parts of the format that chunks had before they knew their content ID.

    :raises ValueError: a part is missing.

    >>> encode_old_fullpath("acct", "c/1", "a b", 12)
    'acct/c%2F1/a+b/12'
    """
    parts = {"account": account, "container": container, "path": path, "version": version}
    _refuse_missing(parts)
    return "/".join(quote_plus(str(part)) for part in parts.values())


def decode_old_fullpath(fullpath: str) -> tuple[str, str, str, str]:
    """Split an old full path in account, container, path and version.

    :raises ValueError: there are not exactly four parts.

    >>> decode_old_fullpath("acct/c%2F1/a+b/12")
    ('acct', 'c/1', 'a b', '12')
    """
    parts = fullpath.split("/")
    if len(parts) != 4:
        raise ValueError(f"full path {fullpath!r} has {len(parts)} parts instead of 4")
    account, container, path, version = map(unquote_plus, parts)
    return account, container, path, version


def _refuse_missing(parts: dict[str, int | str]) -> None:
    missing = [name for name, part in parts.items() if not part]
    if missing:
        raise ValueError(f"cannot make a full path without {' and '.join(missing)}")
