# SPDX-License-Identifier: Apache-2.0
"""Containers and objects: the directory and the databases of containers, and storage policies."""
