# SPDX-License-Identifier: Apache-2.0
"""Bulk work: requests about many names, their deletion, and actions on several things in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, cast

from oio.common import exceptions as exc
from oio.common import green
from oio.common.answers import reading_answer
from oio.container._removal import Deletion

if TYPE_CHECKING:
    from oio.api._operations.services import Services
    from oio.common.options import Options

BULK_LIMIT = 100
"""Names that a proxy takes in one request, unless its configuration says otherwise."""
PARALLEL_CHUNKS = 8
"""Chunks of one object that are looked at in parallel."""

_T = TypeVar("_T")
_R = TypeVar("_R")

Results: TypeAlias = "list[tuple[str, _R]]"
"""Names, and what the service tells of each."""
Wanted: TypeAlias = "tuple[str, int | str | None]"
"""Name of an object, and the version to delete; None for the latest one."""


class Ask(Protocol[_R]):
    """Sends a request about several names."""

    def __call__(self, names: list[str], /, *, options: Options) -> Results[_R]:
        """Send it."""


def in_bulk(names: list[str], ask: Ask[_R], options: Options) -> Results[_R]:
    """Ask about many names in as few requests as the proxy allows.

    :param ask: sends a request about several names
    :param options: of the call
    :returns: the answers about all the names, in their order; about none, nothing is asked
    """
    results: Results[_R] = []
    for begin in range(0, len(names), BULK_LIMIT):
        batch = names[begin : begin + BULK_LIMIT]
        answers = ask(batch, options=options.renewed())
        results += answers if [name for name, _ in answers] == batch else _as_asked(batch, answers)
    return results


def _as_asked(names: list[str], answers: Results[_R]) -> Results[_R]:
    """Bring answers into the order of the names, of which each may be there several times."""
    known: dict[str, list[_R]] = {}
    with reading_answer():
        for name, answer in reversed(answers):
            known.setdefault(name, []).append(answer)
        return [(name, known[name].pop()) for name in names]


def in_parallel(action: Callable[[_T], _R], items: Iterable[_T], width: int) -> list[_R]:
    """Act on each of several items, a few at a time, and on all of them even when some fail.

    :param width: items at a time
    :returns: the results, in the order of the items
    :raises OioException: the first of the failures
    """
    work = list(items)
    if len(work) < 2:
        return [action(item) for item in work]
    from oio.blob.connect import OWN_THREAD_CANDIDATES, reraise_foreign

    errors: list[BaseException] = []

    def act(item: _T) -> _R | None:
        try:
            return action(item)
        except OWN_THREAD_CANDIDATES as err:
            reraise_foreign(err)
            errors.append(err)
            return None

    with green.ContextPool(width) as pool:
        threads = [pool.spawn(act, item) for item in work]
        results = [thread.wait() for thread in threads]
    if errors:
        raise errors[0]
    return cast("list[_R]", results)


def delete_each(
    services: Services,
    account: str | None,
    container: str | None,
    wanted: list[Wanted],
    options: Options,
    *,
    bypass_governance: bool = False,
) -> Results[Deletion]:
    """Delete objects in their order: many at once by their names, and versions one by one.

    A request about many could name versions too, but services of 7.3 ignore them, and delete the latest ones.

    :param bypass_governance: also those that have to be retained; then one by one, as nobody knows whether
        services take that in requests about many
    """
    client = services.container
    results: Results[Deletion] = []
    for version, group in groupby(wanted, itemgetter(1)):
        names = [name for name, _ in group]
        if version is None and not bypass_governance:
            results += in_bulk(names, partial(client.content_delete_many_ext, account, container), options)
            continue
        for name in names:
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
            results.append((name, deletion))
    return results
