# SPDX-License-Identifier: Apache-2.0
"""A server with TLS, and the certificate that signs itself."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from tests.kit.scripted import Peer

FILES = Path(__file__).parent.parent / "data" / "tls"
CERTIFICATE = str(FILES / "certificate.pem")


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, FILES / "key.pem")
    return context


def speak_tls(peer: Peer) -> ssl.SSLSocket:
    # As chunk servers do: an answer must not wait until the client has acknowledged what came before.
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer.sock = server_context().wrap_socket(peer.sock, server_side=True)
    return peer.sock


def answer_over_tls(peer: Peer) -> None:
    with speak_tls(peer):
        while peer.read_head():
            peer.answer(200, b"[]")
