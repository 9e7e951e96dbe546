"""One pinned process from its start to its end: what it costs, and that it is gone afterwards."""

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TICK = os.sysconf("SC_CLK_TCK")


class Died(Exception):
    """A process ended, or said something, that it should not have."""


@dataclass(frozen=True)
class Memory:
    """KiB over all processes of one contender. `pss` counts a page that several of them share once."""

    rss: int
    pss: int


class Process:
    """A program on its own CPUs, its output in a file. Leaving the `with` block stops it."""

    def __init__(self, argv: list[str], cpus: tuple[int, ...], log: Path, env: dict[str, str] | None = None, fds: tuple[int, ...] = ()):
        self.log, self.started = log, time.monotonic()
        pinned = ["taskset", "-c", ",".join(map(str, cpus)), *argv]
        with log.open("wb") as out:
            # A session of its own: Ctrl-C reaches the driver alone, which then stops everything in order.
            self._process = subprocess.Popen(
                pinned, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ | (env or {}), pass_fds=fds, start_new_session=True
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def age(self) -> float:
        return time.monotonic() - self.started

    def wait(self, seconds: float) -> str:
        """Waits for the end; the output if it was a good one."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Died(f"still running after {seconds:.0f} s: {self.said()[-500:]}") from None
        if code:
            raise Died(f"exit code {code}: {self.said()[-500:]}")
        return self.said()

    def family(self) -> list[int]:
        """This process and all that descend from it."""
        parents = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parents[int(stat.parent.name)] = int(_fields(stat)[1])
            except OSError:
                continue  # ended meanwhile
        found = [self._process.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def interrupt(self) -> None:
        """Ends it as Ctrl-C would, and waits until it has."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(10)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for whoever is left after five seconds."""
        if not self.running:
            return
        family = self.family()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(5)


def _fields(stat: Path) -> list[str]:
    """What follows the name, which may hold spaces and brackets itself: the state comes first."""
    return stat.read_text().rsplit(")", 1)[1].split()


def cpu_seconds(family: list[int]) -> float:
    """User and system time of all threads, ended ones included. Fails when one of the processes is gone."""
    return sum(int(ticks) for pid in family for ticks in _fields(Path(f"/proc/{pid}/stat"))[11:13]) / TICK


def memory(family: list[int]) -> Memory:
    """From the page tables: `VmRSS` of /proc/PID/status is allowed to lag behind."""
    rolled = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in family]

    def total(key: str) -> int:
        return sum(int(size) for text in rolled for size in re.findall(rf"^{key}:\s+(\d+)", text, re.MULTILINE))

    return Memory(total("Rss"), total("Pss"))
