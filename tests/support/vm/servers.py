"""What a network has for an updater: a resolver and a server with TLS; acts of `lab`.

In: addresses, names, files.  Out: threads that answer.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

asked: list[str] = []
A, HEADER = 1, struct.Struct("!HHHHHH")


def resolver(own: str, name: str, address: str) -> None:
    """Answer on UDP port 53 of `own` that the name has this address of IPv4 (RFC 1035)."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((own, 53))
    wanted = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"

    def answer() -> None:
        while True:
            question, client = server.recvfrom(4096)
            number = HEADER.unpack_from(question)[0]
            end = question.index(b"\0", HEADER.size) + 5
            asked.append(client[0])
            right = question[HEADER.size : end - 4] == wanted
            right = right and struct.unpack_from("!H", question, end - 4)[0] == A
            record = struct.pack("!HHHIH", 0xC00C, A, 1, 60, 4) + socket.inet_aton(address)
            head = HEADER.pack(number, 0x8180, 1, int(right), 0, 0)
            server.sendto(head + question[HEADER.size : end] + (record if right else b""), client)

    threading.Thread(target=answer, daemon=True).start()


def with_tls(own: str, certificate: str, key: str, content: bytes) -> None:
    """Answer every request of HTTP on port 443 of `own`."""
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


def who_asked() -> list[str]:
    """The addresses from which the resolver was asked."""
    return list(asked)
