# SPDX-License-Identifier: Apache-2.0
"""Options of calls: misspelt ones are told by type checkers, and by a warning at the line of the caller."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from oio.api import types
from oio.api._facade.call import CreationCall
from oio.api.object_storage import _KNOWN, ObjectStorageApi
from oio.common import exceptions as exc

PROGRAM = """
from oio import ObjectStorageApi

with ObjectStorageApi("NS", endpoint="127.0.0.1:1") as api:
    api.object_create("a", "c", obj_name="o", data=b"", deadline=1.0, perfdata={}, headers={"x": "y"})
    api.object_create("a", "c", obj_name="o", data=b"", deadlin=1)
"""


def test_type_checker_names_the_option_that_was_meant(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)]
    found = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=Path(types.__file__).parents[2]
    )
    told = [line for line in found.stdout.splitlines() if "error:" in line]
    assert len(told) == 1, found.stdout + found.stderr
    assert "program.py:6:" in told[0]
    assert '"deadlin"' in told[0]
    assert '"deadline"' in told[0]


@pytest.fixture
def offline() -> Any:
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1") as api:
        yield api


def test_warning_names_the_option_that_was_meant_at_the_line_of_the_caller(offline: Any) -> None:
    calls = {
        "deadlin": lambda: offline.object_create("a", "c", obj_name="o", data=b"", deadlin=1),
        "read_timout": lambda: offline.container_show("a", "c", read_timout=3),
        "force_mastr": lambda: offline.account_list(force_mastr=True),
    }
    meant = {"deadlin": "deadline", "read_timout": "read_timeout", "force_mastr": "force_master"}
    for name, call in calls.items():
        with pytest.warns(exc.UnknownOption) as caught, pytest.raises(exc.OioException):
            call()
        told = next(warning for warning in caught if warning.category is exc.UnknownOption)
        assert str(told.message) == (
            f"Unknown keyword argument {name!r} is ignored: did you mean {meant[name]!r}?"
        )
        assert told.filename == __file__
        assert told.lineno == inspect.getsourcelines(call)[1]


def test_warning_about_the_constructor_is_at_the_line_of_the_caller() -> None:
    with pytest.warns(exc.UnknownOption, match="'pool_maxsiz'.*'pool_maxsize'") as caught:
        ObjectStorageApi("NS", endpoint="127.0.0.1:1", pool_maxsiz=3).close()  # type: ignore[call-arg]
    assert caught[0].filename == __file__


def test_typed_options_are_those_that_are_known() -> None:
    def names(*families: Any) -> set[str]:
        return {name for family in families for name in family.__annotations__}

    calls = names(types.CallOptions, types.ContainerOptions, types.ObjectOptions, types.ReadOptions)
    assert calls | names(types.CreateOptions) == CreationCall.known - {"meta_pos"}
    assert names(types.ClientOptions) <= _KNOWN


def test_every_method_shows_its_options() -> None:
    for name, method in inspect.getmembers(ObjectStorageApi, inspect.isfunction):
        parameters = inspect.signature(method).parameters
        if not name.startswith("_") and "kwargs" in parameters and "args" not in parameters:
            assert "Unpack[" in str(parameters["kwargs"].annotation), name
