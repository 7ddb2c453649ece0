# SPDX-License-Identifier: Apache-2.0
"""What the namespace remembers, in SQLite: the directory, containers, objects, accounts. No sockets here."""
