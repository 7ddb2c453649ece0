# SPDX-License-Identifier: Apache-2.0
"""Releases of the services, and their differences.

A :class:`Release` is a set of features; services ask for a feature, and never for a release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Release:
    """Differences of a release of the services from 7.3.

    :param name: of the release.
    :param chunk_hashes: a rawx hashes chunks as ``cca`` of their method says, serves short ones as far as
        they go, keeps ``X-oio-Ext-*`` attributes, and has the routes ``POST`` and ``list``.
    :param shallow_copy: whether a rawx copies chunks (``COPY``) unless it is told otherwise.
    :param computed_ids: chunk IDs are computed of container, name, version, position and policy, and
        containers keep of most chunks only the host.
    :param transitions: a change of policy must be asked for before its commit.
    :param version_markers: listings of all versions go on inside a name, and deletions tell the version.
    :param regions: containers and buckets have a region; the account service has routes for it.
    :param locks: versions of objects may be locked, containers drained or flushed by stages.
    :param shards: containers may be divided among others.
    :param paths_in_rdir: the rdir knows paths and versions.
    :param later_fields: answers have the fields that came later, and not those that went.
    """

    name: str
    chunk_hashes: bool = False
    shallow_copy: bool = True
    computed_ids: bool = False
    transitions: bool = False
    version_markers: bool = False
    regions: bool = False
    locks: bool = False
    shards: bool = False
    paths_in_rdir: bool = False
    later_fields: bool = False


R7_3: Final = Release("7.3")
#: The development head of April 2026.
R2026: Final = Release(
    "2026",
    chunk_hashes=True,
    shallow_copy=False,
    computed_ids=True,
    transitions=True,
    version_markers=True,
    regions=True,
    locks=True,
    shards=True,
    paths_in_rdir=True,
    later_fields=True,
)

RELEASES: Final = {release.name: release for release in (R7_3, R2026)}


def release_named(name: str) -> Release:
    """Return a release.

    :raises ValueError: there is none of that name.

    >>> release_named("7.3").chunk_hashes
    False
    """
    if name not in RELEASES:
        known = ", ".join(map(repr, RELEASES))
        raise ValueError(f"release={name!r}: there are {known}")
    return RELEASES[name]
