# SPDX-License-Identifier: Apache-2.0
"""Placement of volumes: which rdir service suits each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oio.common import exceptions as exc

if TYPE_CHECKING:
    from oio.common.answers import JsonObject

_SAME_HOST = 1


class Placement:
    """Choice among rdir services.

    :param rdirs: services, each with its number of ``volumes``
    :param max_per_rdir: none gets more volumes than that
    :param min_dist: none is chosen that is nearer to its volume, see :func:`distance`
    """

    def __init__(
        self, rdirs: list[JsonObject], max_per_rdir: int | None = None, min_dist: int | None = None
    ) -> None:
        self._rdirs = [rdir for rdir in rdirs if rdir["score"] > 0]
        self._max = max_per_rdir
        self._min_dist = min_dist or 0

    def choose(self, volume: JsonObject, current: JsonObject | None = None) -> JsonObject:
        """Choose the service of a volume: on another host, if there is one, and with the fewest volumes.

        :param current: the service that it has, which is as good as others that are equal
        :raises VolumeException: none is up, or none suits
        """
        suitable = [
            rdir
            for rdir in self._rdirs
            if (self._max is None or rdir["volumes"] < self._max) and distance(rdir, volume) >= self._min_dist
        ]
        if not suitable:
            raise exc.VolumeException(f"no rdir service {self._wanted()}, volume {volume['id']!r} needs one")
        return min(
            suitable,
            key=lambda rdir: (
                distance(rdir, volume) <= _SAME_HOST,
                rdir["volumes"],
                current is None or rdir["id"] != current["id"],
            ),
        )

    def _wanted(self) -> str:
        wishes = ["is up"]
        if self._max is not None:
            wishes.append(f"has less than {self._max} volumes")
        if self._min_dist:
            wishes.append(f"is at a distance of {self._min_dist}")
        return " and ".join(wishes)


def distance(one: JsonObject, other: JsonObject) -> int:
    """Tell how far two services are from each other: how many of the last parts of their locations differ.

    0 is the same place, 1 the same host. Without locations, the addresses tell the hosts.

    >>> places = [{"tags": {"tag.loc": place}} for place in ("rack1.host1.a", "rack1.host2.b")]
    >>> distance(*places), distance(places[0], places[0])
    (2, 0)
    """
    places = _place(one), _place(other)
    width = max(map(len, places))
    first, second = ([""] * (width - len(place)) + place for place in places)
    return next((width - index for index in range(width) if first[index] != second[index]), 0)


def _place(service: JsonObject) -> list[str]:
    """Parts of a location, of which the last is the service's own."""
    location = str(service["tags"].get("tag.loc", ""))
    if "." in location:
        return location.split(".")
    host, _, port = str(service["addr"]).rpartition(":")
    return [host, port]
