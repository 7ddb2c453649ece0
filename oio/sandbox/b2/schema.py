# SPDX-License-Identifier: Apache-2.0
"""Database tables of the B2 service."""

from __future__ import annotations

from typing import Final

#: Names are compared as bytes, which is the order of listings. A file uploaded at once has one part. Tokens
#: stay for a while after they expire, because a client is told whether its token is expired or unknown.
B2: Final = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, secret TEXT NOT NULL, name TEXT NOT NULL, capabilities TEXT NOT NULL, bucket TEXT,
    prefix TEXT
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS tokens (
    token TEXT PRIMARY KEY, key TEXT NOT NULL, ends REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS places (
    id TEXT PRIMARY KEY, token TEXT NOT NULL, bucket TEXT NOT NULL, file TEXT,
    prefix TEXT, ends REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS buckets (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, type TEXT NOT NULL, info TEXT NOT NULL,
    revision INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS versions (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, name TEXT NOT NULL, stamp INTEGER NOT NULL UNIQUE,
    action TEXT NOT NULL, length INTEGER NOT NULL, sha1 TEXT, type TEXT, info TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS versions_by_name ON versions (bucket, name, stamp DESC);

CREATE TABLE IF NOT EXISTS parts (
    file TEXT NOT NULL, number INTEGER NOT NULL, length INTEGER NOT NULL, sha1 TEXT NOT NULL,
    stamp INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (file, number)
) WITHOUT ROWID;
"""
