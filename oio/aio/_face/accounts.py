# SPDX-License-Identifier: Apache-2.0
"""Calls of ``oio.api._facade.accounts`` for event loops: ``tests.kit.face`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.aio._base import FaceBase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from typing_extensions import Unpack

    from oio.api.types import AccountInfo, AccountProperties, CallOptions


class AsyncAccountApi(FaceBase):
    """Calls about accounts."""

    async def account_create(self, account: str, **kwargs: Unpack[CallOptions]) -> bool:
        """Create an account.

        :param account: name of the account to create, 63 bytes of UTF-8 at most
        :returns: True if the account has been created, False if it existed
        """
        return await self._call(lambda: self.sync.account_create(account, **kwargs))

    async def account_delete(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> None:
        """Delete an account.

        :raises NoSuchAccount: no such account
        :raises Conflict: it has containers
        """
        return await self._call(lambda: self.sync.account_delete(account, **kwargs))

    async def account_flush(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> None:
        """Make an account forget its containers, which stay where they are, with their objects.

        :param account: name of the account to flush
        :raises NoSuchAccount: no such account
        """
        return await self._call(lambda: self.sync.account_flush(account, **kwargs))

    async def account_refresh(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> None:
        """Refresh counters of an account: each of its containers is counted again, and forgotten when it
        is
        not there any more.

        The containers send their counters by events: those of the account are right a moment later.

        :param account: name of the account to refresh, or None to refresh all accounts (slow)
        :raises NoSuchAccount: no such account
        :raises Conflict: the account knows of an event of a container that is to come
        """
        return await self._call(lambda: self.sync.account_refresh(account, **kwargs))

    async def all_accounts_refresh(self, **kwargs: Unpack[CallOptions]) -> None:
        """Deprecated: call :meth:`account_refresh` without an account."""
        return await self._call(lambda: self.sync.all_accounts_refresh(**kwargs))

    async def account_list(self, **kwargs: Unpack[CallOptions]) -> list[str]:
        """List known accounts, in no order.

        Account creation is asynchronous: an account that a container brought into being may appear after
        several seconds only.
        """
        return await self._call(lambda: self.sync.account_list(**kwargs))

    async def account_show(self, account: str | None = None, **kwargs: Unpack[CallOptions]) -> AccountInfo:
        """Get information about an account.

        :returns: ``id``, ``bytes``, ``objects``, ``containers``, ``ctime`` (text, seconds), ``metadata``...;
            services of 2026 add ``regions``, ``shards`` and ``mtime``, and leave out ``damaged_objects``,
            ``missing_chunks`` and ``replication_enabled``
        :raises NoSuchAccount: no such account
        """
        return await self._call(lambda: self.sync.account_show(account, **kwargs))

    async def account_get_properties(
        self, account: str | None = None, **kwargs: Unpack[CallOptions]
    ) -> AccountProperties:
        """Get information about an account: that of :meth:`account_show`, ``metadata`` being
        ``properties``.
        """
        return await self._call(lambda: self.sync.account_get_properties(account, **kwargs))

    async def account_set_properties(
        self,
        account: str | None = None,
        properties: dict[str, str] | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> None:
        """Set properties of an account, which is created when it does not exist.

        :param properties: text to text; an empty value is kept
        """
        return await self._call(lambda: self.sync.account_set_properties(account, properties, **kwargs))

    async def account_del_properties(
        self,
        account: str | None = None,
        properties: Iterable[str] | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> None:
        """Remove properties of an account.

        :param properties: their names; with none, nothing is removed
        """
        return await self._call(lambda: self.sync.account_del_properties(account, properties, **kwargs))

    async def account_update(
        self,
        account: str | None = None,
        metadata: dict[str, str] | None = None,
        to_delete: Iterable[str] | None = None,
        **kwargs: Unpack[CallOptions],
    ) -> None:
        """Deprecated: use :meth:`account_set_properties` and :meth:`account_del_properties`."""
        return await self._call(lambda: self.sync.account_update(account, metadata, to_delete, **kwargs))
