# SPDX-License-Identifier: Apache-2.0
"""Clients that go to another process: they take their options along, and no connection."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest
import urllib3

from oio.api.object_storage import ObjectStorageApi
from oio.common.http_urllib3 import get_pool_manager
from oio.sandbox import Namespace
from tests.kit.facade import create, read
from tests.kit.tls import CERTIFICATE

pytestmark = pytest.mark.pitfall("D4")


class Tracing(ObjectStorageApi):
    """A class of an application, which has an attribute more, and other arguments."""

    def __init__(self, label: str, **kwargs: Any) -> None:
        super().__init__("OPENIO", **kwargs)
        self.label = label


def travelled(api: Any) -> Any:
    return pickle.loads(pickle.dumps(api))


def test_client_that_was_used_works_after_its_travel(namespace: Namespace, api: Any) -> None:
    create(api, "o")
    with travelled(api) as other:
        assert read(other, "o") == b"hello"
        assert other.container.pool_manager is not api.container.pool_manager
        assert other.container.pool_manager is other.account.pool_manager
    assert read(api, "o") == b"hello"


def test_options_travel(offline_api: Any) -> None:
    options = {"read_timeout": 7.0, "admin_mode": True, "autocreate": False, "request_attempts": 2}
    logger = logging.getLogger("tests.pickling")
    with ObjectStorageApi("NS", logger, endpoint="127.0.0.1:1", perfdata={}, **options) as api:
        api._global_kwargs["write_timeout"] = 3.0
        with travelled(api) as other:
            assert (other.namespace, other.logger) == ("NS", logger)
            assert other._global_kwargs == api._global_kwargs
            assert (other.container.admin_mode, other._client_options["request_attempts"]) == (True, 2)
            assert other._endpoint == "127.0.0.1:1"


def test_trust_travels() -> None:
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1", ca_certs=CERTIFICATE) as api, travelled(api) as other:
        before, after = (each._global_kwargs["ssl_context"] for each in (api, other))
        assert after.get_ca_certs() == before.get_ca_certs() != []


def test_attributes_of_a_class_of_the_application_travel() -> None:
    with Tracing("mine", endpoint="127.0.0.1:1") as api, travelled(api) as other:
        assert (type(other), other.label, other.namespace) == (Tracing, "mine", "OPENIO")


@pytest.mark.parametrize("make", [get_pool_manager, urllib3.PoolManager])
def test_client_with_a_pool_of_the_application_says_what_to_do(make: Any) -> None:
    pool = make()
    api = ObjectStorageApi("NS", endpoint="127.0.0.1:1", pool_manager=pool)
    with pytest.raises(TypeError, match=r"pool_manager cannot be pickled.*in the process that uses it"):
        pickle.dumps(api)
    api.close()
    pool.clear()


def test_client_of_a_service_says_what_to_do(offline_api: Any) -> None:
    for client in (
        offline_api.container,
        offline_api.account,
        offline_api.directory,
        offline_api.blob_client,
    ):
        with pytest.raises(TypeError, match=r"cannot be pickled.*pickle an ObjectStorageApi"):
            pickle.dumps(client)


@pytest.mark.parametrize("own", [True, False], ids=["pool of its own", "pool of the application"])
def test_copy_shares_connections_and_clients(namespace: Namespace, own: bool) -> None:
    pool = None if own else get_pool_manager()
    given = {} if own else {"pool_manager": pool}
    with Tracing("mine", endpoint=namespace.proxy.address, **given) as api:
        create(api, "o")
        with copy.copy(api) as other:
            assert (type(other), other.label, other.namespace) == (Tracing, "mine", "OPENIO")
            assert other.container is api.container
            assert other.container.pool_manager is api.container.pool_manager
            assert own or other.container.pool_manager is pool
            assert read(other, "o") == b"hello"
        assert read(api, "o") == b"hello"
        api.close()
        assert read(other, "o") == b"hello"
        other.close()
    if pool is not None:
        pool.clear()


def test_copy_keeps_what_was_replaced(offline_api: Any) -> None:
    """As a gateway's tests do, which replace the client of containers."""
    offline_api.container = replaced = object()
    assert copy.copy(offline_api).container is replaced


def test_defaults_of_a_copy_are_its_own(offline_api: Any) -> None:
    """Subclasses change them at any time."""
    other = copy.copy(offline_api)
    other._global_kwargs["write_timeout"] = 3.0
    assert "write_timeout" not in offline_api._global_kwargs
    assert copy.copy(other)._global_kwargs == other._global_kwargs


def test_client_of_a_test_that_sets_little_can_be_copied() -> None:
    class Fake(ObjectStorageApi):
        def __init__(self) -> None:
            self.namespace = "NS"

    assert copy.copy(Fake()).namespace == "NS"


def test_copy_of_a_client_of_a_service_shares_its_connections(offline_api: Any) -> None:
    for client in (
        offline_api.container,
        offline_api.account,
        offline_api.directory,
        offline_api.blob_client,
    ):
        assert copy.copy(client).pool_manager is client.pool_manager
