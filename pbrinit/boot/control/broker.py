"""The control broker: it does the commands of `pbrctl` for programs of the policy, in their rooms.

In: the programs with an `ask`, and their requests.  Out: what the same command prints on the
machine, done in the machine's own namespaces.  Each program has a socket of its own that no other
process sees, so the broker knows which program asks.

A program may be hostile.  It sends words, and the broker makes one of a closed set of commands of
them (`commands`): no path, option or file of its own gets further.  A policy that it wants tried
comes along and is compiled by a process without privileges and without files.  Requests are
limited in number, time and bytes, run at a lower priority than what guards the machine, and are
ended first where memory runs out.
"""

from __future__ import annotations

import _socket
import os
import select
import signal
import sys
import time

from pbrinit.boot.control import broker_protocol, commands, pbrctl
from pbrinit.boot.control.broker_protocol import BrokerError
from pbrinit.boot.control.commands import CHANGES, QUERIES, Try, UsageError
from pbrinit.boot.programs import mounts
from pbrinit.boot.system import syscalls, unix_socket
from pbrinit.boot.system.log import log, seconds
from pbrinit.boot.system.privileges import go_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pbrinit.boot.control.commands import Confirm, Query, Restart
    from pbrinit.wire.bootplan import ProgramPlan

    Asked = Query | Try | Confirm | Restart

MAY = {"status": frozenset(QUERIES), "try": frozenset((*QUERIES, *CHANGES))}
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
    """Serve these programs without end, each with an `ask`.

    Raises OSError where a socket cannot be made.
    """
    listening = {_listen(program): program for program in programs}
    busy: dict[int, _socket.socket] = {}
    while True:
        _reap(busy)
        held = [*busy.values()]
        free = [one for one in listening if held.count(one) < AT_ONCE]
        for one in select.select(free, [], [], LOOK_SECONDS if busy else None)[0]:
            try:
                busy[_start(one, listening[one])] = one
            except OSError as error:  # too many processes or files: others are being attended to
                log(f"{listening[one].name}: the broker cannot attend to it: {error}")
                time.sleep(LOOK_SECONDS)


def _start(listener: _socket.socket, program: ProgramPlan) -> int:
    """Attend to who waits on this socket, in a process of its own; its number. Raises OSError."""
    connection = unix_socket.accept(listener)
    try:
        child = os.fork()
        if child == 0:
            _attend(connection, program)
        return child
    finally:
        connection.close()


def _listen(program: ProgramPlan) -> _socket.socket:
    """A socket that its user alone may connect to, and that program alone sees."""
    path = f"{mounts.broker_folder(program.name)}/{mounts.SOCKET}"
    return unix_socket.listen_unix(path, _socket.SOCK_STREAM, AT_ONCE, program.uid)


def _reap(busy: dict[int, _socket.socket]) -> None:
    for child in [*busy]:
        if os.waitpid(child, os.WNOHANG)[0]:
            del busy[child]


def _attend(connection: _socket.socket, program: ProgramPlan) -> None:
    """Receive one request and do it, in a process of its own; never returns."""
    try:
        syscalls.set_parent_death_signal(signal.SIGKILL)
        os.nice(NICE)
        go_first()
        try:
            command, policy = _asked(connection, program)
        except (BrokerError, UsageError) as error:
            connection.settimeout(SPEAK_SECONDS)
            broker_protocol.tell(connection, broker_protocol.ERR, f"error: {error}\n".encode())
            broker_protocol.end(connection, USAGE)
        else:
            _do(connection, command, policy, program)
    except OSError:
        pass  # who asked is gone, or does not listen
    except BaseException as error:
        log(f"{program.name}: the broker failed: {error!r}")
    finally:
        os._exit(0)


def _asked(connection: _socket.socket, program: ProgramPlan) -> tuple[Asked, bytes]:
    """The command that the program asks for, and the policy that came along.

    Raises BrokerError where it may not, UsageError where it is no command, and OSError where it
    does not come.
    """
    uid = unix_socket.peer_uid(connection)
    if uid != program.uid:
        raise BrokerError(f"user {uid} is not the user of {program.name}")
    words, policy = broker_protocol.hear(connection, seconds() + HEAR_SECONDS)
    name = next((word for word in words if word != commands.JSON), "")
    if name in MAY["try"] - MAY[program.control]:
        raise BrokerError(
            f'{program.name} may not {name}: the policy says ask = "{program.control}"'
        )
    command = commands.parse(words)
    if isinstance(command, Try) and command.file != commands.SENT:
        raise BrokerError("the policy is sent along: try - [--confirm SECONDS]")
    return command, policy


def _do(connection: _socket.socket, command: Asked, policy: bytes, program: ProgramPlan) -> None:
    """Do the command, and tell what it prints as it comes, and how it ended.

    Raises OSError where that is not taken: then the command ends as well.
    """
    until = seconds() + DO_SECONDS
    connection.settimeout(SPEAK_SECONDS)
    (out, to_out), (err, to_err) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _become(command, policy, program, (to_out, to_err))
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


def _become(command: Asked, policy: bytes, program: ProgramPlan, outputs: tuple[int, int]) -> None:
    """Be `pbrctl` on the machine, for this program, with the policy to read; never returns."""
    status = ENDED
    try:
        syscalls.set_parent_death_signal(signal.SIGKILL)
        os.umask(0o077)
        given = os.memfd_create("policy")
        os.pwrite(given, policy, 0)
        for source, target in zip((given, *outputs), range(3), strict=True):
            os.dup2(source, target)
        syscalls.close_all_but(())
        status = pbrctl.do(command, program.name)
        sys.stdout.flush()
    except BaseException as error:
        os.write(2, f"error: {error}\n".encode())
    finally:
        os._exit(status)
