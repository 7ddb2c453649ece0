# SPDX-License-Identifier: Apache-2.0
"""Calls made in greenlets of the application: they end where they began."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from oio.api.backblaze_http import Backblaze
from oio.common.exceptions import NoSuchObject
from oio.conscience.client import ConscienceClient
from oio.rdir.client import RdirClient
from oio.sandbox import Namespace
from tests.kit.every_call import CONTAINER_CALLS, OBJECT_CALLS, make
from tests.kit.facade import ACCOUNT, CONTAINER, LARGE, create, read
from tests.kit.greenlets import in_greenlet

BOX = (ACCOUNT, CONTAINER)
pytestmark = pytest.mark.pitfall("B1")


def _chunks(api: Any) -> list[dict[str, Any]]:
    return api.object_locate(*BOX, "o")[1]  # type: ignore[no-any-return]


CLIENTS: dict[str, Callable[[Any, Namespace], Any]] = {
    "account": lambda api, _: api.account.account_list(),
    "container": lambda api, _: api.container.content_locate(*BOX, "o"),
    "directory": lambda api, _: api.directory.list(*BOX),
    "conscience": lambda _, namespace: ConscienceClient(
        {"namespace": "OPENIO"}, endpoint=namespace.endpoint
    ).all_services("rawx"),
    "rdir": lambda _, namespace: RdirClient({"namespace": "OPENIO"}, endpoint=namespace.endpoint).chunk_fetch(
        namespace.rawx[0].address, limit=1
    ),
    "chunk head": lambda api, _: api.blob_client.chunk_head(_chunks(api)[0]["url"]),
    "chunk get": lambda api, _: list(api.blob_client.chunk_get(_chunks(api)[0]["url"])[1]),
    "chunks delete": lambda api, _: list(api.blob_client.chunk_delete_many(_chunks(api))),
}


@pytest.mark.parametrize("call", [*CONTAINER_CALLS, *OBJECT_CALLS])
def test_call_ends_where_it_began(call: str, api: Any) -> None:
    # The thread has made a call before, outside of any greenlet.
    for name in ("o", "p"):
        create(api, name, LARGE)
    calls, target = (CONTAINER_CALLS, BOX) if call in CONTAINER_CALLS else (OBJECT_CALLS, (*BOX, "o"))

    def twice() -> list[Any]:
        api.account_show(ACCOUNT)
        return [make(call, calls, api, *target)]

    result = in_greenlet(twice)
    assert isinstance(result, list), result


@pytest.mark.parametrize("client", CLIENTS)
def test_call_of_a_client_of_a_service_ends_where_it_began(
    client: str, api: Any, namespace: Namespace
) -> None:
    create(api, "o", LARGE)
    result = in_greenlet(lambda: [CLIENTS[client](api, namespace)])
    assert isinstance(result, list), result


def test_call_of_the_client_of_backblaze_ends_where_it_began(namespace: Namespace) -> None:
    b2 = namespace.b2

    def call() -> int:
        with Backblaze(b2.account_id, b2.application_key, api_url=namespace.b2_endpoint) as client:
            return client.get_file_number(b2.bucket_name)

    assert in_greenlet(call) == 0


def test_exception_of_a_call_ends_where_it_began(api: Any) -> None:
    create(api, "o")
    assert isinstance(in_greenlet(lambda: read(api, "missing")), NoSuchObject)
