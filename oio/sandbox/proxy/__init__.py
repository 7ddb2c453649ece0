# SPDX-License-Identifier: Apache-2.0
"""The proxy: its routes, and the registry of services behind it."""
