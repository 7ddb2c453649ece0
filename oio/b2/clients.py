# SPDX-License-Identifier: Apache-2.0
"""Clients of the accounts of Backblaze B2 that a program uses: made when they are first needed."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oio.b2.credentials import DEFAULT_KEY_FILE, BackblazeUtils
from oio.common import exceptions as exc

if TYPE_CHECKING:
    from oio.b2.client import Backblaze
    from oio.b2.retry import Backoff
    from oio.common.options import Options


@dataclass(frozen=True, slots=True)
class Bucket:
    """Access to a bucket.

    :param client: of its account, with the time limits of a call
    :param name: of the bucket
    """

    client: Backblaze
    name: str


class B2Clients:
    """Clients of accounts, shared by threads.

    :param backoff: of all clients, see :class:`~oio.api.backblaze_http.Backblaze`
    :param part_size: of all clients (bytes)
    """

    def __init__(self, backoff: Backoff | None = None, part_size: int | None = None) -> None:
        self._backoff = backoff
        self._part_size = part_size
        self._clients: dict[tuple[str, str, str | None], Backblaze] = {}
        self._lock = threading.Lock()

    @staticmethod
    def has_credentials(options: Options) -> bool:
        """Tell whether there is a file of credentials; without one, no object is in Backblaze."""
        return bool(options.key_file) or os.path.exists(DEFAULT_KEY_FILE)

    def bucket(self, storage_method: object, options: Options) -> Bucket:
        """Get access to the bucket of a storage method.

        :param storage_method: anything with ``account_id`` and ``bucket_name``
        :param options: of the call
        :raises ConfigurationException: there are no credentials for the bucket
        :raises InvalidStorageMethod: a library is missing
        """
        try:
            from oio.b2.client import Backblaze
        except ImportError as err:
            # The library is not needed without Backblaze (pitfall 83).
            raise exc.InvalidStorageMethod(f"objects in Backblaze need a library: {err}") from err
        info = BackblazeUtils.get_credentials(storage_method, options.key_file)
        account, secret = info["backblaze.account_id"], info["backblaze.application_key"]
        api_url = options.backblaze_api_url or info.get("backblaze.api_url")
        key = (account, secret, api_url)
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = Backblaze(
                    account,
                    secret,
                    api_url=api_url,
                    authorize=False,
                    backoff=self._backoff,
                    part_size=self._part_size,
                )
        limits = options.limits
        return Bucket(client.with_timeouts(limits.connection, limits.read), info["bucket_name"])

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()
