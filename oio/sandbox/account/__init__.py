# SPDX-License-Identifier: Apache-2.0
"""The account service: accounts, the counters of their containers, and buckets."""
