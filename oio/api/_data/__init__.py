# SPDX-License-Identifier: Apache-2.0
"""Data of metachunks: copies, fragments and files."""
