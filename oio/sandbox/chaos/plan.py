# SPDX-License-Identifier: Apache-2.0
"""Plan of troubles: phases of faults, stopped nodes and kills, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from oio.sandbox.faults import Fault
from oio.sandbox.releases import R7_3, Release

#: Places of breaks in data: at the beginning, inside, and before the last byte.
_PLACES: Final = (0, 1, 1_000, 20_000, -1)
_BUSY: Final = (500, 502, 503)
#: Operations of the proxy that faults are for.
_CALLS: Final = (
    None,
    None,
    "content/prepare2",
    "content/create",
    "content/delete",
    "content/delete_many",
    "content/locate",
    "content/truncate",
    "content/get_properties",
    "content/set_properties",
    "container/list",
    "container/snapshot",
    "container/raw_update",
    "admin/freeze",
    "admin/enable",
    "container/flush",
)
#: The same where a change of policy must be asked for first.
_CALLS_OF_TRANSITIONS: Final = (*_CALLS, "content/transition")
_CALM_PHASES: Final = 0.3
_KILLS: Final = 0.15


@dataclass(frozen=True)
class Phase:
    """Troubles during some operations.

    :param faults: the faults.
    :param stopped: addresses of chunk servers that are stopped.
    :param kill: the namespace is killed and started again when the phase begins.
    :param pause: seconds between the kill and the start.
    :param operations: how many operations end before the next phase.
    """

    faults: tuple[Fault, ...] = ()
    stopped: tuple[str, ...] = ()
    kill: bool = False
    pause: float = 0.0
    operations: int = 0

    @property
    def corrupts(self) -> bool:
        """Whether wrong bytes are sent, which the range of a chunk does not show."""
        return any(fault.action == "corrupt" for fault in self.faults)

    def recorded(self) -> dict[str, object]:
        """Describe the phase for the record."""
        usual = asdict(Fault("refuse"))
        return {
            "faults": [
                {
                    name: value
                    for name, value in asdict(fault).items()
                    if value != usual[name] or name in {"action", "service"}
                }
                for fault in self.faults
            ],
            "stopped": self.stopped,
            "kill": self.kill,
            "operations": self.operations,
        }


def phases(seed: int, rawx: Sequence[str], *, release: Release = R7_3, b2: bool = False) -> Iterator[Phase]:
    """Give one phase after the other, for ever.

    :param seed: the same one gives the same plan, but for the ports in ``rawx``.
    :param rawx: addresses of the chunk servers.
    :param release: of the services.
    :param b2: whether there are objects in the B2.

    >>> next(phases(1, ["127.0.0.1:6010"])) == next(phases(1, ["127.0.0.1:6010"]))
    True
    """
    rng = random.Random(f"{seed}/plan")
    calls = _CALLS_OF_TRANSITIONS if release.transitions else _CALLS
    while True:
        operations = rng.randint(40, 160)
        if rng.random() < _CALM_PHASES:
            yield Phase(operations=operations)
            continue
        nodes = rng.sample(rawx, min(len(rawx), rng.randint(1, 4)))
        stopped = nodes[: rng.choice((0, 0, 0, 1, 1, 2))]
        faults = [_on_node(rng, address) for address in nodes[len(stopped) :]]
        faults += [_on_any_node(rng) for _ in range(rng.randint(0, 2))]
        faults += [_on_proxy(rng, calls) for _ in range(rng.randint(0, 3))]
        faults += [_on_others(rng)] * (rng.random() < 0.2)
        faults += [_on_b2(rng)] * (b2 and rng.random() < 0.5)
        kill = rng.random() < _KILLS
        yield Phase(tuple(faults), tuple(stopped), kill, rng.uniform(0.0, 0.4) if kill else 0.0, operations)


def _on_node(rng: random.Random, address: str) -> Fault:
    """Return a fault of one chunk server."""
    bar = rng.choice(("", "", "", "refuse", "stall"))
    if bar == "refuse":
        return Fault("refuse", address=address)
    if bar == "stall":
        return Fault("stall", phase="connect", address=address)
    return _of_chunks(rng, address=address)


def _on_any_node(rng: random.Random) -> Fault:
    """Return a fault that strikes once, in any chunk server."""
    return _of_chunks(rng, nth=rng.randint(1, 40))


def _of_chunks(rng: random.Random, address: str | None = None, nth: int | None = None) -> Fault:
    operation = rng.choice(("GET", "GET", "PUT", "PUT", "DELETE", "COPY", "HEAD"))
    actions = ["status", "commit-then-reset", "commit-then-timeout", "slow"]
    if operation in {"GET", "PUT"}:
        actions += ["reset", "truncate", "stall", "drip", "corrupt", "reset", "truncate", "corrupt"]
    if operation == "PUT":
        actions += ["wrong-hash", "disk-full"]
    action = rng.choice(actions)
    at_a_byte = action in {"reset", "truncate", "stall", "drip", "corrupt"}
    return Fault(
        action,
        operation=operation,
        address=address,
        nth=nth,
        after_bytes=rng.choice(_PLACES) if at_a_byte else 0,
        status=rng.choice(_BUSY) if action == "status" else 503,
        seconds={"slow": 0.3, "drip": 0.001}.get(action),
    )


def _on_proxy(rng: random.Random, calls: Sequence[str | None]) -> Fault:
    action = rng.choice(
        ("status", "reset", "reset", "truncate", "stall", "slow", "commit-then-reset", "commit-then-timeout")
    )
    operation = rng.choice(calls)
    phase = rng.choice(("head", "body")) if action in {"reset", "truncate", "stall"} else "body"
    return Fault(
        action,
        service="proxy",
        operation=operation,
        nth=rng.randint(1, 60 if operation is None else 6),
        phase=phase,
        after_bytes=rng.choice((0, 20, 60, 200)) if phase == "head" else 0,
        status=rng.choice(_BUSY) if action == "status" else 503,
        seconds=0.3 if action == "slow" else None,
    )


def _on_others(rng: random.Random) -> Fault:
    action = rng.choice(("refuse", "status", "reset", "stall"))
    return Fault(action, service=rng.choice(("account", "rdir")), status=503)


def _on_b2(rng: random.Random) -> Fault:
    action = rng.choice(("status", "reset", "truncate", "stall", "corrupt", "commit-then-reset"))
    return Fault(action, service="b2", nth=rng.randint(1, 10), status=503)
