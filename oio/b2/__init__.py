# SPDX-License-Identifier: Apache-2.0
"""Client of Backblaze B2: HTTP, authorisation, uploads and downloads."""
