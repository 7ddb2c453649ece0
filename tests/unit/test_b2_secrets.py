# SPDX-License-Identifier: Apache-2.0
"""Keys and tokens of Backblaze travel over TLS only, verified as the client says, and give up soon."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from oio.api.backblaze_http import Backblaze, Backoff
from oio.api.object_storage import ObjectStorageApi
from oio.b2.account import Grant
from oio.b2.credentials import BackblazeUtils
from oio.b2.errors import BackblazeUtilsException
from oio.b2.session import B2Limits, B2Session
from oio.b2.upload import UploadUrl
from oio.common import exceptions as exc
from oio.common.options import Options
from tests.kit.tls import CERTIFICATE

METHOD = SimpleNamespace(account_id="A", bucket_name="B")
IN_CLEAR = [
    "http://b2.example.com",
    "http://10.0.0.1:80",
    "HTTP://b2.example.com",
    "http://127.0.0.1.example.com",
    "http://b2.example.com\\@127.0.0.1",
]
HIDDEN = [
    "https://b2.example.com",
    "http://127.0.0.1:80",
    "http://localhost:80",
    "http://[::1]:80",
    "http://127.9.9.9",
]


def grant(**urls):
    answer = {"accountId": "A", "authorizationToken": "T", "apiUrl": "https://a", "downloadUrl": "https://d"}
    return Grant.of({**answer, **urls})


def key_file(tmp_path, mode=0o600, api_url=None):
    path = tmp_path / "keys.conf"
    path.write_text("[backblaze]\nA.B.application_key=K\n" + (f"A.B.api_url={api_url}\n" if api_url else ""))
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def no_known_credentials(monkeypatch):
    monkeypatch.setattr(BackblazeUtils, "b2_authorization_list", {})


@pytest.mark.pitfall("C3")
@pytest.mark.parametrize("url", IN_CLEAR)
def test_key_is_not_sent_in_clear(url, tmp_path):
    with pytest.raises(ValueError, match="api_url"):
        Backblaze("A", "K", api_url=url, authorize=False)
    with pytest.raises(ValueError, match="backblaze_api_url"):
        ObjectStorageApi("NS", endpoint="127.0.0.1:1", backblaze_api_url=url)
    with pytest.raises(BackblazeUtilsException, match="api_url"):
        BackblazeUtils.get_credentials(METHOD, key_file(tmp_path, api_url=url))


@pytest.mark.pitfall("C3")
@pytest.mark.parametrize("url", IN_CLEAR)
def test_token_is_not_sent_in_clear(url):
    for name in ("apiUrl", "downloadUrl"):
        with pytest.raises(exc.OioProtocolError, match="https only"):
            grant(**{name: url})
    with pytest.raises(exc.OioProtocolError, match="https only"):
        UploadUrl.of({"uploadUrl": url, "authorizationToken": "T"})
    session = B2Session()
    with pytest.raises(exc.OioProtocolError, match="https only"):
        session.open("GET", url, {"authorization": "T"}, None, B2Limits(), "x")
    session.close()


@pytest.mark.pitfall("C3")
@pytest.mark.parametrize("url", HIDDEN)
def test_this_host_may_be_asked_in_clear(url, tmp_path):
    Backblaze("A", "K", api_url=url, authorize=False).close()
    ObjectStorageApi("NS", endpoint="127.0.0.1:1", backblaze_api_url=url).close()
    assert BackblazeUtils.get_credentials(METHOD, key_file(tmp_path, api_url=url))["backblaze.api_url"] == url
    assert grant(apiUrl=url, downloadUrl=url).api_url == url


@pytest.mark.pitfall("C4")
def test_authorities_of_the_client_are_those_for_backblaze(tmp_path):
    options = Options(key_file=key_file(tmp_path))
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1", ca_certs=CERTIFICATE) as api:
        assert api._b2_clients.bucket(METHOD, options).client._session.ca_certs == CERTIFICATE
    with ObjectStorageApi("NS", endpoint="127.0.0.1:1") as api:
        assert api._b2_clients.bucket(METHOD, options).client._session.ca_certs == DEFAULT_CA_BUNDLE_PATH


@pytest.mark.pitfall("C5")
@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (0o600, []),
        (0o400, []),
        (0o620, ["changed"]),
        (0o602, ["changed"]),
        (0o640, ["read"]),
        (0o666, ["read", "changed"]),
    ],
)
def test_key_file_that_is_open_to_others_is_told(mode, words, tmp_path, caplog):
    BackblazeUtils.get_credentials(METHOD, key_file(tmp_path, mode))
    assert [
        f"can be {word} by others" in text for word, text in zip(words, caplog.messages, strict=True)
    ] == [True] * len(words)


@pytest.mark.pitfall("C5")
def test_change_of_mode_alone_is_noticed(tmp_path, caplog):
    path = key_file(tmp_path)
    first = BackblazeUtils.get_credentials(METHOD, path)
    assert BackblazeUtils.get_credentials(METHOD, path) is first
    path.chmod(0o602)
    BackblazeUtils.get_credentials(METHOD, path)
    assert "mode 602" in caplog.text


@pytest.mark.pitfall("C7")
def test_endpoint_where_nobody_listens_is_tried_twice():
    pauses = []
    with pytest.raises(exc.OioConnectionException):
        Backblaze("A", "K", api_url="http://127.0.0.1:1", backoff=Backoff(sleep=pauses.append))
    assert len(pauses) == 1
