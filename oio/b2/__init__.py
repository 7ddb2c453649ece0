# SPDX-License-Identifier: Apache-2.0
"""What is behind the client of Backblaze B2: HTTP, authorisation, uploads and downloads."""
