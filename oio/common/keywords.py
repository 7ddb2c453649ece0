# SPDX-License-Identifier: Apache-2.0
"""Keywords of the clients of services, typed: options of requests and of constructors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from logging import Logger
    from ssl import SSLContext

    import urllib3

    from oio.common.events import Listener
    from oio.common.limits import Limits
    from oio.common.options import Options
    from oio.common.perfdata import Perfdata
    from oio.common.retry import Retry
    from oio.common.shared_pool import SharedPool

    Params: TypeAlias = "Mapping[str, object] | Iterable[tuple[str, object]] | None"
    """Parameters of a query."""


class _Defaults(TypedDict, total=False):
    connection_timeout: float | str | None
    """Limit of each connection (seconds)."""
    read_timeout: float | str | None
    """Limit of each answer and of each block that is read (seconds)."""
    write_timeout: float | str | None
    """Limit of each block that is sent, and of its answer (seconds)."""
    force_master: bool | str | None
    """Read from the master of each replicated database."""
    admin_mode: bool | str | None
    """Ask for what only administrators may do."""
    retry: Retry | None
    """Which requests are sent again after which failures, how often and for how long."""
    on_event: Listener | None
    """Is told of requests, see :mod:`oio.common.events`; None for nobody."""


class SharedOptions(_Defaults, total=False):
    """Options that calls and requests have in common."""

    headers: Mapping[str, object] | None
    """Extra headers to pass to the services; none that frame a request, such as ``Content-Length``."""
    reqid: str | bytes | None
    """ID of the request, seen by all the services; by default a new one for each call."""
    deadline: float | None
    """End of the time granted to the call (seconds of :func:`time.monotonic`)."""
    perfdata: Perfdata | None
    """Dict that gets performance figures (seconds)."""
    request_attempts: int | str | None
    """How often a request is sent in all, when that is harmless, instead of what `retry` says."""
    pool_manager: urllib3.PoolManager | None
    """Connections to the proxy and to the account service, instead of the client's."""
    tls: bool | str | None
    """Prefer chunk addresses that speak TLS."""


class SendOptions(SharedOptions, total=False):
    """Options of sending one request, whatever it is about."""

    timeout: float | urllib3.Timeout | None
    """Limit of the request (seconds), or limits as urllib3 takes them."""
    limits: Limits
    """Limits of time as one value, instead of the others."""
    options: Options
    """Options as one value, instead of all others."""


class RequestOptions(SendOptions, total=False):
    """Options of one request, which every method of the clients of services takes."""

    autocreate: bool | str | None
    """Create the container that the call needs."""


class RequestExtras(RequestOptions, total=False):
    """Parts of one request besides its options."""

    json: object
    """An object to send as JSON, instead of a body."""
    path: None
    """Ignored: applications' tests expect it in listings."""


class RequestParts(RequestExtras, total=False):
    """Parts of a request but for its method and its URL."""

    params: Params
    """Of the query; None values are left out, booleans are sent as 1 and 0."""
    data: str | bytes | None
    """The body."""


class ChunkOptions(RequestOptions, total=False):
    """Options of the requests that read or write the data of a chunk."""

    ssl_context: SSLContext | None
    """For chunk servers that speak TLS."""
    chunk_checksum_algo: str | None
    """Checksum of the data that are written, ``md5`` (default) or ``blake3``; None leaves it to the chunk
    server."""
    chunk_buffer_max: int | str | None
    """Bytes of each block that is read from the source."""


class HttpOptions(_Defaults, total=False):
    """Options of the constructors of all clients: defaults of the calls, and how connections are made."""

    max_answer_size: int | str | None
    """Bytes of the largest answer that is taken; 64 MiB by default."""
    pool_connections: int | str | None
    """To how many services connections are kept."""
    pool_maxsize: int | str | None
    """How many idle connections are kept to each."""
    max_retries: int | str | None
    """Retries of urllib3 after a failure of the network; none by default."""
    backoff_factor: float | str | None
    """Seconds before the first of these retries, doubled at each one."""
    socket_options: Any
    """Options of the sockets, as urllib3 takes them."""
    source_address: tuple[str, int] | None
    """Address and port that connections are made from."""
    cert_reqs: str | int | None
    """Whether certificates are verified, as urllib3 takes it; they are by default."""
    ca_certs: str | None
    """File of the certificates of the authorities to trust."""


class ServiceOptions(HttpOptions, total=False):
    """Options of the constructors of the clients of one kind of service."""

    pool_manager: urllib3.PoolManager | SharedPool | None
    """Connections shared with other clients, instead of options to make them."""
    connection: str
    """``keep-alive`` or ``close``"""


class ProxyOptions(ServiceOptions, total=False):
    """Options of the constructors of the clients of the proxy."""

    endpoint: str | None
    """URL or ``host:port`` of the proxy; several are separated by ``;``."""
    request_attempts: int | str | None
    """How often a request is sent in all, when that is harmless, instead of what `retry` says."""
    logger: Logger | None
    """Gets messages about what is not worth an exception."""


class AssignOptions(RequestOptions, total=False):
    """Options of giving rdir services to volumes."""

    min_dist: int | None
    """How many of the last parts of the locations of both differ at least."""
    service_id: str | None
    """ID of the only volume to do this for."""
    reassign: bool
    """Choose again for the volumes that have one, too."""
    dry_run: bool
    """Change nothing: only tell which ones they would get."""
