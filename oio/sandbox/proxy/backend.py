# SPDX-License-Identifier: Apache-2.0
"""State that the routes of the proxy share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oio.sandbox.metadata.policies import SERVICE_UPDATE_POLICY
from oio.sandbox.metadata.versions import FLUSH_PAGE

if TYPE_CHECKING:
    from oio.sandbox.metadata.policies import Policies
    from oio.sandbox.metadata.store import Metadata
    from oio.sandbox.proxy.registry import Conscience
    from oio.sandbox.releases import Release


@dataclass
class Backend:
    """Stores and settings behind the proxy; safe from many threads.

    :param metadata: containers and objects.
    :param conscience: services.
    :param policies: storage policies.
    :param chunk_size: size of chunks in bytes.
    :param worm: whether objects cannot be deleted.
    """

    metadata: Metadata
    conscience: Conscience
    policies: Policies
    chunk_size: int
    worm: bool = False
    #: Where the namespace is.
    region: str = "localhost"
    #: Objects that a flush or a drain takes at once.
    flush_limit: int = FLUSH_PAGE
    #: Configuration that ``/v3.0/config`` shows and changes, to no other effect.
    variables: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        self.variables = {
            "core.lb.generate_random_chunk_ids": True,
            "meta2.max_versions": self.metadata.max_versions,
            "proxy.cache.enabled": True,
        }
        if self.release.computed_ids:
            self.variables = {
                "core.chunk_size.max": "0",
                "core.chunk_size.min": "10000000",
                "core.lb.generate_random_chunk_ids": "off",
                "core.sds.adapt_metachunk_size": "on",
                "meta2.max_versions": str(self.metadata.max_versions),
                "ns.chunk_size": str(self.chunk_size),
                "ns.region": self.region,
                "ns.service_update_policy": SERVICE_UPDATE_POLICY,
                "ns.storage_policy": self.policies.default,
                "proxy.bulk.max.create_many": "100",
                "proxy.bulk.max.delete_many": "250",
                "proxy.cache.enabled": "off",
                "proxy.quirk.local_scores": "off",
            }

    @property
    def release(self) -> Release:
        """What the services behave like."""
        return self.metadata.release

    @property
    def namespace(self) -> str:
        """Name of the namespace."""
        return self.metadata.namespace
