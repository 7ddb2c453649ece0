# SPDX-License-Identifier: Apache-2.0
"""Options of a call, made once of its keywords and passed down as one argument."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

from oio.common.arguments import check_framing, check_headers, without_empty_length
from oio.common.constants import REQID_HEADER, STRLEN_REQID
from oio.common.deadlines import SoftDeadline
from oio.common.easy_value import int_value, text_value
from oio.common.events import Watcher, for_call, headers_for_call
from oio.common.limits import NO_LIMITS, Limits, check_seconds
from oio.common.perfdata import add_duration
from oio.common.retry import Retry
from oio.common.utils import cid_from_name, request_id

if TYPE_CHECKING:
    from os import PathLike
    from ssl import SSLContext

    import urllib3
    from typing_extensions import Unpack

    from oio.common.cache import Cache
    from oio.common.chunks import Chunk
    from oio.common.events import Listener
    from oio.common.hedging import Hedging
    from oio.common.keywords import ChunkOptions
    from oio.common.perfdata import Perfdata

Check: TypeAlias = Callable[[str, Any], object]
"""Refuses a value, or gives it back, maybe in another form; takes the name of its argument too."""
KeyFile: TypeAlias = "str | bytes | PathLike[str] | None"
"""Path of a file of credentials; None for the default one."""

HOLD_UP_TO = 4 << 20
"""Bytes of the largest metachunk that is held until it is verified, by default."""

WRITE_GRACE = 5.0
"""Seconds for servers that are late with a chunk, once a quorum of the others has done its part."""

TIMES = {
    "connection_timeout": "connection",
    "read_timeout": "read",
    "write_timeout": "write",
    "deadline": "deadline",
}
"""Keyword of the published API -> field of the limits."""
_SIZES = {"chunk_buffer_max": None, "chunk_buffer_min": None, "hold_up_to": HOLD_UP_TO, "parallel": 1}
"""Sizes, which may be text -> value of None and of an empty text."""
_IN_REQUESTS = (
    "autocreate",
    "tls",
    "admin_mode",
    "force_master",
    "pool_manager",
    "perfdata",
    "retry",
    "timeout",
    "on_event",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of one call: defaults of the client, and keywords of the caller.

    :param reqid: request ID, seen by all the services
    :param headers: of all requests, the request ID included
    :param limits: of time
    :param retry: which requests are repeated; None for the policy of each client
    :param autocreate: create the container that the call needs
    :param tls: prefer chunk addresses that speak TLS
    :param admin_mode: ask for what only administrators may do
    :param force_master: read from the master of each replicated database
    :param pool_manager: connections to the proxy and the account service
    :param perfdata: dict that gets figures of time (seconds)
    :param figures_by_chunk: it gets figures of each chunk; False for figures of each chunk server, when calls
        share it
    :param timeout: limit of each request, as urllib3 takes it
    :param cid: ID of the container, in upper case, instead of its names
    :param content_id: ID of the object, instead of its name
    :param version: of the object
    :param cache: of locations and properties
    :param verify_checksum: True, False, ``"strict"`` or ``"server"``
    :param hold_up_to: bytes of the largest metachunk of which nothing is given before it is verified
    :param on_unsatisfiable: ``"skip"`` leaves out ranges that hold no byte of the object, ``"raise"`` refuses
        them
    :param parallel: how many metachunks are read at a time
    :param checksum_algo: of the chunks that are written; None leaves checksums to the chunk servers
    :param buffer_min: bytes of the first block read from a source
    :param buffer_max: bytes of the largest one
    :param write_grace: seconds for servers that are late with a chunk, once a quorum has done its part; None
        to wait as long as the write limit says
    :param hedge: ask a second chunk server when another is late: its connection, or its first byte
    :param hedging: delays that the client has seen, which tell when one is late; None to ask no second one
    :param ssl_context: for chunk servers that speak TLS
    :param on_event: is told of requests, see :mod:`oio.common.events`
    :param key_file: credentials for Backblaze
    :param backblaze_api_url: where to authorise, instead of Backblaze itself
    """

    reqid: str = ""
    headers: Mapping[str, object] = field(default_factory=dict)
    limits: Limits = NO_LIMITS
    retry: Retry | None = None
    autocreate: bool | None = None
    tls: bool | None = None
    admin_mode: bool | None = None
    force_master: bool | None = None
    pool_manager: urllib3.PoolManager | None = None
    perfdata: Perfdata | None = None
    figures_by_chunk: bool = True
    timeout: float | urllib3.Timeout | None = None
    cid: str | None = None
    content_id: str | None = None
    version: int | str | None = None
    cache: Cache | None = None
    verify_checksum: bool | str = True
    hold_up_to: int = HOLD_UP_TO
    on_unsatisfiable: str = "skip"
    parallel: int = 1
    checksum_algo: str | None = "md5"
    buffer_min: int | None = None
    buffer_max: int | None = None
    write_grace: float | None = WRITE_GRACE
    hedge: bool = True
    hedging: Hedging | None = None
    ssl_context: SSLContext | None = None
    key_file: KeyFile = None
    backblaze_api_url: str | None = None
    on_event: Listener | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], **named: Unpack[ChunkOptions]) -> Options:
        """Make options of keywords of the published API; unknown ones are left out.

        :param given: keywords; a key ``options`` holds ready-made ones, which win
        :param named: keywords that a published signature names
        """
        ready: Options | None = given.get("options")
        return cls.make(chain(given.items(), named.items())) if ready is None else ready

    @classmethod
    def make(
        cls,
        given: Iterable[tuple[str, Any]],
        defaults: Options | None = None,
        begin: str | None = None,
        checks: Mapping[str, Check] = MappingProxyType({}),
    ) -> Options:
        """Make options of keywords and defaults; a keyword wins over the default, even when it is None.

        :param given: pairs of keywords of the published API and values; unknown ones are left out
        :param begin: begin a call: give it a request ID, which starts with this, and its first phase
        :param checks: of values, by keyword; those of time are checked anyway
        """
        base = _BARE if defaults is None else defaults
        made = base.changed()
        fields = vars(made)
        times: dict[str, Any] = {}
        request_attempts: Any = None
        for name, value in given:
            if name in TIMES:
                # The class of a deadline tells whether the caller has set it.
                times[TIMES[name]] = check_seconds(name, value, may_be_zero=name == "read_timeout")
                continue
            known = checks[name](name, value) if name in checks else value
            if name in _FIELDS:
                fields[_FIELDS[name]] = int_value(known, _SIZES[name]) if name in _SIZES else known
                # A dict that the caller gives to one call may get a figure of each chunk.
                fields["figures_by_chunk"] |= name == "perfdata"
            elif name == "request_attempts":
                request_attempts = known
            elif known and name in {"content", "content_id"}:
                fields["content_id"] = known
        if times:
            is_phase = type(times.get("deadline")) is SoftDeadline
            fields["limits"] = replace(base.limits, is_phase=is_phase, **times)
        if request_attempts not in (None, ""):
            fields["retry"] = (made.retry or Retry()).times(request_attempts)
        is_default = made.headers is base.headers
        own = base.reqid if is_default else ""
        known = made.reqid or made.headers or not is_default
        fields["reqid"], fields["headers"] = identify(made.headers, made.reqid, own) if known else ("", {})
        if not is_default:
            # That there is no body is no contradiction, and the request says it itself.
            fields["headers"] = without_empty_length(made.headers)
            check_framing(made.headers)
        if begin is not None:
            if made.limits.read is not None and made.limits.deadline is None:
                fields["limits"] = made.limits.renewed()
            if not made.reqid:
                fields["reqid"] = fields["headers"][REQID_HEADER] = request_id(begin)
        return made

    def changed(self, **changes: Any) -> Options:
        """The same with other values of some fields: `dataclasses.replace` looks at each of them."""
        copy = object.__new__(Options)
        # A dict that is copied is ready much sooner than one that is filled, and takes half the memory.
        object.__setattr__(copy, "__dict__", vars(self) | changes)
        return copy

    def for_request(self) -> dict[str, Any]:
        """Keywords of one request to the proxy or the account service, without those that are not set."""
        known: dict[str, Any] = {}
        fields = vars(self)
        for name in _IN_REQUESTS:
            value = fields[name]
            if value is not None:
                known[name] = value
        if self.headers:
            known["headers"] = self.headers
        if self.reqid:
            known["reqid"] = self.reqid
        if self.limits is not NO_LIMITS:
            known["limits"] = self.limits
        return known

    def add_step(self, step: str, chunk: Chunk, begin: float, service: str = "rawx") -> None:
        """Add the time since `begin` (monotonic seconds) to the figures of a step of chunks.

        Callers ask first whether there is a `perfdata`: most calls have none, and this would cost them time.
        """
        where = chunk.url if self.figures_by_chunk else chunk.netloc or service
        add_duration(self.perfdata, service, f"{step}.{where}", begin)

    def identified(self) -> Options:
        """The same, with a request ID: a new one when there is none."""
        if self.reqid:
            return self
        reqid, headers = identify(self.headers, request_id())
        return self.changed(reqid=reqid, headers=headers)

    def cid_of(self, account: str | None, container: str | None) -> str:
        """ID of the container that a call is about; there are names when it is not given."""
        return self.cid or cid_from_name(str(account), str(container))

    @property
    def watcher(self) -> Watcher | None:
        """The listener of the call, and its ID; None without one."""
        return None if self.on_event is None else Watcher(self.on_event, self.reqid)

    @property
    def rivals(self) -> Hedging | None:
        """When to ask rivals of chunk servers that are late; None for never."""
        return self.hedging if self.hedge else None

    # --- the same, for another part of the call ---

    def with_headers(self, more: Mapping[str, object]) -> Options:
        """With more headers."""
        return self.changed(headers={**self.headers, **more})

    def watched(self) -> Options:
        """For a call that has a listener: with the listener and the headers that this makes for the call."""
        assert self.on_event is not None
        headers = self.headers
        if more := headers_for_call(self.on_event):
            given = {name.lower() for name in headers}
            headers = {name: more[name] for name in more if name.lower() not in given} | dict(headers)
        return self.changed(on_event=for_call(self.on_event, self.reqid), headers=headers)

    def renewed(self) -> Options:
        """For the next phase of the call, see :meth:`~oio.common.limits.Limits.renewed`."""
        limits = self.limits
        if limits.read is None or (limits.deadline is not None and not limits.is_phase):
            return self
        return self.changed(limits=limits.renewed())

    def per_request(self) -> Options:
        """For a transfer of any length, see :meth:`~oio.common.limits.Limits.per_request`."""
        return self.changed(limits=self.limits.per_request()) if self.limits.is_phase else self

    def for_cleaning(self) -> Options:
        """For the clean-up, which must be done even after the deadline."""
        return self.changed(limits=self.limits.for_cleaning())

    def for_leftovers(self) -> Options:
        """For the removal of chunks that late servers may hold: these may be late again."""
        if self.write_grace is None:
            return self
        return replace(self, limits=self.limits.at_most(self.write_grace))


_BARE = Options()

_KEYWORDS = {
    "buffer_max": "chunk_buffer_max",
    "buffer_min": "chunk_buffer_min",
    "checksum_algo": "chunk_checksum_algo",
}
"""Field -> keyword of the published API, where they differ."""
_MADE_OTHERWISE = {"content_id", "figures_by_chunk", "hedging", "limits"}
"""Fields that are not simply the value of a keyword."""
_FIELDS = {_KEYWORDS.get(name, name): name for name in vars(_BARE) if name not in _MADE_OTHERWISE}
"""Keyword of the published API -> field."""
KNOWN_NAMES = frozenset({*_FIELDS, *TIMES, "content", "content_id", "request_attempts"})
"""Options that every call takes."""


def identify(
    headers: Mapping[str, object] | None, reqid: object = None, default: str = ""
) -> tuple[str, dict[str, object]]:
    """Find the ID of a request: that of its headers, whatever their letter case, else the one given.

    :param default: ID in the headers that the one given replaces
    :returns: the ID, empty when there is none, and a copy of the headers, with the ID under one name only:
        services must not get it twice (pitfall 68)
    """
    copy = dict(check_headers(headers)) if headers is not None else {}
    if copy:
        for name in [name for name in copy if text_value(name).lower() == REQID_HEADER]:
            found = copy.pop(name)
            if found != default:
                reqid = found or reqid
    if not reqid:
        return "", copy
    # Longer ones are cut by the services, and would not be found in their logs (pitfall 69).
    known = copy[REQID_HEADER] = (reqid if type(reqid) is str else text_value(reqid))[:STRLEN_REQID]
    return known, copy
