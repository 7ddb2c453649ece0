# SPDX-License-Identifier: Apache-2.0
"""Values, HTTP, green threads and exceptions: shared by every part of the library."""
