# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as each service of the namespace speaks it: connections, answers, and faults committed on them."""
