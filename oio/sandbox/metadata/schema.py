# SPDX-License-Identifier: Apache-2.0
"""Database tables of the directory and of containers."""

from __future__ import annotations

from typing import Final

#: Names are compared as bytes, which is the order of listings. The properties of a base are text, counters
#: included, as in the real service: a client can overwrite any of them.
METADATA: Final = """
CREATE TABLE IF NOT EXISTS "references" (
    cid TEXT PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS reference_properties (
    cid TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (cid, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS links (
    cid TEXT NOT NULL, type TEXT NOT NULL, seq INTEGER NOT NULL, host TEXT NOT NULL, args TEXT NOT NULL,
    PRIMARY KEY (cid, type, seq)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS bases (
    id INTEGER PRIMARY KEY, cid TEXT NOT NULL UNIQUE, changed INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS base_properties (
    base INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (base, key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS aliases (
    base INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, content TEXT NOT NULL,
    deleted INTEGER NOT NULL, ctime INTEGER NOT NULL, mtime INTEGER NOT NULL,
    PRIMARY KEY (base, name, version DESC)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS aliases_by_content ON aliases (base, content);

CREATE TABLE IF NOT EXISTS headers (
    base INTEGER NOT NULL, id TEXT NOT NULL, size INTEGER NOT NULL, hash TEXT NOT NULL, policy TEXT NOT NULL,
    chunk_method TEXT NOT NULL, mime_type TEXT NOT NULL, PRIMARY KEY (base, id)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS chunks (
    base INTEGER NOT NULL, content TEXT NOT NULL, url TEXT NOT NULL, pos TEXT NOT NULL, size INTEGER NOT NULL,
    hash TEXT NOT NULL, PRIMARY KEY (base, content, url)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunks_by_url ON chunks (base, url);

CREATE TABLE IF NOT EXISTS properties (
    base INTEGER NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, key TEXT NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (base, name, version, key)
) WITHOUT ROWID;

-- Policies that objects are about to get.
CREATE TABLE IF NOT EXISTS transitions (
    base INTEGER NOT NULL, content TEXT NOT NULL, policy TEXT NOT NULL, PRIMARY KEY (base, content)
) WITHOUT ROWID;

-- Names up to which each shard of a container goes, that one included; empty for the last.
CREATE TABLE IF NOT EXISTS shards (
    base INTEGER NOT NULL, lower TEXT NOT NULL, upper TEXT NOT NULL, cid TEXT NOT NULL,
    PRIMARY KEY (base, lower)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, news TEXT NOT NULL);
"""

#: The tables with a row for each thing of a base.
BASE_TABLES: Final = (
    *("base_properties", "aliases", "headers", "chunks", "properties"),
    *("transitions", "shards"),
)
