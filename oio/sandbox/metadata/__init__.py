# SPDX-License-Identifier: Apache-2.0
"""Metadata of a namespace: directory, containers, objects and storage policies."""
