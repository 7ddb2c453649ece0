# SPDX-License-Identifier: Apache-2.0
"""The recipes of a release agree with the project, and its bill of materials with what is installed."""

from __future__ import annotations

import re
import runpy
from importlib.metadata import version
from pathlib import Path

import oio

ROOT = Path(__file__).parent.parent
RECIPE = (ROOT / "packaging" / "conda" / "recipe.yaml").read_text(encoding="utf-8")
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
# Conda has the package by another name.
CONDA_NAMES = {"redis": "redis-py"}


def requirements(text):
    """Names and lowest versions, as pyproject.toml has them."""
    return dict(re.findall(r'"([a-z0-9-]+)>=([\d.]+)"', text))


def in_recipe(section):
    lines = re.search(rf"^  {section}:\n((?:    - .*\n)+)", RECIPE, re.MULTILINE).group(1)
    return dict(re.findall(r"- ([a-z0-9-]+) >=([\d.]+)", lines))


def test_the_conda_recipe_has_the_version_and_the_dependencies_of_the_project():
    wanted = requirements(PROJECT.partition("\ndependencies = [")[2].partition("\n]")[0])
    assert f'version: "{oio.__version__}"' in RECIPE
    assert in_recipe("run") == wanted | {"python": re.search(r'requires-python = ">=(.*)"', PROJECT).group(1)}


def test_the_conda_recipe_bounds_what_the_extras_of_users_need():
    extras = PROJECT.partition("[project.optional-dependencies]\n")[2].partition("\n# ")[0]
    wanted = {CONDA_NAMES.get(name, name): bound for name, bound in requirements(extras).items()}
    assert in_recipe("run_constraints") == wanted


def test_the_bill_of_materials_names_what_is_installed_and_what_it_needs(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    bill = runpy.run_path(str(ROOT / "packaging" / "sbom.py"))["bill"]
    found = bill()
    assert found == bill()
    assert found["metadata"]["timestamp"] == "1970-01-02T00:00:00+00:00"
    assert found["metadata"]["component"]["name"] == "openio-sdk"
    parts = {part["name"]: part["version"] for part in found["components"]}
    assert parts["eventlet"] == version("eventlet")
    subject = found["metadata"]["component"]["bom-ref"]
    (needs,) = (edge["dependsOn"] for edge in found["dependencies"] if edge["ref"] == subject)
    assert f"pkg:pypi/urllib3@{version('urllib3')}" in needs
    assert {edge["ref"] for edge in found["dependencies"]} >= {*needs}
