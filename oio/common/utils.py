# SPDX-License-Identifier: Apache-2.0
"""Helpers of several layers: text, IDs, paging, small collections, the process."""

from __future__ import annotations

import functools
import math
import os
import pwd
import random
import re
import sys
import threading
import urllib.parse
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar
from functools import partial
from types import FrameType
from typing import Any, NamedTuple, TypeVar

# Making a client needs no other checksum, and `hashlib` imports OpenSSL. Calls must not import it either: a
# child of a fork could not end what another thread was importing. `random` does the same.
try:
    from _sha2 import sha256 as _sha256  # type: ignore[import-not-found]
except ImportError:
    try:
        from _sha256 import sha256 as _sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256 as _sha256

from oio.common.deadlines import (
    SoftDeadline,
    deadline_to_timeout,
    monotonic_time,
    set_deadline_from_read_timeout,
    timeout_to_deadline,
)
from oio.common.exceptions import ChecksumUnavailable, ChunksNotVerified, OioException, ServiceBusy
from oio.common.generator_io import GeneratorIO
from oio.common.ranges import fix_ranges

__all__ = [
    "CPU_COUNT",
    "CacheDict",
    "GeneratorIO",
    "RingBuffer",
    "SoftDeadline",
    "cid_from_name",
    "compute_chunk_id",
    "compute_perfdata_stats",
    "deadline_to_timeout",
    "depaginate",
    "drop_privileges",
    "encode",
    "fix_ranges",
    "group_chunk_errors",
    "lower_dict_keys",
    "monotonic_time",
    "paths_gen",
    "quote",
    "request_id",
    "set_deadline_from_read_timeout",
    "set_fd_close_on_exec",
    "set_fd_non_blocking",
    "statfs",
    "timeout_to_deadline",
]

CPU_COUNT = os.cpu_count() or 1

PLAIN = re.compile(r"[A-Za-z0-9._~-]*")
"""Text that is the same when it is percent-encoded."""
_LONGEST_KEPT = 128
"""Characters of the longest parameter that is remembered as it is written in a query."""

# Not the shared generator: a program that seeds that one must not get the same IDs twice.
_CHANCE = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CHANCE.seed)
_PROCESS_NAMES: dict[int, str] = {}
"""ID of this process, and maybe of its parents -> the same as request IDs have it."""

_K = TypeVar("_K")
_V = TypeVar("_V")
_Chunk = TypeVar("_Chunk")
_Err = TypeVar("_Err")
_Page = TypeVar("_Page")


def encode(value: str | bytes, codec: str = "utf-8") -> bytes:
    r"""Encode text; leave bytes as they are.

    >>> encode("é"), encode(b"a")
    (b'\xc3\xa9', b'a')
    """
    return value if isinstance(value, bytes) else value.encode(codec)


def quote(value: str | bytes, safe: str = "/") -> str:
    """Percent-encode a value, as UTF-8.

    >>> quote("a b/é")
    'a%20b/%C3%A9'
    """
    if type(value) is str and PLAIN.fullmatch(value):
        return value
    return urllib.parse.quote(encode(value), safe)


@functools.lru_cache(2048)
def _quoted(text: str) -> str:
    return text if type(text) is str and PLAIN.fullmatch(text) else urllib.parse.quote_plus(text)


def encode_query(params: Mapping[str, object] | Iterable[tuple[str, object]]) -> str:
    """Encode parameters as `urlencode` does, which does not remember those that were encoded before."""
    pairs = []
    for key, value in params.items() if type(params) is dict or isinstance(params, Mapping) else params:
        if value is None:
            continue
        if isinstance(value, bytes):
            text = urllib.parse.quote_plus(value)
        else:
            written = str(int(value) if isinstance(value, bool) else value)
            text = _quoted(written) if len(written) <= _LONGEST_KEPT else urllib.parse.quote_plus(written)
        pairs.append(f"{_quoted(key)}={text}")
    return "&".join(pairs)


def request_id(prefix: str = "") -> str:
    """Make an ID for a request: the prefix, the process ID and random digits, 32 characters in all.

    A long prefix takes the place of random digits; it may make the ID longer than 32 characters.

    >>> len(request_id("create-"))
    32
    """
    # The system's own random numbers take a system call, which lets other threads go first.
    chance = _CHANCE.getrandbits(112).to_bytes(14, "big").hex().upper()
    process = os.getpid()
    name = _PROCESS_NAMES.get(process) or _PROCESS_NAMES.setdefault(process, f"{process:04X}")
    return f"{prefix}{name}{chance[len(prefix) :]}"


@functools.lru_cache(1024)
def cid_from_name(account: str, ref: str) -> str:
    """Get the ID of a container, in upper case: the services know no other (pitfall 146).

    >>> cid_from_name("acct", "ref")[:16]
    '7B6C08110E07DB93'
    """
    digest: str = _sha256(f"{account}\0{ref}".encode()).hexdigest()
    return digest.upper()


def compute_chunk_id(
    cid: str,
    path: str,
    version: int | str,
    position: int | str,
    policy: str,
    hash_algo: str = "sha256",
) -> str:
    """Get the ID that a chunk has in the namespaces where chunk IDs are predictable.

    :param cid: ID of the container.
    :param path: name of the object.
    :param position: position of the chunk (``"0"``, or ``"0.3"`` with erasure coding).
    """
    # Who needs it has sent requests, which import this.
    import hashlib

    key = f"{cid.upper()}{path}{version}{position}{policy}"
    return hashlib.new(hash_algo, encode(key), usedforsecurity=False).hexdigest().upper()


class CallingLine(NamedTuple):
    """A line of a program.

    :param names: global names of its module
    """

    filename: str
    number: int
    names: dict[str, Any]


_warned = threading.Event()
HANDED_OVER: ContextVar[CallingLine | None] = ContextVar("HANDED_OVER", default=None)
"""Line of the caller, where a call is made in another thread than his."""


def calling_line() -> CallingLine:
    """Find the first caller outside of the library."""
    frame: FrameType = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("oio."):
        frame = frame.f_back
    return CallingLine(frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


def warn_caller(text: str, category: type[Warning]) -> None:
    """Warn the first caller outside of the library."""
    filename, number, names = HANDED_OVER.get() or calling_line()
    # As `warnings.warn` does: without a module, the warning would be lost; code that is evaluated has none.
    module = names.get("__name__") or "<string>"
    registry = names.setdefault("__warningregistry__", {})
    warnings.warn_explicit(text, category, filename, number, module, registry)


def warn_unverified(reason: ChecksumUnavailable) -> None:
    """Warn the caller that chunks are not verified, once in the life of a process."""
    if _warned.is_set():
        return
    _warned.set()
    try:
        warn_caller(f"Chunks are read without being verified: {reason}", ChunksNotVerified)
    except ChunksNotVerified:
        # An error for this program: the next time, too.
        _warned.clear()
        raise


def lower_dict_keys(mapping: Mapping[str, _V]) -> dict[str, _V]:
    """Copy a dictionary with its keys in lower case.

    >>> lower_dict_keys({"X-Oio-Req-Id": "A"})
    {'x-oio-req-id': 'A'}
    """
    return {key.lower(): value for key, value in mapping.items()}


def group_chunk_errors(chunk_errors: Iterable[tuple[_Chunk, _Err]]) -> dict[_Err, list[_Chunk]]:
    """Group chunks by error.

    :param chunk_errors: pairs of chunk and error. Errors that read alike are one.

    >>> group_chunk_errors([("c0", "HTTP 404"), ("c1", "HTTP 503"), ("c2", "HTTP 404")])
    {'HTTP 404': ['c0', 'c2'], 'HTTP 503': ['c1']}
    """
    first_alike: dict[tuple[type, str], _Err] = {}
    groups: dict[_Err, list[_Chunk]] = {}
    for chunk, err in chunk_errors:
        err = first_alike.setdefault((type(err), str(err)), err)
        groups.setdefault(err, []).append(chunk)
    return groups


def depaginate(
    func: Callable[..., _Page],
    item_key: Callable[[Any], Any] | None = None,
    listing_key: Callable[[_Page], Iterable[Any]] | None = None,
    marker_key: Callable[[_Page], object] | None = None,
    truncated_key: Callable[[_Page], bool] | None = None,
    *args: Any,
    attempts: int = 1,
    **kwargs: Any,
) -> Iterator[Any]:
    """Iterate over the items of a listing that comes page by page.

    :param func: gives a page; called with ``args``, ``kwargs`` and, for the next pages, ``marker``.
    :param item_key: what to yield for an item; the item itself by default.
    :param listing_key: gets the items of a page; by default, the page is their list.
    :param marker_key: gets the marker of the next page; the last item by default.
    :param truncated_key: tells if another page follows; by default, when the page is not empty.
    :param attempts: how many times to ask for a page when the service is busy (pitfall 91).
    :raises OioException: a page says that another one follows, and not where (pitfall 141).

    >>> pages = {None: [1, 2], 2: [3], 3: []}
    >>> list(depaginate(lambda marker=None: pages[marker]))
    [1, 2, 3]
    """
    while True:
        page = _get_page(partial(func, *args, **kwargs), attempts)
        items: Any = listing_key(page) if listing_key else page
        # Not "yield from map(...)": a StopIteration of item_key would end the listing early.
        for item in items:
            yield item_key(item) if item_key else item
        if not (truncated_key(page) if truncated_key else items):
            return
        marker = marker_key(page) if marker_key else items[-1] if items else None
        if marker is None or marker == kwargs.get("marker"):
            raise OioException(f"listing is truncated, but cannot go on after marker {marker!r}")
        kwargs["marker"] = marker


def _get_page(ask: Callable[[], _Page], attempts: int) -> _Page:
    for _ in range(attempts - 1):
        try:
            return ask()
        except ServiceBusy:
            continue
    return ask()


def compute_perfdata_stats(perfdata: MutableMapping[str, Any], prefix: str = "upload.") -> None:
    """Add to the figures of the chunk servers the mean and the deviation of those that have a prefix.

    :param perfdata: figures in seconds; ``<prefix>AVG``, ``<prefix>SD`` (standard deviation) and
        ``<prefix>RSD`` (relative standard deviation) are set in its ``rawx`` dictionary.

    >>> perfdata = {"rawx": {"upload.a": 1.0, "upload.b": 3.0}}
    >>> compute_perfdata_stats(perfdata)
    >>> perfdata["rawx"]["upload.AVG"], perfdata["rawx"]["upload.RSD"]
    (2.0, 0.5)
    """
    rawx = perfdata.get("rawx", {})
    stats = {prefix + name for name in ("AVG", "SD", "RSD")}
    # Other threads may add to it meanwhile, even to its list of items while that is made.
    values = [value for key, value in rawx.copy().items() if key.startswith(prefix) and key not in stats]
    if not values:
        return
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    rawx[prefix + "AVG"] = mean
    rawx[prefix + "SD"] = deviation
    rawx[prefix + "RSD"] = deviation / mean if mean else 0.0


class CacheDict(OrderedDict[_K, _V]):
    """Dictionary that forgets its oldest keys.

    :param size: how many keys it keeps.

    >>> cache = CacheDict(size=2)
    >>> for key in "abc":
    ...     cache[key] = key
    >>> list(cache)
    ['b', 'c']
    """

    def __init__(self, size: int = 262144) -> None:
        super().__init__()
        self.size = size

    def __setitem__(self, key: _K, value: _V) -> None:
        super().__setitem__(key, value)
        while len(self) > self.size:
            self.popitem(last=False)


class RingBuffer(deque[_V]):
    """List that keeps its last items.

    :param size: how many items it keeps.

    >>> ring = RingBuffer(2)
    >>> ring.extend("abc")
    >>> list(ring)
    ['b', 'c']
    """

    def __init__(self, size: int = 1) -> None:
        super().__init__(maxlen=size)


def set_fd_non_blocking(fd: int) -> None:
    """Make reads and writes of a file descriptor return at once."""
    os.set_blocking(fd, False)


def set_fd_close_on_exec(fd: int) -> None:
    """Keep a file descriptor from the programs that this process executes."""
    os.set_inheritable(fd, False)


def drop_privileges(user: str) -> None:
    """Become another user for good, if the process is root.

    :raises KeyError: the user does not exist.
    :raises PermissionError: the process may not become that user.
    """
    account = pwd.getpwnam(user)
    if os.geteuid() == 0:
        os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def paths_gen(volume: str) -> Iterator[str]:
    """Iterate over the paths of all the files below a directory."""
    for directory, _, files in os.walk(volume):
        for name in files:
            yield os.path.join(directory, name)


def statfs(volume: str) -> tuple[float, float]:
    """Get the percentages of free space and of free inodes of a volume.

    A file system that does not count inodes has 100 % of them free.
    """
    stats = os.statvfs(volume)
    space = 100.0 * stats.f_bavail / stats.f_blocks if stats.f_blocks else 0.0
    inodes = 100.0 * stats.f_favail / stats.f_files if stats.f_files else 100.0
    return space, inodes
