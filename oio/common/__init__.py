# SPDX-License-Identifier: Apache-2.0
"""What every layer of the library shares."""
