# SPDX-License-Identifier: Apache-2.0
"""The object storage API: facade and data path."""
