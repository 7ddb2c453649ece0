# SPDX-License-Identifier: Apache-2.0
"""Registry and load balancer of the services of a namespace."""

from __future__ import annotations

import random
import re
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from oio.sandbox.metadata.policies import SERVICE_POOLS, Policy
from oio.sandbox.refusals import (
    CONTENT_EXISTS,
    NO_SUCH_TYPE,
    POLICY_UNSATISFIABLE,
    UNAVAILABLE,
    Refusal,
    bad_request,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

SERVICE_TYPES: Final = (
    *("account", "beanstalkd", "echo", "meta0", "meta1", "meta2", "oiofs", "oioproxy", "oioswift"),
    *("rawx", "rdir", "redis", "xcute"),
)

#: Those of the development head.
LATER_SERVICE_TYPES: Final = (
    *("account", "beanstalkd", "echo", "foundationdb", "meta0", "meta1", "meta2", "oioproxy", "rawx", "rdir"),
    *("redis", "xcute"),
)

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d{1,5}")

Tags = dict[str, object]


@dataclass(frozen=True)
class Service:
    """One registered service.

    :param kind: one of :data:`SERVICE_TYPES`.
    :param address: ``host:port`` to connect to.
    :param service_id: name used instead of the address in chunk URLs, if any.
    :param health: score of its state: 0 (do not use) to 100.
    :param tags: ``tag.*`` and ``stat.*`` values.
    :param lock: locked score, None when it is not locked.
    """

    kind: str
    address: str
    service_id: str | None = None
    health: int = 100
    tags: Tags = field(default_factory=dict)
    lock: int | None = None

    @property
    def score(self) -> int:
        """Weight in the choice of services: 0 is never chosen, 100 twice as often as 50."""
        return self.health if self.lock is None else self.lock

    @property
    def name(self) -> str:
        """Its name in chunk URLs and for other services."""
        return self.service_id or self.address

    @property
    def slots(self) -> frozenset[str]:
        """Slots that it is in: its type, and those of ``tag.slots``."""
        return frozenset({self.kind, *str(self.tags.get("tag.slots", "")).split(",")} - {""})

    def description(self, *, full: bool, scores: bool = False) -> dict[str, object]:
        """Return the item of ``conscience/list``, with its statistics if ``full``.

        :param scores: give scores and locks for reading and for writing apart (they are equal here).
        """
        tags = {key: value for key, value in self.tags.items() if full or not key.startswith("stat.")}
        if self.service_id:
            tags["tag.service_id"] = self.service_id
        locks = ["tag.lock", *(["tag.putlock", "tag.getlock"] if scores else [])]
        tags |= dict.fromkeys(locks, self.lock is not None)
        both = {"scores": {"score.put": self.score, "score.get": self.score}} if scores else {}
        return {"addr": self.address, "score": self.score, **both, "tags": tags}


class Place(NamedTuple):
    """Place of one chunk: the service, the slot expected and the slot it was found in."""

    service: Service
    expected_slot: str
    final_slot: str


@dataclass(frozen=True)
class Pool:
    """For each place, the slots to choose a service from, best first."""

    places: tuple[tuple[str, ...], ...]

    @classmethod
    def parse(cls, text: str) -> Pool:
        """Read ``"2,rawx-even,rawx;1,rawx;min_dist=2"``; distances mean nothing on one host."""
        places: list[tuple[str, ...]] = []
        for target in text.split(";"):
            count, *slots = target.split(",")
            if slots:
                places += [tuple(slots)] * int(count)
        return cls(tuple(places))


class Conscience:
    """Registry and load balancer of a namespace; safe from many threads.

    :param namespace: its name.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._lock = threading.Lock()
        self._services: dict[tuple[str, str], Service] = {}
        self._pools = {name: Pool.parse(text) for name, text in SERVICE_POOLS.items()}
        self._random = random.Random()

    # -- registry

    def register(self, service: Service) -> None:
        """Add a service, or change the tags of one that is known."""
        self.check_type(service.kind)
        with self._lock:
            known = self._services.get((service.kind, service.name))
            if known is not None:
                service = replace(service, health=known.health, lock=known.lock)
            self._services[service.kind, service.name] = service

    def deregister(self, kind: str, name: str) -> None:
        """Forget a service."""
        self.check_type(kind)
        with self._lock:
            self._services.pop((kind, name), None)

    def forget(self, kind: str) -> None:
        """Forget all the services of a type."""
        self.check_type(kind)
        with self._lock:
            self._services = {key: value for key, value in self._services.items() if key[0] != kind}

    def lock(self, kind: str, name: str, score: int) -> None:
        """Lock the score of a service; a score out of bounds becomes the nearest one."""
        self._change(kind, name, lock=max(0, min(score, 100)))

    def unlock(self, kind: str, name: str) -> None:
        """Unlock the score of a service."""
        self._change(kind, name, lock=None)

    def rate(self, kind: str, name: str, health: int) -> None:
        """Set the health of a service, which is its score unless that is locked."""
        self._change(kind, name, health=health)

    def _change(self, kind: str, name: str, **values: object) -> None:
        self.check_type(kind)
        with self._lock:
            known = self._services.get((kind, name))
            if known is not None:
                self._services[kind, name] = replace(known, **values)  # type: ignore[arg-type]

    @staticmethod
    def check_type(kind: str) -> None:
        """Refuse a type of service that does not exist."""
        if kind not in SERVICE_TYPES:
            raise Refusal(NO_SUCH_TYPE, f"Service type [{kind}] not managed")

    @staticmethod
    def check_address(address: str) -> None:
        """Refuse what is not ``host:port``."""
        if not _ADDRESS.fullmatch(address):
            raise bad_request("Invalid address")

    def services(self, kind: str | None = None) -> list[Service]:
        """Return the services of a type, or all of them."""
        if kind is not None:
            self.check_type(kind)
        with self._lock:
            return [service for service in self._services.values() if kind in {None, service.kind}]

    def find(self, kind: str, name: str) -> Service | None:
        """Return a service by its ID or address."""
        return next((srv for srv in self.services(kind) if name in {srv.service_id, srv.address}), None)

    def resolve(self, kind: str, name: str) -> Service:
        """Return a service by its ID or address; raise :class:`Refusal` when it is unknown."""
        service = self.find(kind, name)
        if service is None:
            raise Refusal(UNAVAILABLE, f"Conscience error: Service ID [{name}] not found")
        return service

    # -- load balancer

    def create_pool(self, name: str, targets: str | None, *, force: bool) -> None:
        """Define a pool of services."""
        with self._lock:
            if name in self._pools and not force:
                raise Refusal(CONTENT_EXISTS, f"A pool named [{name}] already exists")
            if targets is None:
                raise bad_request("Missing field [targets]")
            try:
                self._pools[name] = Pool.parse(targets)
            except ValueError as exc:
                raise bad_request(f"Invalid targets: {targets}") from exc

    def pool_of(self, policy: Policy) -> Pool:
        """Return the pool that places one metachunk of a policy."""
        pool = self._pools.get(policy.pool)
        # The pool is not declared (rawx17), or the policy has none: any services will do.
        return pool if pool is not None else Pool((("rawx",),) * policy.width)

    def pool(self, name: str) -> Pool:
        """Return a declared pool."""
        if name not in self._pools:
            raise bad_request(f"found only 0 services matching the criteria: pool [{name}] not found")
        return self._pools[name]

    def choose(self, kind: str, count: int, slot: str | None = None) -> tuple[list[Service], bool]:
        """Return ``count`` different services of a type, and whether some are outside ``slot``."""
        services = self.services(kind)
        inside = [service for service in services if slot is None or slot in service.slots]
        chosen: list[Service] = []
        for _ in range(count):
            chosen.append(self._pick([srv for srv in inside or services if srv not in chosen], slot or kind))
        return chosen, not inside

    def poll(
        self,
        pool: Pool,
        *,
        known: Iterable[Service] = (),
        avoid: Collection[str] = (),
        rather_not: Collection[str] = (),
    ) -> list[Place]:
        """Choose a service for each place of a pool.

        :param known: services that hold a place already.
        :param avoid: names of services not to choose.
        :param rather_not: names of services to choose only when there are no others.
        """
        held = list(known)
        if len(held) >= len(pool.places):
            raise bad_request(
                f"found only 0 services matching the criteria: too many locations already known "
                f"({len(held)}), maximum {len(pool.places)} locations for this storage policy"
            )
        free = _without_held(pool.places, held)
        candidates = [srv for srv in self.services() if srv not in held and srv.name not in avoid]
        chosen: list[Place] = []
        for slots in free:
            used = {place.service.name for place in chosen}
            place = None
            for unwanted in (used | set(rather_not), used):
                place = place or self._place([srv for srv in candidates if srv.name not in unwanted], slots)
            if place is None:
                raise _unsatisfiable(slots[0], len(chosen), len(free))
            chosen.append(place)
        return chosen

    def _place(self, candidates: Sequence[Service], slots: Sequence[str]) -> Place | None:
        for slot in slots:
            inside = [service for service in candidates if slot in service.slots and service.score > 0]
            if inside:
                return Place(self._pick(inside, slot), slots[0], slot)
        return None

    def _pick(self, candidates: Sequence[Service], slot: str) -> Service:
        usable = [service for service in candidates if service.score > 0]
        if not usable:
            raise _unsatisfiable(slot, 0, 1)
        return self._random.choices(usable, [service.score for service in usable])[0]

    # -- chunks

    def real_url(self, url: str) -> str:
        """Return the URL to connect to for a chunk, whose host may be a service ID."""
        scheme, _, rest = url.partition("://")
        host, _, chunk = rest.partition("/")
        service = self.find("rawx", host)
        return url if service is None else f"{scheme}://{service.address}/{chunk}"

    def score_of(self, url: str) -> int:
        """Return the score of the service that holds a chunk; 0 when it is unknown."""
        service = self.find("rawx", url.partition("://")[2].partition("/")[0])
        return 0 if service is None else service.score


def _without_held(places: Sequence[Sequence[str]], held: Sequence[Service]) -> list[Sequence[str]]:
    """Return the places that the services of ``held`` leave free, each taking the best one it can."""
    free = list(places)
    for service in held:
        fitting = [place for place in free if place[0] in service.slots]
        free.remove((fitting or free)[0])
    return free


def _unsatisfiable(slot: str, found: int, wanted: int) -> Refusal:
    return Refusal(
        POLICY_UNSATISFIABLE,
        f"found only {found} services matching the criteria: no service polled from [{slot}], "
        f"{found}/{wanted} services polled",
    )
