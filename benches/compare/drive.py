"""Who asks: one request at a time from here, wrk for load, idle connections, and a scraper of metrics."""

import http.client
import json
import select
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from process import Died, Process

REPLAY = Path(__file__).parent / "load" / "replay.lua"
PATIENCE = 120.0


class Wrong(Exception):
    """An answer that is not what the origin says."""


@dataclass(frozen=True)
class Door:
    """Where a request goes, what it is, and how long the body of a right answer is."""

    ip: str
    port: int
    request: bytes
    length: int


@dataclass
class Outcome:
    """What a load came to. Latencies are in milliseconds; `errors` has a count for each kind."""

    requests: int
    bytes: int = 0
    seconds: float = 0.0
    p50: float | None = None
    p99: float | None = None
    errors: dict[str, int] = field(default_factory=dict)


def ask(connection: socket.socket, door: Door) -> None:
    """One request and its whole answer, which must be the right one: nothing is measured that does not work."""
    connection.sendall(door.request)
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    got = len(answer.read())
    if (answer.status, got) != (200, door.length):
        raise Wrong(f"found status {answer.status} and {got} bytes, expected 200 and {door.length}")
    sent = len(door.request.partition(b"\r\n\r\n")[2])
    if sent and int(answer.getheader("X-Received", "0")) < sent:
        raise Wrong(f"the origin received {answer.getheader('X-Received')} bytes, expected {sent} and the head")


def enter(door: Door) -> socket.socket:
    return socket.create_connection((door.ip, door.port), timeout=5)


def visit(door: Door) -> None:
    with enter(door) as connection:
        ask(connection, door)


def await_ready(process: Process, doors: list[Door]) -> float:
    """Seconds from the start until each of the doors has given its right answer."""
    for door in doors:
        while True:
            try:
                visit(door)
                break
            except (OSError, http.client.HTTPException, Wrong) as problem:
                if not process.running:
                    raise Died(f"ended at once: {process.said()[-500:]}") from None
                if process.age() > PATIENCE:
                    raise Died(f"not ready after {PATIENCE:.0f} s, {problem}: {process.said()[-500:]}") from None
                time.sleep(0.005)
    return process.age()


def await_listening(process: Process, port: int, count: int) -> None:
    """Until so many addresses listen at this port. Virtual IPs are bound in no order, so a few that answer say nothing of the others."""
    while (found := _listeners(port)) < count:
        if not process.running or process.age() > PATIENCE:
            raise Died(f"{found} of {count} addresses listen after {process.age():.0f} s: {process.said()[-500:]}")
        time.sleep(0.01)


def _listeners(port: int) -> int:
    """The kernel filters for `ss`; /proc/net/tcp would list every connection that was closed in the last minute, too."""
    return subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, timeout=10, check=True).stdout.count(b"\n")


def wrk(door: Door, connections: int, routes: int, seconds: int, cpus: tuple[int, ...], folder: Path) -> Outcome:
    """As much load as so many connections make: each asks again as soon as it has its answer."""
    request = folder / "request"
    request.write_bytes(door.request)
    threads = min(max(1, len(cpus) // 2), connections)
    argv = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "-s", str(REPLAY), f"http://{door.ip}:{door.port}/"]
    with Process(argv, cpus, folder / "wrk.log", {"REQUEST": str(request), "ROUTES": str(routes)}) as load:
        said = load.wait(seconds + 30)
    try:
        return Outcome(**json.loads(said.strip().splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        raise Died(f"wrk gave no result: {said[-500:]}") from None


class Held:
    """Connections that stay open and idle, each after one request."""

    def __init__(self, door: Door, count: int):
        self._connections: list[socket.socket] = []
        try:
            for _ in range(count):
                self._connections.append(enter(door))
                ask(self._connections[-1], door)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def closed_by_proxy(self) -> int:
        """Nothing is due on an idle connection; what can be read is its end."""
        poll = select.poll()
        for connection in self._connections:
            poll.register(connection, select.POLLIN)
        return len(poll.poll(0))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


class Scraper:
    """Reads the metrics each second, the way Prometheus does, until the `with` block ends."""

    def __init__(self, port: int):
        self.failures, self._port, self._over = 0, port, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Scraper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            try:
                self._scrape()
            except (OSError, http.client.HTTPException, Wrong):
                self.failures += 1
            if self._over.wait(1.0):
                return

    def _scrape(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            if answer.status != 200 or not answer.read():
                raise Wrong(f"found status {answer.status} at /metrics, expected 200 and text")
        finally:
            connection.close()
