# SPDX-License-Identifier: Apache-2.0
"""Measurements of the client beside the bare limit of the machine: ``python -m benchmarks``."""
