# SPDX-License-Identifier: Apache-2.0
"""Calls of the object storage API about accounts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from oio.api import _operations as operations
from oio.api._facade.argument_checks import check_properties, check_property_names
from oio.api._facade.call import AccountCall, ApiBase, Call, warn_deprecated
from oio.common.answers import reading_answer
from oio.common.arguments import WrongType

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from oio.api.types import AccountInfo, AccountProperties, CallOptions
    from oio.common.answers import JsonObject


class AccountApi(ApiBase):
    """Calls about accounts."""

    def account_create(self, account: str, **kwargs: Unpack[CallOptions]) -> bool:
        """Create an account.

        :param account: name of the account to create, 63 bytes of UTF-8 at most
        :returns: True if the account has been created, False if it existed

        >>> api.account_create("new")
        True
        """
        with AccountCall(self, kwargs, account) as options:
            return self.account.account_create(account, options=options)

    def account_delete(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> None:
        """Delete an account.

        :raises NoSuchAccount: no such account
        :raises Conflict: it has containers

        >>> api.account_create("gone")
        True
        >>> api.account_delete("gone")
        """
        with AccountCall(self, kwargs, account) as options:
            self.account.account_delete(account, options=options)

    def account_flush(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> None:
        """Make an account forget its containers, which stay where they are, with their objects.

        :param account: name of the account to flush
        :raises NoSuchAccount: no such account

        >>> api.account_flush("doc")
        >>> api.container_list("doc")
        []
        """
        with AccountCall(self, kwargs, account) as options:
            self.account.account_flush(account, options=options)

    def account_refresh(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> None:
        """Refresh counters of an account: each of its containers is counted again, and forgotten when it is
        not there any more.

        The containers send their counters by events: those of the account are right a moment later.

        :param account: name of the account to refresh, or None to refresh all accounts (slow)
        :raises NoSuchAccount: no such account
        :raises Conflict: the account knows of an event of a container that is to come

        >>> api.account_refresh("doc")
        """
        if account is None:
            with Call(self, kwargs) as options:
                accounts = self.account.account_list(options=options)
                operations.recount.refresh_accounts(self, accounts, options)
        else:
            with AccountCall(self, kwargs, account) as options:
                operations.recount.refresh_account(self, account, options)

    def all_accounts_refresh(self, **kwargs: Unpack[CallOptions]) -> None:
        """Deprecated: call :meth:`account_refresh` without an account."""
        warn_deprecated("all_accounts_refresh is deprecated, use account_refresh")
        self.account_refresh(None, **kwargs)

    def account_list(self, **kwargs: Unpack[CallOptions]) -> list[str]:
        """List known accounts, in no order.

        Account creation is asynchronous: an account that a container brought into being may appear after
        several seconds only.

        >>> "doc" in api.account_list()
        True
        """
        with Call(self, kwargs) as options:
            return self.account.account_list(options=options)

    def account_show(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> AccountInfo:
        """Get information about an account.

        :returns: ``id``, ``bytes``, ``objects``, ``containers``, ``ctime`` (text, seconds), ``metadata``...;
            services of 2026 add ``regions``, ``shards`` and ``mtime``, and leave out ``damaged_objects``,
            ``missing_chunks`` and ``replication_enabled``
        :raises NoSuchAccount: no such account

        >>> api.account_show("doc")["id"]
        'doc'
        """
        with AccountCall(self, kwargs, account) as options:
            return cast("AccountInfo", _shown(self.account.account_show(account, options=options)))

    def account_get_properties(
        self, account: str | None = None, **kwargs: Unpack[CallOptions]
    ) -> AccountProperties:
        """Get information about an account: that of :meth:`account_show`, ``metadata`` being ``properties``.

        >>> api.account_set_properties("doc", {"color": "blue"})
        >>> api.account_get_properties("doc")["properties"]
        {'color': 'blue'}
        """
        with AccountCall(self, kwargs, account) as options:
            info = _shown(self.account.account_show(account, options=options))
            with reading_answer():
                known = info.get("properties", {}) | info.pop("metadata", {})
                # Services of 2026 have settings there, which are no text.
                info["properties"] = {key: value for key, value in known.items() if isinstance(value, str)}
            return cast("AccountProperties", info)

    def account_set_properties(
        self,
        account: str | None = None,
        properties: dict[str, str] | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> None:
        """Set properties of an account, which is created when it does not exist.

        :param properties: text to text; an empty value is kept

        >>> api.account_set_properties("doc", {"color": "blue"})
        """
        with AccountCall(self, kwargs, account) as options:
            if properties is None:
                raise WrongType("properties is required (a dict)")
            checked = check_properties("properties", properties)
            self.account.account_update(account, checked, None, options=options)

    def account_del_properties(
        self,
        account: str | None = None,
        properties: Iterable[str] | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> None:
        """Remove properties of an account.

        :param properties: their names; with none, nothing is removed

        >>> api.account_del_properties("doc", ["color"])
        """
        with AccountCall(self, kwargs, account) as options:
            names = check_property_names("properties", properties)
            self.account.account_update(account, None, names, options=options)

    def account_update(
        self,
        account: str | None = None,
        metadata: dict[str, str] | None = None,
        to_delete: Iterable[str] | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> None:
        """Deprecated: use :meth:`account_set_properties` and :meth:`account_del_properties`."""
        warn_deprecated("account_update is deprecated, use account_set_properties and account_del_properties")
        if to_delete:
            self.account_del_properties(account, to_delete, **kwargs)
        if metadata or not to_delete:
            self.account_set_properties(account, metadata or {}, **kwargs)


def _shown(info: JsonObject) -> JsonObject:
    """Description of an account, with its date as text: services of 2026 give a number."""
    info = dict(info)
    ctime = info.get("ctime")
    if isinstance(ctime, (int, float)):
        info["ctime"] = f"{ctime:.5f}"
    return info
