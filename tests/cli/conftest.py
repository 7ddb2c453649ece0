# SPDX-License-Identifier: Apache-2.0
"""The command, run in this process against an embedded namespace."""

from __future__ import annotations

import io
import itertools
import json
import sys
from dataclasses import dataclass

import pytest

from oio.cli import main
from oio.sandbox import Namespace

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ended:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        assert self.code == 0, self.err
        return json.loads(self.out)


class Shell:
    """Runs the command as scripts do: namespace, account and proxy come from the environment."""

    def __init__(self, namespace, account, monkeypatch, capsys):
        self.namespace = namespace
        self.account = account
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.set(OIO_NS=namespace.name, OIO_ACCOUNT=account, OIO_PROXYD_URL=namespace.endpoint)

    def set(self, **variables):
        for name, value in variables.items():
            if value is None:
                self._monkeypatch.delenv(name, raising=False)
            else:
                self._monkeypatch.setenv(name, value)

    def __call__(self, line, *more, stdin=b""):
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        self._capsys.readouterr()
        code = main([*line.split(), *(str(word) for word in more)])
        return Ended(code, *self._capsys.readouterr())

    def json(self, line, *more, **kwargs):
        return self(f"{line} -f json", *more, **kwargs).json


@pytest.fixture(scope="session")
def namespace():
    with Namespace(rawx=3, default_policy="SINGLE") as running:
        yield running


@pytest.fixture(scope="session")
def namespace_of_today():
    with Namespace(rawx=3, default_policy="SINGLE", release="2026") as running:
        yield running


@pytest.fixture
def account():
    return f"account-{next(_numbers)}"


@pytest.fixture
def shell(namespace, account, monkeypatch, capsys):
    return Shell(namespace, account, monkeypatch, capsys)


@pytest.fixture(scope="session", params=["namespace", "namespace_of_today"])
def either_namespace(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def either_shell(either_namespace, account, monkeypatch, capsys):
    return Shell(either_namespace, account, monkeypatch, capsys)


@pytest.fixture
def hello(tmp_path):
    path = tmp_path / "h.txt"
    path.write_bytes(b"hello\n")
    return path
