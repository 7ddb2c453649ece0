# SPDX-License-Identifier: Apache-2.0
"""The calls of the object storage API about accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from oio.api._facade.call import ApiBase, account_call, plain_call, warn_deprecated
from oio.api._facade.checks import (
    WrongType,
    check_limit,
    check_listing,
    check_properties,
    check_property_names,
)
from oio.api._operations.emptying import refresh_account, refresh_accounts
from oio.api.types import AccountInfo, AccountProperties, ContainerRow
from oio.common.answers import reading_answer


class AccountApi(ApiBase):
    """Calls about accounts."""

    @account_call
    def account_create(self, account: str, **kwargs: Any) -> bool:
        """Create an account.

        :param account: name of the account to create, 63 bytes of UTF-8 at most
        :returns: True if the account has been created, False if it existed

        >>> api.account_create("new")
        True
        """
        return self.account.account_create(account, **kwargs)

    @account_call
    def account_delete(self, account: str | None = None, **kwargs: Any) -> None:
        """Delete an account.

        :raises NoSuchAccount: there is none of this name
        :raises Conflict: it has containers

        >>> api.account_create("gone")
        True
        >>> api.account_delete("gone")
        """
        self.account.account_delete(account, **kwargs)

    @account_call
    def account_flush(self, account: str | None = None, **kwargs: Any) -> None:
        """Make an account forget its containers, which stay where they are, with their objects.

        :param account: name of the account to flush
        :raises NoSuchAccount: there is none of this name

        >>> api.account_flush("doc")
        >>> api.container_list("doc")
        []
        """
        self.account.account_flush(account, **kwargs)

    def account_refresh(self, account: str | None = None, **kwargs: Any) -> None:
        """Refresh counters of an account: each of its containers is counted again, and forgotten when it is
        not there any more.

        The containers send their counters by events: those of the account are right a moment later.

        :param account: name of the account to refresh, or None to refresh all accounts (slow)
        :raises NoSuchAccount: there is none of this name
        :raises Conflict: the account knows of an event of a container that is to come

        >>> api.account_refresh("doc")
        """
        if account is None:
            self._refresh_all(**kwargs)
        else:
            self._refresh(account, **kwargs)

    @account_call
    def _refresh(self, account: str, **kwargs: Any) -> None:
        refresh_account(self, account, kwargs)

    @plain_call
    def _refresh_all(self, **kwargs: Any) -> None:
        refresh_accounts(self, self.account.account_list(**kwargs), kwargs)

    def all_accounts_refresh(self, **kwargs: Any) -> None:
        """Deprecated: call :meth:`account_refresh` without an account."""
        warn_deprecated("all_accounts_refresh is deprecated, use account_refresh")
        self.account_refresh(None, **kwargs)

    @plain_call
    def account_list(self, **kwargs: Any) -> list[str]:
        """List known accounts, in no order.

        Account creation is asynchronous: an account that a container brought into being may appear after
        several seconds only.

        >>> "doc" in api.account_list()
        True
        """
        return self.account.account_list(**kwargs)

    @account_call
    def account_show(self, account: str | None = None, **kwargs: Any) -> AccountInfo:
        """Get information about an account.

        :returns: ``id``, ``bytes``, ``objects``, ``containers``, ``ctime`` (text, seconds), ``metadata``...
        :raises NoSuchAccount: there is none of this name

        >>> api.account_show("doc")["id"]
        'doc'
        """
        return cast("AccountInfo", self.account.account_show(account, **kwargs))

    @account_call
    def account_get_properties(self, account: str | None = None, **kwargs: Any) -> AccountProperties:
        """Get information about an account: that of :meth:`account_show`, ``metadata`` being ``properties``.

        >>> api.account_set_properties("doc", {"color": "blue"})
        >>> api.account_get_properties("doc")["properties"]
        {'color': 'blue'}
        """
        info = dict(self.account.account_show(account, **kwargs))
        with reading_answer():
            info["properties"] = {**info.get("properties", {}), **info.pop("metadata", {})}
        return cast("AccountProperties", info)

    @account_call
    def account_set_properties(
        self, account: str | None = None, properties: dict[str, str] | None = None, **kwargs: Any
    ) -> None:
        """Set properties of an account, which is created when it does not exist.

        :param properties: text to text; an empty value is kept

        >>> api.account_set_properties("doc", {"color": "blue"})
        """
        if properties is None:
            raise WrongType("properties must be a dict, not NoneType")
        self.account.account_update(account, check_properties("properties", properties), None, **kwargs)

    @account_call
    def account_del_properties(
        self, account: str | None = None, properties: Iterable[str] | None = None, **kwargs: Any
    ) -> None:
        """Remove properties of an account.

        :param properties: their names; with none, nothing is removed

        >>> api.account_del_properties("doc", ["color"])
        """
        self.account.account_update(account, None, check_property_names("properties", properties), **kwargs)

    def account_update(
        self,
        account: str | None = None,
        metadata: dict[str, str] | None = None,
        to_delete: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Deprecated: use :meth:`account_set_properties` and :meth:`account_del_properties`."""
        warn_deprecated("account_update is deprecated, use account_set_properties and account_del_properties")
        if to_delete:
            self.account_del_properties(account, to_delete, **kwargs)
        if metadata or not to_delete:
            self.account_set_properties(account, metadata or {}, **kwargs)

    @account_call
    def container_list(
        self,
        account: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
        end_marker: str | None = None,
        prefix: str | None = None,
        delimiter: str | None = None,
        s3_buckets_only: bool = False,
        **kwargs: Any,
    ) -> list[ContainerRow]:
        """Get the list of containers of an account, page by page.

        :param account: account in which the containers are
        :param limit: maximum number of results to return, 1000 by default
        :param marker: names after this one only
        :param end_marker: names before this one only
        :param prefix: names that begin so only
        :param delimiter: what follows it in names is folded into prefixes
        :param s3_buckets_only: only names that can be those of buckets
        :returns: lists of name, number of objects, number of bytes, 1 if the item is a prefix or 0 if it
            is a container, and modification time (seconds). The marker of the next page is the last name;
            only an empty page is the end.
        :raises NoSuchAccount: there is no such account

        >>> [name for name, objects, size, is_prefix, mtime in api.container_list("doc", prefix="box")]
        ['box']
        """
        check_limit(limit)
        check_listing(marker=marker, end_marker=end_marker, prefix=prefix, delimiter=delimiter)
        page = self.account.container_list(
            account, limit, marker, end_marker, prefix, delimiter, bool(s3_buckets_only), **kwargs
        )
        with reading_answer():
            return list(page["listing"])
