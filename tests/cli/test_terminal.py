# SPDX-License-Identifier: Apache-2.0
"""The command on a terminal, a real one: bars, the prompt, Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

import pytest

from oio.sandbox import Fault
from tests.cli.test_command import environment_of
from tests.cli.test_interruptions import eventually, is_waiting

#: Makes the terminal that of the command, so that Ctrl-C is for it.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
OPENIO = str(Path(sys.executable).with_name("openio"))


class Terminal:
    """A terminal, and the command that runs on it.

    :param on_terminal: whether its standard output goes there too, or to a file
    """

    def __init__(self, namespace, account, directory, *words, on_terminal=False):
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.shown = b""
        self._out = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, OPENIO, *words],
            stdin=theirs,
            stdout=theirs if on_terminal else self._out,
            stderr=theirs,
            cwd=directory,
            env=environment_of(namespace, account) | {"TERM": "xterm"},
        )
        os.close(theirs)

    def type(self, data):
        os.write(self._ours, data)

    def until(self, *texts):
        """Read what is shown until it has one of some texts."""
        while not any(text in self.shown for text in texts) and self._read():
            pass

    def _read(self):
        try:
            data = os.read(self._ours, 65536)
        except OSError:
            # The other side is closed.
            return False
        self.shown += data
        return bool(data)

    def end(self):
        while self._read():
            pass
        code = self.process.wait(timeout=60)
        self._out.seek(0)
        return code, self._out.read()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.process.kill()
        self.process.wait()
        self._out.close()
        os.close(self._ours)


@pytest.fixture
def terminal(namespace, account, tmp_path):
    return lambda *words, **options: Terminal(namespace, account, tmp_path, *words, **options)


@pytest.fixture
def big(tmp_path):
    path = tmp_path / "site" / "big"
    path.parent.mkdir()
    path.write_bytes(bytes(range(256)) * 8192)
    return path


def test_bars_are_shown_on_the_terminal_and_not_in_the_output(terminal, big, tmp_path):
    for line, expected in (
        ("object create c site/big -f value -c Name", b"big\n"),
        ("object create c site -f value -c Name", b"site/big\n"),
        ("sync site oio://c/p/ -f value -c Name", b"p/big\n"),
        ("object save c big --file a/saved", b""),
        ("object save c big --file a/other --deadline 60", b""),
        ("container save c", b""),
    ):
        with terminal(*line.split()) as screen:
            assert screen.end() == (0, expected), screen.shown
        assert b"transfer" in screen.shown, line
        assert b" MB" in screen.shown, line
    assert (
        (tmp_path / "a" / "saved").read_bytes() == (tmp_path / "a" / "other").read_bytes() == big.read_bytes()
    )


@pytest.mark.parametrize(
    "line", ["-q object create c site/big -f value", "object cat c big", "object list c"]
)
def test_where_no_bar_belongs_none_is_shown(terminal, big, line):
    with terminal("object", "create", "c", "site/big", "-q") as screen:
        screen.end()
    with terminal(*line.split()) as screen:
        code, out = screen.end()
    assert (code, screen.shown) == (0, b"")
    assert out


def test_help_has_no_pages_and_no_colours(terminal):
    with terminal("help", on_terminal=True) as screen:
        assert screen.end()[0] == 0
    assert b"\x1b" not in screen.shown
    assert b"  volume show" in screen.shown


def test_a_table_is_as_wide_as_need_be_unless_it_has_to_fit(terminal, namespace, account):
    for words, fits in (([], False), (["--fit-width"], True)):
        with terminal("container", "create", "c" * 200, *words, on_terminal=True) as screen:
            screen.end()
        assert (max(map(len, screen.shown.splitlines())) <= 100) == fits


def test_commands_are_prompted_for(terminal):
    with terminal(on_terminal=True) as screen:
        screen.until(b"(openio) ")
        screen.type(b"container create 'a b' -f value\n")
        screen.until(b"a b True")
        screen.type(b"\x04")
        assert screen.end()[0] == 0


def is_chunk(record):
    return record.method == "PUT" and record.service.startswith("rawx")


def test_ctrl_c_of_a_terminal_ends_without_a_word(terminal, namespace, big):
    namespace.forget_requests()
    with (
        namespace.faults(Fault("stall", "rawx", "PUT")),
        terminal("object", "create", "c", "site/big", "-c", "Name") as screen,
    ):
        # It has the terminal then. The account service hears of earlier tests meanwhile, also by PUT.
        screen.until(b"transfer")
        assert eventually(lambda: any(map(is_chunk, namespace.requests)))
        assert eventually(lambda: is_waiting(screen.process.pid))
        screen.type(b"\x03")
        code, _ = screen.end()
    assert code == 130, screen.shown
    assert b"Traceback" not in screen.shown
