# SPDX-License-Identifier: Apache-2.0
"""Links of chunks, without services: names, order and quorum."""

from __future__ import annotations

from typing import Any

import pytest

from oio.api import io
from oio.common import exceptions as exc
from oio.common import green
from oio.common.storage_method import STORAGE_METHODS
from oio.common.utils import compute_chunk_id

THREE = STORAGE_METHODS.load("plain/nb_copy=3")
SYSMETA = {
    "container_id": "C" * 64,
    "content_path": "o",
    "version": "12",
    "policy": "THREECOPIES",
    "full_path": "a/c/o/12/AB",
}


class Rawx:
    """Makes links as a BlobClient does, or raises what is planned for a service."""

    def __init__(self, **plans: list[BaseException]) -> None:
        self.plans = plans
        self.made: list[tuple[str, str, str]] = []

    def chunk_link(self, target: str, link: str, fullpath: str, **_kwargs: Any) -> None:
        plan = self.plans.get(target.split("/")[2])
        if plan:
            raise plan.pop(0)
        self.made.append((target, link, fullpath))


def chunks(*services: str, pos: str = "0") -> list[dict[str, Any]]:
    return [
        {
            "url": f"http://{name}/{number:064X}",
            "pos": pos,
            "size": 5,
            "hash": "AB",
            "score": 50,
            "offset": 0,
        }
        for number, name in enumerate(services)
    ]


def linker(rawx: Any, targets: list[dict[str, Any]], **kwargs: Any) -> io.MetachunkLinker:
    return io.MetachunkLinker(SYSMETA, targets, THREE, rawx, **kwargs)


def test_links_have_the_predictable_ids_and_the_addresses_of_their_targets() -> None:
    targets = chunks("one", "two", "three")
    targets[0]["real_url"] = targets[0]["url"].replace("http://one", "https://10.0.0.1:6010")
    rawx = Rawx()
    made = linker(rawx, targets).link()
    chunk_id = compute_chunk_id("C" * 64, "o", "12", "0", "THREECOPIES")
    assert [link["url"] for link in made] == [f"http://{name}/{chunk_id}" for name in ("one", "two", "three")]
    assert made[0]["real_url"] == f"https://10.0.0.1:6010/{chunk_id}"
    assert [(target, link) for target, link, _ in rawx.made] == [
        (target.get("real_url") or target["url"], link["real_url"])
        for target, link in zip(targets, made, strict=True)
    ]
    assert {fullpath for _, _, fullpath in rawx.made} == {"a/c/o/12/AB"}


def test_two_chunks_of_one_service_have_links_of_different_names() -> None:
    rawx = Rawx()
    made = linker(rawx, chunks("one", "one", "two")).link()
    assert len({link["url"] for link in made}) == 3
    assert all(len(link["url"].rpartition("/")[2]) == 64 for link in made)


def test_all_links_are_asked_for_at_once() -> None:
    everybody = green.Event()

    class Meeting(Rawx):
        def chunk_link(self, *args: Any, **kwargs: Any) -> None:
            super().chunk_link(*args, **kwargs)
            if len(self.made) == 3:
                everybody.send()
            with green.OioTimeout(30):
                everybody.wait()

    assert len(linker(Meeting(), chunks("one", "two", "three")).link()) == 3


@pytest.mark.pitfall(99)
def test_failed_links_are_told_apart() -> None:
    rawx = Rawx(
        one=[exc.ChunkException(404)],
        two=[exc.ChunkException(500)],
        three=[exc.OioNetworkException("reset")],
        four=[green.ChunkWriteTimeout()],
        five=[exc.DeadlineReached()],
        six=[OSError("a fake of an application")],
        nine=[exc.ChunkException("another one")],
    )
    metachunk = linker(rawx, chunks("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"))
    made = metachunk.link()
    assert [link["url"].split("/")[2] for link in made] == ["seven", "eight"]
    assert [bool(link["error"]) for link in metachunk.links] == [True] * 6 + [False] * 2 + [True]
    # What a service surely has not got need not be removed from it.
    assert [link["maybe_stored"] for link in metachunk.links] == [
        False,
        True,
        True,
        True,
        False,
        True,
        True,
        True,
        True,
    ]


def test_link_that_is_interrupted_may_come_late() -> None:
    metachunk = linker(Rawx(two=[KeyboardInterrupt()]), chunks("one", "two"))
    with pytest.raises(KeyboardInterrupt):
        metachunk.link()
    made, interrupted = metachunk.links
    assert (made["error"], made["maybe_stored"]) == (None, True)
    assert (interrupted["error"], interrupted["maybe_stored"]) == ("interrupted before its answer", True)


@pytest.mark.pitfall(25, 26, 99)
@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([exc.ChunkException(503), exc.ChunkException(503)], exc.ServiceBusy),
        ([exc.OioTimeout("slow"), exc.ChunkException(503)], exc.OioTimeout),
        ([exc.OioTimeout("slow"), exc.ChunkException(405)], exc.MethodNotAllowed),
    ],
)
def test_too_few_links_are_a_failure(errors: list[BaseException], expected: type[Exception]) -> None:
    rawx = Rawx(one=errors[:1], two=errors[1:])
    with pytest.raises(expected, match=r"quorum not reached \(1/2\)"):
        linker(rawx, chunks("one", "two", "three"), reqid="mine").link()


@pytest.mark.pitfall(30)
def test_name_that_is_taken_is_replaced_once() -> None:
    taken = exc.ChunkException(409)
    rawx = Rawx(one=[taken], two=[taken, taken])
    metachunk = linker(rawx, chunks("one", "two", "three"))
    made = metachunk.link()
    assert [link["url"].split("/")[2] for link in made] == ["one", "three"]
    assert made[0]["url"].rpartition("/")[2] != made[1]["url"].rpartition("/")[2]
    assert metachunk.links[1]["maybe_stored"] is False
    with pytest.raises(exc.Conflict):
        linker(Rawx(one=[taken] * 2, two=[taken] * 2), chunks("one", "two", "three")).link()


def test_quorum_may_be_another() -> None:
    rawx = Rawx(one=[exc.ChunkException(503)])
    with pytest.raises(exc.ServiceBusy, match="2/3"):
        linker(rawx, chunks("one", "two", "three"), quorum=3).link()


def test_metachunks_are_linked_in_their_order_and_known_when_one_fails() -> None:
    rawx = Rawx(two=[exc.ChunkException(503)])
    targets = {2: chunks("four", pos="2"), 0: chunks("one", pos="0"), 1: chunks("two", pos="1")}
    handler = io.LinkHandler(SYSMETA, targets, STORAGE_METHODS.load("plain/nb_copy=1"), rawx)
    with pytest.raises(exc.ServiceBusy):
        handler.link()
    assert [target["pos"] for target, _ in handler.pairs] == ["0", "1"]
    assert [link["maybe_stored"] for link in handler.all_chunks_so_far()] == [True, True]


def test_links_are_given_as_chunks_to_be_saved() -> None:
    handler = io.LinkHandler(SYSMETA, {0: chunks("one", "two", "three")}, THREE, Rawx())
    assert [link.keys() for link in handler.link()] == [{"url", "real_url", "pos", "size", "hash"}] * 3


def test_strategies_of_links_are_among_the_others() -> None:
    assert {"LinkHandler", "MetachunkLinker"} <= set(io.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        io.nothing  # type: ignore[attr-defined]  # noqa: B018
