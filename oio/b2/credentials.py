# SPDX-License-Identifier: Apache-2.0
"""Credentials for buckets of Backblaze B2, kept in a file."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

from oio.b2.errors import BackblazeUtilsException, Secret, is_in_clear

DEFAULT_KEY_FILE = "/etc/oio/sds/b2-appkey.conf"
_SECTION = "backblaze"
_logger = logging.getLogger(__name__)

#: Tells one state of a file from another.
_fingerprint = attrgetter("st_ino", "st_size", "st_mtime_ns", "st_mode", "st_uid", "st_gid")


class Credentials(dict[str, Any]):
    """Credentials that were read from a file.

    :param path: of the file
    :param state: of the file, when they were read
    """

    def __init__(self, path: str, state: os.stat_result, values: dict[str, str | None]) -> None:
        super().__init__(values)
        self.path = path
        self._state = _fingerprint(state)

    def are_of(self, path: str) -> bool:
        """Whether they are what is in a file; one that is gone, or cannot be reached, counts as unchanged."""
        try:
            return path == self.path and _fingerprint(os.stat(path)) == self._state
        except OSError:
            return True


class BackblazeUtils:
    """Credentials for buckets of Backblaze."""

    b2_authorization_list: ClassVar[dict[str, dict[str, Any]]] = {}
    """Credentials that were read, under ``<account ID>.<bucket name>``."""

    @staticmethod
    def get_credentials(
        storage_method: object,
        application_key_path: str | bytes | os.PathLike[str] | None = None,
        renew: bool = False,
    ) -> dict[str, Any]:
        """Get the credentials for the bucket of a storage method.

        They are in section ``backblaze`` of an INI file, where option
        ``<account ID>.<bucket name>.application_key`` is the key, and
        ``<account ID>.<bucket name>.api_url`` the address of the service, if it is not Backblaze's own.

        :param storage_method: anything with ``account_id`` and ``bucket_name``
        :param application_key_path: the file; ``/etc/oio/sds/b2-appkey.conf`` by default
        :param renew: read the file again, even if it is unchanged
        :returns: a dictionary of ``backblaze.account_id``, ``backblaze.application_key``,
            ``backblaze.api_url`` (None by default), ``bucket_name``, ``authorization`` and ``upload_token``.
            The last two are None; a program may set them to what the constructor of
            :class:`~oio.api.backblaze_http.Backblaze` takes
        :raises BackblazeUtilsException: something is missing; the message tells what
        """
        account_id, bucket_name = _bucket_of(storage_method)
        path = application_key_path or DEFAULT_KEY_FILE
        if not isinstance(path, str):
            path = os.fsdecode(path)
        known = BackblazeUtils.b2_authorization_list.get(f"{account_id}.{bucket_name}")
        # The program may have set others than those of a file.
        if known is not None and not renew and (not isinstance(known, Credentials) or known.are_of(path)):
            return known
        found = _read_credentials(path, account_id, bucket_name)
        BackblazeUtils.b2_authorization_list[f"{account_id}.{bucket_name}"] = found
        return found


def _bucket_of(storage_method: object) -> tuple[str, str]:
    """Account ID and bucket name of a storage method.

    :raises BackblazeUtilsException: one is missing
    """
    found = []
    for name in ("account_id", "bucket_name"):
        value = getattr(storage_method, name, None)
        if not value:
            raise BackblazeUtilsException(f"the storage method has no {name}: {storage_method!r}")
        found.append(str(value))
    return found[0], found[1]


def _read_credentials(path: str, account_id: str, bucket_name: str) -> Credentials:
    """Read the credentials for a bucket.

    :raises BackblazeUtilsException: the file, the section or the option is missing, or cannot be read
    """
    sections, state = _read(path)
    if _SECTION not in sections:
        raise BackblazeUtilsException(f"no section [{_SECTION}] in credentials file {path}")
    prefix = f"{account_id}.{bucket_name}"
    key = sections[_SECTION].get(f"{prefix}.application_key", "")
    if not key:
        raise BackblazeUtilsException(
            f"no option {prefix}.application_key in section [{_SECTION}] of credentials file {path}"
        )
    api_url = sections[_SECTION].get(f"{prefix}.api_url") or None
    if api_url is not None and not api_url.startswith(("http://", "https://")):
        raise BackblazeUtilsException(
            f"option {prefix}.api_url of credentials file {path} must be like 'https://host:port': "
            f"{api_url!r:.80}"
        )
    if api_url is not None and is_in_clear(api_url):
        raise BackblazeUtilsException(
            f"option {prefix}.api_url of credentials file {path} must be an https URL, so that the key does "
            f"not travel in clear: {api_url!r:.80}"
        )
    values: dict[str, str | None] = {
        "backblaze.account_id": account_id,
        "backblaze.application_key": Secret(key),
        "backblaze.api_url": api_url,
        "bucket_name": bucket_name,
        "authorization": None,
        "upload_token": None,
    }
    return Credentials(path, state, values)


def _read(path: str) -> tuple[Mapping[str, Mapping[str, str]], os.stat_result]:
    # Seldom needed: the client is ready sooner without it.
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    try:
        # Some editors begin a file with a byte order mark.
        with Path(path).open(encoding="utf-8-sig") as file:
            state = os.fstat(file.fileno())
            parser.read_file(file)
    except FileNotFoundError:
        problem = f"no credentials file {path}"
    except (OSError, ValueError) as err:
        problem = f"cannot read credentials file {path}: {_reason(err)}"
    except configparser.Error as err:
        # Its own message shows the lines that it stumbles on, keys included.
        line = getattr(err, "lineno", None) or next((number for number, _ in getattr(err, "errors", ())), "?")
        problem = f"credentials file {path} is no INI file: {type(err).__name__}, line {line}"
    else:
        mode = stat.S_IMODE(state.st_mode)
        for doing, bits in (("read", stat.S_IRGRP | stat.S_IROTH), ("changed", stat.S_IWGRP | stat.S_IWOTH)):
            if mode & bits:
                _logger.warning("Credentials file %s can be %s by others: mode %03o", path, doing, mode)
        return parser, state
    # Raised here, so that no context leads to the text of the file.
    raise BackblazeUtilsException(problem)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    return "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else "no file can have this name"
