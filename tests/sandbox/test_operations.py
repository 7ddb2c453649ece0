# SPDX-License-Identifier: Apache-2.0
"""Everything that services can be asked may be struck by a fault, by its name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from oio.sandbox import Fault, Namespace
from oio.sandbox.account import regional
from oio.sandbox.account import service as account
from oio.sandbox.b2 import service as b2
from oio.sandbox.operations import OPERATIONS
from oio.sandbox.proxy import administration
from oio.sandbox.proxy import service as proxy
from oio.sandbox.rdir import service as rdir
from tests.kit.chunkdata import ID
from tests.kit.rawsocket import RawSocket
from tests.sandbox.asking import KEEP

#: Method, path and name of each operation of each service.
ASKED = [
    *(("proxy", method, f"/v3.0/OPENIO/{route}", route) for method, route in proxy.ROUTES),
    *(("proxy", method, f"/v3.0/{route}", route) for method, route in administration.ROUTES),
    *(
        ("account", method, path, path.strip("/").removeprefix("v1.0/"))
        for path, methods in (account.ROUTES | regional.ROUTES).items()
        for method in methods
    ),
    *(
        ("rdir", method, f"/{path}", path.removeprefix("v1/"))
        for path, methods in rdir.ROUTES.items()
        for method in methods
    ),
    *(("rawx", "GET", f"/{path}", path) for path in ("info", "list", "stat")),
    *(("rawx", method, f"/{ID}", method) for method in ("GET", "HEAD", "PUT", "DELETE", "COPY")),
    ("rawx", "GET", f"/{ID}", ID),
    *(("b2", "POST", f"/b2api/v1/{name}", name) for name in b2.NAMES if name != "download"),
    ("b2", "POST", "/b2api/v1/b2_upload_file/bucket/place", "b2_upload_file"),
    ("b2", "GET", "/file/bucket/b2_upload_file", "download"),
    ("b2", "GET", "/b2api/v1/b2_download_file_by_id?fileId=1", "download"),
]


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    with Namespace(rawx=1) as running:
        yield running


@pytest.mark.parametrize(("service", "method", "path", "name"), ASKED)
def test_an_operation_is_struck_by_its_name(
    namespace: Namespace, service: str, method: str, path: str, name: str
) -> None:
    address = next(srv.address for srv in namespace.services if srv.kind == service)
    fault = Fault("status", service=service, operation=name, status=599)
    with RawSocket(address) as connection, namespace.faults(fault) as plan:
        assert connection.ask(method, path, KEEP, b"").status == 599
    plan.assert_met()


def test_the_list_of_operations_is_whole() -> None:
    names = {(service, name) for service, _, _, name in ASKED if name.islower()}
    assert names == {(service, name) for service, known in OPERATIONS.items() for name in known}
