# SPDX-License-Identifier: Apache-2.0
"""Deletion of several objects, and of versions of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, TypeAlias

from oio.api._operations.bulk import in_bulk
from oio.common import exceptions as exc
from oio.container._removal import Deletion

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.common.options import Options

Wanted: TypeAlias = "tuple[str, int | str | None]"
"""Name of an object, and the version to delete; None for the latest one."""


def delete_each(
    services: Services,
    account: str | None,
    container: str | None,
    wanted: list[Wanted],
    options: Options,
    *,
    bypass_governance: bool = False,
) -> Iterator[tuple[str, Deletion]]:
    """Delete objects in their order: many at once by their names, and versions one by one.

    A request about many could name versions too, but services of 7.3 ignore them, and delete the latest ones.

    :param bypass_governance: also those that have to be retained; then one by one, as nobody knows whether
        services take that in requests about many
    """
    client = services.container
    ask = partial(client.content_delete_many_ext, account, container)
    for one_by_one, group in groupby(wanted, lambda item: bypass_governance or item[1] is not None):
        if not one_by_one:
            yield from in_bulk([name for name, _ in group], ask, options)
            continue
        for name, version in group:
            try:
                deletion = client.content_delete_ext(
                    account,
                    container,
                    name,
                    version=version,
                    bypass_governance=bypass_governance,
                    options=options.renewed(),
                )
            except exc.ClientException as err:
                deletion = Deletion.refused(err, version)
            yield name, deletion
