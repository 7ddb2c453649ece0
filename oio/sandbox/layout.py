# SPDX-License-Identifier: Apache-2.0
"""Layout of a namespace, ``namespace.json`` in its directory: name, addresses, release."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from oio.sandbox.storage.files import replace_file

#: Format of the directory, to be raised when this version cannot read what an earlier one wrote.
FORMAT: Final = 1
_FILE: Final = "namespace.json"


def read_layout(directory: Path) -> dict[str, Any]:
    """Return the layout of the namespace in a directory, empty when there is none.

    :raises OSError: the file is damaged, cannot be read, or is of another format.
    """
    file = directory / _FILE
    try:
        layout = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as exc:
        raise OSError(f"{file} is damaged: {exc}") from exc
    found = layout.get("format") if isinstance(layout, dict) else None
    if found != FORMAT:
        raise OSError(f"{file}: a namespace of format {found!r}, this version reads format {FORMAT}")
    for key, is_right in _CHECKS.items():
        if key not in layout:
            if key not in _OPTIONAL:
                raise OSError(f"{file} is damaged: {key!r} is missing")
        elif not is_right(layout[key]):
            raise OSError(f"{file} is damaged: {key!r} cannot be {layout[key]!r}")
    return dict(layout)


def write_layout(directory: Path, layout: dict[str, Any]) -> None:
    """Write the layout of the namespace in a directory."""
    replace_file(directory / _FILE, json.dumps(layout))


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value < 65536


def _are_ports(value: object) -> bool:
    """Whether these are ports of the proxy, the account service and at least one rawx."""
    return isinstance(value, list) and len(value) > 2 and all(map(_is_port, value))


def _is_b2(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_port(value.get("port"))
        and re.fullmatch("[0-9a-f]{12}", str(value.get("account"))) is not None
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_CHECKS: Final[dict[str, Callable[[object], bool]]] = {
    "name": _is_text,
    "host": _is_text,
    "ports": _are_ports,
    "rdir": _is_port,
    "b2": _is_b2,
    "release": _is_text,
}
#: Not in the layouts of earlier versions, or only in those of some releases.
_OPTIONAL: Final = frozenset({"rdir", "b2", "release"})
