# SPDX-License-Identifier: Apache-2.0
"""The object storage API: accounts, containers and objects of a namespace."""

from __future__ import annotations

import logging
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from oio.account.client import AccountClient
from oio.api import _operations as operations
from oio.api._facade.accounts import AccountApi
from oio.api._facade.call import warn_deprecated, warn_unknown
from oio.api._facade.containers import ContainerApi
from oio.api._facade.copies import CopiesApi
from oio.api._facade.deletions import DeletionApi
from oio.api._facade.files import FilesApi
from oio.api._facade.health import HealthApi
from oio.api._facade.listings import ListingApi
from oio.api._facade.objects import ObjectApi
from oio.api._facade.option_checks import check_limit_of_time, check_option
from oio.api._operations.scores import REFRESH_DELAY
from oio.common import http_stack
from oio.common.arguments import WrongValue, shorten
from oio.common.client import ProxyClient
from oio.common.constants import TIMEOUT_KEYS, URLLIB3_POOLMANAGER_KWARGS
from oio.common.decorators import (
    handle_account_not_found,
    handle_container_not_found,
    handle_object_not_found,
    patch_kwargs,
)
from oio.common.hashing import WORKERS
from oio.common.http_keepalive import POOL
from oio.common.options import KNOWN_NAMES
from oio.common.shared_pool import LocklessProperty, SharedPool
from oio.conscience.client import ConscienceClient
from oio.container.client import ContainerClient
from oio.directory.client import DirectoryClient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import urllib3
    from typing_extensions import Self, Unpack

    from oio.api._operations.download import ObjectStream
    from oio.api.types import ClientOptions
    from oio.blob.client import BlobClient
    from oio.common.perfdata import Perfdata
    from oio.common.storage_functions import _sort_chunks

__all__ = [
    "ObjectStorageAPI",
    "ObjectStorageApi",
    "ObjectStream",
    # Programs import these from here, too.
    "_sort_chunks",
    "handle_account_not_found",
    "handle_container_not_found",
    "handle_object_not_found",
    "patch_kwargs",
]

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")


def __getattr__(name: str) -> object:
    # What only calls need, see `_operations`.
    if name == "ObjectStream":
        return operations.download.ObjectStream
    if name == "_sort_chunks":
        from oio.common.storage_functions import _sort_chunks

        return _sort_chunks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_KNOWN = KNOWN_NAMES | {
    "endpoint",
    "max_answer_size",
    "refresh_delay",
    "refresh_rawx_scores_delay",
    *URLLIB3_POOLMANAGER_KWARGS,
}
_DEFAULTS_OF_CALLS = (
    *TIMEOUT_KEYS,
    "backblaze_api_url",
    "cache",
    "chunk_buffer_max",
    "chunk_buffer_min",
    "hedge",
    "hold_up_to",
    "key_file",
    "on_event",
    "on_unsatisfiable",
    "parallel",
    "request_attempts",
    "retry",
    "tls",
    "verify_checksum",
    "write_grace",
)
"""Options of the constructor that are defaults of the calls, besides ``EXTRA_KEYWORDS``."""
_MADE_AGAIN = frozenset(
    {
        "_b2_clients",
        "_blob_client",
        "_chunk_connections",
        "_client_options",
        "_conscience",
        "_defaults",
        "_hedging",
        "_pool_manager",
        "_proxy_client",
        "_scores",
        "_shared_pool",
        "account",
        "container",
        "directory",
    }
)
"""Attributes with connections, which are not pickled."""
_DEFAULTS_OF_CLIENTS = ("admin_mode", "force_master", "max_answer_size", "request_attempts", "retry")


class ObjectStorageApi(
    AccountApi, ContainerApi, ListingApi, ObjectApi, DeletionApi, FilesApi, CopiesApi, HealthApi
):
    """The Object Storage API.

    High level API that wraps AccountClient, ContainerClient, DirectoryClient and BlobClient classes. One
    object may be used by several threads at once. Close it, or use it in a ``with`` block, to close its
    idle connections. Made without `pool_manager`, it can be pickled, as ``multiprocessing`` does: the copy
    has the same options, and connections of its own. A copy by ``copy.copy`` shares the connections.

    Every method takes, besides its own arguments, the following keywords, which win over those of the
    constructor:

    * ``headers``: dict of extra headers to pass to the services; those that each request sets for itself are
      left out: ``Content-Length``, ``Expect``, ``Host``, ``Range``, ``Trailer``, ``Transfer-Encoding``, and a
      ``Connection`` that is neither ``close`` nor ``keep-alive``
    * ``reqid``: ID of the request, seen by all the services; by default a new one for each call
    * ``deadline``: end of the time granted to the call (seconds of :func:`time.monotonic`)
    * ``connection_timeout``, ``read_timeout``, ``write_timeout``: limits of each request (seconds)
    * ``perfdata``: a dict that gets performance figures (seconds): of each chunk, or of each chunk server
      when it is the constructor's
    * ``force_master``, ``admin_mode``, ``retry``, ``request_attempts``, ``tls``, ``cache``: see below

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
          creating an object creates its container), ``chunk_checksum_algo`` (``md5``; ``blake3``, which
          services of today know; None leaves checksums to the services), ``verify_checksum`` (True),
          ``hold_up_to`` (4194304: bytes of the largest metachunk of which nothing is given before it is
          verified), ``on_unsatisfiable`` (``"skip"``, or ``"raise"`` for ranges that hold no byte of an
          object), ``parallel`` (1: metachunks of an object that are read at a time), ``hedge`` (True: a
          second chunk server is asked when the first byte of another is late), ``write_grace`` (5: seconds
          for chunk servers that are late, once a quorum of the others has stored what was written; None
          waits for the write limit), ``chunk_buffer_min``, ``chunk_buffer_max`` (bytes read from a source at
          once), ``tls`` (prefer chunk addresses that speak TLS), ``cache`` (a dict-like object for locations,
          descriptions and properties, see :mod:`oio.common.cache`), ``key_file`` (path of the credentials for
          Backblaze, by default ``/etc/oio/sds/b2-appkey.conf``), ``backblaze_api_url`` (where to authorise,
          if not at Backblaze itself), ``on_event`` (is told of each request, see
          :mod:`oio.common.events`): defaults of the keywords of these names
        * ``admin_mode``, ``force_master`` (read from the master of each replicated database),
          ``retry`` (which requests are sent again, how often and how long, a
          :class:`~oio.common.retry.Retry`), ``request_attempts`` (the number of attempts alone),
          ``max_answer_size`` (bytes of the largest answer of a service that is taken, 64 MiB by default)
        * ``refresh_rawx_scores_delay``: seconds (30) for which the scores of the chunk servers are taken to
          be right, for objects that are located in a cache
        * ``refresh_delay``: seconds (3600) after which the proxy is asked again for an account service
        * ``pool_manager``, or options to make one: ``pool_connections``, ``pool_maxsize``, ``cert_reqs``,
          ``ca_certs`` (for all services, Backblaze too)..., see
          :func:`~oio.common.http_urllib3.get_pool_manager`
    :raises ConfigurationException: there is no `endpoint`, and the namespace is not configured

    >>> with ObjectStorageApi("OPENIO", endpoint="http://127.0.0.1:6000") as storage:
    ...     storage.namespace
    'OPENIO'
    """

    TIMEOUT_KEYS = TIMEOUT_KEYS
    EXTRA_KEYWORDS = ("chunk_checksum_algo", "autocreate")

    # Tests of applications make objects whose constructor sets little: the rest has defaults, or is made when
    # needed. Two threads may make one each, which share the pool, and nothing is lost with either.
    _blob_client: BlobClient | None = None
    _proxy_client: ProxyClient | None = None
    _given: Mapping[str, Any] = {}
    _endpoint: str | None = None
    _owns_pool = False
    _chunk_connections: Callable[[], object] | None = None

    def __init__(
        self,
        namespace: str,
        logger: logging.Logger | None = None,
        perfdata: Perfdata | None = None,
        **kwargs: Unpack[ClientOptions],
    ) -> None:
        if namespace is None or namespace == "":
            raise WrongValue("namespace is required (its name)")
        if not isinstance(namespace, str):
            raise WrongValue(f"namespace must be a str, not {type(namespace).__name__}: {shorten(namespace)}")
        self.namespace = namespace
        self.logger = _LOGGER if logger is None else logger
        self._given = kwargs
        warn_unknown(self._given.keys() - _KNOWN, _KNOWN)
        self._global_kwargs = self._call_defaults(perfdata, self._given)
        delay = check_limit_of_time("refresh_rawx_scores_delay", self._given.get("refresh_rawx_scores_delay"))
        self._scores_delay = REFRESH_DELAY if delay is None else delay
        self._make_clients()

    def _make_clients(self) -> None:
        """Make what is not pickled, of the options."""
        given = self._given
        pool = given.get("pool_manager")
        check_option("pool_manager", pool)
        self._owns_pool = pool is None
        of_pool = {name: given[name] for name in URLLIB3_POOLMANAGER_KWARGS if name in given}
        if pool is not None:
            self._pool_manager = pool
        elif of_pool:
            self._pool_manager = http_stack.get_pool_manager(**of_pool)
        self._ca_certs = given.get("ca_certs")
        self._endpoint = given.get("endpoint")
        self._client_options |= {name: given[name] for name in _DEFAULTS_OF_CLIENTS if name in given}
        self.container = self._of_proxy(ContainerClient)
        # The endpoint of an account client is the account service.
        of_account = dict(self._client_options)
        if given.get("refresh_delay") is not None:
            of_account["refresh_delay"] = check_option("refresh_delay", given["refresh_delay"])
        self.account = AccountClient(self._conf, proxy_endpoint=self._endpoint, **of_account)
        self._chunk_connections = POOL.hold(self)

    def __getstate__(self) -> dict[str, Any]:
        """State of a client that is pickled: its options, and attributes of subclasses."""
        if self._given.get("pool_manager") is not None:
            http_stack.refuse_to_pickle("pool_manager")
        state = {name: value for name, value in vars(self).items() if name not in _MADE_AGAIN}
        state["_global_kwargs"] = {k: v for k, v in self._global_kwargs.items() if k != "ssl_context"}
        return state

    def __copy__(self) -> Self:
        """Make a client that shares the connections of this one, and the clients of services made so far."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        if "_global_kwargs" in vars(self):
            # Subclasses change the defaults of the calls at any time: those of one, not of both.
            copy._global_kwargs = dict(self._global_kwargs)
        if self._chunk_connections is not None:
            # Kept until both are closed.
            copy._chunk_connections = POOL.hold(copy)
        return copy

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._global_kwargs = {**self._global_kwargs, **self._tls_defaults(self._given)}
        self._make_clients()

    @classmethod
    def _call_defaults(cls, perfdata: Perfdata | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options of the constructor that are defaults of the calls."""
        names = (*cls.EXTRA_KEYWORDS, *_DEFAULTS_OF_CALLS)
        checked = {name: check_option(name, given[name]) for name in names if name in given}
        defaults = {"autocreate": True} | checked
        if perfdata is not None:
            defaults["perfdata"] = check_option("perfdata", perfdata)
        return defaults | cls._tls_defaults(given)

    @staticmethod
    def _tls_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
        if "ca_certs" in given or "cert_reqs" in given:
            return {"ssl_context": http_stack.tls_context(given.get("ca_certs"), given.get("cert_reqs"))}
        return {}

    @cached_property
    def _shared_pool(self) -> SharedPool:
        self._owns_pool = True
        return SharedPool()

    @LocklessProperty
    def _pool_manager(self) -> urllib3.PoolManager:
        return self._shared_pool.get()

    @property
    def _connections(self) -> urllib3.PoolManager | SharedPool:
        """Connections for the clients of services to share, which are not made for that."""
        made: urllib3.PoolManager | None = vars(self).get("_pool_manager")
        return self._shared_pool if made is None else made

    @cached_property
    def _conf(self) -> dict[str, Any]:
        return {"namespace": self.namespace}

    @cached_property
    def _client_options(self) -> dict[str, Any]:
        """Options of the clients of services."""
        known = {name: self._global_kwargs[name] for name in TIMEOUT_KEYS if name in self._global_kwargs}
        return {"pool_manager": self._connections, "logger": self.logger} | known

    def _of_proxy(self, kind: Callable[..., _T]) -> _T:
        """Make a client of the proxy."""
        return kind(self._conf, endpoint=self._endpoint, **self._client_options)

    @cached_property
    def directory(self) -> DirectoryClient:
        """A client of the directory."""
        return self._of_proxy(DirectoryClient)

    @cached_property
    def _conscience(self) -> ConscienceClient:
        return self._of_proxy(ConscienceClient)

    @property
    def blob_client(self) -> BlobClient:
        """A low-level client to rawx services.

        :rtype: `oio.blob.client.BlobClient`
        """
        if self._blob_client is None:
            from oio.blob.client import BlobClient

            options = {
                name: self._client_options[name]
                for name in ("logger", "max_answer_size", "retry", *TIMEOUT_KEYS)
                if name in self._client_options
            }
            self._blob_client = BlobClient(
                self._conf, connection_pool=self._connections, endpoint=self._endpoint, **options
            )
        return self._blob_client

    @property
    def proxy_client(self) -> ProxyClient:
        """A client of the routes of the proxy that have no namespace."""
        if self._proxy_client is None:
            self._proxy_client = self._of_proxy(partial(ProxyClient, no_ns_in_url=True))
        return self._proxy_client

    def close(self) -> None:
        """Close the idle connections. A call made later opens new ones."""
        if (scores := vars(self).get("_scores")) is not None:
            scores.close()
        if self._owns_pool:
            self._connections.clear()
        if self._chunk_connections is not None:
            self._chunk_connections()
        self._b2_clients.close()
        WORKERS.close()

    def __enter__(self) -> ObjectStorageApi:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class ObjectStorageAPI(ObjectStorageApi):
    """Deprecated: transitional wrapper for :class:`ObjectStorageApi`."""

    def __init__(self, namespace: str, endpoint: str | None = None, **kwargs: Any) -> None:
        warn_deprecated("ObjectStorageAPI is deprecated, use ObjectStorageApi")
        super().__init__(namespace, endpoint=endpoint, **kwargs)
