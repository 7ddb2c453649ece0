# SPDX-License-Identifier: Apache-2.0
"""The B2 service: native API of Backblaze B2, versions 1 to 4, and its store."""
