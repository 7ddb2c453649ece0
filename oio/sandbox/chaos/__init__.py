# SPDX-License-Identifier: Apache-2.0
"""Chaos: all kinds of calls by many threads, while services fail, and a model of what was acknowledged."""
