# SPDX-License-Identifier: Apache-2.0
"""The examples in the documentation of the API and of its clients do what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest

from tests.kit.releases import RELEASES

#: Packages whose examples have a client of a namespace: all that is made of requests.
PACKAGES = (
    "oio.account",
    "oio.api",
    "oio.blob",
    "oio.conscience",
    "oio.container",
    "oio.directory",
    "oio.rdir",
)
MODULES = [
    module.name
    for package in PACKAGES
    for module in walk_packages(import_module(package).__path__, f"{package}.")
] + ["oio.transfer._transfer"]
EXAMPLES = [
    example
    for name in MODULES
    for example in doctest.DocTestFinder(exclude_empty=True).find(import_module(name))
    if example.examples
]


ON_RELEASES = RELEASES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example_does_what_it_says(example: doctest.DocTest, api: Any) -> None:
    api.container_create("doc", "box", {"color": "blue"})
    api.object_create("doc", "box", obj_name="hello", data="hello")
    example.globs["api"] = api
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, clear_globs=False)
    assert results.failed == 0


def test_every_method_of_the_api_has_an_example_or_is_deprecated() -> None:
    api = import_module("oio.api.object_storage").ObjectStorageApi
    methods = [name for name in dir(api) if name.startswith(("account_", "container_", "object_"))]
    assert methods
    without = [name for name in methods if ">>>" not in getattr(api, name).__doc__]
    assert all("Deprecated" in getattr(api, name).__doc__ for name in without), without
