# SPDX-License-Identifier: Apache-2.0
"""Names of containers are those that other clients of the namespace compute."""

from __future__ import annotations

import re

import pytest

from oio.common.autocontainer import (
    AutocontainerBase,
    AutocontainerBuilder,
    ContainerBuilder,
    HashedContainerBuilder,
    NoMatchFound,
    RegexContainerBuilder,
)

PATH = "video/ABC/film.mp4"


@pytest.mark.pitfall("E3")
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"bits": 5}, "D8"),
        ({"bits": 8}, "DD"),
        ({"bits": 9}, "DD0"),
        ({"bits": 12}, "DD5"),
        ({"bits": 15}, "DD5C"),
        ({}, "DD5C"),
        ({"bits": 17}, "DD5D0"),
        ({"offset": 6, "size": 3, "bits": 15}, "B5D4"),
    ],
)
def test_hashed_name_is_the_first_bits_of_the_digest(options, name):
    builder = HashedContainerBuilder(**options)
    assert builder(PATH) == name
    assert list(builder.alternatives(PATH)) == [name]
    assert builder.verify(name)


def test_all_the_digest_may_be_in_the_name():
    name = HashedContainerBuilder(bits=256)("")
    assert name == "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"


def test_size_of_what_is_hashed_is_in_bytes():
    builder = HashedContainerBuilder(size=2)
    assert builder("éa") == builder("éb") != HashedContainerBuilder()("éa")


@pytest.mark.pitfall("E3")
@pytest.mark.parametrize(
    ("name", "possible"),
    [
        ("FF8", True),
        ("FF9", False),
        ("1FF8", False),
        ("F8", False),
        ("XYZ", False),
        ("F_8", False),
        (None, False),
    ],
)
def test_hashed_name_has_no_bit_after_those_that_count(name, possible):
    assert HashedContainerBuilder(bits=9).verify(name) is possible


@pytest.mark.parametrize("bits", [0, -1, 257])
def test_digest_has_no_such_bits(bits):
    with pytest.raises(ValueError, match=f"bits must be from 1 to 256: {bits}"):
        HashedContainerBuilder(bits=bits)


@pytest.mark.pitfall("E3")
def test_container_is_named_like_the_path():
    builder = ContainerBuilder(12, size=3, con_name="ignored")
    assert builder(PATH) == PATH
    assert list(builder.alternatives(PATH)) == [PATH]
    assert builder.verify("anything")
    assert not builder.verify(3)


@pytest.mark.pitfall("E3")
@pytest.mark.parametrize(
    ("options", "path", "name"),
    [
        ({}, "12ab/34zz", "000000000000000C"),
        ({}, "1/2/ab", "000000000000000C"),
        ({}, "65536/x", "0000000000000000"),
        ({"offset": 4}, "12ab/34zz", "0000000000000022"),
        ({"offset": 1, "size": 2}, "a/1234", "000000000000000C"),
        ({"mask": 0xFF, "base": 10, "con_format": "%d"}, "257", "1"),
    ],
)
def test_name_is_the_number_at_the_beginning_of_the_path(options, path, name):
    builder = AutocontainerBuilder(**options)
    assert builder(path) == name
    assert list(builder.alternatives(path)) == [name]
    assert builder.verify(name)


@pytest.mark.parametrize("path", ["ab12", "", "/", "²1"])
def test_path_without_a_number_has_no_name(path):
    with pytest.raises(ValueError, match="path must have a number"):
        AutocontainerBuilder()(path)


@pytest.mark.pitfall("E3")
@pytest.mark.parametrize("name", ["C", "000000000000000c", "00000000000000000C", "text", "", None])
def test_number_in_another_format_is_none_of_the_names(name):
    assert not AutocontainerBuilder().verify(name)


@pytest.mark.pitfall("E3")
def test_name_is_made_of_the_groups_of_the_first_pattern_found():
    builder = RegexContainerBuilder([r"(\d{4})-(\d\d)(-\d\d)?", r"^(\w+)/", re.compile("(log)")])
    assert builder("app/2026-11.log") == "202611"
    assert list(builder.alternatives("app/2026-11.log")) == ["202611", "app", "log"]
    assert builder("app/x") == "app"
    assert builder.verify("app")
    assert list(builder.alternatives("nothing")) == []
    with pytest.raises(NoMatchFound, match="nothing"):
        builder("nothing")
    assert issubclass(NoMatchFound, ValueError)


@pytest.mark.pitfall("E3")
def test_what_patterns_find_may_be_hashed():
    builder = RegexContainerBuilder("video/(ABC)/", HashedContainerBuilder, bits=15)
    assert builder(PATH) == "B5D4"
    assert builder.verify("B5D4")
    assert not builder.verify("B5D5")


@pytest.mark.pitfall("E3")
@pytest.mark.parametrize("patterns", [[], "", "no group", ["(a)", "b"], "(open"])
def test_pattern_without_a_group_is_refused(patterns):
    with pytest.raises(ValueError, match="patterns"):
        RegexContainerBuilder(patterns)


def test_program_may_bring_its_own_builder():
    class First(AutocontainerBase):
        def __call__(self, path):
            return path[:1]

    assert RegexContainerBuilder("/(.*)", First, "ignored", too=1)(PATH) == "A"
    assert list(First().alternatives(PATH)) == ["v"]
