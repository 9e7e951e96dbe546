"""Runs the turns of one scenario: round by round, each round in another order, and a turn that fails takes nobody with it."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from subprocess import SubprocessError
from typing import TypeVar

import machine
from contenders import CONTENDERS
from drive import Door, Wrong, await_ready
from measure import Sample, Stage, take_turn
from origin import LENGTHS, Origin, address
from process import Died
from scenarios import Scenario, get
from syscalls import Calls, count_calls

Found = TypeVar("Found")


@dataclass(frozen=True)
class Plan:
    """What was asked for, as far as it can be had here."""

    contenders: list[str]
    rounds: int
    seconds: int
    files: int
    folder: Path


def measure(plan: Plan, scenario: Scenario, cpus: machine.Cpus) -> tuple[dict[str, list[Sample]], list[str]]:
    """Samples by row, one for each round, and what went wrong."""
    return _on_stage(plan, scenario, cpus, plan.rounds, take_turn)


def count(plan: Plan, scenario: Scenario, cpus: machine.Cpus) -> tuple[dict[str, Calls], list[str]]:
    """System calls by row. Counts repeat, so one round is enough."""
    found, failures = _on_stage(plan, scenario, cpus, 1, count_calls)
    return {row: calls[0] for row, calls in found.items()}, failures


def note(text: str) -> None:
    """Progress is told beside the report, not in it."""
    print(text, file=sys.stderr, flush=True)


def _on_stage(
    plan: Plan, scenario: Scenario, cpus: machine.Cpus, rounds: int, turn: Callable[[Stage, str, str], Found]
) -> tuple[dict[str, list[Found]], list[str]]:
    if scenario.files > plan.files:
        return {}, [f"LEFT OUT: found a limit of {plan.files} open files, expected {scenario.files}; raise the hard limit (`ulimit -Hn`)"]
    rows = _rows(plan, scenario)
    if not rows:
        return {}, ["LEFT OUT: none of its contenders is here"]
    os.sched_setaffinity(0, cpus.load)  # this process is load, too
    with Origin(plan.folder / f"origin-{scenario.name}", cpus.load, plan.files) as origin:
        await_ready(origin, [Door(address(0), origin.port, get(), LENGTHS[b"/"])])
        return _rounds(Stage(scenario, origin, cpus, plan.folder, plan.files, plan.seconds), rows, rounds, turn)


def _rows(plan: Plan, scenario: Scenario) -> list[tuple[str, str]]:
    """Contender and variant of each row of the table."""
    able = [name for name in plan.contenders if name in scenario.contenders and scenario.layer in CONTENDERS[name].layers]
    return [(name, variant) for name in able for variant in scenario.variants]


def _rounds(
    stage: Stage, rows: list[tuple[str, str]], rounds: int, turn: Callable[[Stage, str, str], Found]
) -> tuple[dict[str, list[Found]], list[str]]:
    found: dict[str, list[Found]] = {" ".join(row).strip(): [] for row in rows}
    failures = []
    for i in range(rounds):
        shift = i % len(rows)
        for row in rows[shift:] + rows[:shift]:
            title = " ".join(row).strip()
            note(f"{stage.scenario.name}: round {i + 1} of {rounds}, {title}")
            try:
                found[title].append(turn(stage, *row))
            except (Died, Wrong, OSError, HTTPException, SubprocessError) as problem:
                failures.append(f"{title}, round {i + 1}: no result: {' '.join(str(problem).split())}")
                note(f"  {failures[-1]}")
    return {title: samples for title, samples in found.items() if samples}, failures
