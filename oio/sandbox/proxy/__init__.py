# SPDX-License-Identifier: Apache-2.0
"""The routes of the proxy, by what they are about, and what they share."""
