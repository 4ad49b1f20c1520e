"""Web and DNS servers in a namespace, for tools that send requests through the appliance.

In: plain values.  Out: threads that serve until the namespace ends.  The functions are calls for
`lab`.
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
        response = _answer(self.request.recv(length))
        self.request.sendall(len(response).to_bytes(2, "big") + response)


def _answer(data: bytes) -> bytes:
    query = DNS(data)
    name = query.qd[0].qname if isinstance(query.qd, list) else query.qd.qname
    return bytes(DNS(id=query.id, qr=1, rd=1, qd=query.qd, an=DNSRR(rrname=name, rdata=ANSWER)))


def serve(addresses: Sequence[str], web: Sequence[int], names: Sequence[int]) -> None:
    """Serve a page by HTTP on the ports `web`, and answer every DNS query on the ports `names`."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        for port in web:
            _start(socketserver.ThreadingTCPServer, family, (address, port), _Page)
        for port in names:
            _start(socketserver.ThreadingUDPServer, family, (address, port), _Names)
            _start(socketserver.ThreadingTCPServer, family, (address, port), _NamesByTcp)


def _start(
    kind: type[socketserver.TCPServer | socketserver.UDPServer],
    family: socket.AddressFamily,
    address: tuple[str, int],
    handler: type[socketserver.BaseRequestHandler],
) -> None:
    of_family = type(kind.__name__, (kind,), {"address_family": family, "daemon_threads": True})
    threading.Thread(target=of_family(address, handler).serve_forever, daemon=True).start()
