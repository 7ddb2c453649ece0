# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oio.common import constants


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADER_PREFIX", "x-oio-"),
        ("ADMIN_HEADER", "x-oio-admin"),
        ("FORCEMASTER_HEADER", "x-oio-force-master"),
        ("PERFDATA_HEADER", "x-oio-perfdata"),
        ("PERFDATA_HEADER_PREFIX", "x-oio-perfdata-"),
        ("TIMEOUT_HEADER", "x-oio-timeout"),
        ("REQID_HEADER", "x-oio-req-id"),
        ("CHECKHASH_HEADER", "x-oio-check-hash"),
        ("FETCHXATTR_HEADER", "x-oio-xattr"),
        ("FORCEVERSIONING_HEADER", "x-oio-force-versioning"),
        ("SIMULATEVERSIONING_HEADER", "x-oio-simulate-versioning"),
        ("CONTAINER_METADATA_PREFIX", "x-oio-container-meta-"),
        ("CONTAINER_USER_METADATA_PREFIX", "x-oio-container-meta-user-"),
        ("OBJECT_METADATA_PREFIX", "x-oio-content-meta-"),
        ("CHUNK_METADATA_PREFIX", "x-oio-chunk-meta-"),
        ("CONNECTION_TIMEOUT", 2.0),
        ("READ_TIMEOUT", 30.0),
        ("STRLEN_REFERENCEID", 66),
        ("STRLEN_CHUNKID", 64),
        ("STRLEN_REQID", 63),
        ("OIO_VERSION", "4.2"),
        ("CHUNK_XATTR_CONTENT_FULLPATH_PREFIX", "oio.content.fullpath:"),
        ("CHUNK_SUFFIX_CORRUPT", ".corrupt"),
        ("CHUNK_SUFFIX_PENDING", ".pending"),
        ("TIMEOUT_KEYS", ("connection_timeout", "read_timeout", "write_timeout")),
    ],
)
def test_value_agreed_with_the_services(name, value):
    assert getattr(constants, name) == value


@pytest.mark.parametrize(("code", "name"), [(0, "Enabled"), (4294967295, "Frozen"), (4294967294, "Disabled")])
def test_status_of_a_database_has_a_name_as_number_and_as_text(code, name):
    assert constants.OIO_DB_STATUS_NAME[code] == constants.OIO_DB_STATUS_NAME[str(code)] == name


@pytest.mark.parametrize(
    "name",
    [
        "container_headers",
        "object_headers",
        "chunk_xattr_keys",
        "chunk_xattr_keys_optional",
        "volume_xattr_keys",
    ],
)
def test_lower_case_names_are_aliases(name):
    assert getattr(constants, name) is getattr(constants, name.upper())


def test_headers_of_objects_and_containers():
    assert constants.CONTAINER_HEADERS["size"] == "x-oio-container-meta-sys-m2-usage"
    assert constants.OBJECT_HEADERS["size"] == "x-oio-content-meta-length"
    assert constants.OBJECT_HEADERS["chunk_method"] == "x-oio-content-meta-chunk-method"
    assert constants.CHUNK_HEADERS["content_policy"] == "x-oio-chunk-meta-content-storage-policy"
    assert constants.CHUNK_HEADERS["chunk_mtime"] == "last-modified"


def test_optional_attributes_of_chunks_are_known_attributes_or_headers():
    known = {*constants.CHUNK_HEADERS, *constants.CHUNK_XATTR_KEYS, "content_chunksnb"}
    assert set(constants.CHUNK_XATTR_KEYS_OPTIONAL) <= known
