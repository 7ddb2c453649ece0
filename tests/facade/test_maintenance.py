# SPDX-License-Identifier: Apache-2.0
"""Emptying containers, dropping old versions, counting again; requests about many names."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from oio.common import exceptions as exc
from oio.common.limits import Limits
from oio.sandbox import Fault, Namespace
from tests.kit.facade import ACCOUNT, CONTAINER, chunks_on_disk, create, header, routes
from tests.kit.releases import RELEASES
from tests.kit.rows import alias, fill, left, versions_of

ON_RELEASES = RELEASES

ALL_VERSIONS = {"sys.m2.policy.version": "-1"}
FOREVER = 7
"""More requests than a loop may send that goes nowhere."""


def answer(status: int = 200, body: Any = None, **headers: str) -> tuple[Any, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(status=status, headers=named), {} if body is None else body


def answering(answers: dict[str, Any]) -> Mock:
    """Answer requests by the last part of their URL, but not for ever."""
    told = itertools.count(1)

    def request(method: str, url: str, **kwargs: Any) -> Any:
        assert next(told) < FOREVER
        return answers[url.rpartition("/")[2]]

    return Mock(side_effect=request)


def asked(namespace: Namespace, route: str) -> int:
    """How often a route was asked for."""
    return sum(request.endswith(route) for request in routes(namespace))


# --- emptying ----------------------------------------------------------------------------------------


@pytest.mark.pitfall(94)
@pytest.mark.parametrize("kept", [None, "-1", "3", "1", "0"])
@pytest.mark.parametrize("fast", [False, True])
def test_flush_leaves_nothing_of_any_version(
    api: Any, namespace: Namespace, kept: str | None, fast: bool
) -> None:
    api.container_create(ACCOUNT, CONTAINER, system=ALL_VERSIONS)
    for name in ("many", "many", "hidden", "hidden", "one"):
        create(api, name, policy="SINGLE")
    api.object_delete(ACCOUNT, CONTAINER, "hidden")
    # What was kept while versions were may be more than what is kept now.
    api.container_set_properties(ACCOUNT, CONTAINER, system={"sys.m2.policy.version": kept or ""})
    api.container_flush(ACCOUNT, CONTAINER, fast=fast)
    assert left(api) == []
    assert chunks_on_disk(namespace) == []


@pytest.mark.pitfall(94)
def test_flush_empties_a_container_whose_namespace_keeps_versions() -> None:
    with Namespace(rawx=1, max_versions=-1) as namespace, namespace.api() as api:
        for name in ("a", "b", "b"):
            create(api, name, policy="SINGLE")
        api.container_flush(ACCOUNT, CONTAINER)
        assert left(api) == []
        assert chunks_on_disk(namespace) == []


@pytest.mark.pitfall(94)
@pytest.mark.parametrize("fast", [False, True])
def test_flush_goes_on_after_the_first_page(api: Any, fast: bool) -> None:
    fill(api, *(alias(f"o{number:04}", number + 1) for number in range(2100)))
    api.container_flush(ACCOUNT, CONTAINER, fast=fast)
    assert left(api) == []


@pytest.mark.pitfall(94)
@pytest.mark.parametrize("system", [None, ALL_VERSIONS], ids=["in bulk", "one by one"])
def test_flush_of_a_frozen_container_says_why_it_fails(api: Any, system: Any) -> None:
    fill(api, alias("a", 1), alias("b", 2), system=system)
    api.container.container_freeze(ACCOUNT, CONTAINER)
    with pytest.raises(
        exc.OioException, match=r"nothing of 2 versions .* could be deleted: .*frozen"
    ) as info:
        api.container_flush(ACCOUNT, CONTAINER, deadline=time.monotonic() + 20)
    assert isinstance(info.value.__cause__, exc.ServiceBusy)
    assert len(left(api)) == 2
    api.container_flush(ACCOUNT, CONTAINER, fast=True)
    assert left(api) == []


@pytest.mark.parametrize(("system", "in_bulk", "one_by_one"), [(None, 2, 0), (ALL_VERSIONS, 0, 150)])
def test_flush_deletes_in_bulk_what_would_not_just_be_hidden(
    api: Any, namespace: Namespace, system: Any, in_bulk: int, one_by_one: int
) -> None:
    fill(api, *(alias(f"o{number:03}", number + 1) for number in range(150)), system=system)
    namespace.forget_requests()
    api.container_flush(ACCOUNT, CONTAINER)
    assert asked(namespace, "content/delete_many") == in_bulk
    assert asked(namespace, "content/delete") == one_by_one


def test_flush_deletes_what_it_can_and_tells_of_the_rest(api: Any, namespace: Namespace) -> None:
    fill(api, alias("a", 1), alias("b", 2), alias("c", 3), system=ALL_VERSIONS)
    # Versions are deleted from the last one on.
    faults = [
        Fault("status", service="proxy", operation="content/delete", nth=number, status=500)
        for number in (2, 4, 5)
    ]
    with namespace.faults(*faults), pytest.raises(exc.OioException, match="nothing of 1 versions"):
        api.container_flush(ACCOUNT, CONTAINER)
    assert len(left(api)) == 1


@pytest.mark.pitfall(94)
def test_flush_does_not_believe_for_ever_what_it_is_told(offline_api: Any) -> None:
    row = {"name": "o", "version": 1, "deleted": True}
    answers = {"list": answer(body={"objects": [row]}), "delete": answer(204)}
    offline_api.container._direct_request = answering(answers)
    with pytest.raises(exc.OioException, match="what was deleted of container 'c' is still there"):
        offline_api.container_flush("a", "c")


@pytest.mark.pitfall(94)
def test_fast_flush_notices_that_nothing_changes(offline_api: Any) -> None:
    page = {"objects": [{"name": "o", "version": 1}], "system": {"sys.m2.version": "3"}}
    answers = {"flush": answer(204, x_oio_truncated="true"), "list": answer(body=page)}
    offline_api.container._direct_request = answering(answers)
    with pytest.raises(exc.OioException, match="container 'c' did not change after a flush request"):
        offline_api.container_flush("a", "c", fast=True)


@pytest.mark.pitfall(95)
def test_flush_that_does_not_say_that_something_is_left_is_the_last(offline_api: Any) -> None:
    nothing = answer(body={"objects": []}, x_oio_list_truncated="false")
    offline_api.container._direct_request = Mock(side_effect=[answer(204), nothing])
    offline_api.container_flush("a", "c", fast=True)
    assert [call.args[0] for call in offline_api.container._direct_request.mock_calls] == ["POST", "GET"]


@pytest.mark.parametrize("fast", [False, True])
def test_flush_of_a_missing_container_is_refused(api: Any, fast: bool) -> None:
    with pytest.raises(exc.NoSuchContainer):
        api.container_flush(ACCOUNT, "missing", fast=fast)


def test_flush_forgets_what_is_cached(namespace: Namespace) -> None:
    cache: dict[str, Any] = {}
    with namespace.api(cache=cache) as api:
        create(api, "o", policy="SINGLE")
        api.object_locate(ACCOUNT, CONTAINER, "o")
        assert cache
        api.container_flush(ACCOUNT, CONTAINER)
        assert cache == {}


# --- purge -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("maxvers", "versions"), [(-1, [5, 4, 2, 1]), (0, [5]), (1, [5]), (2, [5, 4]), (9, [5, 4, 2, 1])]
)
def test_purge_keeps_the_newest_versions(api: Any, maxvers: int, versions: list[int]) -> None:
    rows = [alias("o", version) for version in (1, 2, 4, 5)]
    fill(api, *rows, alias("o", 3, deleted=True), alias("o", 6, deleted=True), system=ALL_VERSIONS)
    api.container_purge(ACCOUNT, CONTAINER, maxvers=maxvers)
    # Delete markers do not count, and stay: without the last one the object would be there again.
    assert [(version, deleted) for _, version, deleted in left(api)] == sorted(
        [(6, True), (3, True), *((version, False) for version in versions)], reverse=True
    )


@pytest.mark.parametrize(
    ("own", "of_namespace", "kept"), [("2", 3, 2), (None, 3, 3), ("-1", 3, 5), ("0", 3, 1)]
)
def test_purge_goes_by_the_container_and_then_by_the_namespace(
    own: str | None, of_namespace: int, kept: int
) -> None:
    with Namespace(rawx=1, max_versions=of_namespace) as namespace, namespace.api() as api:
        fill(api, *versions_of("o", 5), system={"sys.m2.policy.version": own} if own else None)
        if own == "0":
            # Where no versions are kept the service deletes none by its number.
            with pytest.raises(exc.BadRequest):
                api.container_purge(ACCOUNT, CONTAINER)
            return
        api.container_purge(ACCOUNT, CONTAINER)
        assert len(left(api)) == kept


@pytest.mark.pitfall(140)
def test_purge_counts_versions_across_pages(api: Any) -> None:
    others = [alias(f"a{number:03}", number + 1) for number in range(997)]
    fill(api, *others, *versions_of("b", 6, 2000), *versions_of("c", 3, 3000), system=ALL_VERSIONS)
    api.container_purge(ACCOUNT, CONTAINER, maxvers=2)
    assert left(api)[997:] == [("b", 2005, False), ("b", 2004, False), ("c", 3002, False), ("c", 3001, False)]


def test_purge_passes_over_what_was_deleted_meanwhile(api: Any, namespace: Namespace) -> None:
    fill(api, *versions_of("o", 4), system=ALL_VERSIONS)
    gone = json.dumps({"status": 420, "message": "Alias not found"})
    with namespace.faults(
        Fault("status", service="proxy", operation="content/delete", nth=1, status=404, body=gone)
    ):
        api.container_purge(ACCOUNT, CONTAINER, maxvers=1)
    assert [version for _, version, _ in left(api)] == [4, 1]


def test_purge_of_a_missing_container_is_refused(api: Any) -> None:
    for maxvers in (None, 1):
        with pytest.raises(exc.NoSuchContainer):
            api.container_purge(ACCOUNT, "missing", maxvers=maxvers)


@pytest.mark.parametrize("value", ["2", 1.5, True])
def test_purge_wants_a_number_of_versions(offline_api: Any, value: Any) -> None:
    with pytest.raises(TypeError, match="maxvers must be an int"):
        offline_api.container_purge("a", "c", maxvers=value)


# --- counters ----------------------------------------------------------------------------------------


def report(api: Any, account: str, container: str, **counters: Any) -> None:
    """Tell an account what is not true of a container."""
    api.account.container_update(account, container, {"mtime": time.time(), **counters})


@pytest.mark.pitfall(98)
def test_refresh_stops_at_its_first_success(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    report(api, ACCOUNT, CONTAINER, objects=99)
    namespace.forget_requests()
    api.container_refresh(ACCOUNT, CONTAINER)
    assert asked(namespace, "container/reset") == asked(namespace, "container/touch") == 1
    assert api.container_list(ACCOUNT)[0][:3] == [CONTAINER, 1, 5]


@pytest.mark.pitfall(98)
def test_refresh_tries_again_when_the_account_knows_better(api: Any, namespace: Namespace) -> None:
    create(api, "o")
    namespace.forget_requests()
    with namespace.faults(Fault("status", service="account", operation="container/reset", nth=1, status=409)):
        api.container_refresh(ACCOUNT, CONTAINER, attempts=2)
    assert asked(namespace, "container/reset") == 2
    # An event of the day after.
    report(api, ACCOUNT, CONTAINER, mtime=time.time() + 86400)
    namespace.forget_requests()
    with pytest.raises(exc.Conflict):
        api.container_refresh(ACCOUNT, CONTAINER, attempts=2)
    assert asked(namespace, "container/reset") == 2
    with pytest.raises(ValueError, match="attempts must be at least 1: 0"):
        api.container_refresh(ACCOUNT, CONTAINER, attempts=0)


def test_account_forgets_a_container_that_is_no_more(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER)
    report(api, ACCOUNT, "ghost", objects=3)
    api.container_refresh(ACCOUNT, "ghost")
    assert [row[0] for row in api.container_list(ACCOUNT)] == [CONTAINER]


def test_refresh_of_what_the_account_does_not_know_is_refused(api: Any) -> None:
    with pytest.raises(exc.NoSuchContainer, match="Container 'missing' does not exist"):
        api.container_refresh(ACCOUNT, "missing")
    with pytest.raises(exc.NoSuchAccount, match="Account 'missing' does not exist"):
        api.account_refresh("missing")
    with pytest.raises(exc.NoSuchAccount, match="Account 'missing' does not exist"):
        api.account_flush("missing")


def test_refresh_takes_a_container_id(api: Any) -> None:
    cid = create(api, "o")["container_id"]
    report(api, ACCOUNT, CONTAINER, objects=99)
    api.container_refresh(None, None, cid=cid)
    assert api.container_list(ACCOUNT)[0][1] == 1


def test_account_counts_its_containers_again(api: Any) -> None:
    create(api, "o")
    report(api, ACCOUNT, CONTAINER, objects=99, bytes=99)
    report(api, ACCOUNT, "ghost", objects=1)
    report(api, "other", "ghost", objects=1)
    api.account_refresh(ACCOUNT)
    shown = api.account_show(ACCOUNT)
    assert (shown["containers"], shown["objects"], shown["bytes"]) == (1, 1, 5)
    assert api.account_show("other")["containers"] == 1
    with pytest.deprecated_call():
        api.all_accounts_refresh()
    assert api.account_show("other")["containers"] == 0


@pytest.mark.parametrize(
    ("operation", "refresh"),
    [
        ("account/refresh", lambda api: api.account_refresh()),
        ("container/reset", lambda api: api.account_refresh("acct-1")),
    ],
)
def test_what_vanishes_meanwhile_is_passed_over(
    api: Any, namespace: Namespace, operation: str, refresh: Callable[[Any], None]
) -> None:
    for account in ("acct-1", "acct-2"):
        for container in ("c1", "c2"):
            report(api, account, container, objects=1)
    with namespace.faults(Fault("status", service="account", operation=operation, nth=1, status=404)) as plan:
        refresh(api)
    plan.assert_met()
    left = [row[0] for account in ("acct-1", "acct-2") for row in api.container_list(account)]
    # Of two accounts one was passed over; of one account, its first container.
    assert sorted(left) == (["c1", "c2"] if operation == "account/refresh" else ["c1", "c1", "c2"])


def test_refresh_of_an_account_goes_on_after_the_first_page(offline_api: Any) -> None:
    pages = {None: ["a", "b"], "b": ["c"], "c": []}
    reset = []

    def request(method: str, url: str, params: Any = None, data: str = "{}", **kwargs: Any) -> Any:
        if url.endswith("/containers"):
            return answer(body={"listing": [[name, 0, 0, 0, 0.0] for name in pages[params["marker"]]]})
        if url.endswith("/reset"):
            reset.append(json.loads(data)["name"])
        return answer(204)

    offline_api.account._get_account_addr = Mock(return_value="127.0.0.1:2")
    offline_api.account._direct_request = Mock(side_effect=request)
    offline_api.container._direct_request = Mock(return_value=answer(204))
    offline_api.account_refresh("acct")
    assert reset == ["a", "b", "c"]


def test_flushed_account_knows_no_container_until_they_tell_it(api: Any, release: str) -> None:
    create(api, "o")
    api.account_set_properties(ACCOUNT, {"k": "v"})
    api.account_flush(ACCOUNT)
    shown = api.account_show(ACCOUNT)
    assert (shown["containers"], shown["objects"]) == (0, 0)
    # Services of today forget the properties of the account, too.
    assert shown["metadata"] == ({"k": "v"} if release == "7.3" else {"max-buckets": 100})
    api.container_touch(ACCOUNT, CONTAINER)
    assert api.container_list(ACCOUNT)[0][:3] == [CONTAINER, 1, 5]


# --- requests about many names -----------------------------------------------------------------------


@pytest.mark.pitfall(104)
def test_many_names_go_in_requests_that_the_proxy_takes(api: Any, namespace: Namespace) -> None:
    names = [f"c{number:03}" for number in range(250)]
    namespace.forget_requests()
    api.container_create_many(ACCOUNT, names)
    api.object_delete_many(ACCOUNT, names[0], names)
    statuses = {record.status for record in namespace.requests if record.service == "proxy"}
    assert statuses == {200}
    assert (asked(namespace, "create_many"), asked(namespace, "delete_many")) == (3, 3)


@pytest.mark.pitfall(104)
def test_names_are_halved_where_the_proxy_takes_fewer(offline_api: Any) -> None:
    asked: list[int] = []

    def delete(method: str, url: str, data: str = "", **kwargs: Any) -> Any:
        names = [item["name"] for item in json.loads(data)["contents"]]
        asked.append(len(names))
        if len(names) > 30:
            raise exc.TooLarge(413)
        return answer(body={"contents": [{"name": name, "status": 204} for name in names]})

    offline_api.container._direct_request = Mock(side_effect=delete)
    names = [f"o{number}" for number in range(101)]
    assert offline_api.object_delete_many("a", "c", names) == [(name, True) for name in names]
    assert asked == [100, 50, 25, 25, 50, 25, 25, 1]


def test_answers_about_names_come_in_the_order_of_the_question(offline_api: Any) -> None:
    contents = [("b", 204), ("a", 420), ("a", 204)]
    body = {"contents": [{"name": name, "status": status} for name, status in contents]}
    offline_api.container._direct_request = Mock(return_value=answer(body=body))
    assert offline_api.object_delete_many("a", "c", ["a", "b", "a"]) == [
        ("a", False),
        ("b", True),
        ("a", True),
    ]
    with pytest.raises(exc.OioProtocolError):
        offline_api.object_delete_many("a", "c", ["a", "b", "c"])


def test_name_that_is_there_twice_is_deleted_twice(api: Any, release: str) -> None:
    fill(api, alias("o", 1), system=ALL_VERSIONS)
    assert api.object_delete_many(ACCOUNT, CONTAINER, ["o", "o"]) == [("o", True), ("o", True)]
    # The second deletion takes the delete marker of the first away, or makes another.
    assert len(left(api)) == (1 if release == "7.3" else 3)
    assert left(api)[-1] == ("o", 1, False)


# --- what all of them have in common -----------------------------------------------------------------


LONG_CALLS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "flush": lambda api, kwargs: api.container_flush(ACCOUNT, CONTAINER, **kwargs),
    "fast flush": lambda api, kwargs: api.container_flush(ACCOUNT, CONTAINER, fast=True, **kwargs),
    "purge": lambda api, kwargs: api.container_purge(ACCOUNT, CONTAINER, **kwargs),
    "recount": lambda api, kwargs: api.container_touch(ACCOUNT, CONTAINER, recompute=True, **kwargs),
    "refresh": lambda api, kwargs: api.container_refresh(ACCOUNT, CONTAINER, **kwargs),
    "accounts": lambda api, kwargs: api.account_refresh(**kwargs),
    "listing": lambda api, kwargs: list(api.object_list_all(ACCOUNT, CONTAINER, limit=1, **kwargs)),
    "containers": lambda api, kwargs: list(api.container_list_all(ACCOUNT, limit=1, **kwargs)),
    "creation": lambda api, kwargs: api.container_create_many(ACCOUNT, map(str, range(101)), **kwargs),
    "deletion": lambda api, kwargs: api.object_delete_many(
        ACCOUNT, CONTAINER, map(str, range(101)), **kwargs
    ),
}


@pytest.fixture
def filled(api: Any) -> Any:
    fill(api, alias("a", 9), *versions_of("b", 3, 3), system={"sys.m2.policy.version": "2"})
    api.container_create(ACCOUNT, "other")
    return api


@pytest.mark.pitfall(70)
@pytest.mark.parametrize("call", LONG_CALLS.values(), ids=LONG_CALLS)
def test_all_the_requests_of_a_call_have_its_id(filled: Any, namespace: Namespace, call: Any) -> None:
    namespace.forget_requests()
    call(filled, {"reqid": "MINE"})
    assert {header(record, "x-oio-req-id") for record in namespace.requests} == {"MINE"}
    namespace.forget_requests()
    call(filled, {})
    assert len({header(record, "x-oio-req-id") for record in namespace.requests}) == 1


@pytest.mark.parametrize("call", LONG_CALLS.values(), ids=LONG_CALLS)
def test_deadline_of_the_caller_bounds_all_of_a_call(filled: Any, namespace: Namespace, call: Any) -> None:
    namespace.forget_requests()
    with pytest.raises(exc.DeadlineReached):
        call(filled, {"deadline": time.monotonic() - 1})
    assert namespace.requests == []


def note_limits(client: Any, limits: list[Limits]) -> None:
    """Note the time limits of the requests of a client from now on."""
    send = client._direct_request

    def request(*args: Any, **kwargs: Any) -> Any:
        limits.append(kwargs["limits"])
        return send(*args, **kwargs)

    client._direct_request = request


@pytest.mark.pitfall(27)
@pytest.mark.parametrize("call", LONG_CALLS.values(), ids=LONG_CALLS)
def test_read_timeout_is_that_of_each_request(filled: Any, call: Any) -> None:
    limits: list[Limits] = []
    for client in (filled.container, filled.account, filled.proxy_client):
        note_limits(client, limits)
    call(filled, {"read_timeout": 10.0})
    assert len({known.deadline for known in limits}) == len(limits) >= 1
    assert all(known.is_phase for known in limits)


@pytest.mark.pitfall(109)
@pytest.mark.parametrize("name", ["flush", "purge"])
def test_loops_that_delete_read_from_the_master(filled: Any, namespace: Namespace, name: str) -> None:
    namespace.forget_requests()
    LONG_CALLS[name](filled, {})
    lists = [record for record in namespace.requests if "/container/list" in record.target]
    asked = [header(record, "x-oio-force-master") for record in lists]
    if name == "flush":
        # Any replica may tell of something to delete, and that the container is not divided.
        assert asked.pop(0) is None
    assert asked
    assert set(asked) == {"1"}


@pytest.mark.pitfall(109)
@pytest.mark.parametrize("call", LONG_CALLS.values(), ids=LONG_CALLS)
def test_master_is_read_when_the_caller_asks_for_it(filled: Any, namespace: Namespace, call: Any) -> None:
    namespace.forget_requests()
    call(filled, {"force_master": True})
    assert {header(record, "x-oio-force-master") for record in namespace.requests} == {"1"}


@pytest.mark.pitfall(87)
def test_account_is_given_by_position_or_by_name(api: Any) -> None:
    assert api.account_create(account="one") is True
    api.account_set_properties(account="one", properties={"k": "v"})
    api.account_del_properties("one", properties=["k"])
    assert api.account_show(account="one") == api.account_show("one")
    assert api.account_get_properties(account="one")["properties"] == {}
    assert api.container_list(account="one") == list(api.container_list_all(account="one")) == []
    api.account_refresh(account="one")
    api.account_flush(account="one")
    with pytest.raises(TypeError, match="multiple values for argument 'account'"):
        api.account_show("one", account="two")
    api.account_delete(account="one")
    assert "one" not in api.account_list()


@pytest.mark.pitfall(151)
@pytest.mark.parametrize("key", ["sys.m2.quota", "sys.m2.policy.version", "sys.m2.keep_deleted_delay"])
def test_text_where_the_services_count_is_refused(api: Any, key: str) -> None:
    wrong = {key: "much"}
    with pytest.raises(ValueError, match=f"system\\['{key}'\\] must be an integer: 'much'"):
        api.container_create(ACCOUNT, CONTAINER, system=wrong)
    with pytest.raises(ValueError, match="must be an integer"):
        api.container_create_many(ACCOUNT, [CONTAINER], system=wrong)
    with pytest.raises(ValueError, match="must be an integer"):
        create(api, "o", container_properties={"system": wrong})
    assert api.account_list() == []
    api.container_create(ACCOUNT, CONTAINER, system={key: "10"})
    with pytest.raises(ValueError, match="must be an integer"):
        api.container_set_properties(ACCOUNT, CONTAINER, system=wrong)
    api.container_set_properties(ACCOUNT, CONTAINER, system={key: ""})
    assert key not in api.container_get_properties(ACCOUNT, CONTAINER)["system"]


@pytest.mark.pitfall(151)
def test_quota_is_stored_and_not_relied_upon(api: Any) -> None:
    api.container_create(ACCOUNT, CONTAINER, system={"sys.m2.quota": "1"})
    create(api, "o", b"more than one byte")
    system = api.container_get_properties(ACCOUNT, CONTAINER)["system"]
    assert int(system["sys.m2.usage"]) > int(system["sys.m2.quota"])
