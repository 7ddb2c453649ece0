# SPDX-License-Identifier: Apache-2.0
"""Client of the directory of references."""
