"""The proxy under valgrind's callgrind, its one worker watched from outside."""

import os
import re
import subprocess
import time
from pathlib import Path

from process import Died, Process

WORKER = "worker-0"
PATIENCE = 60.0
# The numbers of epoll_wait and epoll_pwait, by machine.
WAITS = {"x86_64": (b"232 ", b"281 "), "aarch64": (b"22 ",)}.get(os.uname().machine, ())


class Callgrind(Process):
    """A program under callgrind, which counts each thread for itself. Leaving the `with` block stops it."""

    def __init__(self, argv: list[str], cpus: tuple[int, ...], folder: Path):
        self._folder, self._syscall = folder, -1
        if not WAITS:
            raise SystemExit(f"instructions: found a machine of kind {os.uname().machine}, expected x86_64 or aarch64")
        tool = ["valgrind", "--tool=callgrind", "--collect-atstart=yes", "--separate-threads=yes", "--dump-instr=yes", "--fair-sched=yes"]
        super().__init__([*tool, f"--callgrind-out-file={folder}/out", *argv], cpus, folder / "log")

    def stop(self) -> None:
        if self._syscall >= 0:
            os.close(self._syscall)
            self._syscall = -1
        super().stop()

    def watch(self) -> None:
        """Finds the worker's thread; it must run by now."""
        tasks = Path(f"/proc/{self._process.pid}/task")
        found = [task for task in tasks.iterdir() if (task / "comm").read_text().strip() == WORKER]
        if len(found) != 1:
            raise Died(f"found {len(found)} threads named {WORKER}, expected one: {self.said()[-500:]}")
        self._syscall = os.open(found[0] / "syscall", os.O_RDONLY)

    def await_asleep(self) -> None:
        """Until the worker waits for events. What comes then always finds it in the same state, however slow everybody is."""
        begun = time.monotonic()
        while not os.pread(self._syscall, 64, 0).startswith(WAITS):
            if time.monotonic() - begun > PATIENCE:
                raise Died(f"the worker was never idle for {PATIENCE:.0f} s: {self.said()[-500:]}")
            os.sched_yield()

    def forget(self) -> None:
        """Counts from 0 again."""
        self._command("zero")

    def dump(self) -> tuple[int, Path]:
        """What the worker's thread did since counting began: its instructions, and the file that holds all about them. Forgets it, too."""
        known = set(self._folder.glob("out.*"))
        said = self._command("dump")
        threads = [(_summary(path), path) for path in set(self._folder.glob("out.*")) - known]
        if not threads:
            raise Died(f"callgrind wrote no dump: {said}{self.said()[-300:]}")
        # The others rest while the worker works; should one ever do as much, then it is not sure whose this is.
        most = max(threads)
        if most[0] < 0.9 * sum(count for count, _ in threads):
            raise Died(f"no thread did most of the work: found {sorted((count for count, _ in threads), reverse=True)} instructions")
        return most

    def _command(self, word: str) -> str:
        asked = subprocess.run(["vgdb", f"--pid={self._process.pid}", word], capture_output=True, text=True, timeout=120)
        said = asked.stdout[-300:] + asked.stderr[-300:]
        if asked.returncode:
            raise Died(f"vgdb {word}: {said}{self.said()[-300:]}")
        return said


def _summary(path: Path) -> int:
    with path.open() as text:
        return next(int(line.split()[1]) for line in text if re.match("summary: ", line))
