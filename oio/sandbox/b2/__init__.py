# SPDX-License-Identifier: Apache-2.0
"""The B2 service: the native API of Backblaze B2, versions 1 to 4, and what it keeps."""
