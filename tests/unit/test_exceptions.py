# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import pytest

from oio.b2.errors import BackblazeException
from oio.common import exceptions as exc
from oio.common.arguments import WrongValue

TREE = {
    exc.OioException: Exception,
    exc.ConfigurationException: exc.OioException,
    exc.MissingAttribute: exc.OioException,
    exc.ServerException: exc.OioException,
    exc.ExplicitBury: exc.OioException,
    exc.RetryLater: exc.OioException,
    exc.ChunkException: exc.OioException,
    exc.CorruptedChunk: exc.ChunkException,
    exc.FaultyChunk: exc.ChunkException,
    exc.OrphanChunk: exc.ChunkException,
    exc.ChecksumUnavailable: exc.OioException,
    exc.ChecksumRefused: exc.OioException,
    exc.Meta2Exception: exc.OioException,
    exc.SpareChunkException: exc.Meta2Exception,
    exc.ContentException: exc.OioException,
    exc.ContentNotFound: exc.ContentException,
    exc.UnrecoverableContent: exc.ContentException,
    exc.ServiceUnavailable: exc.OioException,
    exc.ObjectUnavailable: exc.ServiceUnavailable,
    exc.InvalidStorageMethod: exc.OioException,
    exc.PreconditionFailed: exc.OioException,
    exc.EtagMismatch: exc.OioException,
    exc.MissingContentLength: exc.OioException,
    exc.MissingData: exc.OioException,
    exc.MissingName: exc.OioException,
    exc.FileNotFound: exc.OioException,
    exc.LifecycleNotFound: exc.OioException,
    exc.ContainerNotEmpty: exc.OioException,
    exc.NoSuchAccount: exc.OioException,
    exc.NoSuchContainer: exc.OioException,
    exc.NoSuchObject: exc.OioException,
    exc.NoSuchReference: exc.OioException,
    exc.SourceReadError: exc.OioException,
    exc.VolumeException: exc.OioException,
    exc.DeadlineReached: exc.OioException,
    exc.OioNetworkException: exc.OioException,
    exc.OioConnectionException: exc.OioNetworkException,
    exc.OioProtocolError: exc.OioNetworkException,
    exc.OioTimeout: exc.OioNetworkException,
    exc.SourceReadTimeout: exc.OioTimeout,
    exc.ObjectExists: exc.Conflict,
    exc.UnfinishedUploadException: exc.OioException,
    exc.StatusMessageException: exc.OioException,
    exc.ClientException: exc.StatusMessageException,
    exc.CommandError: Exception,
    exc.ECError: Exception,
    exc.EmptyByteRange: Exception,
    exc.UnknownOption: UserWarning,
    exc.ChunksNotVerified: UserWarning,
}

STATUSES = {
    400: exc.BadRequest,
    401: exc.Unauthorized,
    403: exc.Forbidden,
    404: exc.NotFound,
    405: exc.MethodNotAllowed,
    409: exc.Conflict,
    410: exc.ContentDrained,
    412: exc.ClientPreconditionFailed,
    413: exc.TooLarge,
    416: exc.UnsatisfiableRange,
    503: exc.ServiceBusy,
}


def all_classes() -> list[type[Exception]]:
    return [item for item in vars(exc).values() if isinstance(item, type) and issubclass(item, Exception)]


def example(cls: type[Exception]) -> Exception:
    if issubclass(cls, exc.UnfinishedUploadException):
        return cls(ValueError("boom"), [{"url": "http://h/1"}], reqid="R", service="h:1")
    if issubclass(cls, exc.StatusMessageException):
        return cls(599, 499, "explained", reqid="R", service="h:1")
    if issubclass(cls, exc.OioException):
        return cls("explained", reqid="R", service="h:1")
    return cls("explained")


@pytest.mark.parametrize(("cls", "base"), TREE.items(), ids=lambda cls: cls.__name__)
def test_each_class_derives_from_the_documented_one(cls, base):
    assert [known for known in cls.__bases__ if known.__module__ != "builtins" or base is known] == [base]


def test_object_that_is_there_is_a_file_that_exists():
    assert issubclass(exc.ObjectExists, FileExistsError)


def test_no_class_is_out_of_the_documented_tree():
    assert set(all_classes()) == {*TREE, *STATUSES.values()}


@pytest.mark.pitfall(81)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("cls", all_classes(), ids=lambda cls: cls.__name__)
def test_copies_and_pickles_are_the_same_exception(cls, duplicate):
    original = example(cls)
    twin = duplicate(original)
    assert type(twin) is cls
    assert str(twin) == str(original) != ""
    assert repr(twin) == repr(original)
    assert repr(twin.args) == repr(original.args) != "()"
    assert repr(vars(twin)) == repr(vars(original))


@pytest.mark.pitfall(81)
@pytest.mark.parametrize("cls", all_classes(), ids=lambda cls: cls.__name__)
def test_a_class_without_arguments_still_pickles(cls):
    if cls is exc.UnfinishedUploadException:
        with pytest.raises(TypeError, match="chunks_already_uploaded"):
            cls()
    else:
        twin = pickle.loads(pickle.dumps(cls()))
        assert str(twin) == str(cls())


@pytest.mark.parametrize(("status", "cls"), STATUSES.items())
def test_each_status_has_its_class_and_each_class_its_default_status(status, cls):
    assert type(exc.from_status(status)) is cls
    assert cls().http_status == status
    assert issubclass(cls, exc.ClientException)


@pytest.mark.parametrize("status", [0, 402, 418, 500, 502, 599])
def test_other_statuses_are_plain_client_exceptions(status):
    err = exc.from_status(status, "gone fishing")
    assert (type(err), err.http_status, err.status, err.message) == (
        exc.ClientException,
        status,
        None,
        "gone fishing",
    )


def test_a_status_exception_tells_message_http_status_and_body_status():
    assert str(exc.ClientException(500)) == "n/a (HTTP 500)"
    assert str(exc.NotFound(404, 420, "Alias not found")) == "Alias not found (HTTP 404) (STATUS 420)"
    assert str(exc.Forbidden(message="no")) == "no (HTTP 403)"


def test_the_first_argument_of_a_status_exception_is_the_http_status():
    assert exc.NotFound("text").http_status == "text"


def test_message_and_body_status_come_from_a_json_body():
    err = exc.from_response(SimpleNamespace(status=404, reason="No"), {"status": 420, "message": "gone"})
    assert (type(err), err.http_status, err.status, err.message) == (exc.NotFound, 404, 420, "gone")


def test_an_incomplete_json_body_still_makes_an_exception():
    err = exc.from_response(SimpleNamespace(status=500, reason="No"), {"other": 1})
    assert (err.status, err.message) == (None, "n/a")


@pytest.mark.pitfall(78, 79)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("No such account", "No such account"),
        (b"<html>caf\xc3\xa9</html>", "<html>café</html>"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (["a"], ["a"]),
    ],
)
def test_a_body_that_is_no_json_object_is_the_message(body, message):
    err = exc.from_response(SimpleNamespace(status=503, reason="Busy"), body)
    assert (type(err), err.status, err.message) == (exc.ServiceBusy, None, message)


@pytest.mark.parametrize("body", [None, b"", "", {}])
def test_the_reason_stands_for_the_status_when_there_is_no_body(body):
    err = exc.from_response(SimpleNamespace(status=404, reason="Not Found"), body)
    assert str(err) == "n/a (HTTP 404) (STATUS Not Found)"


def test_a_response_may_have_a_status_code_instead_of_a_status():
    assert exc.from_response(SimpleNamespace(status_code=409, reason="x")).http_status == 409


@pytest.mark.parametrize("reason", ["", None])
def test_response_without_body_and_reason_has_no_status_of_its_own(reason):
    err = exc.from_response(SimpleNamespace(status=404, reason=reason), b"")
    assert (type(err), err.status, str(err)) == (exc.NotFound, None, "n/a (HTTP 404)")


def test_the_request_id_of_a_response_is_kept():
    resp = SimpleNamespace(status=404, reason="x", headers={"x-oio-req-id": "ABC"})
    assert exc.from_response(resp).reqid == "ABC"


def test_the_text_names_request_and_service_once():
    assert str(exc.OioException("no", reqid="R1", service="h:1")) == "no (reqid=R1, service=h:1)"
    assert str(exc.OioException("h:1 said no", reqid="R1", service="h:1")) == "h:1 said no (reqid=R1)"
    assert str(exc.OioException(service="h:1")) == "(service=h:1)"
    assert str(exc.OioException()) == ""


@pytest.mark.pitfall("E13d")
@pytest.mark.parametrize(
    ("err", "message"),
    [
        (exc.OioException("no answer", reqid="R", service="h:1"), "no answer"),
        (exc.OioException(), ""),
        (exc.OioException(None), ""),
        (exc.NoSuchObject("Object 'o' does not exist.", "Alias not found"), "Object 'o' does not exist."),
        (exc.ServiceUnavailable(ValueError("boom")), "boom"),
        (exc.DeadlineReached(), "Deadline reached"),
        (exc.FaultyChunk(exc.MissingAttribute("chunk_pos")), "chunk_pos"),
        (exc.UnfinishedUploadException(exc.Conflict(message="twice"), [{}]), "twice"),
        (exc.NotFound(404, 420, "Alias not found"), "Alias not found"),
        (exc.ServiceBusy(), "n/a"),
        (WrongValue("limit must be an int"), "limit must be an int"),
        (BackblazeException(404, "File not present", None, {}), "File not present"),
    ],
)
def test_message_is_the_text_without_the_details(err, message):
    assert err.message == message


@pytest.mark.pitfall("E13d")
@pytest.mark.parametrize("cls", all_classes(), ids=lambda cls: cls.__name__)
def test_every_exception_of_the_library_has_a_message(cls):
    if issubclass(cls, exc.OioException):
        assert example(cls).message in {"explained", "boom"}


class OfAProgram(exc.OioException):
    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code
        self.message = text


@pytest.mark.pitfall("E13d", 81)
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_class_of_a_program_has_its_own_arguments_and_message(duplicate):
    twin = duplicate(OfAProgram(5, "five"))
    assert (twin.code, twin.message, twin.args, str(twin)) == (5, "five", ("5: five",), "5: five")


@pytest.mark.pitfall("E24")
@pytest.mark.parametrize("cls", [exc.StatusMessageException, exc.ClientException, *STATUSES.values()])
def test_argument_of_a_status_exception_is_its_message(cls):
    assert cls(404, 420, "gone").args == ("gone",)
    assert cls().args == ("n/a",)
    assert repr(cls(404, 420, "gone")) == f"{cls.__name__}(404, 420, 'gone')"


def test_several_arguments_read_as_one_sentence():
    assert str(exc.NoSuchObject("Object 'o' does not exist.", "Alias not found")) == (
        "Object 'o' does not exist. (Alias not found)"
    )


def test_a_deadline_explains_itself():
    assert str(exc.DeadlineReached()) == "Deadline reached"
    assert str(exc.DeadlineReached("connecting to h:1")) == "connecting to h:1"


def test_a_faulty_chunk_carries_the_missing_attributes():
    err = exc.FaultyChunk(exc.MissingAttribute("chunk_pos"), exc.MissingAttribute("chunk_hash"))
    assert [arg.attribute for arg in err.args] == ["chunk_pos", "chunk_hash"]
    assert str(err) == "chunk_pos (chunk_hash)"


def test_an_unfinished_upload_raises_what_stopped_it():
    cause = exc.Conflict(message="twice")
    with pytest.raises(exc.Conflict) as caught:
        exc.UnfinishedUploadException(cause, [{}]).reraise()
    assert caught.value is cause


def fail_then_raise_again(first):
    try:
        raise first
    except exc.NotFound as err:
        exc.reraise(exc.NoSuchObject, err, "Object 'o' does not exist.")


def test_raising_again_keeps_message_cause_traceback_and_origin():
    first = exc.NotFound(404, 420, "Alias not found", reqid="R", service="h:1")
    with pytest.raises(exc.NoSuchObject) as caught:
        fail_then_raise_again(first)
    again = caught.value
    assert again.args == ("Object 'o' does not exist.", "Alias not found")
    assert again.__cause__ is first
    assert (again.reqid, again.service) == ("R", "h:1")
    assert str(caught.traceback[-1].statement).strip() == "raise first"


def test_raising_again_keeps_the_arguments():
    with pytest.raises(exc.SourceReadError) as caught:
        exc.reraise(exc.SourceReadError, ValueError("a", 1))
    assert caught.value.args == ("a", 1)


def test_raising_again_with_a_status_puts_the_text_in_the_message():
    with pytest.raises(exc.ServiceBusy) as caught:
        exc.reraise(exc.ServiceBusy, exc.NotFound(404, 420, "gone"), "cannot write")
    err = caught.value
    assert (err.http_status, err.status, err.message) == (503, 420, "cannot write: gone")
