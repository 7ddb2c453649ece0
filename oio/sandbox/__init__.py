# SPDX-License-Identifier: Apache-2.0
"""An embedded namespace: proxy, account and rawx services in one process."""
