# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from oio.common import easy_value


@pytest.mark.parametrize("absent", [None, "None", ""])
def test_an_absent_value_is_the_default(absent):
    assert easy_value.int_value(absent, 7) == 7
    assert easy_value.float_value(absent, None) is None
    assert easy_value.boolean_value(absent, True) is True
    assert easy_value.boolean_value(absent) is False


def test_numbers_are_read_from_text():
    assert easy_value.int_value("12", 0) == 12
    assert easy_value.int_value(0, 5) == 0
    assert easy_value.float_value("1.5", 0.0) == 1.5


@pytest.mark.parametrize("reader", [easy_value.int_value, easy_value.float_value])
def test_text_that_is_no_number_is_refused(reader):
    with pytest.raises(ValueError, match="twelve"):
        reader("twelve", 0)


@pytest.mark.pitfall(92)
@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "ON", "t", "y", True, 1])
def test_words_that_mean_true(word):
    assert easy_value.true_value(word) is True
    assert easy_value.boolean_value(word) is True


@pytest.mark.pitfall(92)
@pytest.mark.parametrize("word", ["false", "False", "0", "no", "OFF", "f", "n", False, 0])
def test_words_that_mean_false(word):
    assert easy_value.true_value(word) is False
    assert easy_value.boolean_value(word, True) is False


@pytest.mark.parametrize("other", ["maybe", None, [], {}, 2, "11"])
def test_anything_else_is_not_true(other):
    assert easy_value.true_value(other) is False


def test_an_unknown_word_is_no_boolean():
    with pytest.raises(ValueError, match="'maybe' is not a boolean"):
        easy_value.boolean_value("maybe")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.000KB"),
        (43518, "43.518KB"),
        (999_999, "999.999KB"),
        (999_999_999, "1.000GB"),
        (-1500, "-1.500KB"),
        (5 * 10**24, "5.000YB"),
        (10**28, "10000.000YB"),
    ],
)
def test_sizes_have_decimal_prefixes(size, text):
    assert easy_value.convert_size(size, unit="B") == text


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [("0aF", None, True), ("0aF", 3, True), ("0aF", 4, False), ("", None, False), ("0x1", None, False)],
)
def test_hexadecimal_text(text, size, expected):
    assert easy_value.is_hexa(text, size) is expected


def test_byte_strings_are_decoded_at_every_level():
    raw = {b"a": [b"b", (b"\xc3\xa9", 1)], "c": None}
    assert easy_value.debinarize(raw) == {"a": ["b", ("é", 1)], "c": None}
