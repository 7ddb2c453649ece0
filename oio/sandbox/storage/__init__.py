# SPDX-License-Identifier: Apache-2.0
"""What the stores of all services are built of: durable databases and files, and listings."""
