# SPDX-License-Identifier: Apache-2.0
"""Loggers of services and of command line tools.

The library itself logs under the name ``oio`` and sets no handler, which is left to its host. A program gets
a logger that writes to syslog from :func:`get_logger`.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping
from logging.handlers import SYSLOG_UDP_PORT, SysLogHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oio.common.easy_value import true_value
from oio.common.exceptions import ConfigurationException

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[Any]
else:
    # Python 3.10 knows no parameter of this class.
    _StreamHandler = logging.StreamHandler

DEFAULT_FORMAT = "%(process)d %(thread)X %(name)s %(levelname)s %(message)s"


def get_logger(
    conf: Mapping[str, Any] | None, name: str | None = None, verbose: bool = False, fmt: str = DEFAULT_FORMAT
) -> logging.Logger:
    """Get a logger that writes to syslog, and does not pass messages on to the loggers above it.

    :param conf: options: ``log_address`` (``/dev/log`` by default), ``log_facility`` (``LOG_LOCAL0``),
        ``log_level`` (``INFO``), ``syslog_prefix``, ``is_cli``.
    :param name: name of the logger; ``oio`` by default.
    :param verbose: write to the console too, as for a command line tool and for levels below INFO.
    :param fmt: format of the messages.
    :raises ConfigurationException: the level or the facility is unknown.

    Calling it again gives the same logger; its handlers are not doubled.
    """
    conf = conf or {}
    logger = logging.getLogger(name or "oio")
    logger.propagate = False
    try:
        logger.setLevel(str(conf.get("log_level") or "INFO").upper())
    except ValueError as err:
        raise ConfigurationException(f"log_level: {err}") from err
    if not _has(logger, SysLogHandler):
        logger.addHandler(_syslog_handler(conf, fmt))
    to_console = verbose or true_value(conf.get("is_cli")) or logger.level < logging.INFO
    if to_console and not _has(logger, _ConsoleHandler):
        console = _ConsoleHandler()
        console.setFormatter(logging.Formatter(fmt))
        logger.addHandler(console)
    return logger


class _ConsoleHandler(_StreamHandler):
    """Console handler of ours, told apart from handlers of the host."""


def _has(logger: logging.Logger, kind: type[logging.Handler]) -> bool:
    return any(isinstance(handler, kind) for handler in logger.handlers)


def _syslog_handler(conf: Mapping[str, Any], fmt: str) -> logging.Handler:
    name = str(conf.get("log_facility") or "LOG_LOCAL0")
    facility = SysLogHandler.facility_names.get(name.removeprefix("LOG_").lower())
    if facility is None:
        raise ConfigurationException(f"log_facility: unknown facility {name!r}")
    address = conf.get("log_address") or "/dev/log"
    if isinstance(address, str) and not Path(address).is_socket():
        # No syslog here, as in most containers: UDP needs no listener.
        address = ("localhost", SYSLOG_UDP_PORT)
    handler = SysLogHandler(address, facility)
    prefix = conf.get("syslog_prefix")
    handler.setFormatter(logging.Formatter(f"{prefix}: {fmt}" if prefix else fmt))
    return handler


class StreamToLogger(io.TextIOBase):
    """Text stream that logs the lines that are written to it.

    :param logger: where to log.
    :param log_level: level of the messages.
    """

    def __init__(self, logger: logging.Logger, log_level: int = logging.INFO) -> None:
        self.logger = logger
        self.log_level = log_level

    def write(self, text: str, /) -> int:
        """Log each line of the text that is not blank."""
        for line in text.splitlines():
            if line.strip():
                self.logger.log(self.log_level, "%s", line.rstrip())
        return len(text)

    def writable(self) -> bool:
        """Tell that this can be written to."""
        return True


def redirect_stdio(logger: logging.Logger) -> None:
    """Send the output of the process to a logger, which must have no console handler."""
    sys.stdout = StreamToLogger(logger)
    sys.stderr = StreamToLogger(logger, logging.ERROR)
