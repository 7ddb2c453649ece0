# SPDX-License-Identifier: Apache-2.0
"""The calls of the facade, for event loops."""
