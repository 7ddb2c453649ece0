# SPDX-License-Identifier: Apache-2.0
"""The object storage API: accounts, containers and objects of a namespace."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from oio.account.client import AccountClient
from oio.api._facade.accounts import AccountApi
from oio.api._facade.call import warn_deprecated, warn_unknown
from oio.api._facade.checks import check_option
from oio.api._facade.containers import ContainerApi
from oio.api._facade.copies import CopiesApi
from oio.api._facade.data import DataApi
from oio.api._facade.listings import ListingApi
from oio.api._facade.objects import ObjectApi
from oio.api._operations.download import ObjectStream
from oio.blob.client import BlobClient
from oio.common.arguments import WrongValue
from oio.common.client import ProxyClient
from oio.common.constants import TIMEOUT_KEYS
from oio.common.decorators import patch_kwargs
from oio.common.http_eventlet import POOL
from oio.common.http_urllib3 import URLLIB3_POOLMANAGER_KWARGS, get_pool_manager, tls_context
from oio.common.options import KNOWN_NAMES
from oio.container.client import ContainerClient
from oio.directory.client import DirectoryClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Unpack

    from oio.api.types import ClientOptions
    from oio.common.perfdata import Perfdata

__all__ = ["ObjectStorageAPI", "ObjectStorageApi", "ObjectStream", "patch_kwargs"]

_LOGGER = logging.getLogger(__name__)

_KNOWN = KNOWN_NAMES | {"endpoint", *URLLIB3_POOLMANAGER_KWARGS}
_DEFAULTS_OF_CALLS = (
    *TIMEOUT_KEYS,
    "backblaze_api_url",
    "cache",
    "chunk_buffer_max",
    "chunk_buffer_min",
    "key_file",
    "tls",
    "verify_checksum",
)
"""Options of the constructor that are defaults of the calls, besides ``EXTRA_KEYWORDS``."""
_DEFAULTS_OF_CLIENTS = ("admin_mode", "force_master", "request_attempts")


class ObjectStorageApi(AccountApi, ContainerApi, ListingApi, ObjectApi, DataApi, CopiesApi):
    """The Object Storage API.

    High level API that wraps AccountClient, ContainerClient, DirectoryClient and BlobClient classes. One
    object may be used by several threads at once. Close it, or use it in a ``with`` block, to close its
    idle connections.

    Every method takes, besides its own arguments, the following keywords, which win over those of the
    constructor:

    * ``headers``: dict of extra headers to pass to the services
    * ``reqid``: ID of the request, seen by all the services; by default a new one for each call
    * ``deadline``: end of the time granted to the call (seconds of :func:`time.monotonic`)
    * ``connection_timeout``, ``read_timeout``, ``write_timeout``: limits of each request (seconds)
    * ``perfdata``: a dict that gets performance figures (seconds)
    * ``force_master``, ``admin_mode``, ``request_attempts``, ``tls``, ``cache``: see below

    Methods about containers and objects also take ``cid``, the ID of the container, with None for its name
    and that of its account. The families of options in :mod:`oio.api.types` have them all.

    A keyword that no method knows is ignored, with a warning of class
    :class:`~oio.common.exceptions.UnknownOption` at the line of the caller.

    :param namespace: name of the namespace
    :param logger: where to log, by default the logger of this module; failures of single chunk servers are
        logged by ``oio.blob`` and ``oio.api._data``
    :param perfdata: default of the keyword of this name
    :param kwargs:
        * ``endpoint``: URL or ``host:port`` of the proxy; by default that of the namespace's configuration.
          Of several, separated by ``;``, the next one is used when no connection to one can be made
        * ``connection_timeout``, ``read_timeout``, ``write_timeout`` (seconds), ``autocreate`` (True:
          creating an object creates its container), ``chunk_checksum_algo`` (``md5``; None leaves checksums
          to the services), ``verify_checksum`` (True), ``chunk_buffer_min``, ``chunk_buffer_max`` (bytes
          read from a source at once), ``tls`` (prefer chunk addresses that speak TLS), ``cache`` (a
          dict-like object for the location of objects and the properties of containers, see
          :mod:`oio.common.cache`), ``key_file`` (path of the credentials for Backblaze, by default
          ``/etc/oio/sds/b2-appkey.conf``), ``backblaze_api_url`` (where to authorise, if not at Backblaze
          itself): defaults of the keywords of these names
        * ``admin_mode``, ``force_master`` (read from the master of each replicated database),
          ``request_attempts`` (how often a request is tried when a service is busy)
        * ``pool_manager``, or options to make one: ``pool_connections``, ``pool_maxsize``, ``cert_reqs``,
          ``ca_certs``..., see :func:`~oio.common.http_urllib3.get_pool_manager`
    :raises ConfigurationException: there is no `endpoint`, and the namespace is not configured

    >>> with ObjectStorageApi("OPENIO", endpoint="http://127.0.0.1:6000") as storage:
    ...     storage.namespace
    'OPENIO'
    """

    TIMEOUT_KEYS = TIMEOUT_KEYS
    EXTRA_KEYWORDS = ("chunk_checksum_algo", "autocreate")

    _blob_client: BlobClient | None = None
    _proxy_client: ProxyClient | None = None
    _owns_pool = False
    _chunk_connections: Callable[[], object] | None = None

    def __init__(
        self,
        namespace: str,
        logger: logging.Logger | None = None,
        perfdata: Perfdata | None = None,
        **kwargs: Unpack[ClientOptions],
    ) -> None:
        if not isinstance(namespace, str) or not namespace:
            raise WrongValue(f"namespace must be a name: {namespace!r}")
        self.namespace = namespace
        self.logger = logger or _LOGGER
        given: Mapping[str, Any] = kwargs
        warn_unknown(given.keys() - _KNOWN, _KNOWN)
        self._global_kwargs = self._call_defaults(perfdata, given)
        pool = given.get("pool_manager")
        self._owns_pool = pool is None
        self._pool_manager = pool or get_pool_manager(
            **{name: given[name] for name in URLLIB3_POOLMANAGER_KWARGS if name in given}
        )
        self._conf = {"namespace": namespace}
        self._endpoint: str | None = given.get("endpoint")
        self._client_options: dict[str, Any] = {
            "pool_manager": self._pool_manager,
            "logger": self.logger,
            **{name: given[name] for name in _DEFAULTS_OF_CLIENTS if name in given},
            **{name: self._global_kwargs[name] for name in TIMEOUT_KEYS if name in self._global_kwargs},
        }
        self.directory = DirectoryClient(self._conf, endpoint=self._endpoint, **self._client_options)
        self.container = ContainerClient(self._conf, endpoint=self._endpoint, **self._client_options)
        # The endpoint of an account client is the account service.
        self.account = AccountClient(self._conf, proxy_endpoint=self._endpoint, **self._client_options)
        self._chunk_connections = POOL.hold(self)

    @classmethod
    def _call_defaults(cls, perfdata: Perfdata | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options of the constructor that are defaults of the calls."""
        names = (*cls.EXTRA_KEYWORDS, *_DEFAULTS_OF_CALLS)
        checked = {name: check_option(name, given[name]) for name in names if name in given}
        defaults = {"autocreate": True, **checked}
        if perfdata is not None:
            defaults["perfdata"] = perfdata
        if "ca_certs" in given or "cert_reqs" in given:
            defaults["ssl_context"] = tls_context(given.get("ca_certs"), given.get("cert_reqs"))
        return defaults

    @property
    def blob_client(self) -> BlobClient:
        """A low-level client to rawx services.

        :rtype: `oio.blob.client.BlobClient`
        """
        # Two threads may make one each: they share the pool, and nothing is lost with either.
        if self._blob_client is None:
            options = {
                name: self._client_options[name]
                for name in ("logger", *TIMEOUT_KEYS)
                if name in self._client_options
            }
            self._blob_client = BlobClient(
                self._conf, connection_pool=self._pool_manager, endpoint=self._endpoint, **options
            )
        return self._blob_client

    @property
    def proxy_client(self) -> ProxyClient:
        """A client of the routes of the proxy that have no namespace."""
        if self._proxy_client is None:
            self._proxy_client = ProxyClient(
                self._conf, no_ns_in_url=True, endpoint=self._endpoint, **self._client_options
            )
        return self._proxy_client

    def close(self) -> None:
        """Close the idle connections. A call made later opens new ones."""
        if self._owns_pool:
            self._pool_manager.clear()
        if self._chunk_connections is not None:
            self._chunk_connections()
        self._b2_clients.close()

    def __enter__(self) -> ObjectStorageApi:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class ObjectStorageAPI(ObjectStorageApi):
    """Deprecated: transitional wrapper for :class:`ObjectStorageApi`."""

    def __init__(self, namespace: str, endpoint: str | None = None, **kwargs: Any) -> None:
        warn_deprecated("ObjectStorageAPI is deprecated, use ObjectStorageApi")
        super().__init__(namespace, endpoint=endpoint, **kwargs)
