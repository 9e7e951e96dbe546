"""One turn: a contender started afresh, warmed up, measured over a window, and stopped."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import drive
from certificate import Certificate
from contenders import CONTENDERS, Route, Setup
from drive import Door, Outcome
from load import LOADS
from load.contract import Run
from machine import Cpus, free_port, stolen_seconds
from origin import Origin, address, length
from process import Memory, Process, cpu_seconds, memory
from scenarios import Scenario


@dataclass(frozen=True)
class Stage:
    """What all turns of a scenario share."""

    scenario: Scenario
    origin: Origin
    cpus: Cpus
    folder: Path
    files: int
    seconds: int
    certificate: Certificate | None


@dataclass(frozen=True)
class Sample:
    """What one turn came to. What it does not measure is None; `rss` and `pss` are MiB at its end."""

    cost: float
    rate: float
    ready: float
    stolen: float
    rss: float
    pss: float
    share: float | None
    p50: float | None
    p99: float | None
    errors: dict[str, int]


@dataclass
class Window:
    """CPU time of the proxy, wall time, and CPU time stolen from the machine between two moments."""

    cpu: float = 0.0
    wall: float = 0.0
    stolen: float = 0.0


@dataclass(frozen=True)
class Proxy:
    """A contender that has given right answers."""

    process: Process
    setup: Setup
    doors: list[Door]
    family: list[int]
    ready: float


@contextmanager
def proxy(stage: Stage, name: str, variant: str) -> Iterator[Proxy]:
    """Starts a contender in a folder of its own and waits until it serves; nothing of it is left afterwards."""
    contender = CONTENDERS[name]
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=stage.folder) as folder:
        setup = _setup(stage, Path(folder), variant)
        argv = contender.command(setup)
        with Process(argv, stage.cpus.proxy, setup.folder / "log", contender.env(setup)) as process:
            doors = _doors(stage.scenario, setup)
            if stage.scenario.unit == "Service":
                drive.await_listening(process, setup.port, len(doors))
            ready = drive.await_ready(process, [doors[0], doors[len(doors) // 2], doors[-1]], LOADS[stage.scenario.load].visit)
            yield Proxy(process, setup, doors, process.family(), ready)


def _setup(stage: Stage, folder: Path, variant: str) -> Setup:
    scenario = stage.scenario
    own_vips = scenario.unit == "Service"
    routes = tuple(Route(f"h{i}.test", address(i), stage.origin.port, _vip(i) if own_vips else "127.0.0.1") for i in range(scenario.routes))
    return Setup(
        folder=folder,
        port=free_port(),
        metrics_port=free_port(),
        layer=scenario.layer,
        routes=routes,
        workers=scenario.workers,
        connections=scenario.connections,
        bulk=scenario.unit == "GB",
        variant=variant,
        files=stage.files,
        certificate=stage.certificate,
        streams=scenario.streams,
    )


def _vip(i: int) -> str:
    return f"127.0.{100 + (i >> 8)}.{i & 255}"


def _doors(scenario: Scenario, setup: Setup) -> list[Door]:
    """The way to each route."""
    expected = length(scenario)
    return [
        Door(
            ip=route.vip if scenario.layer == "tcp" else "127.0.0.1",
            port=setup.port,
            request=scenario.request.replace(b"Host: h0.", f"Host: h{i}.".encode()),
            length=expected,
            layer=scenario.layer,
        )
        for i, route in enumerate(setup.routes)
    ]


@contextmanager
def window(family: list[int]) -> Iterator[Window]:
    seen = Window()
    stolen, cpu, began = stolen_seconds(), cpu_seconds(family), time.monotonic()
    yield seen
    seen.wall = time.monotonic() - began
    seen.cpu = cpu_seconds(family) - cpu
    seen.stolen = stolen_seconds() - stolen


def take_turn(stage: Stage, name: str, variant: str) -> Sample:
    measures: dict[str, Callable[[Stage, Proxy], Sample]] = {"idle connection": _idle, "Service": _services}
    with proxy(stage, name, variant) as running:
        return measures.get(stage.scenario.unit, _load)(stage, running)


def load(stage: Stage, running: Proxy, seconds: int) -> Outcome:
    asked = Run(running.doors[0], stage.scenario, seconds, stage.cpus.load, running.setup.folder)
    return LOADS[stage.scenario.load].run(asked)


def _load(stage: Stage, running: Proxy) -> Sample:
    """CPU time for each request that was answered in the same window (or for each GB that arrived)."""
    load(stage, running, stage.scenario.warm)
    watched = "metrics" in running.setup.variant
    with drive.Scraper(running.setup.metrics_port) if watched else nullcontext() as scraper, window(running.family) as seen:
        outcome = load(stage, running, stage.seconds)
    if scraper and scraper.failures:
        outcome.errors["scrape"] = scraper.failures
    bulk = stage.scenario.unit == "GB"
    done = outcome.bytes / 1e9 if bulk else float(outcome.requests)
    if not done:
        raise drive.Wrong(f"nothing was answered in {stage.seconds} s: {outcome.errors}")
    cost = seen.cpu / done * (1 if bulk else 1e6)
    return _sample(running, outcome, seen, cost=cost, rate=done / outcome.seconds, of_cpus=len(stage.cpus.proxy))


def _idle(stage: Stage, running: Proxy) -> Sample:
    """Growth of memory between one connection and so many."""
    count = stage.scenario.connections
    before = memory(running.family)
    with window(running.family) as seen, drive.Held(running.doors[0], count) as held:
        time.sleep(1.0)  # buffers of the last requests are given back
        grown = memory(running.family)
        outcome = Outcome(count, errors={"closed by proxy": held.closed_by_proxy()})
        return _sample(running, outcome, seen, cost=(grown.rss - before.rss) / count, rate=count, at_end=grown)


def _services(stage: Stage, running: Proxy) -> Sample:
    """Memory for each Service once all listen; then all are asked, and each must answer."""
    at_ready = memory(running.family)
    silent = 0
    with window(running.family) as seen:
        for door in running.doors:
            try:
                drive.visit(door)
            except (OSError, drive.Wrong):
                silent += 1
    count = len(running.doors)
    outcome = Outcome(count, errors={"no right answer": silent})
    return _sample(running, outcome, seen, cost=at_ready.rss / count, rate=count - silent)


def _sample(
    running: Proxy, outcome: Outcome, seen: Window, *, cost: float, rate: float, of_cpus: int | None = None, at_end: Memory | None = None
) -> Sample:
    held = at_end or memory(running.family)
    return Sample(
        cost=cost,
        rate=rate,
        ready=running.ready,
        stolen=seen.stolen,
        rss=held.rss / 1024,
        pss=held.pss / 1024,
        share=seen.cpu / seen.wall / of_cpus if of_cpus else None,
        p50=outcome.p50,
        p99=outcome.p99,
        errors={kind: count for kind, count in outcome.errors.items() if count},
    )
