# SPDX-License-Identifier: Apache-2.0
"""Base of the clients of HTTP services, under its published name."""

from oio.common.http_api import HttpApi

__all__ = ["HttpApi"]
