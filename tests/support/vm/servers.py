"""A DNS and an HTTPS server in a namespace, for a program that fetches updates: calls for `lab`.

In: addresses, names, files.  Out: threads that answer.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

clients: list[str] = []
A, HEADER = 1, struct.Struct("!HHHHHH")


def serve_dns(own: str, name: str, address: str) -> None:
    """Answer DNS queries on UDP port 53 of `own`: the name has this IPv4 address (RFC 1035)."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((own, 53))
    wire_name = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"

    def answer() -> None:
        while True:
            query, client = server.recvfrom(4096)
            number = HEADER.unpack_from(query)[0]
            end = query.index(b"\0", HEADER.size) + 5
            clients.append(client[0])
            is_known = query[HEADER.size : end - 4] == wire_name
            is_known = is_known and struct.unpack_from("!H", query, end - 4)[0] == A
            record = struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + socket.inet_aton(address)
            head = HEADER.pack(number, 0x8180, 1, int(is_known), 0, 0)
            server.sendto(head + query[HEADER.size : end] + (record if is_known else b""), client)

    threading.Thread(target=answer, daemon=True).start()


def serve_https(own: str, certificate: str, key: str, content: bytes) -> None:
    """Answer every HTTPS request on port 443 of `own`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = socket.create_server((own, 443))

    def answer() -> None:
        while True:
            connection, _ = server.accept()
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(connection, server_side=True) as client,
            ):
                client.recv(4096)
                length = f"Content-Length: {len(content)}"
                lines = ("HTTP/1.1 200 OK", length, "Connection: close", "", "")
                client.sendall("\r\n".join(lines).encode() + content)

    threading.Thread(target=answer, daemon=True).start()


def resolver_clients() -> list[str]:
    """The source addresses of the queries to the DNS server."""
    return list(clients)
