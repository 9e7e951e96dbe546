"""A proxy in its place: the manifests of a row before it, the replica behind it, and a client that was answered."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

import certificate
from contenders.contract import Route, Setup
from contenders.tidegate import command
from machine import free_port
from origin import address
from process import Died, Process
from replica import Replica, Wrong
from rows import Client, Row, Way, host_name
from scenarios import Layer

READY = 120.0
Proxy = TypeVar("Proxy", bound=Process)


@contextmanager
def staged(row: Row, folder: Path, start: Callable[[list[str], Path], Proxy]) -> Iterator[tuple[Proxy, Replica, Client]]:
    """`start` gets the proxy's command line and its folder. All are stopped when the `with` block ends."""
    own = folder / row.name
    own.mkdir()
    with Replica() as replica:
        port = free_port()
        routes = tuple(Route(host_name(i), address(i), replica.port, "127.0.1.1") for i in range(row.hosts))
        layer: Layer = "tcp" if row.tcp else "https" if row.tls else "http"
        way = ("127.0.1.1" if row.tcp else "127.0.0.1", port)
        shown = certificate.make(own) if row.tls else None
        argv = command(Setup(own, port, 0, layer, routes, 1, row.connections, False, "", 0, shown))
        with start(argv, own) as proxy, closing(_enter(proxy, row, way)) as client:
            yield proxy, replica, client


def _enter(proxy: Process, row: Row, way: Way) -> Client:
    """A client whose first requests, one to each host, were answered as they should be."""
    while True:
        try:
            client = Client(row, way)
            client.ask(row.hosts)
            return client
        except (OSError, Wrong) as problem:
            if not proxy.running or proxy.age() > READY:
                raise Died(f"not ready after {proxy.age():.0f} s, {problem}: {proxy.said()[-500:]}") from None
            time.sleep(0.05)
