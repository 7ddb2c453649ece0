# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import logging
import os
import socket
import sys
from logging.handlers import SysLogHandler

import pytest

from oio.common.exceptions import ConfigurationException
from oio.common.logger import StreamToLogger, get_logger, redirect_stdio

NAME = "oio.test.logger"


@pytest.fixture(autouse=True)
def fresh_logger():
    yield
    logger = logging.getLogger(NAME)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def syslog(tmp_path):
    """A syslog socket; call ``recv`` on it to read a message."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        # A relative path: those of sockets must be short.
        before = os.getcwd()
        os.chdir(tmp_path)
        server.bind("log")
        server.settimeout(5)
        yield "log", server
        os.chdir(before)


def kinds(logger):
    return [type(handler).__name__ for handler in logger.handlers]


def test_messages_go_to_syslog_with_facility_and_prefix(syslog):
    address, server = syslog
    conf = {"log_address": address, "log_facility": "LOG_LOCAL3", "syslog_prefix": "OIO,NS,service"}
    get_logger(conf, NAME, fmt="%(levelname)s %(message)s").warning("hello")
    message = server.recv(1000)
    assert message.startswith(b"<%d>OIO,NS,service: WARNING hello" % (SysLogHandler.LOG_LOCAL3 * 8 + 4))


def test_handlers_are_not_doubled_and_messages_do_not_go_up(syslog):
    conf = {"log_address": syslog[0]}
    logger = get_logger(conf, NAME, verbose=True)
    assert get_logger(conf, NAME, verbose=True) is logger
    assert kinds(logger) == ["SysLogHandler", "_ConsoleHandler"]
    assert logger.propagate is False
    assert logger.level == logging.INFO


@pytest.mark.parametrize(
    ("conf", "verbose", "console"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"is_cli": "true"}, False, True),
        ({"log_level": "debug"}, False, True),
        ({"log_level": "ERROR"}, False, False),
    ],
)
def test_the_console_is_for_the_curious(syslog, conf, verbose, console):
    logger = get_logger({"log_address": syslog[0], **conf}, NAME, verbose=verbose)
    assert ("_ConsoleHandler" in kinds(logger)) is console


def test_without_syslog_socket_messages_are_sent_over_udp(tmp_path):
    logger = get_logger({"log_address": str(tmp_path / "none")}, NAME)
    (handler,) = logger.handlers
    assert handler.socktype == socket.SOCK_DGRAM
    assert handler.address == ("localhost", 514)


def test_no_configuration_is_a_configuration():
    assert get_logger(None, NAME).level == logging.INFO


@pytest.mark.parametrize("conf", [{"log_level": "loud"}, {"log_facility": "LOG_NOWHERE"}])
def test_an_unknown_level_or_facility_is_refused_by_option_and_value(syslog, conf):
    ((option, value),) = conf.items()
    with pytest.raises(ConfigurationException, match=rf"(?i){option}.*{value}"):
        get_logger({"log_address": syslog[0], **conf}, NAME)


def test_lines_that_are_printed_become_messages(caplog):
    stream = StreamToLogger(logging.getLogger(NAME), logging.ERROR)
    with caplog.at_level(logging.INFO, NAME):
        assert stream.write("one\n\n  two  \n") == 13
        stream.writelines(["three %s"])
        stream.flush()
    assert [record.getMessage() for record in caplog.records] == ["one", "  two", "three %s"]
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    assert stream.isatty() is False
    assert stream.writable()


def test_the_output_of_the_process_can_be_logged(caplog, monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    redirect_stdio(logging.getLogger(NAME))
    with caplog.at_level(logging.INFO, NAME):
        print("to stdout")
        print("to stderr", file=sys.stderr)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "to stdout"),
        ("ERROR", "to stderr"),
    ]
