# SPDX-License-Identifier: Apache-2.0
"""The rdir: the reverse directory, which lists the chunks and containers of each volume."""
