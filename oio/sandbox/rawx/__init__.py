# SPDX-License-Identifier: Apache-2.0
"""The rawx: chunk servers and the chunks on their volumes."""
