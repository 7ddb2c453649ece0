# SPDX-License-Identifier: Apache-2.0
"""What empties containers, thins their versions out, and makes accounts count again: many requests each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import filterfalse, groupby
from typing import Any

from oio.api._facade.call import ApiBase
from oio.api._operations.leftovers import Leftovers, credentials_are_known
from oio.api._operations.paging import all_containers, all_versions, make_page, patiently
from oio.common import exceptions as exc
from oio.common.answers import reading_answer
from oio.common.cache import forget_object
from oio.common.constants import M2_PROP_VERSIONING_POLICY
from oio.common.deadlines import hard_deadline, renewed_options

BULK_LIMIT = 100
"""How many names a proxy takes in one request, unless its configuration says otherwise."""

REFRESH_ATTEMPTS = 3

_NO_CONTAINER = (406, 431)
_UNVERSIONED = (0, 1)

Results = list[tuple[str, bool]]
_Key = tuple[str, int]
"""Name and version of an object."""


# --- requests about many names -----------------------------------------------------------------------


def in_bulk(names: list[str], ask: Callable[..., Results], kwargs: dict[str, Any]) -> Results:
    """Ask for what many names need in as few requests as the proxy allows.

    :param ask: sends a request about several names, with the options of a request
    :param kwargs: options of the call
    :returns: the answers about all the names, in their order
    """
    results: Results = []
    # An empty list is worth a request too: what becomes of it is for the service to say.
    for begin in range(0, max(len(names), 1), BULK_LIMIT):
        batch = names[begin : begin + BULK_LIMIT]
        results += _as_asked(batch, ask(batch, **renewed_options(kwargs)))
    return results


def _as_asked(names: list[str], answers: Results) -> Results:
    """Check that there is an answer about each name; a name may be there several times."""
    known: dict[str, list[bool]] = {}
    for name, answer in reversed(answers):
        known.setdefault(name, []).append(answer)
    with reading_answer():
        return [(name, known[name].pop()) for name in names]


# --- emptying ----------------------------------------------------------------------------------------


def _key(row: dict[str, Any]) -> _Key:
    return row["name"], row["version"]


def _named(container: str | None, kwargs: dict[str, Any]) -> str:
    return repr(container or kwargs.get("cid"))


def flush(api: ApiBase, account: str | None, container: str | None, kwargs: dict[str, Any]) -> None:
    """Delete all the versions of all the objects of a container, and the delete markers.

    :raises OioException: nothing of what is listed could be deleted
    """
    # A replica that is late would show again what was deleted (pitfalls row 109).
    options = {**kwargs, "force_master": True}
    gone: set[_Key] = set()
    while True:
        page = make_page(
            *api.container.content_list(account, container, versions=True, **renewed_options(options))
        )
        rows = page["objects"]
        if not rows and not page["truncated"]:
            return
        if rows and gone.issuperset(map(_key, rows)):
            raise exc.OioException(
                f"what was deleted of container {_named(container, kwargs)} is still there"
            )
        emptying = _Emptying(api, account, container, options)
        emptying.delete(rows, page["system"])
        if not emptying.progress:
            raise exc.OioException(
                f"nothing of {len(rows)} versions in container {_named(container, kwargs)} could be deleted"
                + (f": {emptying.refusal}" if emptying.refusal else "")
            ) from emptying.refusal
        gone = emptying.gone


class _Emptying:
    """The deletion of what a page of versions lists.

    Objects of one version are deleted by name, many at once, unless the container says that this only hides
    them; others version by version. Where it is the namespace that keeps versions, the next page shows them
    again, with their delete markers.
    """

    def __init__(
        self, api: ApiBase, account: str | None, container: str | None, options: dict[str, Any]
    ) -> None:
        self._api = api
        self._target = (account, container)
        self._options = options
        self._leftovers = Leftovers(api, account, container, options)
        self.progress = False
        #: The versions that the service says are deleted.
        self.gone: set[_Key] = set()
        #: The last reason not to delete one.
        self.refusal: exc.ClientException | None = None

    def delete(self, rows: list[dict[str, Any]], system: dict[str, str]) -> None:
        """Delete versions.

        :param system: properties of the container
        """
        versions = Counter(row["name"] for row in rows)
        versioned = max_versions(system) not in (None, *_UNVERSIONED)

        def is_single(row: dict[str, Any]) -> bool:
            return versions[row["name"]] == 1 and not row["deleted"] and not versioned

        single = list(filter(is_single, rows))
        self._leftovers.look_at_listed(rows)
        try:
            with self._leftovers.swept():
                self._delete_by_name(single)
                # The oldest ones first: none must appear in the place of a newer one.
                for row in reversed(list(filterfalse(is_single, rows))):
                    self._delete_version(row)
                if single and not self.progress:
                    # Answers about many do not say why.
                    self._delete_version(single[0])
        finally:
            for name in versions:
                forget_object(*self._target, name, **self._options)

    def _delete_by_name(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            ask = partial(self._api.container.content_delete_many, *self._target)
            results = in_bulk([row["name"] for row in rows], ask, self._options)
            self.gone |= {_key(row) for row, (_, deleted) in zip(rows, results, strict=True) if deleted}
            self.progress = bool(self.gone)

    def _delete_version(self, row: dict[str, Any]) -> None:
        try:
            try:
                self._send(row["name"], row["version"])
                self.gone.add(_key(row))
            except exc.BadRequest:
                # Versions were kept, and are no more: the service takes them in their order only.
                self._send(row["name"], None)
            self.progress = True
        except exc.NotFound:
            self.gone.add(_key(row))
            self.progress = True
        except exc.ClientException as err:
            self.refusal = err

    def _send(self, name: str, version: int | None) -> None:
        self._api.container.content_delete(
            *self._target, name, version=version, **renewed_options(self._options)
        )


def flush_fast(api: ApiBase, account: str | None, container: str | None, kwargs: dict[str, Any]) -> None:
    """Make the service delete all the objects of a container.

    :raises OioException: the container is the same after a request as before
    """
    options = {**kwargs, "force_master": True}
    leftovers = Leftovers(api, account, container, options)
    if credentials_are_known(kwargs):
        leftovers.look_at_listed(listed_versions(api, account, container, options))
    with leftovers.swept():
        _flush_fast(api, account, container, kwargs, options)


def _flush_fast(
    api: ApiBase,
    account: str | None,
    container: str | None,
    kwargs: dict[str, Any],
    options: dict[str, Any],
) -> None:
    before = None
    while api.container.container_flush(account, container, **renewed_options(kwargs))["truncated"]:
        page = make_page(
            *api.container.content_list(
                account, container, versions=True, limit=1, **renewed_options(options)
            )
        )
        now = page["objects"], page["system"]
        if now == before:
            raise exc.OioException(
                f"container {_named(container, kwargs)} is not emptied, nor does it change"
            )
        before = now


def listed_versions(
    api: ApiBase, account: str | None, container: str | None, options: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """All the versions of all the objects of a container."""

    def list_page(**page: Any) -> dict[str, Any]:
        return make_page(
            *api.container.content_list(account, container, versions=True, **page, **renewed_options(options))
        )

    return all_versions(patiently(list_page, hard_deadline(options)))


# --- purge -------------------------------------------------------------------------------------------


def max_versions(system: dict[str, str]) -> int | None:
    """How many versions a container keeps, if it says so in numbers."""
    try:
        return int(system[M2_PROP_VERSIONING_POLICY])
    except (KeyError, ValueError):
        return None


def versions_to_keep(api: ApiBase, account: str | None, container: str | None, kwargs: dict[str, Any]) -> int:
    """How many versions of an object are kept: what the container says, else the namespace."""
    system = api.container.container_get_properties(account, container, **kwargs)["system"]
    known = max_versions(system)
    if known is not None:
        return known
    _, config = api.proxy_client._request("GET", "config", **renewed_options(kwargs))
    with reading_answer(api.proxy_client.proxy_netloc):
        return int(config["meta2.max_versions"])


def purge(
    api: ApiBase, account: str | None, container: str | None, kept: int, kwargs: dict[str, Any]
) -> None:
    """Delete the versions of each object but the newest ones; delete markers are left, and do not count.

    :param kept: number of versions
    """
    options = {**kwargs, "force_master": True}
    listed = listed_versions(api, account, container, options)
    for name, versions in groupby(listed, lambda row: str(row["name"])):
        exceeding = [row for row in versions if not row["deleted"]][kept:]
        leftovers = Leftovers(api, account, container, options)
        leftovers.look_at_listed(exceeding)
        with leftovers.swept():
            for row in reversed(exceeding):
                _drop(api, account, container, name, row["version"], renewed_options(options))


def _drop(
    api: ApiBase, account: str | None, container: str | None, name: str, version: Any, options: dict[str, Any]
) -> None:
    try:
        api.container.content_delete(account, container, name, version=version, **options)
    except exc.NotFound:
        api.logger.debug("Version %s of %r was deleted meanwhile", version, name)
    finally:
        forget_object(account, container, name, **options)


# --- counters ----------------------------------------------------------------------------------------


def refresh_container(
    api: ApiBase, account: str, container: str, attempts: int, kwargs: dict[str, Any]
) -> None:
    """Have a container counted again in its account, or forgotten when it is not there any more.

    :param attempts: how often to try when the account knows of a later event
    :raises NotFound: the account does not know the container
    """
    for attempt in range(1, attempts + 1):
        try:
            api.account.container_reset(account, container, time.time(), **renewed_options(kwargs))
            break
        except exc.Conflict:
            if attempt == attempts:
                raise
    try:
        api.container.container_touch(account, container, **renewed_options(kwargs))
    except exc.ClientException as err:
        if err.status not in _NO_CONTAINER:
            raise
        destroyed = {"dtime": time.time()}
        api.account.container_update(account, container, destroyed, **renewed_options(kwargs))


def refresh_account(api: ApiBase, account: str, kwargs: dict[str, Any]) -> None:
    """Have an account, and all of its containers, counted again.

    :raises NotFound: there is no such account
    """
    api.account.account_refresh(account, **renewed_options(kwargs))

    def list_page(**page: Any) -> list[Any]:
        body = api.account.container_list(account, **page, **renewed_options(kwargs))
        with reading_answer():
            return list(body["listing"])

    for name, *_ in all_containers(patiently(list_page, hard_deadline(kwargs))):
        try:
            refresh_container(api, account, name, REFRESH_ATTEMPTS, kwargs)
        except exc.NotFound:
            api.logger.debug("Container %r of account %r was forgotten meanwhile", name, account)


def refresh_accounts(api: ApiBase, accounts: Iterable[str], kwargs: dict[str, Any]) -> None:
    """Have accounts counted again, but for those that are not there any more."""
    for account in accounts:
        try:
            refresh_account(api, account, kwargs)
        except exc.NotFound:
            api.logger.debug("Account %r was deleted meanwhile", account)
