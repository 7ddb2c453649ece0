# SPDX-License-Identifier: Apache-2.0
"""The proxy: its routes, by subject, and the registry of services behind it."""
