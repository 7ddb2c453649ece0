# SPDX-License-Identifier: Apache-2.0
"""What every test shares."""

from __future__ import annotations
