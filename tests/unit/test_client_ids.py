# SPDX-License-Identifier: Apache-2.0
"""The identifiers that the client makes, as the services accept them."""

from __future__ import annotations

import re

import pytest

from oio.blob.client import BlobClient
from oio.common.utils import cid_from_name
from tests.kit.scripted import Peer, serving

ACCEPTED = re.compile(r"[0-9A-F]{24,64}")


@pytest.mark.pitfall(41)
@pytest.mark.parametrize("length", [24, 32, 64])
def test_links_of_chunks_get_ids_that_a_rawx_accepts(length):
    target = ("0A1B" * 16)[:length]
    destinations = []

    def link(peer: Peer) -> None:
        while head := peer.read_head():
            destinations.append(re.search(r"(?i)destination: \S+/(\S+)", head)[1])
            peer.answer(201)

    with serving(link) as server, BlobClient() as blobs:
        urls = [blobs.chunk_link(f"{server.address}/{target}", None, "path")[1] for _ in range(3)]
    assert [url.rpartition("/")[2] for url in urls] == destinations
    assert len({*destinations, target}) == 4
    for made in destinations:
        assert ACCEPTED.fullmatch(made)
        assert len(made) == length


@pytest.mark.pitfall(41, 146)
def test_ids_of_containers_are_in_upper_case():
    assert re.fullmatch("[0-9A-F]{64}", cid_from_name("account", "container"))
