"""What a question says of a program's socket: bound to a source, to a port alone, or to nothing.

The answers are what a kernel does with real sockets (tests/netns/test_questions.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from pbrinit.cli.main import main
from tests.support import source_example

REFUSED, HERE = "dropped: ", "allowed: "
BY_WAN, BY_LAN = "allowed, by eth0: ", "allowed, by eth1: "


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        # The address of the LAN does not leave by wan.
        ("out tcp [2001:db8:1::1]:40000 > [2001:db8:99::9]:22", REFUSED),
        ("out tcp 10.0.0.1:40000 > 198.51.100.9:22", REFUSED),
        # Not a client's port.
        ("out tcp [2001:db8::2]:1 > [2001:db8:99::9]:22", REFUSED),
        ("out tcp 192.0.2.2:1 > 198.51.100.9:22", REFUSED),
        ("out tcp 192.0.2.2:61000 > 198.51.100.9:22", REFUSED),
        ("out tcp 192.0.2.2:60999 > 198.51.100.9:22", BY_WAN),
        # Answers of our own service, to any port.
        ("out tcp 192.0.2.2:80 > 198.51.100.9:50000", BY_WAN),
        ("out tcp [2001:db8::2]:80 > [2001:db8:99::9]:50000", BY_WAN),
        ("out tcp 192.0.2.2:80 > 198.51.100.9:1", BY_WAN),
        ("out tcp 10.0.0.1:80 > 10.0.0.9:50000", REFUSED),
        # Not bound.
        ("out tcp > [2001:db8:99::9]:22", BY_WAN),
        ("out tcp > 198.51.100.9:22", BY_WAN),
        ("out tcp > 198.51.100.9:50000", REFUSED),
        # Bound to a port alone.
        ("out tcp 0.0.0.0:40000 > 198.51.100.9:22", BY_WAN),
        ("out tcp 0.0.0.0:1 > 198.51.100.9:22", REFUSED),
        ("out tcp [::]:40000 > [2001:db8:99::9]:22", BY_WAN),
        ("out tcp [::]:1 > [2001:db8:99::9]:22", REFUSED),
        ("out udp 0.0.0.0:40000 > 10.0.0.9:123 as clock", BY_LAN),
        ("out udp 0.0.0.0:123 > 10.0.0.9:123 as clock", REFUSED),
        # An address and no port, another user, a device.
        ("out tcp 192.0.2.2 > 198.51.100.9:22", BY_WAN),
        ("out udp 10.0.0.1:40000 > 10.0.0.9:123", REFUSED),
        ("out udp 10.0.0.1:40000 > 10.0.0.9:123 as clock by lan", BY_LAN),
        ("out tcp [2001:db8::2]:40000 > [2001:db8:99::9]:22 by wan", BY_WAN),
        # Not this machine's, so that no socket is bound to it.
        ("out tcp [2001:db8:7::7]:40000 > [2001:db8::2]:22", REFUSED),
        ("out tcp 198.51.100.7:40000 > 198.51.100.9:22", REFUSED),
        ("out udp [::1]:40000 > [2001:db8::2]:22 by wan", REFUSED),
        ("out udp [2001:db8:1::1]:40000 > [2001:db8::2]:22 by wan", HERE),
        # To everybody on loopback: datagrams, not TCP. TCP speaks to no group.
        ("out udp > 127.255.255.255:9", HERE),
        ("out tcp > 127.255.255.255:9", REFUSED),
        ("out tcp 192.0.2.2:40000 > 224.0.0.1:22", REFUSED),
        ("out tcp 192.0.2.2:40000 > 255.255.255.255:22", REFUSED),
        ("out tcp [2001:db8::2]:40000 > [ff05::3]:22 by wan", REFUSED),
    ],
)
def test_a_question_with_a_source_is_about_a_socket_that_is_bound_to_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], question: str, answer: str
) -> None:
    policy = tmp_path / "source.toml"
    policy.write_text(source_example.POLICY)
    assert main(["explain", str(policy), question]) == 0
    assert capsys.readouterr().out.startswith(answer)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("out tcp 224.0.0.1:40000 > 198.51.100.9:22", "is a group: no socket sends from it"),
        ("out udp > 198.51.100.9:22 too-big", '"too-big" is for what comes in'),
    ],
)
def test_what_no_socket_sends_is_no_question(
    capsys: pytest.CaptureFixture[str], question: str, told: str
) -> None:
    assert main(["explain", "examples/host.toml", question]) == 2
    assert told in capsys.readouterr().err
