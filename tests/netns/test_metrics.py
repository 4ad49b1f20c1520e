"""The page for Prometheus: who may read it reads it whole, and who means harm gets nothing more."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pbrinit.cli.build import load
from pbrinit.plan.encode import encode
from pbrinit.wire.bootplan import BootPlan
from tests.support.host_example import BEHIND, LENGTH, ON_LINK, SELF
from tests.support.namespaces import in_namespace, run_pbrctl
from tests.support.namespaces.lab import Lab

PORT, UID = 9100, 900
POLICY = (
    Path("examples/host.toml").read_text()
    + f"""
[metrics]
port = {PORT}
user = "metrics"

[[input]]
on = "wan"
from = "mgmt"
service = "metrics"
user = "metrics"
"""
)
MGMT = {version: BEHIND[version]["mgmt"] for version in (4, 6)}
STRANGER = {version: BEHIND[version]["stranger"] for version in (4, 6)}
versions = pytest.mark.parametrize("version", [4, 6])

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(\{{{LABEL}(?:,{LABEL})*\}})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)")
HEAD = re.compile(rf"# (HELP|TYPE) ({NAME}) (.+)")
"""The text format, version 0.0.4, without what it need not have: time stamps and comments."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, BootPlan]]:
    """The example's machine with the page on it, and its peer."""
    text = POLICY.replace("[service]\n", f'[service]\nmetrics = ["tcp/{PORT}"]\n')
    text = text.replace("[user]\n", f"[user]\nmetrics = {UID}\n")
    path = tmp_path_factory.mktemp("metrics") / "host.toml"
    path.write_text(text)
    plan = encode(load(path), "host")
    on_link = [f"{a}/{LENGTH[v]}" for v, named in ON_LINK.items() for a in named.values()]
    with Lab(on_link, [*MGMT.values(), *STRANGER.values()]) as lab:
        assert lab.machine.do(in_namespace.enforce, plan) == []
        lab.machine.do(run_pbrctl.serve_metrics, plan)
        yield lab, plan
        lab.machine.do(run_pbrctl.stop_metrics)


def url(version: int, path: str = "/metrics") -> str:
    own = SELF[version] if version == 4 else f"[{SELF[6]}]"
    return f"http://{own}:{PORT}{path}"


def get(served: tuple[Lab, BootPlan], version: int = 4) -> str:
    status, text = served[0].peer.do(run_pbrctl.curl, url(version), MGMT[version])
    assert status == 0
    return text


@versions
def test_who_may_read_it_gets_a_page_in_the_format(
    served: tuple[Lab, BootPlan], version: int
) -> None:
    text = get(served, version)
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    current = ""
    for line in text.splitlines():
        if line.startswith("#"):
            head = HEAD.fullmatch(line)
            assert head, line
            if head[1] == "TYPE":
                assert head[2] == current
                assert head[2] not in kinds
                assert head[3] in ("counter", "gauge")
                kinds[head[2]] = head[3]
            current = head[2]
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        assert sample[1] == current, "the samples of a metric stand together, after its type"
        assert (sample[1], sample[2]) not in seen
        seen.add((sample[1], sample[2]))
    assert all(name.endswith("_total") for name, kind in kinds.items() if kind == "counter")
    plan = served[1]
    assert f'pbrinit_info{{hostname="gate",policy="host",digest="{plan.digest}"}} 1' in text
    assert f"\npbrinit_rules {len(plan.rules)}\n" in text
    assert '\npbrinit_link_up{device="eth0",interface="wan"} 1\n' in text


def test_it_is_about_the_plan_in_force_and_not_the_one_of_the_start(
    served: tuple[Lab, BootPlan],
) -> None:
    lab, plan = served
    other = BootPlan(**{**vars(plan), "policy": "other", "digest": "d" * 64})
    for now in (other, None):
        lab.machine.do(run_pbrctl.put_in_force, now)
        time.sleep(1.1)
        told = f'policy="{(now or plan).policy}",digest="{(now or plan).digest}"'
        assert told in get(served)


def test_it_counts_what_is_refused(served: tuple[Lab, BootPlan]) -> None:
    name = 'pbrinit_drops{kind="refused",family="IPv4"} '

    def count() -> int:
        return int(get(served).partition(name)[2].split()[0])

    before = count()
    for port in range(5000, 5005):
        probe = in_namespace.Probe("udp", SELF[4], port, source=(STRANGER[4], 0))
        assert served[0].peer.do(in_namespace.send_probe, probe) == "silence"
    assert count() >= before + 5


@versions
def test_nobody_else_reaches_it(served: tuple[Lab, BootPlan], version: int) -> None:
    timed_out = 28
    status, _ = served[0].peer.do(run_pbrctl.curl, url(version), STRANGER[version], "-m", "1")
    assert status == timed_out


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET /metrics/../etc/pbrinit/password HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"GET //metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\n", b"HTTP/1.1 405 "),
        (b"get /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET /metrics\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /metrics HTTP/2\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\0\xff\xfe" * 100 + b"\r\n\r\n", b"HTTP/1.1 400 "),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 10_000, b"HTTP/1.1 431 "),
        (b"GET /" + b"a" * 100_000, b"HTTP/1.1 431 "),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 "),
    ],
)
def test_whatever_is_said_it_answers_shortly_and_lives(
    served: tuple[Lab, BootPlan], said: bytes, answer: bytes
) -> None:
    heard = served[0].peer.do(run_pbrctl.exchange, SELF[4], PORT, MGMT[4], said)
    # Where more was said than is read, the rest may make a reset of the end.
    assert heard.startswith(answer) or (heard == b"" and len(said) > 8192)
    assert get(served)


def test_a_head_is_the_page_without_it(served: tuple[Lab, BootPlan]) -> None:
    heard = served[0].peer.do(
        run_pbrctl.exchange, SELF[4], PORT, MGMT[4], b"HEAD /metrics HTTP/1.1\r\n\r\n"
    )
    assert heard.startswith(b"HTTP/1.1 200 OK\r\n")
    assert heard.endswith(b"\r\n\r\n")


def test_who_says_nothing_is_left_after_three_seconds(served: tuple[Lab, BootPlan]) -> None:
    start = time.monotonic()
    assert (
        served[0].peer.do(run_pbrctl.exchange, SELF[4], PORT, MGMT[4], b"GET /metrics HTTP/1.1\r\n")
        == b""
    )
    assert 2.5 < time.monotonic() - start < 5


def test_who_holds_all_connections_holds_them_for_seconds(served: tuple[Lab, BootPlan]) -> None:
    served[0].peer.do(run_pbrctl.hold_connections, SELF[4], PORT, MGMT[4], 24, b"GET ")
    time.sleep(0.5)
    sockets, before = served[0].machine.do(run_pbrctl.server_sockets), time.monotonic()
    assert sockets <= 2 + 16, "more than the two that listen and sixteen connections"
    assert served[0].peer.do(run_pbrctl.curl, url(6), MGMT[6], "-m", "20")[0] == 0
    assert time.monotonic() - before < 10


def test_the_program_has_no_rights_and_no_files(served: tuple[Lab, BootPlan]) -> None:
    told = served[0].machine.do(run_pbrctl.server_status)
    assert set(told["Uid"].split()) == set(told["Gid"].split()) == {str(UID)}
    assert told["Groups"] == ""
    assert told["NoNewPrivs"] == "1"
    for name in ("CapPrm", "CapEff", "CapAmb"):
        assert int(told[name], 16) == 0, name
    assert served[0].machine.do(run_pbrctl.server_files) <= {"/dev/null"}


def test_who_asks_often_gets_the_same_page_for_a_second(served: tuple[Lab, BootPlan]) -> None:
    start = time.monotonic()
    pages = [get(served) for _ in range(5)]
    assert len(set(pages)) <= 1 + time.monotonic() - start
