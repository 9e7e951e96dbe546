#!/usr/bin/env python3
"""Compares Tidegate with its peers on this machine, over loopback alone, and prints Markdown; benches/README.md says how to read it."""

import argparse
import json
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

import machine
import report
import rounds
from contenders import CONTENDERS, first_line
from scenarios import SCENARIOS, Scenario

KNOWN = {scenario.name: scenario for scenario in SCENARIOS}
NEEDED = ("wrk", "nginx", "taskset")
Result = dict[str, object]
COUNTED = ["http1-keepalive", "l4-rr"]


def main() -> int:
    asked = arguments()
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, _leave)
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        raise SystemExit(f"compare: no program {', '.join(missing)} on the path; install it (`make bench-compare` does, when root)")
    files = machine.raise_file_limit()
    present = [name for name in asked.contenders if CONTENDERS[name].found()]
    absent = [CONTENDERS[name] for name in asked.contenders if name not in present]
    left_out = [f"{one.name}: no program `{one.program}`; {one.fix}" for one in absent]
    facts = machine.facts(files) | _method(asked)
    versions = {name: CONTENDERS[name].version() for name in present} | _loads()
    print(report.conditions(facts, versions, left_out), flush=True)
    results: dict[str, Result] = {}
    clean = True
    with tempfile.TemporaryDirectory(prefix="tidegate-compare-") as folder:
        plan = rounds.Plan(present, asked.rounds, asked.seconds, files, Path(folder))
        for name in asked.only or (COUNTED if asked.syscalls else KNOWN):
            results[name], text = run(plan, KNOWN[name], asked.syscalls)
            print(text, flush=True)
            clean = clean and not results[name]["problems"]
            if asked.json:
                kept = {"facts": facts, "versions": versions, "left_out": left_out, "scenarios": results}
                asked.json.write_text(json.dumps(kept, indent=1))
    return 0 if clean else 1


def run(plan: rounds.Plan, scenario: Scenario, syscalls: bool) -> tuple[Result, str]:
    """One scenario: what is kept of it, and its table."""
    cpus = machine.allot(scenario.workers)
    if syscalls:
        calls, problems = rounds.count(plan, scenario, cpus)
        counted = {row: asdict(one) for row, one in calls.items()}
        return {"calls": counted, "problems": problems}, report.calls_table(scenario, calls, problems)
    rows, failures = rounds.measure(plan, scenario, cpus)
    problems = report.errors(rows) + failures
    unable = rounds.unable(plan.contenders, scenario)
    turns = {row: [asdict(sample) for sample in samples] for row, samples in rows.items()}
    return {"turns": turns, "unable": unable, "problems": problems}, report.table(scenario, cpus, rows, unable, problems)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, epilog=_epilog(), formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", metavar="SCENARIO,...", type=_some_of(KNOWN), help="some of the scenarios below")
    add("--contenders", metavar="A,B", type=_some_of(CONTENDERS), default=list(CONTENDERS), help=f"of {', '.join(CONTENDERS)}")
    add("--rounds", metavar="N", type=_positive, default=5, help="turns of each contender (5)")
    add("--seconds", metavar="N", type=_positive, default=5, help="length of a measurement (5)")
    add("--json", metavar="FILE", type=Path, help="write every turn here, too")
    add("--syscalls", action="store_true", help=f"count system calls instead, of {' and '.join(COUNTED)} unless --only says otherwise")
    return parser.parse_args()


def _epilog() -> str:
    wide = max(map(len, KNOWN)) + 4
    lines = ["scenarios:", *(f"  {scenario.name:<{wide}}{scenario.about}" for scenario in SCENARIOS), "", "environment:"]
    named = {"TIDEGATE": "the binary", "ENVOY": "its binary", "ECHO": "the folder of the programs of echo/, compiled"}
    return "\n".join([*lines, *(f"  {name:<{wide}}{what}" for name, what in named.items())])


def _some_of(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if strange := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"found {', '.join(map(repr, strange))}, expected some of {', '.join(known)}")
        return names

    return parse


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 1 on")
    return int(text)


def _method(asked: argparse.Namespace) -> dict[str, str]:
    counted = f"one turn of {asked.seconds} s under strace for each contender"
    timed = f"{asked.rounds} turns of {asked.seconds} s each, interleaved, order rotated each round; median (least..most)"
    return {
        "command": shlex.join(["compare.py", *sys.argv[1:]]),
        "method": counted if asked.syscalls else timed,
    }


def _loads() -> dict[str, str]:
    """What makes the load, and the origins that are not nginx."""
    flags = {"wrk": "-v", "h2load": "--version", "nghttpd": "--version", "openssl": "version"}
    return {program: first_line(program, flag) for program, flag in flags.items() if shutil.which(program)}


def _leave(number: int, _: object) -> None:
    """Unwinds every `with` block, which stops what was started; a second signal does not disturb that."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
