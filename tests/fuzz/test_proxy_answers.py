# SPDX-License-Identifier: Apache-2.0
"""Any answer of a proxy, an account service or a chunk server: a result, or an exception of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio import ObjectStorageApi
from oio.common import exceptions as exc
from tests.kit.fuzzing import examples, mimic, spoilt

#: Calls, the captures whose answers they need, and the answers that are spoilt.
CALLS: dict[str, tuple[Callable[..., Any], list[str], list[str], int]] = {
    "locate": (
        lambda api, **limits: api.object_locate("a", "c", "o", **limits),
        ["object_locate__THREECOPIES", "object_get_properties__ok"],
        ["content/locate", "content/get_properties"],
        200,
    ),
    "get properties": (
        lambda api, **limits: api.object_get_properties("a", "c", "o", **limits),
        ["object_get_properties__ok"],
        ["content/get_properties"],
        90,
    ),
    "list": (
        lambda api, **limits: api.object_list("a", "c", **limits),
        ["object_list__properties"],
        ["container/list"],
        150,
    ),
    "list all": (
        lambda api, **limits: list(api.object_list_all("a", "c", **limits)),
        ["object_list__limit"],
        ["container/list"],
        100,
    ),
    "create": (
        lambda api, **limits: api.object_create("a", "c", obj_name="o", data=b"x" * 100, **limits),
        ["object_create__small_THREECOPIES"],
        ["content/prepare2", "content/create", "rawx PUT"],
        130,
    ),
    "fetch": (
        lambda api, **limits: b"".join(api.object_fetch("a", "c", "o", **limits)[1]),
        ["object_fetch__small_THREECOPIES"],
        ["content/locate", "rawx GET"],
        150,
    ),
    "fetch coded": (
        lambda api, **limits: b"".join(api.object_fetch("a", "c", "o", **limits)[1]),
        ["object_fetch__small_EC"],
        ["content/locate", "rawx GET"],
        90,
    ),
    "delete many": (
        lambda api, **limits: api.object_delete_many("a", "c", ["o1", "o2"], **limits),
        ["object_delete_many__mixed"],
        ["content/delete_many"],
        80,
    ),
    "container properties": (
        lambda api, **limits: api.container_get_properties("a", "c", **limits),
        ["container_get_properties__ok"],
        ["container/get_properties"],
        100,
    ),
    "containers": (
        lambda api, **limits: list(api.container_list_all("a", **limits)),
        ["container_list__ok"],
        ["lb/choose", "/v1.0/account/containers"],
        180,
    ),
    "account": (
        lambda api, **limits: api.account_show("a", **limits),
        ["account_show__ok"],
        ["lb/choose", "/v1.0/account/show"],
        100,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_any_answer_is_a_result_or_an_exception_of_ours(name: str) -> None:
    call, captures, routes, number = CALLS[name]
    with mimic(*captures) as server, ObjectStorageApi("OPENIO", endpoint=server.url) as api:

        @examples(number)
        @given(st.data())
        def try_one(data: st.DataObject) -> None:
            route = data.draw(st.sampled_from(routes))
            server.others = {route: data.draw(spoilt(server.replies[route]))}
            try:
                call(api, deadline=time.monotonic() + 0.4, perfdata={})
            except exc.OioException as err:
                str(err)

        try_one()
        assert set(routes) <= server.replies.keys()
