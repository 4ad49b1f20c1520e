"""What every process that asks for an address does: it has one socket, one pipe, and nothing else.

In: an `AddressClient`, which says what to send when and what follows from what came; and the
datagrams of anybody.  Out: what the client holds, reported to the process that applies it:
`Assignment.pack`, or `NOTHING`, or `REJECTED` and why, or `REMARKED` and what was left out of it.

It reads what strangers send, so it is no longer root by then, and sees no files. Its socket was
opened as root: that is whose packets the kernel takes them for (sk_uid, net/socket.c).
"""

from __future__ import annotations

import os
import resource
import select
import signal

from pbrinit.boot.network import links
from pbrinit.boot.system import syscalls
from pbrinit.boot.system.log import seconds
from pbrinit.wire.assignment import AddressClient, Identity, random_below
from pbrinit.wire.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from pbrinit.wire.assignment import Assignment, Sent
    from pbrinit.wire.prefix import Prefix

UNPRIVILEGED_UID = 65533
"""The user that it is: no policy's, but one that a user namespace has."""

EMPTY = "/run/empty"
"""All the files that it sees: none."""

NOTHING = b"-"
REJECTED = b"!"
REMARKED = b"+"
RECONNECT = b"^"
"""What the process is told when the cable has come back."""

LONGEST_REASON = 200
LONGEST_WAIT = 3600.0
ENODEV = 19


class AddressProtocol(Record):
    """A protocol that assigns addresses: `what` it assigns, in words; how its socket on a device is
    opened; its `AddressClient`; how what an earlier process reported is read again; how the client
    takes one datagram from the socket, and what is to be sent then; and the port that is asked.
    """

    what: str
    open_socket: Callable[[str], socket.socket]
    client: Callable[..., AddressClient]
    unpack: Callable[[bytes, Iterable[Prefix]], Assignment]
    receive: Callable[[AddressClient, socket.socket], Sent]
    port: int

    def run_client(
        self,
        identity: Identity,
        device: str,
        pipe: socket.socket,
        held: tuple[bytes, float] | None,
        parent: int,
    ) -> None:
        """Ask without end, and tell what is held, in a process that this becomes; `held` is what an
        earlier one told, and since when it is held.

        Raises OSError where there is no such device, or not any more, or this cannot become nobody.
        """
        mac = bytes.fromhex(links.mac(device).replace(":", ""))
        asking = self.open_socket(device)
        drop_privileges({asking.fileno(), pipe.fileno()}, parent)
        known = (self.unpack(held[0], identity.taken), held[1]) if held else None
        client = self.client(identity, mac, random_below, seconds(), known)

        def receive() -> Sent:
            return self.receive(client, asking)

        def send(data: bytes, to: str) -> None:
            asking.sendto(data, (to, self.port))

        serve(client, asking, pipe, receive=receive, send=send)


def serve(
    client: AddressClient,
    asking: socket.socket,
    told: socket.socket,
    *,
    receive: Callable[[], Sent],
    send: Callable[[bytes, str], None],
) -> None:
    """Do what is due and take what comes, until nobody is told any more: `receive` has the client
    take one datagram and returns what is to be sent then. Raises OSError where the device is gone.
    """
    before, refused = client.held, ""
    remarks: tuple[str, ...] = ()
    while True:
        _send(send, client.tick(seconds()))
        if client.held != before:
            before = client.held
            told.send(before[0].pack() if before else NOTHING)
        if client.rejection != refused:
            refused = client.rejection
            told.send(REJECTED + refused.encode()[:LONGEST_REASON])
        if client.remarks != remarks:
            remarks = client.remarks
            for remark in remarks:
                told.send(REMARKED + remark.encode()[:LONGEST_REASON])
        wait = max(0.0, min(client.due - seconds(), LONGEST_WAIT))
        ready = select.select([asking, told], [], [], wait)[0]
        if told in ready:
            if not told.recv(LONGEST_REASON):
                return
            client.reconnect(seconds())
        if asking in ready:
            _send(send, receive())


def _send(send: Callable[[bytes, str], None], datagrams: Sent) -> None:
    """Send them; one that cannot leave now is sent again in time. Raises OSError where the device
    is gone: another of its name is not this socket's.
    """
    for data, to in datagrams:
        try:
            send(data, to)
        except OSError as error:
            if error.errno == ENODEV:
                raise


def drop_privileges(kept: set[int], parent: int) -> None:
    """Let go of everything but these descriptors; end with the parent."""
    os.makedirs(EMPTY, exist_ok=True)  # noqa: PTH103  pathlib is not in the image
    os.chroot(EMPTY)
    os.chdir("/")
    syscalls.close_all_but(kept, first=0)
    syscalls.setresuid_setgroups(UNPRIVILEGED_UID)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    syscalls.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
