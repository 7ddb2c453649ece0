# SPDX-License-Identifier: Apache-2.0
"""The rawx: servers of chunks, and the chunks on their volumes."""
