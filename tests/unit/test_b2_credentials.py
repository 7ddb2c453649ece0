# SPDX-License-Identifier: Apache-2.0
"""The file of the keys to the buckets of Backblaze."""

from __future__ import annotations

import traceback

import pytest

from oio.api.backblaze_http import BackblazeUtils, BackblazeUtilsException
from oio.b2 import credentials
from oio.common import exceptions as exc
from oio.common.storage_method import STORAGE_METHODS

METHOD = STORAGE_METHODS.load("backblaze/account_id=0a1b2c,bucket_name=Openio-box")
KEY = "K001%secret=;key"
TEXT = f"[backblaze]\n0a1b2c.Openio-box.application_key = {KEY}\n"


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(BackblazeUtils, "b2_authorization_list", {})


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys.conf"
    path.write_text(TEXT, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_credentials_are_those_of_the_bucket(key_file, caplog):
    assert BackblazeUtils.get_credentials(METHOD, str(key_file)) == {
        "backblaze.account_id": "0a1b2c",
        "backblaze.application_key": KEY,
        "backblaze.api_url": None,
        "bucket_name": "Openio-box",
        "authorization": None,
        "upload_token": None,
    }
    assert caplog.text == ""


def test_credentials_may_tell_the_address(key_file):
    key_file.write_text(TEXT + "0a1b2c.openio-box.api_url = http://127.0.0.1:80\n", encoding="utf-8")
    assert BackblazeUtils.get_credentials(METHOD, key_file)["backblaze.api_url"] == "http://127.0.0.1:80"


def test_default_path(key_file, monkeypatch):
    assert credentials.DEFAULT_KEY_FILE == "/etc/oio/sds/b2-appkey.conf"
    monkeypatch.setattr(credentials, "DEFAULT_KEY_FILE", str(key_file))
    assert BackblazeUtils.get_credentials(METHOD)["backblaze.application_key"] == KEY


def test_file_is_read_once_unless_it_is_to_be_read_again(key_file):
    first = BackblazeUtils.get_credentials(METHOD, key_file)
    assert BackblazeUtils.b2_authorization_list == {"0a1b2c.Openio-box": first}
    assert BackblazeUtils.get_credentials(METHOD, str(key_file)) is first
    second = BackblazeUtils.get_credentials(METHOD, str(key_file), renew=True)
    assert second == first
    assert BackblazeUtils.get_credentials(METHOD, str(key_file)) is second
    key_file.unlink()
    assert BackblazeUtils.get_credentials(METHOD, str(key_file)) is second


def test_file_is_read_again_when_its_keys_have_changed(key_file, tmp_path):
    BackblazeUtils.get_credentials(METHOD, key_file)
    # As careful programs replace a file: whole, by another one.
    new = tmp_path / "new"
    new.write_text(TEXT.replace("K001", "K002"), encoding="utf-8")
    new.chmod(0o600)
    new.replace(key_file)
    second = BackblazeUtils.get_credentials(METHOD, key_file)
    assert second["backblaze.application_key"] == KEY.replace("K001", "K002")


def test_credentials_of_another_file_are_not_taken_for_those_of_this_one(key_file, tmp_path):
    BackblazeUtils.get_credentials(METHOD, str(key_file))
    with pytest.raises(BackblazeUtilsException, match="no credentials file"):
        BackblazeUtils.get_credentials(METHOD, str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no section \[backblaze\] in credentials file .*keys.conf"),
        ("[other]\na = b\n", r"no section \[backblaze\]"),
        (
            "[backblaze]\n",
            r"no option 0a1b2c.Openio-box.application_key in section \[backblaze\] .*keys.conf",
        ),
        (TEXT.replace("box", "crate"), "no option 0a1b2c.Openio-box.application_key"),
        ("[backblaze]\n0a1b2c.openio-box.application_key =\n", "no option"),
        (f"0a1b2c.openio-box.application_key = {KEY}\n", "is no INI file: MissingSectionHeaderError, line 1"),
        (f"[backblaze]\n{KEY.replace('=', '')}\n", "is no INI file: ParsingError, line 2"),
        (TEXT + TEXT.splitlines()[1], "is no INI file: DuplicateOptionError, line 3"),
        (
            TEXT + "0a1b2c.openio-box.api_url = b2.test\n",
            "api_url of .* must be like 'https://host:port': 'b2.test'",
        ),
    ],
)
def test_what_is_missing_is_named_and_no_key_is_shown(key_file, text, message):
    key_file.write_text(text, encoding="utf-8")
    with pytest.raises(BackblazeUtilsException, match=message) as caught:
        BackblazeUtils.get_credentials(METHOD, str(key_file))
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    # Those who show an error may follow what is hidden, too.
    assert caught.value.__context__ is None
    assert isinstance(caught.value, exc.ConfigurationException)


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(BackblazeUtilsException, match=r"no credentials file .*missing"):
        BackblazeUtils.get_credentials(METHOD, str(tmp_path / "missing"))
    with pytest.raises(BackblazeUtilsException, match=r"cannot read credentials file .*: Is a directory"):
        BackblazeUtils.get_credentials(METHOD, str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(BackblazeUtilsException, match="no text in UTF-8"):
        BackblazeUtils.get_credentials(METHOD, str(tmp_path / "binary"))
    with pytest.raises(BackblazeUtilsException, match="no file can have this name"):
        BackblazeUtils.get_credentials(METHOD, "a\0b")


def test_file_may_begin_with_a_mark(key_file):
    key_file.write_text(TEXT, encoding="utf-8-sig")
    assert BackblazeUtils.get_credentials(METHOD, key_file)["backblaze.application_key"] == KEY


@pytest.mark.parametrize("name", ["account_id", "bucket_name"])
def test_storage_method_that_tells_no_bucket(key_file, name):
    class Method:
        account_id = "0a1b2c"
        bucket_name = "openio-box"

    setattr(Method, name, None)
    with pytest.raises(BackblazeUtilsException, match=name):
        BackblazeUtils.get_credentials(Method(), str(key_file))
    with pytest.raises(BackblazeUtilsException, match="account_id"):
        BackblazeUtils.get_credentials(STORAGE_METHODS.load("plain"), str(key_file))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_file_that_others_can_read_is_warned_of(key_file, caplog, mode):
    key_file.chmod(mode)
    BackblazeUtils.get_credentials(METHOD, str(key_file))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"keys.conf can be read by others: mode {mode:03o}" in caplog.text
