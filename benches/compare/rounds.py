"""Runs the turns of one scenario: round by round, each round in another order, and a turn that fails takes nobody with it."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from subprocess import SubprocessError
from typing import TypeVar

import certificate
import machine
from contenders import CONTENDERS
from drive import Wrong, await_ready
from load import LOADS
from measure import Sample, Stage, take_turn
from origin import behind
from process import Died
from scenarios import Scenario
from syscalls import Calls, count_calls

Found = TypeVar("Found")
# What a layer needs beside its load: programs, and where they are from.
NEEDS = {"grpc": [("nghttpd", "install nghttp2-server")], "https": [("openssl", "install openssl")]}


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
    if lacking := _lacking(scenario):
        return {}, [f"LEFT OUT: {one}" for one in lacking]
    rows = _rows(plan, scenario)
    if not rows:
        return {}, ["LEFT OUT: none of its contenders is here"]
    os.sched_setaffinity(0, cpus.load)  # this process is load, too
    shown = certificate.make(plan.folder) if scenario.layer == "https" else None
    with behind(scenario, plan.folder / f"origin-{scenario.name}", cpus.load, plan.files) as origin:
        try:
            await_ready(origin, [origin.door(scenario)], origin.visit)
        except Died as problem:
            return {}, [f"LEFT OUT: its origin is not right: {' '.join(str(problem).split())}"]
        return _rounds(Stage(scenario, origin, cpus, plan.folder, plan.files, plan.seconds, shown), rows, rounds, turn)


def unable(contenders: list[str], scenario: Scenario) -> list[str]:
    """Who could take part if it could do what the scenario is about."""
    return [name for name in contenders if name in scenario.contenders and scenario.layer not in CONTENDERS[name].layers]


def _lacking(scenario: Scenario) -> list[str]:
    """Programs that the scenario cannot do without, and where they are from."""
    load = LOADS[scenario.load]
    needed = [(program, load.fix) for program in load.needs] + NEEDS.get(scenario.layer, [])
    return [f"no program `{program}`; {fix}" for program, fix in needed if shutil.which(program) is None]


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
