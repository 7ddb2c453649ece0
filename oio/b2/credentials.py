# SPDX-License-Identifier: Apache-2.0
"""Where the keys to buckets of Backblaze B2 are kept: a file that the program can read, and few others."""

from __future__ import annotations

import configparser
import logging
import os
import stat
from pathlib import Path
from typing import Any

from oio.b2.errors import BackblazeUtilsException, Secret

DEFAULT_KEY_FILE = "/etc/oio/sds/b2-appkey.conf"
_SECTION = "backblaze"
_logger = logging.getLogger(__name__)


class Credentials(dict[str, Any]):
    """What :meth:`~oio.api.backblaze_http.BackblazeUtils.get_credentials` gives.

    :param path: file that they were read from
    :param state: of this file, when they were
    """

    def __init__(self, path: str, state: os.stat_result, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.path = path
        self._state = _fingerprint(state)

    def are_current(self) -> bool:
        """Whether the file is as it was; what is gone, or out of reach, does not take them back."""
        try:
            return _fingerprint(os.stat(self.path)) == self._state
        except OSError:
            return True


def bucket_of(storage_method: Any) -> tuple[str, str]:
    """Account ID and bucket name of a storage method.

    :raises BackblazeUtilsException: it lacks one
    """
    found = []
    for name in ("account_id", "bucket_name"):
        value = getattr(storage_method, name, None)
        if not value:
            raise BackblazeUtilsException(f"the storage method has no {name}: {storage_method!r}")
        found.append(str(value))
    return found[0], found[1]


def key_file_path(path: Any) -> str:
    """The path of the credentials file, the default one when none is given."""
    return os.fsdecode(path) if path else DEFAULT_KEY_FILE


def read_credentials(path: str, account_id: str, bucket_name: str) -> Credentials:
    """Read the credentials for a bucket.

    :raises BackblazeUtilsException: the file, the section or the option is missing, or cannot be read
    """
    parser, state = _read(path)
    if not parser.has_section(_SECTION):
        raise BackblazeUtilsException(f"no section [{_SECTION}] in credentials file {path}")
    prefix = f"{account_id}.{bucket_name}"
    key = parser.get(_SECTION, f"{prefix}.application_key", fallback="")
    if not key:
        raise BackblazeUtilsException(
            f"no option {prefix}.application_key in section [{_SECTION}] of credentials file {path}"
        )
    api_url = parser.get(_SECTION, f"{prefix}.api_url", fallback="") or None
    if api_url is not None and not api_url.startswith(("http://", "https://")):
        raise BackblazeUtilsException(
            f"option {prefix}.api_url of credentials file {path} must be like 'https://host:port': "
            f"{api_url!r:.80}"
        )
    values = {
        "backblaze.account_id": account_id,
        "backblaze.application_key": Secret(key),
        "backblaze.api_url": api_url,
        "bucket_name": bucket_name,
        "authorization": None,
        "upload_token": None,
    }
    return Credentials(path, state, values)


def _fingerprint(state: os.stat_result) -> tuple[int, ...]:
    return state.st_ino, state.st_size, state.st_mtime_ns


def _read(path: str) -> tuple[configparser.ConfigParser, os.stat_result]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        # Some editors begin a file with a mark.
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
        if mode & (stat.S_IRGRP | stat.S_IROTH):
            _logger.warning("Credentials file %s can be read by others: mode %03o", path, mode)
        return parser, state
    # From here, so that no context leads to what was read.
    raise BackblazeUtilsException(problem)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    return "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else "no file can have this name"
