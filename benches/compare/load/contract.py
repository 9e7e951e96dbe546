"""What a load generator must be able to do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drive import Door, Outcome
from scenarios import Scenario


@dataclass(frozen=True)
class Run:
    """A load through one door, for so long, on CPUs of its own, with a folder for its files."""

    door: Door
    scenario: Scenario
    seconds: int
    cpus: tuple[int, ...]
    folder: Path


@dataclass(frozen=True)
class Load:
    """`visit` asks once and raises when the answer is not the right one; `needs` are programs, and `fix` says where they are from."""

    name: str
    needs: tuple[str, ...]
    fix: str
    visit: Callable[[Door], None]
    run: Callable[[Run], Outcome]
