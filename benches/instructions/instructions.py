#!/usr/bin/env python3
"""Counts the instructions that one unit of work costs the worker of the real binary, and prints Markdown; benches/README.md says more."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "compare"))

from callgrind import Callgrind
from contenders.contract import first_line
from contenders.tidegate import PROGRAM
from costs import OURS, Costs, read
from process import Died
from replica import Replica, Wrong
from rows import ROWS, Client, Row
from stage import staged

KNOWN = {row.name: row for row in ROWS}
NEEDED = ("valgrind", "vgdb", "taskset", "addr2line", "openssl", PROGRAM)
DEARER = 5.0


@dataclass(frozen=True)
class Count:
    """Instructions for one unit of work. `spread` is the difference between the two batches, in percent; `dump` is of the second one."""

    figure: float
    spread: float
    requests: int
    dump: Path


def main() -> int:
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if missing := [program for program in NEEDED if shutil.which(program) is None]:
        raise SystemExit(f"instructions: no program {', '.join(missing)}; `make bench-instructions` gets or builds them")
    try:
        with tempfile.TemporaryDirectory(prefix="tidegate-instructions-") as folder:
            if asked.top:
                number, row = asked.top
                print(top(count(row, Path(folder)), row, number))
                return 0
            return table(asked, Path(folder))
    except (Died, Wrong) as problem:
        raise SystemExit(f"instructions: {problem}") from None


def table(asked: argparse.Namespace, folder: Path) -> int:
    """Every row that was asked for, each as soon as it is there."""
    before = asked.baseline or {}
    facts = {"version": first_line(PROGRAM, "--version"), "valgrind": first_line("valgrind", "--version"), "machine": os.uname().machine}
    print(", ".join(f"{key}: {value}" for key, value in facts.items()), end="\n\n")
    print("| row | unit of work | instructions | spread | baseline | change |\n|---|---|---|---|---|---|", flush=True)
    found: dict[str, int] = {}
    dearer = []
    for row in asked.only or ROWS:
        counted = count(row, folder)
        found[row.name] = round(counted.figure)
        old = before.get(row.name)
        change = 100 * (counted.figure / old - 1) if old else 0.0
        if change > DEARER:
            dearer.append(f"{row.name}: found {counted.figure:,.0f} instructions, expected {old:,} and at most {DEARER:.0f} % more")
        judged = f"{old:,} | {change:+.1f} %" if old else "- | -"
        print(f"| {row.name} | {row.about} | {counted.figure:,.0f} | {counted.spread:.2f} % | {judged} |", flush=True)
    if asked.json:
        asked.json.write_text(json.dumps({"facts": facts, "rows": found}, indent=1) + "\n")
    print("".join(f"\nDEARER: {line}" for line in dearer))
    return 1 if dearer else 0


def count(row: Row, folder: Path) -> Count:
    """Starts the proxy afresh, warms it up, and counts a batch and one of twice its size."""
    cpus = tuple(os.sched_getaffinity(0))
    with staged(row, folder, lambda argv, own: Callgrind(argv, cpus, own)) as (proxy, replica, client):
        return batches(proxy, replica, client, row)


def batches(proxy: Callgrind, replica: Replica, client: Client, row: Row) -> Count:
    proxy.watch()
    client.before = proxy.await_asleep
    if max(row.connections, row.streams) <= 1:
        # With several requests at once the answers shall come while the worker is busy, as they do under load.
        replica.before = proxy.await_asleep
    client.ask(row.count)
    proxy.await_asleep()
    proxy.forget()
    counts = []
    for requests in (row.count, 2 * row.count):
        client.ask(requests)
        proxy.await_asleep()
        instructions, dump = proxy.dump()
        counts.append(instructions / requests)
    first, second = counts
    return Count(second, 100 * abs(first / second - 1), requests, dump)


def top(counted: Count, row: Row, number: int) -> str:
    """Where one unit's instructions go: the dearest functions, three ways."""
    dump = read(counted.dump, PROGRAM)
    costs = Costs(dump, PROGRAM)

    def lines(title: str, of: Counter[str], calls: Counter[str] | None = None) -> str:
        def line(name: str, cost: int) -> str:
            often = f" {calls[name] / counted.requests:7.2f}x" if calls else ""
            return f"{cost / counted.requests:10.1f}{often}  {name}"

        return "\n".join([f"\n{title}", *(line(*one) for one in of.most_common(number))])

    whole = costs.whole()
    ours = Counter({name: cost for name, cost in whole.items() if name.startswith(OURS)})
    theirs = Counter({name: cost for name, cost in whole.items() if not name.startswith(OURS)})
    return "\n".join([
        f"{row.name}: {counted.figure:,.0f} instructions for each unit ({row.about})",
        lines("Functions of the symbol table, what they did themselves, calls", dump.own, dump.calls),
        lines("Functions, inlined ones told apart, what they did themselves", costs.own()),
        lines("Our functions with all they called, inlined ones told apart", ours),
        lines("Other functions with all they called, inlined ones told apart", theirs),
    ])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--only", metavar="ROW,...", type=lambda text: [_row(name) for name in text.split(",")], help=f"of {', '.join(KNOWN)}")
    add("--json", metavar="FILE", type=Path, help="write the figures here, too")
    add("--baseline", metavar="FILE", type=_baseline, help=f"compare with what --json wrote; a row dearer by more than {DEARER:.0f} % fails")
    add("--top", metavar=("N", "ROW"), nargs=2, help="instead of the table: the N dearest functions of one row")
    asked = parser.parse_args()
    if asked.top:
        number, name = asked.top
        if not number.isdecimal() or int(number) < 1:
            parser.error(f"--top: found {number!r}, expected a number from 1 on")
        if name not in KNOWN:
            parser.error(f"--top: found {name!r}, expected one of {', '.join(KNOWN)}")
        asked.top = int(number), KNOWN[name]
    return asked


def _row(name: str) -> Row:
    if name not in KNOWN:
        raise argparse.ArgumentTypeError(f"found {name!r}, expected some of {', '.join(KNOWN)}")
    return KNOWN[name]


def _baseline(text: str) -> dict[str, int]:
    try:
        rows = json.loads(Path(text).read_text())["rows"]
        return {str(name): int(figure) for name, figure in rows.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise argparse.ArgumentTypeError(f"{text} is not what --json writes: {problem!r}; write it anew") from None


if __name__ == "__main__":
    sys.exit(main())
