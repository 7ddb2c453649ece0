# SPDX-License-Identifier: Apache-2.0
"""Faults and fault plans: actions, and the service, request and byte that they strike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from oio.sandbox.messages import Request

SERVICES: Final = ("rawx", "proxy", "account", "rdir", "b2")
METHODS: Final = ("GET", "HEAD", "PUT", "POST", "DELETE", "COPY")

#: Actions that strike at a byte of a body (or of the response head).
AT_A_BYTE: Final = frozenset({"stall", "drip", "slow", "truncate", "reset", "corrupt"})
#: Actions that let the request be executed, then spoil its answer.
AFTER_EXECUTION: Final = frozenset({"wrong-hash", "commit-then-timeout", "commit-then-reset", "raw-head"})
ACTIONS: Final = frozenset({"refuse", "status", "disk-full"}) | AT_A_BYTE | AFTER_EXECUTION


#: Operations that store data, by service.
_STORING: Final = {
    "rawx": (None, "PUT"),
    "b2": (None, "POST", "b2_upload_file", "b2_upload_part"),
}


class Door(Enum):
    """How a service receives connections."""

    OPEN = "accepts"
    CLOSED = "refuses"
    BLOCKED = "neither accepts nor refuses"


_DEFAULT_SECONDS: Final = {"drip": 0.05, "slow": 1.0}


@dataclass(frozen=True)
class Fault:
    r"""One thing that goes wrong.

    :param action: what happens:

        - ``refuse``: nobody listens: connections are refused, those that are open are cut. Concerns whole
          services, so ``operation`` and ``nth`` do not apply; it leaves no trace on the service, and always
          counts as met.
        - ``status``: the request is not executed; the answer is ``status`` with ``body``.
        - ``stall``: nothing more is read or sent until the client leaves (or the plan, or the namespace,
          ends). With ``phase="connect"`` connections are not even established, and the limits of ``refuse``
          hold.
        - ``slow``: a pause of ``seconds``, then all goes on.
        - ``drip``: from there on one byte every ``seconds``.
        - ``truncate``: the connection is closed in good order, before the announced end.
        - ``reset``: the connection is reset.
        - ``corrupt``: one bit of one byte is flipped.
        - ``wrong-hash``: the answer names another hash than the true one.
        - ``disk-full``: storing the data fails once they have come, nothing is kept: 500 for the PUT of a
          rawx, 503 for an upload to B2.
        - ``commit-then-timeout``, ``commit-then-reset``: the request is executed, its answer never comes.
        - ``raw-head``: ``body`` is written as it is into the response head, before the service's own lines.

    :param service: ``rawx``, ``proxy`` (the conscience and the directory are behind it), ``account`` or
        ``rdir``, or ``b2``.
    :param operation: an HTTP method, or the end of the path in whole parts, such as ``content/create``,
        ``container/snapshot``, ``conscience/list``, ``account/show`` or ``rdir/push``; for B2 the name of an
        operation, such as ``b2_upload_file``, or ``download`` for all downloads
        (``oio.sandbox.operations.OPERATIONS`` lists them all); None for all requests.
    :param address: ``host:port`` of the only service concerned; None for all of the kind.
    :param nth: strike the nth matching request only, from 1; None for all of them.
    :param after_bytes: where to strike, for the actions that strike at a byte: so many bytes of the body have
        passed. Negative counts from the end: ``-1`` is before the last byte. A ``PUT`` to a rawx and an
        upload to B2 count the bytes they receive (negative with a chunked body: once it is complete, for its
        length is not known before), any other request the bytes of its answer. A body that does not reach
        the place goes undisturbed, and the fault is not met.
    :param phase: ``body``, or ``head`` to strike before the request is executed (``after_bytes=0``) or inside
        the head of the answer (the request is executed); ``connect`` for ``stall`` only. With ``status``,
        ``head`` means that the answer does not wait for the body of the request, which is not read.
    :param status: status of the answer, for ``status``.
    :param body: for ``status``, the body of the answer (None: as the service would write it); for
        ``raw-head``, the lines, each ended by ``\r\n``.
    :param content_type: for ``status``: type of ``body``; None for the service's usual one.
    :param headers: for ``status``: more headers of the answer, such as ``(("Retry-After", "1"),)``.
    :param seconds: for ``slow`` (default 1) and ``drip`` (default 0.05).
    :raises ValueError: an argument is unknown, or makes no sense with the others.

    >>> Fault("reset", service="rawx", operation="GET", nth=2, after_bytes=65536).nth
    2
    """

    action: str
    service: str = "rawx"
    operation: str | None = None
    address: str | None = None
    nth: int | None = None
    after_bytes: int = 0
    phase: str = "body"
    status: int = 503
    body: bytes | str | None = None
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None

    def __post_init__(self) -> None:
        _one_of("action", self.action, ACTIONS)
        _one_of("service", self.service, SERVICES)
        _one_of("phase", self.phase, ("connect", "head", "body"))
        if self.nth is not None and self.nth < 1:
            raise ValueError(f"nth={self.nth!r}: requests are counted from 1")
        if not 200 <= self.status <= 599:
            raise ValueError(f"status={self.status!r}: not a final HTTP status")
        if self.seconds is not None and self.seconds < 0:
            raise ValueError(f"seconds={self.seconds!r}: must not be negative")
        self._check_combination()

    def _check_combination(self) -> None:
        if self.after_bytes and self.action not in AT_A_BYTE:
            raise ValueError(f"after_bytes={self.after_bytes!r}: {self.action!r} does not strike at a byte")
        if self.phase == "head" and self.after_bytes < 0:
            raise ValueError(f"after_bytes={self.after_bytes!r}: a head is counted from its start")
        if self.phase == "connect" and self.action != "stall":
            raise ValueError(f"phase='connect' is for stall, not for {self.action!r}")
        if self.bars_the_door and (self.operation is not None or self.nth is not None or self.after_bytes):
            raise ValueError(
                f"{self.action} of connections concerns a whole service: give no operation, nth, after_bytes"
            )
        if self.action == "disk-full" and self.operation not in _STORING.get(self.service, ()):
            raise ValueError("disk-full is for the PUT of a rawx, or an upload to B2")
        if self.headers and self.action != "status":
            raise ValueError(f"headers={self.headers!r}: for status only, not for {self.action!r}")
        if self.action == "wrong-hash" and self.service in {"account", "rdir"}:
            raise ValueError(f"wrong-hash: {self.service} services name no hash")
        if self.action == "raw-head" and not self.body:
            raise ValueError("raw-head needs the lines to write, in body")

    @property
    def bars_the_door(self) -> bool:
        """Whether the fault keeps clients from connecting, rather than spoiling requests."""
        return self.action == "refuse" or self.phase == "connect"

    @property
    def pause(self) -> float:
        """Seconds of one pause."""
        return _DEFAULT_SECONDS.get(self.action, 0.0) if self.seconds is None else self.seconds

    @property
    def payload(self) -> bytes:
        """``body`` as bytes."""
        return self.body.encode() if isinstance(self.body, str) else self.body or b""

    def concerns(self, service: str, address: str) -> bool:
        """Tell whether the fault may strike the service of this kind at this address."""
        return self.service == service and self.address in {None, address}

    def matches(self, request: Request) -> bool:
        """Tell whether the fault may strike this request (of a service it concerns)."""
        if self.action == "disk-full" and not is_upload(self.service, request):
            return False
        if self.operation is None or self.operation == request.method:
            return True
        if self.operation in METHODS:
            return False
        if self.service == "b2":
            operation = b2_operation(request.path)
            return self.operation in {operation, "download" if "download" in operation else None}
        return f"/{request.path.strip('/')}".endswith(f"/{self.operation.strip('/')}")


@dataclass
class _Watched:
    """A fault of a plan, with its counts."""

    fault: Fault
    seen: int = 0
    hits: int = 0


@dataclass(frozen=True)
class Strike:
    """A fault that is due at the current request."""

    fault: Fault
    _count_hit: Callable[[], None]
    #: Set once the plan has ended: stalled exchanges give up.
    over: threading.Event

    def hit(self) -> None:
        """Count that the fault really happened."""
        self._count_hit()


class FaultPlan:
    """Faults that hold while the plan is open; at most one strikes each request, the first that is due.

    It counts, and can tell afterwards that nothing was planned in vain:

    >>> with namespace.faults(Fault("reset", operation="GET", nth=2)) as plan:  # doctest: +SKIP
    ...     api.object_fetch("account", "container", "object")
    >>> plan.assert_met()  # doctest: +SKIP

    :param faults: the faults, in order of precedence.
    :param board: where the plan is posted while it is open.
    """

    def __init__(self, faults: Sequence[Fault], board: FaultBoard) -> None:
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"not a Fault: {fault!r}")
        self._watched = [_Watched(fault) for fault in faults]
        self._board = board
        self._lock = threading.Lock()
        self._over = threading.Event()

    @property
    def faults(self) -> list[Fault]:
        """The faults of the plan."""
        return [watched.fault for watched in self._watched]

    def __enter__(self) -> FaultPlan:
        self._over.clear()
        self._board.post(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._board.withdraw(self)

    def door(self, service: str, address: str) -> Door:
        """Tell how the service at ``address`` receives connections."""
        for fault in self.faults:
            if fault.bars_the_door and fault.concerns(service, address):
                return Door.CLOSED if fault.action == "refuse" else Door.BLOCKED
        return Door.OPEN

    def due(self, service: str, address: str, request: Request) -> Strike | None:
        """Count ``request``, and return the fault that is due at it."""
        chosen = None
        with self._lock:
            for watched in self._watched:
                fault = watched.fault
                if fault.bars_the_door or not fault.concerns(service, address) or not fault.matches(request):
                    continue
                watched.seen += 1
                if chosen is None and fault.nth in {None, watched.seen}:
                    chosen = watched
        if chosen is None:
            return None
        return Strike(chosen.fault, self._counter(chosen), self._over)

    def _counter(self, watched: _Watched) -> Callable[[], None]:
        def count() -> None:
            with self._lock:
                watched.hits += 1

        return count

    def hits(self, fault: Fault) -> int:
        """Return how many times ``fault`` really happened (unknown, so 0, for those of connections)."""
        with self._lock:
            return sum(watched.hits for watched in self._watched if watched.fault == fault)

    def assert_met(self) -> None:
        """Raise AssertionError if a fault of the plan never happened.

        Those that keep clients from connecting are taken on trust.
        """
        missed = [fault for fault in self.faults if not fault.bars_the_door and not self.hits(fault)]
        if missed:
            lines = "\n".join(f"  {fault}" for fault in missed)
            raise AssertionError(f"{len(missed)} planned fault(s) never happened:\n{lines}")


class FaultBoard:
    """Where the services of a namespace look up the open plans; the latest plan comes first.

    :param on_change: called when a plan is opened or closed, for services that must stop or start listening.
    """

    def __init__(self, on_change: Callable[[], None] = lambda: None) -> None:
        self._on_change = on_change
        self._plans: list[FaultPlan] = []
        self._lock = threading.Lock()

    def post(self, plan: FaultPlan) -> None:
        """Open ``plan``."""
        with self._lock:
            self._plans.insert(0, plan)
        self._on_change()

    def withdraw(self, plan: FaultPlan) -> None:
        """Close ``plan``."""
        with self._lock:
            self._plans.remove(plan)
        self._on_change()

    def _open(self) -> list[FaultPlan]:
        with self._lock:
            return list(self._plans)

    def door(self, service: str, address: str) -> Door:
        """Tell how the open plans let the service at ``address`` receive connections."""
        doors = (plan.door(service, address) for plan in self._open())
        return next((door for door in doors if door is not Door.OPEN), Door.OPEN)

    def due(self, service: str, address: str, request: Request) -> Strike | None:
        """Return the fault that is due at ``request``, if any."""
        return next(
            (strike for plan in self._open() if (strike := plan.due(service, address, request))), None
        )


def b2_operation(path: str) -> str:
    """Return the name of the operation in a path of a B2 service.

    >>> b2_operation("/b2api/v1/b2_upload_file/4a48/c001"), b2_operation("/file/bucket/name")
    ('b2_upload_file', 'download')
    """
    parts = path.split("/")
    if parts[1:2] == ["file"]:
        return "download"
    return parts[3] if len(parts) > 3 else ""


def is_upload(service: str, request: Request) -> bool:
    """Tell whether a request brings data to be stored."""
    if service == "b2":
        return b2_operation(request.path) in _STORING["b2"]
    return service == "rawx" and request.method == "PUT"


def _one_of(name: str, value: str, allowed: frozenset[str] | tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: must be one of {', '.join(sorted(allowed))}")
