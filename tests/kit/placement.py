# SPDX-License-Identifier: Apache-2.0
"""Namespaces whose chunks always go to the same services."""

from __future__ import annotations

from dataclasses import replace

from oio.sandbox import Namespace


def place_in_order(namespace: Namespace, pool: str = "NONE") -> None:
    """Place chunk ``n`` of each metachunk on ``namespace.rawx[n]``.

    :param pool: the pool that places the chunks of the policy
    """
    conscience = namespace.conscience
    slots = []
    for number, rawx in enumerate(namespace.rawx):
        service = conscience.resolve("rawx", rawx.address)
        slots.append(f"rawx-at-{number}")
        tags = {**service.tags, "tag.slots": f"{service.tags['tag.slots']},{slots[-1]}"}
        conscience.register(replace(service, tags=tags))
    conscience.create_pool(pool, ";".join(f"1,{slot}" for slot in slots), force=True)
