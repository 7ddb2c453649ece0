# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys

import pytest

from oio.common.exceptions import InvalidStorageMethod
from oio.common.storage_method import (
    EC_SEGMENT_SIZE,
    STORAGE_METHODS,
    BackblazeStorageMethod,
    ECStorageMethod,
    ReplicatedStorageMethod,
    guess_storage_method,
    load_methods,
    parse_chunk_method,
)

LIBERASURECODE = "ec/algo=liberasurecode_rs_vand,k=6,m=3"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("plain", ("plain", {})),
        ("plain/nb_copy=3", ("plain", {"nb_copy": "3"})),
        ("plain/distance=1,nb_copy=2", ("plain", {"distance": "1", "nb_copy": "2"})),
        ("ec/algo=X,k=6,m=3", ("ec", {"algo": "X", "k": "6", "m": "3"})),
        ("ec/algo=X, k=6,  m=3", ("ec", {"algo": "X", "k": "6", "m": "3"})),
        ("plain/cold,nb_copy=", ("plain", {"cold": "1", "nb_copy": ""})),
        ("plain/", ("plain", {})),
        (
            "backblaze/account_id=A,bucket_name=a/b=c",
            ("backblaze", {"account_id": "A", "bucket_name": "a/b=c"}),
        ),
    ],
)
def test_chunk_method_is_a_type_and_parameters(text, parsed):
    assert parse_chunk_method(text) == parsed


@pytest.mark.parametrize(
    ("url", "method"),
    [
        ("b2/0A1B", "backblaze"),
        ("backblaze/0A", "backblaze"),
        ("kine://x", "kplain"),
        ("http://h:1/0A", "plain"),
    ],
)
def test_the_url_of_a_chunk_tells_the_method(url, method):
    assert guess_storage_method(url) == method


@pytest.mark.parametrize(
    ("text", "copies", "quorum"),
    [
        ("plain", 1, 1),
        ("plain/nb_copy=1", 1, 1),
        ("plain/distance=1,nb_copy=2", 2, 1),
        ("plain/nb_copy=3", 3, 2),
        ("plain/nb_copy=4,min_dist=2", 4, 2),
        ("plain/nb_copy=5", 5, 3),
        ("plain/nb_copy=17", 17, 9),
    ],
)
def test_half_of_the_copies_are_a_quorum(text, copies, quorum):
    method = STORAGE_METHODS.load(text)
    assert isinstance(method, ReplicatedStorageMethod)
    assert (method.nb_copy, method.expected_chunks, method.quorum) == (copies, copies, quorum)
    assert (method.min_chunks_to_read, method.name, method.type) == (1, "repli", "plain")
    assert (method.ec, method.backblaze) == (False, False)


def test_erasure_coding_needs_one_parity_chunk_more_than_data():
    method = STORAGE_METHODS.load(LIBERASURECODE)
    assert isinstance(method, ECStorageMethod)
    assert (method.ec_type, method.ec_nb_data, method.ec_nb_parity) == ("liberasurecode_rs_vand", 6, 3)
    assert (method.quorum, method.expected_chunks, method.min_chunks_to_read) == (7, 9, 6)
    assert (method.ec_segment_size, method.ec_fragment_size) == (EC_SEGMENT_SIZE, 174844)
    assert (method.name, method.type, method.ec, method.backblaze) == ("ec", "ec", True, False)


def test_backblaze_has_an_account_and_a_bucket():
    method = STORAGE_METHODS.load("backblaze/account_id=A,bucket_name=B")
    assert isinstance(method, BackblazeStorageMethod)
    assert (method.account_id, method.bucket_name) == ("A", "B")
    assert (method.name, method.type, method.ec, method.backblaze) == ("backblaze", "backblaze", False, True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("drained", "unknown type 'drained'"),
        ("", "unknown type ''"),
        ("plain/nb_copy=many", "'nb_copy' is 'many'"),
        ("plain/nb_copy=0", "'nb_copy' is '0'"),
        ("ec/k=6,m=3", "'algo' is missing"),
        ("ec/algo=liberasurecode_rs_vand,m=3", "'k' is missing"),
        ("ec/algo=liberasurecode_rs_vand,k=6,m=x", "'m' is 'x'"),
        ("ec/algo=nosuch,k=6,m=3", "'nosuch' is not available"),
        ("backblaze/account_id=A", "'bucket_name' is missing"),
        ("backblaze/account_id=,bucket_name=B", "'account_id' is missing"),
    ],
)
def test_a_bad_chunk_method_is_refused_with_its_text_and_the_reason(text, reason):
    with pytest.raises(InvalidStorageMethod) as caught:
        STORAGE_METHODS.load(text)
    assert f"chunk method {text!r}" in str(caught.value)
    assert reason in str(caught.value)


def test_the_same_text_gives_the_same_method_until_methods_are_loaded_again():
    first = STORAGE_METHODS.load("plain/nb_copy=2")
    assert STORAGE_METHODS.load("plain/nb_copy=2", unused=1) is first
    assert load_methods() is STORAGE_METHODS
    assert STORAGE_METHODS.load("plain/nb_copy=2") is not first


@pytest.mark.pitfall(83, "D10")
def test_other_policies_work_where_the_erasure_coding_library_is_missing():
    program = f"""if True:
        import sys
        sys.modules["pyeclib"] = sys.modules["pyeclib.ec_iface"] = None
        from oio.common.exceptions import InvalidStorageMethod
        from oio.common.storage_method import STORAGE_METHODS
        assert STORAGE_METHODS.load("plain/nb_copy=3").quorum == 2
        try:
            STORAGE_METHODS.load({LIBERASURECODE!r})
        except InvalidStorageMethod as err:
            print(err)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "erasure coding needs PyECLib, which 'pip install pyeclib' brings" in done.stdout


@pytest.mark.pitfall(83, "D10")
def test_library_that_backblaze_needs_is_named_with_the_way_to_get_it():
    program = """if True:
        import sys
        sys.modules["requests"] = None
        import oio.api.object_storage
        from oio.b2.clients import B2Clients
        from oio.common.exceptions import InvalidStorageMethod
        from oio.common.options import Options
        try:
            B2Clients().bucket(None, Options())
        except InvalidStorageMethod as err:
            print(err)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "objects in Backblaze need a library, which 'pip install requests' brings" in done.stdout


@pytest.mark.parametrize("algorithm", ["shss", "libphazr", "jerasure_rs_vand", "jerasure_rs_cauchy"])
def test_a_backend_that_is_not_installed_is_named_and_advice_about_it_is_no_error(algorithm):
    from pyeclib.ec_iface import VALID_EC_TYPES

    text = f"ec/algo={algorithm},k=2,m=1"
    if algorithm in VALID_EC_TYPES:
        assert STORAGE_METHODS.load(text).ec_type == algorithm
    else:
        with pytest.raises(InvalidStorageMethod, match=f"{text}.*{algorithm}.*not available"):
            STORAGE_METHODS.load(text)
