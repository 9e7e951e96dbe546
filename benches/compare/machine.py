"""What this machine is, and which of its CPUs do what."""

import os
import platform
import random
import resource
import socket
import time
from dataclasses import dataclass
from pathlib import Path

# As it was at the start: the driver moves to the CPUs of the load later.
MINE = frozenset(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Cpus:
    """The CPUs that the proxy runs on, and those of the load generator and the origin."""

    proxy: tuple[int, ...]
    load: tuple[int, ...]

    @property
    def shared(self) -> bool:
        return bool(set(self.proxy) & set(self.load))


def allot(workers: int) -> Cpus:
    """The first CPU of as many cores as there are workers for the proxy; the load gets cores of its own where there are enough."""
    mine = sorted(MINE, key=lambda cpu: (cpu != min(_core(cpu)), cpu))
    if len(mine) < 2:
        raise SystemExit("compare: found 1 CPU, expected at least 2: one for the proxy, one for the load")
    proxy = mine[:workers]
    own = [cpu for cpu in mine if not set(proxy) & _core(cpu)]
    return Cpus(tuple(proxy), tuple(own or [cpu for cpu in mine if cpu not in proxy] or mine))


def _core(cpu: int) -> set[int]:
    """The CPUs that share a core with this one, itself included."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return {cpu}
    ends = [[int(end) for end in part.split("-")] for part in text.strip().split(",")]
    return {one for pair in ends for one in range(pair[0], pair[-1] + 1)}


def stolen_seconds() -> float:
    """CPU time that the hypervisor gave to others since the start, all CPUs."""
    return int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")


def raise_file_limit() -> int:
    """Open files that each process of the comparison may have: what the system allows, up to 65,536."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files


def free_port() -> int:
    """A port nobody listens on, outside the range that outgoing connections take theirs from."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10240, max(first, 11264)), 200):
        with socket.socket() as attempt:
            try:
                attempt.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue
    raise OSError("no free port found in 200 attempts")


def facts(files: int) -> dict[str, str]:
    """What a reader needs to know about the conditions."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "machine": f"{model}, {len(MINE)} CPUs, {memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "load average before": " ".join(f"{one:.2f}" for one in os.getloadavg()),
        "open files for each process": str(files),
    }
