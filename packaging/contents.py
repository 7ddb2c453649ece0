# SPDX-License-Identifier: Apache-2.0
"""Whether the files of a release hold what they should: ``python packaging/contents.py dist``."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

# A wheel is installed on every machine that runs a program; documentation and tests are not needed there.
LARGEST_WHEEL = 1 << 20
IN_SOURCES = (
    "docs/index.rst",
    "docs/releases",
    "docs/inventories/python.inv",
    "tests/conftest.py",
    "tests/wire/captures",
    "benchmarks/__main__.py",
    "examples/README.md",
    "packaging/Containerfile",
    ".ci/run",
    "CHANGELOG.md",
    "LICENSE",
)


def check_wheel(path: Path) -> None:
    """Only the package and its metadata, and small."""
    with zipfile.ZipFile(path) as wheel:
        tops = {name.split("/", 1)[0] for name in wheel.namelist()}
        names = set(wheel.namelist())
    others = {top for top in tops if top != "oio" and not top.endswith(".dist-info")}
    if others or "oio/py.typed" not in names:
        sys.exit(f"{path}: holds {sorted(tops)}, with {len(names)} files")
    if path.stat().st_size > LARGEST_WHEEL:
        sys.exit(f"{path}: {path.stat().st_size:,} bytes, more than {LARGEST_WHEEL:,}")
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(names)} files")


def check_sources(path: Path) -> None:
    """Documentation and tests too, and nothing that a build left."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = [wanted for wanted in IN_SOURCES if wanted not in names]
    left = [name for name in names if name.endswith(".pyc") or "_build" in name or ".egg-info/" in name]
    left = [name for name in left if not name.startswith("openio_sdk.egg-info/")]
    if missing or left:
        sys.exit(f"{path}: without {missing}, with {left}")
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(names)} files")


def main(folder: str) -> None:
    """Check the one wheel and the one archive of a folder."""
    (wheel,) = Path(folder).glob("*.whl")
    (sources,) = Path(folder).glob("*.tar.gz")
    check_wheel(wheel)
    check_sources(sources)


if __name__ == "__main__":
    main(sys.argv[1])
