"""System calls for each request, counted by strace while a fixed load runs."""

import re
import time
from dataclasses import dataclass

from measure import Stage, load, proxy
from process import Died, Process


@dataclass(frozen=True)
class Calls:
    """Calls for each request: in all, and by name, the most frequent first."""

    total: float
    by_name: dict[str, float]


def count_calls(stage: Stage, name: str, variant: str) -> Calls:
    """Attaches after the warm-up and before the load, so that calls and requests are of the same window."""
    with proxy(stage, name, variant) as running:
        load(stage, running, stage.scenario.warm)
        table = running.setup.folder / "calls"
        pids = [word for pid in running.family for word in ("-p", str(pid))]
        with Process(["strace", "-c", "-f", "-o", str(table), *pids], stage.cpus.load, running.setup.folder / "strace.log") as tracer:
            _await_attached(tracer, len(running.family))
            requests = load(stage, running, stage.seconds).requests
            tracer.interrupt()
        return _parse(table.read_text(), requests)


def _await_attached(tracer: Process, processes: int) -> None:
    while tracer.said().count(" attached") < processes:
        if not tracer.running or tracer.age() > 10:
            raise Died(f"strace did not attach: {tracer.said()[-500:]}")
        time.sleep(0.01)


def _parse(table: str, requests: int) -> Calls:
    """Lines of `% time, seconds, usecs/call, calls, errors or nothing, name`."""
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", table, re.MULTILINE)
    if not rows or not requests:
        raise Died(f"strace counted {len(rows)} system calls over {requests} requests")
    counts = {name: int(calls) / requests for calls, name in rows if name != "total"}
    return Calls(sum(counts.values()), dict(sorted(counts.items(), key=lambda one: -one[1])))
