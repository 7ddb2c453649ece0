# SPDX-License-Identifier: Apache-2.0
"""Any configuration file: options, or an exception of ours."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oio.b2.credentials import BackblazeUtils
from oio.b2.errors import BackblazeUtilsException
from oio.common import configuration
from oio.common import exceptions as exc
from tests.kit.fuzzing import examples

METHOD = SimpleNamespace(account_id="0a1b", bucket_name="box")
_LINES = st.sampled_from(
    (
        *("[OPENIO]", "[backblaze]", "[DEFAULT]", "[", "[]", "[OPENIO]x", "proxy = 127.0.0.1:6000", "proxy"),
        *(
            "proxy =",
            "= x",
            ": x",
            "  indented",
            "\tx = y",
            "# note",
            "; note",
            "%(x)s",
            "a = %(a)s",
            "a = %",
        ),
        *("0a1b.box.application_key = secret", "0a1b.box.application_key", "0a1b.box.api_url = http://h:1"),
        *("0a1b.box.api_url = ftp://h", "0a1b.box.api_url = http://[", "\ufeff[OPENIO]", "\0", "x" * 10_000),
    )
) | st.text(max_size=12)
TEXTS = st.lists(_LINES, max_size=6).map("\n".join)
FILES = (
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=40)
    | st.builds(
        lambda text, encoding: text.encode(encoding, "ignore"),
        TEXTS,
        st.sampled_from(("utf-16", "latin-1", "utf-8-sig")),
    )
)


def test_any_configuration_is_read_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "sds.conf"
    monkeypatch.setattr(configuration, "_SYSTEM_FILE", str(file))
    monkeypatch.setattr(configuration, "_SYSTEM_DIRECTORY", str(tmp_path / "none"))
    monkeypatch.setattr(configuration, "_USER_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(configuration, "NS_CONF_CACHE", {})

    @examples(400)
    @given(FILES)
    def try_one(content: bytes) -> None:
        file.write_bytes(content)
        for call in (
            lambda: configuration.load_namespace_conf("OPENIO", fresh=True),
            lambda: configuration.read_conf(str(file)),
            lambda: configuration.read_conf(str(file), "OPENIO", {"a": "b"}),
        ):
            refusal = str(file)
            try:
                found = call()
            except exc.ConfigurationException as err:
                refusal, found = str(err), {}
            assert isinstance(found, dict)
            assert str(file) in refusal

    try_one()


def test_any_file_of_keys_is_read_or_refused_and_shows_no_key(tmp_path: Path) -> None:
    file = tmp_path / "keys.conf"
    file.touch(mode=0o600)

    @examples(300)
    @given(FILES)
    def try_one(content: bytes) -> None:
        file.write_bytes(content)
        refusal, key = "", "none"
        try:
            key = BackblazeUtils.get_credentials(METHOD, str(file), renew=True)["backblaze.application_key"]
        except BackblazeUtilsException as err:
            refusal = str(err)
        BackblazeUtils.b2_authorization_list.clear()
        assert key
        assert "secret" not in refusal

    try_one()
