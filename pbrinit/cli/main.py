"""`pbrctl`: the policy, looked at from the machine that builds the image.

In: a command line.  Out: text or JSON on standard output.  Exit status: 0; 2 where the
policy or the command line is wrong, with every reason on standard error; 1 where a policy is not
proved.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pbrinit.analysis import diff, explain, holes
from pbrinit.cli import build, prove
from pbrinit.plan import ip_commands
from pbrinit.policy import assigned, problems
from pbrinit.policy.problems import PolicyError, Problem
from pbrinit.policy.reader.keys import schema
from pbrinit.wire import password_hash

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except PolicyError as error:
        _refuse(error, as_json=options.json)
        return USAGE
    except assigned.AssignmentError as error:
        about = getattr(options, "policy", None) or options.old
        _refuse(PolicyError([Problem(str(about), "interface", str(error))]), as_json=options.json)
        return USAGE
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pbrctl", description="Check, show and compile a pbrinit policy."
    )
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="say what is wrong with a policy, all at once")
    check.add_argument("policy", type=Path, help="the policy file")
    check.add_argument("--json", action="store_true", help="findings as JSON")
    check.set_defaults(command=_check)
    shown = commands.add_parser("show", help="print the plan as the commands a person would type")
    shown.add_argument("policy", type=Path, help="the policy file")
    shown.add_argument("--json", action="store_true", help="the commands as a JSON list")
    _with_lease(shown)
    shown.set_defaults(command=_show)
    asked = commands.add_parser(
        "explain", help="say what becomes of one packet, and by which rules"
    )
    asked.add_argument("policy", type=Path, help="the policy file")
    asked.add_argument("question", nargs="?", help=f"a packet: {' or '.join(explain.FORMS)}")
    asked.add_argument(
        "--holes", action="store_true", help="instead: what is reached since nothing keeps state"
    )
    asked.add_argument("--json", action="store_true", help="the answer as JSON")
    _with_lease(asked)
    asked.set_defaults(command=_explain)
    prove.add(commands)
    diff.add(commands)
    made = commands.add_parser("build", help="write the boot file that PID 1 reads")
    made.add_argument("policy", type=Path, help="the policy file")
    made.add_argument("output", type=Path, help="where to write it")
    made.set_defaults(command=_build)
    hashed = commands.add_parser(
        "password", help="ask for a password, print its hash for the policy's [console]"
    )
    hashed.set_defaults(command=_password)
    told = commands.add_parser("schema", help="print the language as JSON Schema, for editors")
    told.set_defaults(command=_schema)
    return parser


def _with_lease(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lease",
        action="append",
        default=[],
        metavar=assigned.FORM,
        help="as the machine is with this, where an address comes by DHCP or router advertisement;"
        " once for each family",
    )


def _check(options: argparse.Namespace) -> int:
    with build.paused():
        reading = build.check_policy(options.policy)
        policy, plan = reading.policy, build.compiled(options.policy, reading.policy)
    summary = {
        "file": str(options.policy),
        "hostname": plan.hostname,
        "rules": len(plan.rules),
        "interfaces": [link.name for link in plan.links[1:]],
        "entries": len(policy.allows),
        "denies": len(policy.denies),
        "expectations": len(policy.expectations),
        "remarks": [vars(remark) for remark in reading.remarks],
        "problems": [],
    }
    if options.json:
        print(json.dumps(summary))
        return 0
    for remark in reading.remarks:
        print(remark)
    names = ", ".join(link.name for link in plan.links[1:])
    count = len(reading.remarks)
    odd = f"; {count} remark{'s' if count > 1 else ''}" if count else ""
    print(f"{options.policy}: sound; {len(plan.rules)} rules, interfaces: {names or 'none'}{odd}")
    return 0


def _show(options: argparse.Namespace) -> int:
    lines = list(ip_commands.commands(build.load(options.policy, options.lease)))
    print(json.dumps(lines, indent=1) if options.json else "\n".join(lines))
    return 0


def _explain(options: argparse.Namespace) -> int:
    if options.holes == (options.question is not None):
        return _misasked(options, "ask about one packet, or for --holes", explain.HINT)
    if options.holes:
        return holes.command(options.policy, as_json=options.json)
    policy, plan = build.loaded(options.policy, options.lease)
    try:
        explanation = explain.explain(
            plan, policy, explain.parse(options.question, policy, plan.programs)
        )
    except explain.QuestionError as error:
        return _misasked(options, error.what, error.hint)
    if options.json:
        names = {way.device: way.label for way in policy.zones}
        print(json.dumps(explain.as_json(explanation, names), indent=1))
    else:
        print("\n".join(explain.text(explanation)))
    return 0


def _misasked(options: argparse.Namespace, what: str, hint: str) -> int:
    """Say what is wrong with a question; returns the exit status."""
    print(f"error: {what}\n hint: {hint}", file=sys.stderr)
    if options.json:
        found = Problem(str(options.policy), "question", what, hint)
        print(json.dumps(problems.as_json([found])))
    return USAGE


def _build(options: argparse.Namespace) -> int:
    build.build(options.policy, options.output)
    return 0


def _password(_: argparse.Namespace) -> int:
    """From a terminal it is asked for twice; else it is the first line of standard input."""
    if sys.stdin.isatty():
        typed, again = (getpass.getpass(prompt) for prompt in ("password: ", "once more: "))
    else:
        typed = again = sys.stdin.readline().removesuffix("\n")
    try:
        if typed != again:
            raise password_hash.PasswordError("these are two passwords")
        print(f'[console]\npassword = "{password_hash.hash_password(typed)}"')
    except password_hash.PasswordError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    return 0


def _schema(_: argparse.Namespace) -> int:
    print(json.dumps(schema(), indent=2))
    return 0


def _refuse(error: PolicyError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(problems.as_json(error.problems)))
        return
    print(error, file=sys.stderr)
    count = len(error.problems)
    print(f"{count} {'error' if count == 1 else 'errors'}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
