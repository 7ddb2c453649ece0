# SPDX-License-Identifier: Apache-2.0
"""Recount of containers and accounts, and of the chunks that are missing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from oio.api._operations.paging import Marker, all_containers, container_page, listed_versions, with_retries
from oio.api._operations.presence import count_missing
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.not_found import container_is_missing
from oio.common.retry import Attempts, Retry
from oio.common.storage_method import DRAINED

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.api.types import ContainerRow
    from oio.common.options import Options

REFRESH_ATTEMPTS = 3


def refresh_container(
    services: Services, account: str, container: str, attempts: int, options: Options
) -> None:
    """Have a container counted again in its account, or forgotten when it does not exist any more.

    :param attempts: attempts in all when the account knows of a later event
    :raises NotFound: the account does not know the container
    """
    # Without pauses: each reset has a later time than the one before.
    retry = Retry(attempts=attempts, on=(exc.Conflict,), statuses=(), unit=0)
    Attempts(retry, options.limits.per_request()).run(
        lambda: services.account.container_reset(account, container, time.time(), options=options.renewed())
    )
    try:
        services.container.container_touch(account, container, options=options.renewed())
    except exc.ClientException as err:
        if not container_is_missing(err):
            raise
        services.account.container_delete(account, container, time.time(), options=options.renewed())


def refresh_account(services: Services, account: str, options: Options) -> None:
    """Have an account, and all of its containers, counted again.

    :raises NotFound: there is no such account
    """
    services.account.account_refresh(account, options=options.renewed())

    def list_page(options: Options, limit: int | None, marker: Marker | None) -> list[ContainerRow]:
        after = None if marker is None else marker.name
        return container_page(services.account, account, options, limit=limit, marker=after)

    for name, *_ in all_containers(with_retries(list_page, options)):
        try:
            refresh_container(services, account, name, REFRESH_ATTEMPTS, options)
        except exc.NotFound:
            services.logger.debug("Container %r of account %r was forgotten meanwhile", name, account)


def refresh_accounts(services: Services, accounts: Iterable[str], options: Options) -> None:
    """Have accounts counted again, but for those that do not exist any more."""
    for account in accounts:
        try:
            refresh_account(services, account, options)
        except exc.NotFound:
            services.logger.debug("Account %r was deleted meanwhile", account)


def count_damage(
    services: Services, account: str | None, container: str | None, options: Options
) -> tuple[int, int]:
    """Count the versions of objects that lack chunks, and these chunks."""
    client = services.container
    losses = []
    for row in listed_versions(client, account, container, options):
        if row["deleted"] or row.get("chunk_method") == DRAINED:
            continue
        try:
            meta, chunks = client.content_locate(
                account,
                container,
                row["name"],
                version=row["version"],
                properties=False,
                options=options.renewed(),
            )
        except exc.NotFound:
            # Deleted since it was listed.
            continue
        with reading_answer():
            losses.append(count_missing(meta["chunk_method"], chunks))
    return sum(loss > 0 for loss in losses), sum(losses)
