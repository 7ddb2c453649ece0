# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 servers that speak as each service does, and inject faults."""
