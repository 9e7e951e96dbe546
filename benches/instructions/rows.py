"""What is counted: each row, the requests it sends, and how it sends them."""

import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from frames import Streams
from replica import Wrong, answer_to
from scenarios import HOST, browser, get, post

PATIENCE = 60.0
Way = tuple[str, int]


@dataclass(frozen=True)
class Row:
    """`count` units of work are one batch. `connections` of 0 stands for a new one for each request, `streams` for one connection of
    HTTP/2 with so many requests at a time; it is for `get()` alone."""

    name: str
    about: str
    request: bytes
    connections: int = 1
    hosts: int = 1
    tcp: bool = False
    streams: int = 0
    tls: bool = False
    count: int = 2_000


ROWS = (
    Row("get", "GET, one kept-alive connection", get()),
    Row("get-32", "GET, 32 kept-alive connections that ask at once", get(), connections=32, count=2_048),
    Row("browser", "GET with 25 headers, 2 KB of them cookies; an answer with 20 headers", browser()),
    Row("post-length", "POST of 16 KiB with `Content-Length`", post(chunked=False)),
    Row("post-chunked", "POST of 16 KiB in four chunks", post(chunked=True)),
    Row("hosts-1k", "GET of 1,000 hosts in turn, each with a Service of its own", get(), hosts=1_000),
    Row("connect", "GET on a new connection (`Connection: close`)", get("/", "Connection: close"), connections=0),
    Row("h2-get", "GET over HTTP/2 without TLS, one at a time on one connection", get(), streams=1),
    Row("h2-get-32", "GET over HTTP/2 without TLS, 32 at once on one connection", get(), streams=32, count=2_048),
    Row("h2-get-tls", "GET over HTTP/2 in TLS, one at a time on one connection", get(), streams=1, tls=True),
    Row("vip", "VIP: a round trip on a connection that stays", get(), tcp=True),
    Row("vip-connect", "VIP: a round trip on a new connection", get(), connections=0, tcp=True),
)


class Client:
    """Asks in a fixed order, each connection again only once all of them are answered. `before` is called before each of these rounds."""

    def __init__(self, row: Row, way: Way):
        self.before: Callable[[], None] = lambda: None
        self._row, self._way, self._asked = row, way, 0
        self._expected = answer_to(row.request)
        self._streams = Streams(_agreed(way) if row.tls else _enter(way), host_name(0), row.tls) if row.streams else None
        self._connections = [] if self._streams else [_enter(way) for _ in range(row.connections)]

    def close(self) -> None:
        for connection in [self._streams] if self._streams else self._connections:
            connection.close()

    def ask(self, count: int) -> None:
        """Exactly `count` requests, and all of their answers."""
        width = max(1, self._row.streams, len(self._connections))
        for begun in range(0, count, width):
            self.before()
            if self._streams:
                self._stream(self._streams, min(width, count - begun))
            elif self._connections:
                self._round(self._connections[: count - begun])
            else:
                self._visit()

    def _stream(self, streams: Streams, count: int) -> None:
        body = self._expected.partition(b"\r\n\r\n")[2]
        streams.ask(count)
        for got in streams.take(count):
            if got != body:
                raise Wrong(f"found {got[:80]!r}, expected the replica's answer")

    def _round(self, asking: list[socket.socket]) -> None:
        for connection in asking:
            connection.sendall(self._next())
        for connection in asking:
            self._take(connection)

    def _visit(self) -> None:
        with _enter(self._way) as connection:
            connection.sendall(self._next())
            self._take(connection)
            if self._row.tcp:
                self.before()
                connection.shutdown(socket.SHUT_WR)
            if connection.recv(1):
                raise Wrong("found more bytes, expected the end of the connection")
            self.before()

    def _next(self) -> bytes:
        host = host_name(self._asked % self._row.hosts)
        self._asked += 1
        return self._row.request.replace(HOST.encode(), host.encode(), 1)

    def _take(self, connection: socket.socket) -> None:
        """A whole answer. The proxy may have added to its head, but not to the rest."""
        head, _, body = self._expected.partition(b"\r\n\r\n")
        got = bytearray()
        while len(got.partition(b"\r\n\r\n")[2]) < len(body) and (piece := connection.recv(65536)):
            got += piece
        if not got.startswith(head.partition(b"\r\n")[0]) or got.partition(b"\r\n\r\n")[2] != body:
            raise Wrong(f"found {bytes(got[:80])!r}, expected the replica's answer")


def host_name(i: int) -> str:
    return HOST.replace("0", str(i))


def _enter(way: Way) -> socket.socket:
    """A connection whose handshake ends with the first bytes that are sent: whoever accepts it always finds them there."""
    connection = socket.socket()
    try:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        connection.connect(way)
    except BaseException:
        connection.close()
        raise
    return connection


def _agreed(way: Way) -> ssl.SSLSocket:
    """A connection in TLS, for HTTP/2. What is measured begins after its handshake, and whose certificate it is plays no part."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    connection = context.wrap_socket(_enter(way), server_hostname=HOST)
    if (found := connection.selected_alpn_protocol()) != "h2":
        connection.close()
        raise Wrong(f"found {found} agreed on, expected h2")
    return connection
