# SPDX-License-Identifier: Apache-2.0
"""A Sphinx directive that shows the section of a release of CHANGELOG.md."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

FILE = Path(__file__).parent.parent / "CHANGELOG.md"


def sections(text: str) -> dict[str, str]:
    """Text under each second-level heading, by name of the release, without the date."""
    parts = re.split(r"^## +(\S+).*\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def as_rest(text: str) -> str:
    """Convert the subset of Markdown that the file uses to reStructuredText."""
    text = re.sub(r"`docs/([\w/-]+)\.rst`", r":doc:`/\1`", text)
    text = re.sub(r"(?<![:`])(?<!:doc:)`([^`\n]+)`", r"``\1``", text)
    return re.sub(r"^### +(.*)$", r".. rubric:: \1", text, flags=re.MULTILINE)


class Changes(SphinxDirective):
    """``.. changes:: 1.0.0``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The section; a release without one fails the build."""
        self.env.note_dependency(str(FILE))
        text = sections(FILE.read_text(encoding="utf-8")).get(self.arguments[0])
        if not text:
            raise self.error(f"CHANGELOG.md has nothing about {self.arguments[0]}")
        return self.parse_text_to_nodes(as_rest(text))
