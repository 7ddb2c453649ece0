# SPDX-License-Identifier: Apache-2.0
"""Output of commands as texts and pictures of terminals; ``python -m docs.record`` makes them again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

from oio.sandbox import Namespace

FOLDER = Path(__file__).parent / "recorded"
SESSIONS = {
    "objects": (
        "openio object create photos beach.jpg --policy EC --property place=Brest",
        "openio object list photos",
        "openio object show photos beach.jpg -c policy -c size -c hash -c meta.place",
        "openio object save photos beach.jpg --file copy.jpg && cmp beach.jpg copy.jpg && echo the same",
    ),
    "trees": (
        "openio sync site oio://web/www --sort-column Name",
        "rm site/old.html && echo '<h1>new</h1>' > site/index.html",
        "openio sync site oio://web/www --delete --sort-column Name",
        "openio object list web -c Name -c Size",
    ),
    "demo": ("python -m oio.sandbox demo letter.txt",),
}
_FILES = {
    "beach.jpg": bytes(range(256)) * 8000,
    "letter.txt": b"Dear reader,\n" * 200,
    "site/index.html": b"<h1>hello</h1>\n",
    "site/old.html": b"<h1>old</h1>\n",
    "site/css/style.css": b"h1 { color: teal }\n",
}
_VOLATILE = (
    (r"\b17\d{14}\b|\b18\d{14}\b", "VERSION"),
    (r"127\.0\.0\.1:\d+( :\d+)*", "ADDRESS"),
    (r"\d+\.\d ", "RATE "),
    (r" +", " "),
)

# Terminals are dark on light pages too, so one picture serves both themes.
_PAPER, _INK, _PROMPT, _FAINT = "#1d2330", "#d8dee9", "#8fd3a6", "#8794ab"
_FONT, _ADVANCE, _LINE, _MARGIN = 14, 8.43, 19, 16


def played(lines: Iterable[str]) -> str:
    """Output of a terminal that runs these commands against a namespace of their own."""
    shown: list[str] = []
    with tempfile.TemporaryDirectory() as folder, Namespace(rawx=9) as namespace:
        for name, data in _FILES.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        environment = os.environ | {
            "OIO_NS": namespace.name,
            "OIO_ACCOUNT": "demo",
            "OIO_PROXYD_URL": namespace.endpoint,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        for line in lines:
            ended = subprocess.run(
                line, shell=True, cwd=folder, env=environment, text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            shown += [f"$ {line}", *(text.rstrip() for text in ended.stdout.splitlines())]
    return "\n".join(shown) + "\n"


def steady(text: str) -> str:
    """The text without values that differ from run to run: versions, addresses, rates."""
    for pattern, name in _VOLATILE:
        text = re.sub(pattern, name, text)
    return text


def drawn(text: str, title: str) -> str:
    """The text as a picture of a terminal."""
    lines = text.splitlines()
    width = round(max(map(len, lines)) * _ADVANCE + 2 * _MARGIN)
    height = len(lines) * _LINE + 2 * _MARGIN
    fonts = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img"',
        f'  font-size="{_FONT}" font-family="{fonts}" fill="{_INK}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
    ]
    for number, line in enumerate(lines):
        if not line:
            continue
        place = f'x="{_MARGIN}" y="{_MARGIN + _FONT + number * _LINE}"'
        # Keeps columns aligned in any font.
        place += f' xml:space="preserve" textLength="{len(line) * _ADVANCE:.1f}"'
        if line.startswith("$ "):
            inner = f'<tspan fill="{_FAINT}">$</tspan><tspan fill="{_PROMPT}">{escape(line[1:])}</tspan>'
        else:
            inner = escape(line)
        parts.append(f"<text {place}>{inner}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Run the sessions, and write their output."""
    FOLDER.mkdir(exist_ok=True)
    for name, lines in SESSIONS.items():
        text = played(lines)
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
        (FOLDER / f"{name}.svg").write_text(drawn(text, lines[0]), encoding="utf-8")


if __name__ == "__main__":
    main()
