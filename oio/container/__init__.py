# SPDX-License-Identifier: Apache-2.0
"""Client of containers and contents."""
