"""Turns samples into Markdown: one table for each scenario, medians with their ranges, and nothing left out silently."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from machine import Cpus
from measure import Sample
from scenarios import PEERS, Scenario
from syscalls import Calls


@dataclass(frozen=True)
class Unit:
    """What cost and rate are called, and their decimals."""

    cost: str
    cost_digits: int
    rate: str
    rate_digits: int


UNITS = {
    "request": Unit("CPU µs/request", 1, "requests/s", 0),
    "connection opened": Unit("CPU µs/connection", 1, "connections/s", 0),
    "GB": Unit("CPU s/GB", 3, "GB/s", 2),
    "idle connection": Unit("RSS KiB/connection", 2, "connections held", 0),
    "handshake": Unit("CPU µs/handshake", 1, "handshakes/s", 0),
    "call": Unit("CPU µs/call", 1, "calls/s", 0),
    "message": Unit("CPU µs/message", 1, "messages/s", 0),
    "round trip": Unit("CPU µs/round trip", 1, "round trips/s", 0),
    "Service": Unit("RSS KiB/Service", 2, "Services that answered", 0),
}


def conditions(facts: dict[str, str], versions: dict[str, str], left_out: list[str]) -> str:
    lines = ["# Comparison", "", *(f"- {key}: {value}" for key, value in facts.items())]
    lines += [f"- {name}: {version}" for name, version in versions.items()]
    return "\n".join(lines + [f"- **LEFT OUT**: {one}" for one in left_out]) + "\n"


def table(scenario: Scenario, cpus: Cpus, rows: dict[str, list[Sample]], unable: list[str], problems: list[str]) -> str:
    unit = UNITS[scenario.unit]
    titles = ["", unit.cost, "ratio", unit.rate, "CPU share", "p50 ms", "p99 ms", "RSS (PSS) MiB", "ready s", "stolen s", "errors"]
    lines = _heading(scenario, cpus, unable) + _line(titles) + _line(["---"] * len(titles))
    reference = _reference(scenario, rows)
    # Variants are read in their own order, contenders from cheap to dear.
    order = list(rows) if len(scenario.variants) > 1 else sorted(rows, key=lambda row: _mid(rows[row], "cost"))
    for row in order:
        lines += _line(_cells(row, rows[row], unit, reference))
    return "\n".join(lines + [""] + [f"- **{one}**" for one in problems]).rstrip() + "\n"


def calls_table(scenario: Scenario, rows: dict[str, Calls], problems: list[str]) -> str:
    lines = [f"## {scenario.name}: system calls for each request", "", *_line(["", "in all", "calls"]), *_line(["---"] * 3)]
    for row, calls in rows.items():
        named = ", ".join(f"{name} {count:.2f}" for name, count in calls.by_name.items() if count >= 0.005)
        lines += _line([row, f"{calls.total:.2f}", named])
    return "\n".join(lines + [""] + [f"- **{one}**" for one in problems]).rstrip() + "\n"


def _heading(scenario: Scenario, cpus: Cpus, unable: list[str]) -> list[str]:
    shared = " The load shares CPUs with the proxy: read the CPU cost, not the rate." if cpus.shared else ""
    where = f"Proxy on CPU {_list(cpus.proxy)}, load and origin on CPU {_list(cpus.load)}."
    without = f" **Not here**, since it cannot do this: {', '.join(unable)}." if unable else ""
    return [f"## {scenario.name}", "", f"{scenario.about} {where}{shared}{without}", ""]


def _reference(scenario: Scenario, rows: dict[str, list[Sample]]) -> float | None:
    """The best peer's median, errors disqualify; the first variant's where there are only variants."""
    if len(scenario.variants) > 1:
        first = next(iter(rows), None)
        return _mid(rows[first], "cost") if first else None
    return min((_mid(rows[peer], "cost") for peer in PEERS if peer in rows and not any(one.errors for one in rows[peer])), default=None)


def _cells(row: str, samples: list[Sample], unit: Unit, reference: float | None) -> list[str]:
    errors = sum(sum(sample.errors.values()) for sample in samples)
    return [
        row,
        _spread(samples, "cost", unit.cost_digits),
        f"{_mid(samples, 'cost') / reference:.2f}" if reference else "–",
        _spread(samples, "rate", unit.rate_digits),
        _middle(samples, "share", lambda share: f"{share:.0%}"),
        _middle(samples, "p50", lambda ms: f"{ms:.2f}"),
        _middle(samples, "p99", lambda ms: f"{ms:.2f}"),
        f"{_mid(samples, 'rss'):.1f} ({_mid(samples, 'pss'):.1f})",
        f"{_mid(samples, 'ready'):.2f}",
        f"{max(sample.stolen for sample in samples):.2f}",
        f"**{errors}**" if errors else "0",
    ]


def errors(rows: dict[str, list[Sample]]) -> list[str]:
    """Turns that had errors, with their kinds."""
    return [f"{row}: errors {sample.errors}" for row, samples in rows.items() for sample in samples if sample.errors]


def _mid(samples: list[Sample], key: str) -> float:
    return float(median(getattr(sample, key) for sample in samples))


def _middle(samples: list[Sample], key: str, form: Callable[[float], str]) -> str:
    return "–" if getattr(samples[0], key) is None else form(_mid(samples, key))


def _spread(samples: list[Sample], key: str, digits: int) -> str:
    seen = [getattr(sample, key) for sample in samples]
    return f"{median(seen):,.{digits}f} ({min(seen):,.{digits}f}..{max(seen):,.{digits}f})"


def _line(cells: list[str]) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]


def _list(cpus: tuple[int, ...]) -> str:
    return "+".join(map(str, cpus))
