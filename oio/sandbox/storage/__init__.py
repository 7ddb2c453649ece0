# SPDX-License-Identifier: Apache-2.0
"""Building blocks of the stores: durable databases and files, delayed news, listings."""
