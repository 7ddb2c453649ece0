# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sphinx."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from oio import __version__

project = "openio-sdk"
author = "the maintainers of openio-sdk"
release = __version__
extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Client library for OpenIO SDS", "page_width": "60em"}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
