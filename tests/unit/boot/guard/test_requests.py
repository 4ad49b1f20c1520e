"""The guard's socket: whatever comes there is answered, and what comes with it is read whole."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from pbrinit.boot.guard import requests
from pbrinit.boot.guard.requests import Offer, Requests
from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootFileError

HOST, KIOSK = (encode(load(Path(f"examples/{name}.toml")), name) for name in ("host", "kiosk"))


class OurRefusalError(Exception):
    pass


Do = Callable[[Sequence[str], bytes], str]


@contextmanager
def serving(do: Do) -> Iterator[list[BaseException]]:
    """The guard's end, in a thread; what went through it."""
    listener, through, ended = Requests(), [], threading.Event()

    def serve() -> None:
        while not ended.is_set():
            try:
                listener.answer(do, OurRefusalError)
            except BaseException as error:
                through.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield through
    finally:
        ended.set()
        thread.join()


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = tmp_path / "socket"
    monkeypatch.setattr(requests, "PATH", str(found))
    return found


def echo(words: Sequence[str], data: bytes) -> str:
    return f"{'|'.join(words)} {len(data)}"


def connect() -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    found.settimeout(5)
    found.connect(requests.PATH)
    return found


def test_words_and_bytes_come_whole() -> None:
    with serving(echo) as through:
        assert requests.ask("try 5 now") == (True, "try|5|now 0")
        assert requests.ask("adopt", b"x" * 3_000_000) == (True, "adopt 3000000")
    assert through == []


def test_a_refusal_is_an_answer() -> None:
    def refuse(*_: object) -> str:
        raise OurRefusalError("no \udcff")

    with serving(refuse) as through:
        assert requests.ask("try") == (False, "no ?")
    assert through == []


def test_what_else_is_raised_is_told_and_goes_through() -> None:
    def fail(*_: object) -> str:
        raise ValueError("oh")

    with serving(fail) as through:
        assert requests.ask("try") == (False, "failed: oh")
    assert [str(error) for error in through] == ["oh"]


def test_what_is_no_text_is_words_too() -> None:
    with serving(echo) as through, connect() as client:
        client.send(b"\xff\xfe try \0 \xc2\xb2")
        assert client.recv(99) == "done \ufffd\ufffd|try|\0|² 0".encode()
    assert through == []


def test_who_says_nothing_is_not_waited_for_and_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "HEAR_SECONDS", 0.05)
    with serving(echo) as through:
        with connect() as client:
            assert client.recv(99) == requests.AGAIN
            assert client.recv(99) == b"", "the guard has not hung up"
            with pytest.raises(BrokenPipeError):
                client.send(b"late")
        assert requests.ask("try") == (True, "try 0")
    assert through == []


def test_whatever_file_comes_along_ends_nothing(tmp_path: Path) -> None:
    """No file, many, a directory, a pipe, a socket, an endless one, one that is too long."""
    (tmp_path / "long").touch()
    os.truncate(tmp_path / "long", requests.LONGEST_OFFER + 1)
    pipe, _ = os.pipe()
    opened = [os.open(path, os.O_RDONLY) for path in (tmp_path, "/dev/zero", tmp_path / "long")]
    with serving(echo) as through, socket.socket() as plug:
        for files in ([pipe], [plug.fileno()], *([file] for file in opened), opened * 60):
            with connect() as client:
                socket.send_fds(client, [b"adopt"], files)
                assert client.recv(99) == b"done adopt 0"
    assert through == []


def test_descriptors_that_come_along_are_not_kept() -> None:
    sent = os.memfd_create("sent")
    with serving(echo):
        requests.ask("adopt")
        for _ in range(20):
            with connect() as client:
                socket.send_fds(client, [b"adopt"], [sent] * 3)
                assert client.recv(99) == b"done adopt 0"
        assert count_of(sent) == 1


def count_of(descriptor: int) -> int:
    """How many descriptors of this process there are of the same open file."""
    count = 0
    for path in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            count += os.path.sameopenfile(int(path.name), descriptor)
    return count


def test_only_its_user_may_connect(path: Path) -> None:
    with serving(echo):
        assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "offer", [Offer(HOST), Offer(HOST, KIOSK), Offer(HOST, KIOSK, {"a.toml": b"x", "b.txt": b""})]
)
def test_an_offer_is_read_as_it_was_made(offer: Offer) -> None:
    found = requests.unpack(offer.pack())
    assert (found.plan, found.waiting, found.files) == (offer.plan, offer.waiting, offer.files)


@pytest.mark.parametrize(
    "change", [b"", b"x", b"\0" * 8, Offer(HOST).pack()[:-1], Offer(HOST).pack() + b"x"]
)
def test_what_is_no_offer_is_refused(change: bytes) -> None:
    with pytest.raises(BootFileError):
        requests.unpack(change)


def test_an_offer_with_one_bit_changed_is_refused() -> None:
    data = bytearray(Offer(KIOSK).pack())
    for at in range(0, len(data), 997):
        data[at] ^= 1
        with pytest.raises(BootFileError):
            requests.unpack(bytes(data))
        data[at] ^= 1
