# SPDX-License-Identifier: Apache-2.0
"""Clients of the accounts of Backblaze B2 that a program uses: made when they are first needed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from oio.b2.credentials import BackblazeUtils
from oio.b2.written_files import WrittenFiles
from oio.common import exceptions as exc
from oio.common import green

if TYPE_CHECKING:
    from oio.b2.client import Backblaze
    from oio.b2.retry import Backoff
    from oio.common.options import Options


class Bucket(NamedTuple):
    """Access to a bucket.

    :param client: of its account, with the time limits of a call
    :param name: of the bucket
    """

    client: Backblaze
    name: str


@functools.cache
def _client_class() -> type[Backblaze]:
    """Import the client, whose library is not needed without Backblaze (pitfall 83).

    :raises InvalidStorageMethod: the library is missing
    """
    try:
        from oio.b2.client import Backblaze
    except ImportError as err:
        text = f"objects in Backblaze need a library, which 'pip install requests' brings: {err}"
        raise exc.InvalidStorageMethod(text) from err
    return Backblaze


class B2Clients:
    """Clients of accounts, shared by threads.

    :param backoff: of all clients, see :class:`~oio.api.backblaze_http.Backblaze`
    :param part_size: of all clients (bytes)
    :param ca_certs: PEM file of the authorities to trust, instead of the usual ones
    """

    def __init__(
        self, backoff: Backoff | None = None, part_size: int | None = None, ca_certs: str | None = None
    ) -> None:
        self._backoff = backoff
        self._ca_certs = ca_certs
        self._part_size = part_size
        self._clients: dict[tuple[str, str, str | None], Backblaze] = {}
        #: Files that may have to be deleted later.
        self.written = WrittenFiles()
        self._lock = green.Lock()

    def bucket(self, storage_method: object, options: Options) -> Bucket:
        """Get access to the bucket of a storage method.

        :param storage_method: anything with ``account_id`` and ``bucket_name``
        :param options: of the call
        :raises ConfigurationException: there are no credentials for the bucket
        :raises InvalidStorageMethod: a library is missing
        """
        _client_class()
        info = BackblazeUtils.get_credentials(storage_method, options.key_file)
        account, secret = info["backblaze.account_id"], info["backblaze.application_key"]
        key = account, secret, options.backblaze_api_url or info.get("backblaze.api_url")
        client = self._clients.get(key) or self._make(*key)
        limits = options.limits
        return Bucket(client.with_timeouts(limits.connection, limits.read), info["bucket_name"])

    def _make(self, account: str, secret: str, api_url: str | None) -> Backblaze:
        """Make the client of an account, unless another thread was faster."""
        key = account, secret, api_url
        with self._lock:
            if key not in self._clients:
                self._clients[key] = _client_class()(
                    account,
                    secret,
                    api_url=api_url,
                    authorize=False,
                    backoff=self._backoff,
                    part_size=self._part_size,
                    ca_certs=self._ca_certs,
                )
            return self._clients[key]

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()
