# SPDX-License-Identifier: Apache-2.0
"""Checks of the settings, paths and addresses given to transfers."""

from __future__ import annotations

import os
from typing import TypeAlias

from oio.common.arguments import WrongType, WrongValue, shorten, wrong_type
from oio.transfer._config import Remote, TransferConfig
from oio.transfer._target_files import TargetFile

Path: TypeAlias = "str | os.PathLike[str]"


def check_settings(config: object, interval: object, on_progress: object, on_result: object) -> None:
    if config is not None and not isinstance(config, TransferConfig):
        raise wrong_type("config", "a TransferConfig", config)
    for name, callback in (("on_progress", on_progress), ("on_result", on_result)):
        if callback is not None and not callable(callback):
            raise WrongType(f"{name} must be callable: {shorten(callback)}")
    if isinstance(interval, bool) or not isinstance(interval, (int, float)):
        raise WrongType(f"progress_interval must be a number of seconds: {shorten(interval)}")


def check_path(argument: str, value: object) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise wrong_type(argument, "a path", value)
    if not value or "\0" in value:
        raise WrongValue(f"{argument} must be a path: {value!r}")
    return value


def check_directory(argument: str, value: object) -> str:
    path = check_path(argument, value)
    if not os.path.isdir(path):
        raise NotADirectoryError(f"{argument} must be a directory: {path!r}")
    return path


def target_file(path: object) -> TargetFile:
    shown = check_path("path", path)
    directory, name = os.path.split(shown)
    if name in {"", ".", ".."}:
        raise WrongValue(f"path must be that of a file, and not of a directory: {shown!r}")
    return TargetFile(directory or ".", (os.fsencode(name),))


def check_directory_prefix(end: Path | Remote) -> None:
    """Refuse to delete by a prefix that other directories may share.

    :raises ValueError: a prefix does not end with a slash
    """
    if isinstance(end, Remote) and end.prefix and not end.prefix.endswith("/"):
        raise WrongValue(f"prefix must end with a slash when delete is set: {shorten(end.prefix)}")


def check_apart(source: Remote, target: Remote) -> None:
    """Refuse a copy that would list its own copies: one end holds the other."""
    same = (source.account, source.container) == (target.account, target.container)
    if same and (source.prefix.startswith(target.prefix) or target.prefix.startswith(source.prefix)):
        raise WrongValue(f"target must not hold, or be in, the source: {target} and {source}")
