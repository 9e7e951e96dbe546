"""Who asks, beside the loads: one request at a time from here, idle connections, and a scraper of metrics."""

import http.client
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from process import Died, Process
from scenarios import HOST, Layer

PATIENCE = 120.0


class Wrong(Exception):
    """An answer that is not what the origin says."""


@dataclass(frozen=True)
class Door:
    """Where a request goes, what it is, how long the body of a right answer is, and what is spoken."""

    ip: str
    port: int
    request: bytes
    length: int
    layer: Layer = "http"

    @property
    def path(self) -> str:
        return self.request.split()[1].decode()


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
    connection = socket.create_connection((door.ip, door.port), timeout=5)
    # What follows the end of a handshake would wait 40 ms for its acknowledgement, with proxies that send no ticket.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if door.layer != "https":
        return connection
    try:
        return _secure().wrap_socket(connection, server_hostname=HOST)
    except BaseException:
        connection.close()
        raise


@cache
def _secure() -> ssl.SSLContext:
    """TLS 1.3 and nothing else, with everybody, and no session is ever resumed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def visit(door: Door) -> None:
    with enter(door) as connection:
        ask(connection, door)


def await_ready(process: Process, doors: list[Door], visit: Callable[[Door], None]) -> float:
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
