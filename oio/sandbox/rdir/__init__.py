# SPDX-License-Identifier: Apache-2.0
"""The rdir: an index of the chunks or containers of each volume."""
