# SPDX-License-Identifier: Apache-2.0
"""State that the routes of the proxy share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oio.sandbox.metadata.policies import Policies
    from oio.sandbox.metadata.store import Metadata
    from oio.sandbox.proxy.registry import Conscience


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
    #: Configuration that ``/v3.0/config`` shows and changes, to no other effect.
    variables: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        self.variables = {
            "core.lb.generate_random_chunk_ids": True,
            "meta2.max_versions": self.metadata.max_versions,
            "proxy.cache.enabled": True,
        }

    @property
    def namespace(self) -> str:
        """Name of the namespace."""
        return self.metadata.namespace
