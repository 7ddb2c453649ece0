# SPDX-License-Identifier: Apache-2.0
"""Methods of the object storage API, by noun."""
