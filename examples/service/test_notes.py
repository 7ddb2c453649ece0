# SPDX-License-Identifier: Apache-2.0
"""Tests of a service, with fixtures of the package that start an embedded namespace."""

from __future__ import annotations

import pytest
from notes import Notes

from oio.common import exceptions as exc
from oio.sandbox import Fault


@pytest.fixture
def notes(oio_api, oio_container):
    return Notes(oio_api, "service", oio_container)


def test_note_is_read_as_it_was_written(notes):
    notes.write("ada", "first", "Hello, wörld")
    assert notes.read("ada", "first") == "Hello, wörld"
    assert notes.read("ada", "second") is None


def test_titles_are_those_of_the_user(notes):
    notes.write("ada", "b", "")
    notes.write("ada", "a", "")
    notes.write("bob", "c", "")
    assert list(notes.titles("ada")) == ["a", "b"]


def test_note_is_read_though_a_chunk_server_cuts_it_off(notes, oio_faults):
    notes.write("ada", "long", "x" * 100_000)
    # The test fails if the fault is never met.
    oio_faults(Fault("reset", service="rawx", operation="GET", nth=1, after_bytes=1000))
    assert notes.read("ada", "long") == "x" * 100_000


def test_service_says_so_when_nothing_can_be_stored(notes, oio_faults):
    oio_faults(Fault("status", service="rawx", operation="PUT", status=503))
    with pytest.raises(exc.ServiceBusy):
        notes.write("ada", "lost", "text")
    assert notes.read("ada", "lost") is None
