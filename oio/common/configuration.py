# SPDX-License-Identifier: Apache-2.0
"""Configuration files of the namespaces and of the services that run on this host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from oio.common.exceptions import CommandError, ConfigurationException

if TYPE_CHECKING:
    import argparse
    import configparser

_SYSTEM_FILE = "/etc/oio/sds.conf"
_SYSTEM_DIRECTORY = "/etc/oio/sds.conf.d"
_USER_FILE = "~/.oio/sds.conf"
#: Some editors begin a file with a byte order mark.
_ENCODING = "utf-8-sig"

NS_CONF_CACHE: dict[str, NamespaceConfiguration] = {}


class InvalidServiceConfigError(ValueError):
    """The configuration of a service lacks something."""


class NamespaceConfiguration(dict[str, Any]):
    """Options of a namespace.

    :param namespace: its name, which becomes an option too.
    :param options: its options.
    :param files: the files that they come from; asking for an option that is in none of them raises
        :class:`~oio.common.exceptions.ConfigurationException`, which names them.

    >>> NamespaceConfiguration("OPENIO", {"proxy": "127.0.0.1:6000"})["conscience"]
    Traceback (most recent call last):
        ...
    oio.common.exceptions.ConfigurationException: no option 'conscience' for namespace 'OPENIO' in any file
    """

    def __init__(
        self, namespace: str, options: Mapping[str, object] | None = None, files: Sequence[str] = ()
    ) -> None:
        super().__init__(options or {})
        self["namespace"] = namespace
        self.files = list(files)

    def __missing__(self, key: str) -> NoReturn:
        where = ", ".join(self.files) or "any file"
        raise ConfigurationException(f"no option {key!r} for namespace {self['namespace']!r} in {where}")


def _config_paths() -> Iterator[tuple[str, bool]]:
    """Iterate over the files; False marks the one that is only read when there is no other."""
    yield _SYSTEM_FILE, True
    for path in sorted(Path(_SYSTEM_DIRECTORY).glob("*")):
        yield str(path), True
    yield str(Path(_USER_FILE).expanduser()), False


def config_paths() -> list[str]:
    """List the files where namespaces may be described, in the order in which they are read."""
    return [path for path, _ in _config_paths()]


def _read_config_files() -> tuple[configparser.ConfigParser, list[str]]:
    # Not needed by a client that is told its endpoint: it is ready sooner.
    import configparser

    parser = configparser.ConfigParser(interpolation=None)
    files: list[str] = []
    for path, overrides in _config_paths():
        if overrides or not files:
            files += _read(parser, path)
    return parser, files


def _read(parser: configparser.ConfigParser, path: str) -> list[str]:
    """Read one more file; an empty list when it is not there."""
    from configparser import Error

    try:
        return parser.read(path, encoding=_ENCODING)
    except (Error, UnicodeDecodeError) as err:
        raise ConfigurationException(f"cannot read {path}: {err}") from err


def load_namespace_conf(
    namespace: str, failsafe: bool = False, fresh: bool = False
) -> NamespaceConfiguration:
    """Load the options of a namespace from the files of this host.

    :param failsafe: return what is known, even if the namespace is not described anywhere.
    :param fresh: read the files again. Otherwise they are read once for each namespace.
    :raises ConfigurationException: a file is wrong, or there is no description of the namespace, or no
        ``proxy`` option in it.

    >>> load_namespace_conf("nowhere", failsafe=True)
    {'namespace': 'nowhere'}
    """
    conf = None if fresh else NS_CONF_CACHE.get(namespace)
    if conf is None:
        parser, files = _read_config_files()
        options = dict(parser[namespace]) if parser.has_section(namespace) else {}
        conf = NamespaceConfiguration(namespace, options, files)
        if options:
            NS_CONF_CACHE[namespace] = conf
    if not failsafe and not conf.get("proxy"):
        where = ", ".join(conf.files or config_paths())
        raise ConfigurationException(f"no proxy for namespace {namespace!r} (looked for in {where})")
    return conf


def set_namespace_options(
    namespace: str, options: Mapping[str, object], remove: Sequence[str] | None = None
) -> NamespaceConfiguration:
    """Change the options of a namespace for this process; the files stay as they are.

    :param options: options to set.
    :param remove: names of options to remove.
    :return: the options of the namespace.

    >>> set_namespace_options("DOC", {"proxy": "127.0.0.1:6000"})
    {'namespace': 'DOC', 'proxy': '127.0.0.1:6000'}
    """
    conf = load_namespace_conf(namespace, failsafe=True)
    conf.update(options)
    for key in remove or ():
        conf.pop(key, None)
    NS_CONF_CACHE[namespace] = conf
    return conf


def validate_service_conf(conf: Mapping[str, object]) -> None:
    """Check that the configuration of a service names its namespace.

    :raises InvalidServiceConfigError: it does not.
    """
    if not conf.get("namespace"):
        raise InvalidServiceConfigError("option 'namespace' is missing from the configuration of the service")


def read_conf(
    conf_path: str,
    section_name: str | None = None,
    defaults: Mapping[str, str] | None = None,
    use_yaml: bool = False,
) -> dict[str, Any]:
    """Read the configuration file of a service.

    :param section_name: section to read; all of them by default.
    :param defaults: values of options that the file does not set.
    :param use_yaml: the file is YAML instead of INI (needs PyYAML).
    :return: the options of the section, or those of each section.
    :raises ConfigurationException: the file cannot be read, or has no such section.
    """
    import configparser

    if use_yaml:
        return parse_config(conf_path)
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict({parser.default_section: dict(defaults or {})})
    if not _read(parser, conf_path):
        raise ConfigurationException(f"cannot read {conf_path}")
    if section_name is None:
        return {name: dict(parser[name]) for name in parser.sections()}
    if not parser.has_section(section_name):
        raise ConfigurationException(f"no section {section_name!r} in {conf_path}")
    return dict(parser[section_name])


def parse_config(conf_path: str) -> dict[str, Any]:
    """Read a YAML file (needs PyYAML).

    :raises ConfigurationException: PyYAML is not there, or the file cannot be read, or holds no mapping.
    """
    try:
        yaml = import_module("yaml")
    except ImportError as err:
        raise ConfigurationException(f"PyYAML is needed to read {conf_path}: pip install PyYAML") from err
    try:
        with Path(conf_path).open(encoding=_ENCODING) as stream:
            conf = yaml.safe_load(stream)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as err:
        raise ConfigurationException(f"cannot read {conf_path}: {err}") from err
    if not isinstance(conf, dict):
        raise ConfigurationException(f"{conf_path} holds no mapping")
    return conf


def parse_options(parser: argparse.ArgumentParser | None = None) -> tuple[str, dict[str, Any]]:
    """Parse the command line of a service.

    :param parser: parser that knows the service's own options, if it has any.
    :return: path of the configuration file, and the options.
    :raises CommandError: the command line is wrong.
    """
    # Services need it, clients do not.
    import argparse

    class Parser(argparse.ArgumentParser):
        """Parser that raises where the standard one would end the process (pitfall 111)."""

        def error(self, message: str) -> NoReturn:
            raise CommandError(message)

    parser = parser or Parser(description="Run a service.")
    parser.add_argument("config", help="path of the configuration file")
    parser.add_argument("-v", "--verbose", action="store_true", help="log to the console too")
    options = vars(parser.parse_args())
    return options.pop("config"), options
