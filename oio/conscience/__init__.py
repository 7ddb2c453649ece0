# SPDX-License-Identifier: Apache-2.0
"""Client of the conscience: services, scores, load balancing."""
