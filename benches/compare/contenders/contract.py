"""What a contender is given, and what it must be able to say."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from certificate import Certificate
from scenarios import Layer

EVERYTHING: frozenset[Layer] = frozenset({"http", "https", "grpc", "websocket", "tcp", "udp"})


@dataclass(frozen=True)
class Route:
    """Requests for `host` belong to the origin at `ip`:`port`. `vip` is where TCP clients ask for it."""

    host: str
    ip: str
    port: int
    vip: str


@dataclass(frozen=True)
class Setup:
    """One turn's wishes. With `layer` "tcp" or "udp" the first route is all there is, save where virtual IPs are the subject; with "https"
    there is a certificate."""

    folder: Path
    port: int
    metrics_port: int
    layer: Layer
    routes: tuple[Route, ...]
    workers: int
    connections: int
    bulk: bool
    variant: str
    files: int
    certificate: Certificate | None = None
    streams: int = 1

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)


@dataclass(frozen=True)
class Contender:
    """`layers` is what it can be measured by. `command` writes the configuration and returns the command line of a process in the
    foreground."""

    name: str
    program: str
    version_flag: str
    layers: frozenset[Layer]
    fix: str
    command: Callable[[Setup], list[str]]
    env: Callable[[Setup], dict[str, str]] = field(default=lambda _: {})

    def found(self) -> bool:
        return shutil.which(self.program) is not None

    def version(self) -> str:
        return first_line(self.program, self.version_flag).replace(self.program, self.name)


def first_line(program: str, flag: str) -> str:
    """How a program introduces itself."""
    out = subprocess.run([program, flag], capture_output=True, text=True, timeout=20)
    return next((line.strip() for line in (out.stdout + out.stderr).splitlines() if line.strip()), "says nothing")
