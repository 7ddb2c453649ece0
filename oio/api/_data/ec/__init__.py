# SPDX-License-Identifier: Apache-2.0
"""Erasure coding."""
