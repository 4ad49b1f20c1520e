"""The desk: where programs of the policy ask what `pbrctl` is asked on the machine.

In: a `BootPlan`, and what its programs ask, those with an `ask`.  Out: what the same command says
on the console, done in the machine's own namespaces.  Each program has a socket of its own, which
nobody else sees: by it the desk knows who asks.  Whoever asks may be hostile: so many at once, so
long, so many bytes, at a lower priority than what guards the machine, and ended before it is.
"""

from __future__ import annotations

import _socket
import os
import select
import signal
import sys

from pbrinit.boot.control import broker_protocol, pbrctl
from pbrinit.boot.control.actions import CHANGES
from pbrinit.boot.control.broker_protocol import BrokerError
from pbrinit.boot.control.queries import COMMANDS
from pbrinit.boot.programs import mounts
from pbrinit.boot.system import syscalls, unix_socket
from pbrinit.boot.system.log import log, seconds
from pbrinit.boot.system.privileges import go_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pbrinit.wire.bootplan import ProgramPlan

MAY = {"status": frozenset(COMMANDS), "try": frozenset((*COMMANDS, *CHANGES))}
"""The commands that a program may ask for, by its `ask`."""

AT_ONCE = 4
"""Of one program. Who comes beyond that waits."""

HEAR_SECONDS, DO_SECONDS, SPEAK_SECONDS = 10.0, 120.0, 5.0
"""What is asked must be there in the first time, what is done be done in the second, and a piece of
the answer be taken in the third."""

LOOK_SECONDS = 0.1
NICE = 10
USAGE, ENDED = 2, 1


def serve(programs: Iterable[ProgramPlan]) -> None:
    """Serve these without end, each with an `ask`.

    Raises OSError where a socket cannot be made.
    """
    doors = {_listen(program): program for program in programs}
    busy: dict[int, _socket.socket] = {}
    while True:
        _reap(busy)
        held = [*busy.values()]
        open_ones = [one for one in doors if held.count(one) < AT_ONCE]
        for one in select.select(open_ones, [], [], LOOK_SECONDS if busy else None)[0]:
            connection = unix_socket.accept(one)
            child = os.fork()
            if child == 0:
                _attend(connection, doors[one])
            connection.close()
            busy[child] = one


def _listen(program: ProgramPlan) -> _socket.socket:
    """A socket that its user alone may connect to, and that program alone sees."""
    path = f"{mounts.broker_folder(program.name)}/{mounts.SOCKET}"
    return unix_socket.listen_unix(path, _socket.SOCK_STREAM, AT_ONCE, program.uid)


def _reap(busy: dict[int, _socket.socket]) -> None:
    for child in [*busy]:
        if os.waitpid(child, os.WNOHANG)[0]:
            del busy[child]


def _attend(connection: _socket.socket, program: ProgramPlan) -> None:
    """Hear one request and do it, in a process of its own; never returns."""
    try:
        syscalls.set_parent_death_signal(signal.SIGKILL)
        os.nice(NICE)
        go_first()
        try:
            words, policy = _asked(connection, program)
        except BrokerError as error:
            connection.settimeout(SPEAK_SECONDS)
            broker_protocol.tell(connection, broker_protocol.ERR, f"error: {error}\n".encode())
            broker_protocol.end(connection, USAGE)
        else:
            _do(connection, words, policy)
    except OSError:
        pass  # who asked is gone, or does not listen
    except BaseException as error:
        log(f"{program.name}: the desk failed: {error!r}")
    finally:
        os._exit(0)


def _asked(connection: _socket.socket, program: ProgramPlan) -> tuple[list[str], bytes]:
    """What the program asks. Raises ErrandError where it may not, OSError where it does not."""
    uid = unix_socket.peer_uid(connection)
    if uid != program.uid:
        raise BrokerError(f"user {uid} is not the user of {program.name}")
    words, policy = broker_protocol.hear(connection, seconds() + HEAR_SECONDS)
    command = next((word for word in words if word != "--json"), "")
    if command in MAY["try"] - MAY[program.ask]:
        raise BrokerError(
            f'{program.name} may not {command}: the policy says ask = "{program.ask}"'
        )
    if command not in MAY[program.ask]:
        raise BrokerError(f"there is no command {command!r}; --help lists them")
    return words, policy


def _do(connection: _socket.socket, words: Sequence[str], policy: bytes) -> None:
    """Do the command, and tell what it prints as it comes, and how it ended.

    Raises OSError where that is not taken: then the command ends as well.
    """
    until = seconds() + DO_SECONDS
    connection.settimeout(SPEAK_SECONDS)
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _become(words, policy, to_out, to_err)
    os.close(to_out)
    os.close(to_err)
    kinds = {out: broker_protocol.OUT, err: broker_protocol.ERR}
    try:
        while kinds:
            ready = select.select([*kinds], [], [], max(0.0, until - seconds()))[0]
            if not ready:
                text = f"error: it took longer than {DO_SECONDS:.0f} s, and was ended\n"
                broker_protocol.tell(connection, broker_protocol.ERR, text.encode())
                break
            for descriptor in ready:
                piece = os.read(descriptor, broker_protocol.LONGEST_PIECE)
                if piece:
                    broker_protocol.tell(connection, kinds[descriptor], piece)
                else:
                    del kinds[descriptor]
    finally:
        if kinds:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    broker_protocol.end(connection, status if status >= 0 else ENDED)


def _become(words: Sequence[str], policy: bytes, out: int, err: int) -> None:
    """What `pbrctl` is on the machine, with the policy to read; never returns."""
    status = ENDED
    try:
        syscalls.set_parent_death_signal(signal.SIGKILL)
        os.umask(0o077)
        given = os.open(mounts.BROKERS, os.O_TMPFILE | os.O_RDWR, 0o600)
        os.pwrite(given, policy, 0)
        for source, target in ((given, 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        syscalls.close_all_but(())
        status = pbrctl.main(words)
        sys.stdout.flush()
    except BaseException as error:
        os.write(2, f"error: {error}\n".encode())
    finally:
        os._exit(status)
