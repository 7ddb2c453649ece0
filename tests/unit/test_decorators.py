# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect

import pytest

from oio.common import exceptions as exc
from oio.common.decorators import (
    ensure_headers,
    ensure_request_id,
    ensure_request_id2,
    handle_account_not_found,
    handle_container_not_found,
    handle_object_not_found,
    patch_kwargs,
)
from oio.common.utils import SoftDeadline


class Api:
    """Methods that return their arguments, or raise what they are told to."""

    def __init__(self, error=None, **options):
        self._global_kwargs = options
        self.error = error

    def _answer(self, **given):
        if self.error:
            raise self.error
        return given

    @handle_account_not_found
    def account_show(self, account=None, **kwargs):
        """Show an account."""
        return self._answer(account=account, **kwargs)

    @handle_container_not_found
    def container_show(self, account, container, cid=None, **kwargs):
        return self._answer(account=account, container=container, **kwargs)

    @handle_object_not_found
    @patch_kwargs
    @ensure_headers
    @ensure_request_id
    def object_show(self, account, container, obj, version=None, **kwargs):
        return self._answer(account=account, container=container, obj=obj, version=version, **kwargs)

    @patch_kwargs
    def options(self, account, **kwargs):
        return kwargs


@ensure_headers
def with_headers(**kwargs):
    return kwargs


@ensure_request_id
def with_request_id(**kwargs):
    return kwargs


@pytest.mark.parametrize("given", [{}, {"headers": None}, {"headers": {}}])
def test_headers_are_a_dictionary(given):
    assert with_headers(**given) == {"headers": {}}


@pytest.mark.pitfall(71)
@pytest.mark.parametrize("function", [with_headers, with_request_id])
def test_the_headers_of_the_caller_are_not_changed(function):
    headers = {"X-Mine": "1"}
    got = function(headers=headers)["headers"]
    got["other"] = "2"
    assert headers == {"X-Mine": "1"}
    assert got["X-Mine"] == "1"


def test_a_request_id_is_made_when_there_is_none():
    got = with_request_id()
    assert len(got["reqid"]) == 32
    assert got["headers"] == {"x-oio-req-id": got["reqid"]}
    assert with_request_id()["reqid"] != got["reqid"]


def test_the_request_id_of_the_caller_is_used():
    assert with_request_id(reqid="MINE") == {"reqid": "MINE", "headers": {"x-oio-req-id": "MINE"}}


@pytest.mark.pitfall(68)
@pytest.mark.parametrize("name", ["x-oio-req-id", "X-oio-req-id", "X-OIO-REQ-ID"])
@pytest.mark.parametrize("more", [{}, {"reqid": "OTHER"}])
def test_the_request_id_of_the_headers_wins_and_goes_once(name, more):
    got = with_request_id(headers={name: "MINE", "a": "b"}, **more)
    assert got == {"reqid": "MINE", "headers": {"x-oio-req-id": "MINE", "a": "b"}}


@pytest.mark.pitfall(69)
@pytest.mark.parametrize("given", [{"reqid": "x" * 70}, {"headers": {"X-oio-req-id": "x" * 70}}])
def test_a_long_request_id_is_cut(given):
    got = with_request_id(**given)
    assert got["reqid"] == got["headers"]["x-oio-req-id"] == "x" * 63


def test_a_new_request_id_may_have_a_prefix():
    @ensure_request_id2(prefix="create-")
    def create(**kwargs):
        return kwargs["reqid"]

    assert create().startswith("create-")
    assert len(create()) == 32
    assert create(reqid="MINE") == "MINE"


def test_options_of_the_object_are_defaults_of_its_methods():
    api = Api(read_timeout=5.0, autocreate=True)
    got = api.options("acct", autocreate=False, x=1)
    assert (got["autocreate"], got["x"], got["read_timeout"]) == (False, 1, 5.0)
    assert isinstance(got["deadline"], SoftDeadline)
    assert api._global_kwargs == {"read_timeout": 5.0, "autocreate": True}


def test_the_deadline_of_the_caller_stays():
    assert Api(read_timeout=5.0).options("acct", deadline=1.0)["deadline"] == 1.0


def test_without_read_timeout_there_is_no_deadline():
    assert Api().options("acct") == {}


CALLS = [
    (("acct", "ref", "obj"), {}),
    (("acct", "ref"), {"obj": "obj"}),
    (("acct",), {"container": "ref", "obj": "obj", "reqid": "R"}),
    ((), {"account": "acct", "container": "ref", "obj": "obj", "version": 1}),
]


@pytest.mark.pitfall(86)
@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_a_missing_object_is_named_however_it_was_given(args, kwargs):
    missing = exc.NotFound(404, 420, "Alias not found", reqid="R", service="h:1")
    with pytest.raises(exc.NoSuchObject) as caught:
        Api(missing).object_show(*args, **kwargs)
    assert caught.value.args == ("Object 'obj' does not exist.", "Alias not found")
    assert not isinstance(caught.value, exc.NotFound)
    assert caught.value.__cause__ is missing
    assert (caught.value.reqid, caught.value.service) == ("R", "h:1")


@pytest.mark.pitfall(85, 86, 132)
@pytest.mark.parametrize("status", [406, 431])
@pytest.mark.parametrize("cls", [exc.NotFound, exc.Forbidden, exc.ClientException, exc.ServiceBusy])
@pytest.mark.parametrize(("args", "kwargs"), CALLS)
def test_a_missing_container_is_told_by_the_status_in_the_body(cls, status, args, kwargs):
    with pytest.raises(exc.NoSuchContainer, match="Container 'ref' does not exist"):
        Api(cls(cls.default_http_status or 500, status, "no")).object_show(*args, **kwargs)


@pytest.mark.pitfall(85)
@pytest.mark.parametrize("status", [406, 431])
def test_a_missing_container_is_told_by_the_http_status_too(status):
    with pytest.raises(exc.NoSuchContainer):
        Api(exc.ClientException(status)).object_show("acct", "ref", "obj")
    with pytest.raises(exc.NoSuchContainer):
        Api(exc.ClientException(status)).container_show("acct", "ref")


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [(("acct", "ref"), {}), (("acct",), {"container": "ref"}), ((None, None), {"cid": "ref"})],
)
def test_a_missing_container_is_named_however_it_was_given(args, kwargs):
    with pytest.raises(exc.NoSuchContainer, match="Container 'ref' does not exist"):
        Api(exc.NotFound(404, 420, "no")).container_show(*args, **kwargs)


@pytest.mark.pitfall(86)
@pytest.mark.parametrize(("args", "kwargs"), [(("acct",), {}), ((), {"account": "acct"})])
def test_a_missing_account_is_named_however_it_was_given(args, kwargs):
    with pytest.raises(exc.NoSuchAccount) as caught:
        Api(exc.NotFound(404, None, "No such account")).account_show(*args, **kwargs)
    assert caught.value.args == ("Account 'acct' does not exist.", "No such account")


@pytest.mark.parametrize("error", [exc.Conflict(409, 421), exc.Forbidden(403, 407), ValueError("x")])
def test_other_errors_are_left_alone(error):
    api = Api(error)
    for call in (
        lambda: api.account_show("acct"),
        lambda: api.container_show("acct", "ref"),
        lambda: api.object_show("acct", "ref", "obj"),
    ):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error


def test_all_decorators_together_give_headers_request_id_and_options():
    got = Api(read_timeout=5.0).object_show("acct", "ref", "obj", headers={"X-oio-req-id": "R"})
    assert got.pop("deadline") > 0
    assert got == {
        "account": "acct",
        "container": "ref",
        "obj": "obj",
        "version": None,
        "read_timeout": 5.0,
        "reqid": "R",
        "headers": {"x-oio-req-id": "R"},
    }


def test_a_decorated_method_looks_like_the_method():
    assert Api.account_show.__doc__ == "Show an account."
    assert list(inspect.signature(Api.object_show).parameters) == [
        "self",
        "account",
        "container",
        "obj",
        "version",
        "kwargs",
    ]
