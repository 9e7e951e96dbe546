#!/usr/bin/env python3
"""Gives an instrumented binary the traffic that its profile is of: the rows of the instructions bench, and answers of 1 MiB."""

import os
import sys
import tempfile
from pathlib import Path

for room in ("compare", "instructions"):
    sys.path.append(str(Path(__file__).parents[1] / room))

from contenders.tidegate import PROGRAM
from process import Process
from rows import ROWS, Row
from scenarios import get
from stage import staged

BULK = (
    Row("bulk", "GET, answers of 1 MiB", get("/bulk"), connections=4, count=400),
    Row("vip-bulk", "VIP: answers of 1 MiB", get("/bulk"), connections=4, tcp=True, count=400),
)
# Each row's part of the profile is about its part of a day's work: most requests come on connections that stay.
BATCHES = {"get-32": 20, "browser": 10, "vip": 10}


def main() -> int:
    cpus = tuple(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="tidegate-profile-") as folder:
        for row in ROWS + BULK:
            with staged(row, Path(folder), lambda argv, own: Process(argv, cpus, own / "log")) as (_, _, client):
                client.ask(row.count * BATCHES.get(row.name, 2))
            print(f"{row.name}: {row.about}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
