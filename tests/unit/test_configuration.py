# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import sys
import types

import pytest

from oio.common import configuration
from oio.common.exceptions import CommandError, ConfigurationException


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A host of its own, and nothing remembered of other tests."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(configuration, "_SYSTEM_FILE", str(tmp_path / "etc/sds.conf"))
    monkeypatch.setattr(configuration, "_SYSTEM_DIRECTORY", str(tmp_path / "etc/sds.conf.d"))
    configuration.NS_CONF_CACHE.clear()
    yield tmp_path
    configuration.NS_CONF_CACHE.clear()


@pytest.fixture
def user_file(home):
    path = home / ".oio" / "sds.conf"
    path.parent.mkdir()
    path.write_text(
        "[OPENIO]\nproxy = 127.0.0.1:6000\nconscience = 127.0.0.1:6500\npercent = 100%\n[BARE]\nx = 1\n"
    )
    return path


@pytest.fixture
def system_files(home):
    directory = home / "etc" / "sds.conf.d"
    directory.mkdir(parents=True)
    main = home / "etc" / "sds.conf"
    main.write_text("[OPENIO]\nproxy = main:1\nx = main\n")
    (directory / "b").write_text("[OPENIO]\nproxy = second:1\n")
    (directory / "a").write_text("[OPENIO]\nproxy = first:1\n[OTHER]\nproxy = other:1\n")
    return [str(main), str(directory / "a"), str(directory / "b")]


def test_files_are_read_from_the_system_then_from_home(home, system_files):
    assert configuration.config_paths() == [*system_files, str(home / ".oio/sds.conf")]


def test_later_system_files_override_earlier_ones_and_home_is_not_read(system_files, user_file):
    conf = configuration.load_namespace_conf("OPENIO")
    assert conf == {"namespace": "OPENIO", "proxy": "second:1", "x": "main"}
    assert conf.files == system_files
    assert configuration.load_namespace_conf("OTHER")["proxy"] == "other:1"


def test_a_namespace_is_a_section_of_a_file(user_file):
    conf = configuration.load_namespace_conf("OPENIO")
    assert conf == {
        "namespace": "OPENIO",
        "proxy": "127.0.0.1:6000",
        "conscience": "127.0.0.1:6500",
        "percent": "100%",
    }
    assert conf.files == [str(user_file)]


@pytest.mark.pitfall(111)
@pytest.mark.parametrize("namespace", ["UNKNOWN", "BARE"])
def test_a_namespace_without_proxy_raises_and_names_namespace_and_file(user_file, namespace):
    with pytest.raises(ConfigurationException, match=f"'{namespace}'.*{user_file}"):
        configuration.load_namespace_conf(namespace)


@pytest.mark.pitfall(111)
def test_no_file_at_all_raises_and_names_the_places(home):
    with pytest.raises(ConfigurationException, match=r"/etc/sds\.conf, .*/\.oio/sds\.conf"):
        configuration.load_namespace_conf("OPENIO")


def test_failsafe_gives_what_is_known(user_file):
    assert configuration.load_namespace_conf("BARE", failsafe=True) == {"namespace": "BARE", "x": "1"}
    assert configuration.load_namespace_conf("UNKNOWN", failsafe=True) == {"namespace": "UNKNOWN"}


def test_a_file_is_read_once_unless_a_fresh_look_is_asked(user_file):
    before = configuration.load_namespace_conf("OPENIO")
    user_file.write_text("[OPENIO]\nproxy = elsewhere:1\n")
    assert configuration.load_namespace_conf("OPENIO") is before
    assert configuration.load_namespace_conf("OPENIO", fresh=True)["proxy"] == "elsewhere:1"
    assert configuration.load_namespace_conf("OPENIO")["proxy"] == "elsewhere:1"


def test_a_namespace_that_was_missing_is_looked_for_again(home, user_file):
    configuration.load_namespace_conf("LATER", failsafe=True)
    user_file.write_text("[LATER]\nproxy = a:1\n")
    assert configuration.load_namespace_conf("LATER")["proxy"] == "a:1"


def test_a_missing_option_raises_and_names_option_and_file(user_file):
    conf = configuration.load_namespace_conf("OPENIO")
    with pytest.raises(ConfigurationException, match=f"'zookeeper'.*'OPENIO'.*{user_file}"):
        conf["zookeeper"]
    assert conf.get("zookeeper") is None


@pytest.mark.parametrize("content", [b"no section\n", b"[A]\nx=1\n[A]\ny=2\n", b"\xff\xfe"])
def test_a_broken_file_raises_and_is_named(user_file, content):
    user_file.write_bytes(content)
    with pytest.raises(ConfigurationException, match=str(user_file)):
        configuration.load_namespace_conf("OPENIO")


def test_options_can_be_set_for_the_process():
    configuration.set_namespace_options("OPENIO", {"proxy": "a:1", "x": "1"})
    conf = configuration.set_namespace_options("OPENIO", {"y": "2"}, remove=["x", "z"])
    assert configuration.load_namespace_conf("OPENIO") is conf
    assert conf == {"namespace": "OPENIO", "proxy": "a:1", "y": "2"}


@pytest.mark.parametrize("conf", [{}, {"namespace": ""}, {"namespace": None}])
def test_a_service_needs_a_namespace(conf):
    with pytest.raises(configuration.InvalidServiceConfigError, match="namespace"):
        configuration.validate_service_conf(conf)
    assert issubclass(configuration.InvalidServiceConfigError, ValueError)


def test_a_service_with_a_namespace_is_valid():
    assert configuration.validate_service_conf({"namespace": "OPENIO"}) is None


@pytest.fixture
def service_file(tmp_path):
    path = tmp_path / "service.conf"
    path.write_text("[rawx]\nport = 6010\n[other]\nx = 1\n")
    return str(path)


def test_a_section_is_read_with_defaults(service_file):
    conf = configuration.read_conf(service_file, "rawx", defaults={"port": "1", "ip": "127.0.0.1"})
    assert conf == {"port": "6010", "ip": "127.0.0.1"}


def test_all_sections_are_read_when_none_is_named(service_file):
    assert configuration.read_conf(service_file) == {"rawx": {"port": "6010"}, "other": {"x": "1"}}


@pytest.mark.pitfall(111)
def test_a_missing_file_or_section_raises(service_file):
    with pytest.raises(ConfigurationException, match="'nope' in"):
        configuration.read_conf(service_file, "nope")
    with pytest.raises(ConfigurationException, match=r"cannot read .*missing"):
        configuration.read_conf(service_file + "missing")


@pytest.mark.parametrize("content", ["no section\n", "[a]\n[a]\n"])
def test_a_broken_service_file_raises(tmp_path, content):
    path = tmp_path / "broken.conf"
    path.write_text(content)
    with pytest.raises(ConfigurationException, match="cannot read"):
        configuration.read_conf(str(path))


@pytest.mark.pitfall(83)
def test_yaml_needs_its_library_only_when_it_is_used(service_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(ConfigurationException, match="PyYAML"):
        configuration.read_conf(service_file, use_yaml=True)


class TestYaml:
    """With a library that knows one document."""

    @pytest.fixture(autouse=True)
    def library(self, monkeypatch):
        yaml = types.ModuleType("yaml")
        yaml.YAMLError = type("YAMLError", (Exception,), {})

        def safe_load(stream):
            text = stream.read()
            if text == "port: 1\n":
                return {"port": 1}
            if text == "text\n":
                return "text"
            raise yaml.YAMLError("bad document")

        yaml.safe_load = safe_load
        monkeypatch.setitem(sys.modules, "yaml", yaml)

    def test_a_mapping_is_read(self, tmp_path):
        path = tmp_path / "a.yml"
        path.write_text("port: 1\n")
        assert configuration.parse_config(str(path)) == {"port": 1}

    @pytest.mark.parametrize(("content", "message"), [("text\n", "no mapping"), ("{", "bad document")])
    def test_anything_else_raises(self, tmp_path, content, message):
        path = tmp_path / "a.yml"
        path.write_text(content)
        with pytest.raises(ConfigurationException, match=message):
            configuration.parse_config(str(path))

    def test_a_missing_file_raises(self, tmp_path):
        with pytest.raises(ConfigurationException, match="cannot read"):
            configuration.parse_config(str(tmp_path / "missing.yml"))


def test_the_command_line_gives_file_and_options(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["service", "-v", "/a.conf"])
    assert configuration.parse_options() == ("/a.conf", {"verbose": True})


def test_the_command_line_may_have_other_options(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["service", "/a.conf", "--port", "1"])
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    assert configuration.parse_options(parser) == ("/a.conf", {"verbose": False, "port": 1})


@pytest.mark.pitfall(111)
def test_a_wrong_command_line_raises_instead_of_ending_the_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["service", "--nope"])
    with pytest.raises(CommandError):
        configuration.parse_options()


@pytest.mark.pitfall("D6")
def test_mark_that_an_editor_puts_at_the_start_of_a_file_is_no_text(home, user_file, monkeypatch):
    marked = home / "marked"
    marked.write_bytes(b"\xef\xbb\xbf" + user_file.read_bytes())
    user_file.write_bytes(marked.read_bytes())
    assert configuration.load_namespace_conf("OPENIO")["proxy"] == "127.0.0.1:6000"
    assert configuration.read_conf(str(marked), "OPENIO")["percent"] == "100%"
    yaml = types.SimpleNamespace(safe_load=lambda stream: {"read": stream.read()}, YAMLError=ValueError)
    monkeypatch.setitem(sys.modules, "yaml", yaml)
    assert configuration.parse_config(str(marked))["read"].startswith("[OPENIO]")


@pytest.mark.pitfall("D6")
def test_mark_at_the_start_of_a_file_of_the_system_is_no_text(system_files):
    for path in system_files:
        with open(path, "r+b") as file:
            text = file.read()
            file.seek(0)
            file.write(b"\xef\xbb\xbf" + text)
    assert configuration.load_namespace_conf("OPENIO")["proxy"] == "second:1"
