# SPDX-License-Identifier: Apache-2.0
"""Steps of each call of the object storage API."""
