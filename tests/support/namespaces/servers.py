"""Servers in a namespace, for tools to ask by way of the appliance: acts of `lab`.

In: plain values.  Out: threads that serve until the namespace goes.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler

from scapy.layers.dns import DNS, DNSRR

PAGE = b"a page\n"
ANSWER = "192.0.2.99"


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name there
        pass


class _Names(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, server = self.request
        server.sendto(_answer(data), self.client_address)


class _NamesByTcp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        length = int.from_bytes(self.request.recv(2), "big")
        said = _answer(self.request.recv(length))
        self.request.sendall(len(said).to_bytes(2, "big") + said)


def _answer(data: bytes) -> bytes:
    asked = DNS(data)
    name = asked.qd[0].qname if isinstance(asked.qd, list) else asked.qd.qname
    return bytes(DNS(id=asked.id, qr=1, rd=1, qd=asked.qd, an=DNSRR(rrname=name, rdata=ANSWER)))


def serve(addresses: Sequence[str], web: Sequence[int], names: Sequence[int]) -> None:
    """A page by HTTP on the ports `web`, an answer to every name on the ports `names`."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in web:
            _begin(socketserver.ThreadingTCPServer, family, (address, port), _Page)
        for port in names:
            _begin(socketserver.ThreadingUDPServer, family, (address, port), _Names)
            _begin(socketserver.ThreadingTCPServer, family, (address, port), _NamesByTcp)


def _begin(
    kind: type[socketserver.TCPServer | socketserver.UDPServer],
    family: socket.AddressFamily,
    place: tuple[str, int],
    handler: type[socketserver.BaseRequestHandler],
) -> None:
    of_family = type(kind.__name__, (kind,), {"address_family": family, "daemon_threads": True})
    threading.Thread(target=of_family(place, handler).serve_forever, daemon=True).start()
