"""Everyday tools beside examples/host.toml, and on both sides of examples/router.toml."""

from __future__ import annotations

import json

import pytest

from tests.support.host_example import MGMT, SELF, STRANGER
from tests.support.mac_addresses import GUEST_MACS, PEER_MACS
from tests.support.namespaces import servers
from tests.support.nmap import scan
from tests.support.router_example import FAR, HOST, LAN, MAILER, ROUTER, SERVER, WAN
from tests.support.vm.tap_guest import TapGuest, ToolNamespace

version = pytest.mark.parametrize("version", [4, 6])
SSH = 22
ALLOWED, REFUSED = (MGMT, True), (STRANGER, False)
TIMED_OUT, NOT_CONNECTED = 28, 7
"""Exit statuses of curl(1)."""

who = pytest.mark.parametrize(("place", "allowed"), [ALLOWED, REFUSED], ids=["mgmt", "stranger"])


@who
@version
def test_ping(gate: TapGuest, version: int, place: dict[int, str], allowed: bool) -> None:
    done = gate.sides[0].run("ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", "-I",
                              place[version], SELF[version])  # fmt: skip
    assert f"{2 if allowed else 0} received" in done.stdout
    assert "Unreachable" not in done.stdout + done.stderr


@who
@version
@pytest.mark.parametrize("port", [22, 80, 40000])
def test_nping(
    gate: TapGuest, version: int, place: dict[int, str], allowed: bool, port: int
) -> None:
    six = ("-6",) if version == 6 else ()
    done = gate.sides[0].run(
        "nping", *six, "--tcp", "-p", str(port), "--flags", "syn", "-S", place[version],
        "-e", "tap0", "--send-eth", "--source-mac", PEER_MACS[0], "--dest-mac", GUEST_MACS[0],
        "--count", "2", "--delay", "50ms",
        SELF[version],
    )  # fmt: skip
    assert f"Rcvd: {2 if allowed and port == SSH else 0} " in done.stdout, done.stdout + done.stderr


@who
def test_hping3(gate: TapGuest, place: dict[int, str], allowed: bool) -> None:
    done = gate.sides[0].run(
        "hping3", "--syn", "-p", "22", "-a", place[4], "-I", "tap0", "-c", "2", "-i", "u50000",
        SELF[4],
    )  # fmt: skip
    assert done.stdout.count("flags=SA") == (2 if allowed else 0), done.stdout + done.stderr


@who
@version
def test_ssh(gate: TapGuest, version: int, place: dict[int, str], allowed: bool) -> None:
    done = gate.sides[0].run(*ASK_SSH, "-b", place[version], SELF[version])
    if allowed:
        assert "remote software version pbrinit_test" in done.stderr
    else:
        assert "timed out" in done.stderr, done.stderr


ASK_SSH = ("ssh", "-v", "-F", "none", "-o", "ConnectTimeout=2", "-o", "BatchMode=yes")


@who
@version
def test_dig_hears_nothing_of_a_program_that_listens(
    gate: TapGuest, version: int, place: dict[int, str], allowed: bool
) -> None:
    done = _dig(gate.sides[0], place[version], SELF[version])
    assert "timed out" in done or "no servers could be reached" in done, (done, allowed)


def _dig(judge: ToolNamespace, source: str, server: str, *options: str) -> str:
    done = judge.run(
        "dig", "-b", source, f"@{server}", "+tries=1", "+time=1", *options, "example.org"
    )
    return done.stdout


@pytest.fixture(scope="module")
def serving_router(router: TapGuest) -> TapGuest:
    """The router, with servers on both sides, also where nobody may ask them."""
    far, near = FAR.values(), (*HOST.values(), *SERVER.values())
    router.sides[WAN].namespace.do(servers.serve, [*far], [80, 443, 8080, 25], [53, 5353])
    router.sides[LAN].namespace.do(servers.serve, [*near], [80, 443, 8080], [53])
    return router


def _curl(judge: ToolNamespace, source: str, target: str, port: int) -> tuple[int, str]:
    at = f"[{target}]" if ":" in target else target
    done = judge.run("curl", "--silent", "--noproxy", "*", "--max-time", "2", "--interface", source,
                     f"http://{at}:{port}/")  # fmt: skip
    return done.returncode, done.stdout


@version
def test_curl_from_inside(serving_router: TapGuest, version: int) -> None:
    lan = serving_router.sides[LAN]
    page = servers.PAGE.decode()
    for port in (80, 443):
        assert _curl(lan, HOST[version], FAR[version], port) == (0, page)
    assert _curl(lan, HOST[version], FAR[version], 8080) == (TIMED_OUT, "")
    # The policy tells those inside that they may not send mail, at once.
    assert _curl(lan, HOST[version], FAR[version], 25) == (NOT_CONNECTED, "")
    assert _curl(lan, MAILER[version], FAR[version], 25) != (NOT_CONNECTED, "")


@version
def test_curl_from_outside(serving_router: TapGuest, version: int) -> None:
    wan = serving_router.sides[WAN]
    assert _curl(wan, FAR[version], SERVER[version], 443) == (0, servers.PAGE.decode())
    for place, port in ((SERVER, 80), (SERVER, 8080), (HOST, 443), (HOST, 80)):
        assert _curl(wan, FAR[version], place[version], port) == (TIMED_OUT, "")


@version
@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
def test_dig_through_the_router(serving_router: TapGuest, version: int, by: str) -> None:
    lan, wan = serving_router.sides[LAN], serving_router.sides[WAN]
    assert servers.ANSWER in _dig(lan, HOST[version], FAR[version], by)
    assert servers.ANSWER not in _dig(lan, HOST[version], FAR[version], by, "-p", "5353")
    assert servers.ANSWER not in _dig(wan, FAR[version], HOST[version], by)


@version
def test_ssh_reaches_the_router_from_inside_alone(router: TapGuest, version: int) -> None:
    inside = router.sides[LAN].run(*ASK_SSH, "-b", HOST[version], ROUTER[LAN][version])
    assert "remote software version pbrinit_test" in inside.stderr
    outside = router.sides[WAN].run(*ASK_SSH, "-b", FAR[version], SELF[version])
    assert "timed out" in outside.stderr


@version
def test_nmap_from_outside_finds_https_of_the_server_alone(
    serving_router: TapGuest, version: int
) -> None:
    ports = [*range(1, 1025), 8080, 40000]
    for place, found in ((SERVER, {443}), (HOST, set()), (MAILER, set())):
        seen = scan(serving_router.sides[WAN], place[version], "-sS", "-S", FAR[version],
                    "-e", "tap0", ports=ports)  # fmt: skip
        assert seen.ports_in("open") == found
        assert seen.states - {"open"} == {"filtered"}
        assert seen.count == len(ports)


IPERF = ("iperf3", "--json", "--time", "1", "--connect-timeout", "2000")


@version
@pytest.mark.parametrize(
    ("port", "how", "passes"),
    [
        (443, (), True),
        (443, ("--reverse",), True),
        (53, ("--udp", "--bitrate", "2M"), True),
        (5201, (), False),
    ],
)
def test_iperf3_through_the_router(
    router: TapGuest, version: int, port: int, how: tuple[str, ...], passes: bool
) -> None:
    target = ALONE[version]
    with router.sides[WAN].running_server(
        port, "iperf3", "--server", "--port", str(port), "--bind", target
    ):
        done = router.sides[LAN].run(
            *IPERF, "--client", target, "--port", str(port), "--bind", HOST[version], *how
        )
    told = json.loads(done.stdout)
    if not passes:
        assert "error" in told
        return
    assert "error" not in told, told["error"]
    total = told["end"].get("sum_received") or told["end"]["sum"]
    assert total["bits_per_second"] > 0


ALONE = {4: "192.0.2.1", 6: "2001:db8::1"}
"""An address on the wan where no other server is."""
