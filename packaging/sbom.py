# SPDX-License-Identifier: Apache-2.0
"""Bill of materials, in CycloneDX, of the environment of this interpreter.

``python packaging/sbom.py > sbom.cdx.json`` in an environment that has the wheel, and nothing else but pip:
what is listed is what was installed.
"""

from __future__ import annotations

import json
import os
import re
import sys
import uuid
from datetime import datetime, timezone
from importlib.metadata import Distribution, distributions
from typing import Any

SUBJECT = "openio-sdk"
# Of the environment, not of the library.
_TOOLS = {"pip", "setuptools", "wheel"}


def normalised(name: str) -> str:
    """The name of a distribution as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def component(distribution: Distribution) -> dict[str, Any]:
    """One distribution: name, version, where it comes from and its licence, as it says itself."""
    data = distribution.metadata
    name, version = normalised(data["Name"]), data["Version"]
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"pkg:pypi/{name}@{version}",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
    }
    licence = data.get("License-Expression")
    classifiers = [text for text in data.get_all("Classifier") or () if text.startswith("License ::")]
    if licence:
        found["licenses"] = [{"expression": licence}]
    elif classifiers:
        found["licenses"] = [{"license": {"name": classifiers[-1].rpartition(" :: ")[2]}}]
    return found


def _needs(distribution: Distribution, there: dict[str, str]) -> list[str]:
    """References of what a distribution asks for, extras too, and which is there."""
    names = {normalised(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in distribution.requires or ()}
    return sorted(there[name] for name in names if name in there)


def bill() -> dict[str, Any]:
    """The bill, the same each time for the same versions and the same SOURCE_DATE_EPOCH."""
    found = {normalised(d.metadata["Name"]): d for d in distributions()}
    if SUBJECT not in found:
        raise SystemExit(f"{SUBJECT} is not installed in the environment of {sys.executable}")
    found = {name: found[name] for name in sorted(found) if name not in _TOOLS}
    parts = {name: component(distribution) for name, distribution in found.items()}
    references = {name: part["bom-ref"] for name, part in parts.items()}
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ' '.join(references.values()))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(seconds, timezone.utc).isoformat(),
            "component": parts[SUBJECT],
        },
        "components": [part for name, part in parts.items() if name != SUBJECT],
        "dependencies": [
            {"ref": references[name], "dependsOn": _needs(distribution, references)}
            for name, distribution in found.items()
        ],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=2)
    sys.stdout.write("\n")
