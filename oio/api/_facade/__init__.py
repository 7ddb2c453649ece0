# SPDX-License-Identifier: Apache-2.0
"""The methods of the object storage API, by noun."""
