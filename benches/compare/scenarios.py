"""What is measured: each scenario, the requests it sends, and why it is there."""

from dataclasses import dataclass
from typing import Literal

BULK = 1 << 20
POST = 16 << 10
# A gRPC message: not compressed, 100 bytes.
MESSAGE = b"\0" + (100).to_bytes(4) + b"m" * 100
# The suffix is how its origin knows the type.
CALL = "/compare.Echo/Say.grpc"
# Bytes of a message of WebSocket and of a datagram: echo/ask.c says the same.
TEXT = 128
DATAGRAM = 100
HOST = "h0.test"
# The one name that wrk can both resolve and send as SNI.
LOCAL = "localhost"
Layer = Literal["http", "https", "grpc", "websocket", "tcp", "udp"]
Work = Literal["request", "connection opened", "GB", "idle connection", "Service", "handshake", "call", "message", "round trip"]
PEERS = ("nginx", "haproxy", "envoy", "caddy")
ALL = ("tidegate", *PEERS)


@dataclass(frozen=True)
class Scenario:
    """One table of the report. Each turn of it starts the contender afresh, alone, on its own CPUs.

    `layer` is what clients speak: "https" is HTTP in TLS, 1.1 and 2; "grpc" is HTTP/2 without TLS, on both sides. `request` is in the form
    of HTTP/1.1, whatever becomes of it; echoes have none. `streams` are requests at a time on each connection of HTTP/2.
    """

    name: str
    about: str
    request: bytes = b""
    layer: Layer = "http"
    load: Literal["wrk", "h2load", "echo"] = "wrk"
    unit: Work = "request"
    connections: int = 50
    streams: int = 1
    routes: int = 1
    workers: int = 1
    warm: int = 1
    contenders: tuple[str, ...] = ALL
    variants: tuple[str, ...] = ("",)

    @property
    def files(self) -> int:
        """Open files that one process may need: connections and their requests upstream, an idle connection or listener for each route."""
        return self.connections * (1 + self.streams) + self.routes + 500


def get(path: str = "/", *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {HOST}", *headers, "", ""]).encode()


def post(chunked: bool) -> bytes:
    """A body of 16 KiB, of known length or in chunks of 4 KiB."""
    head = f"POST /post HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/octet-stream\r\n"
    if not chunked:
        return f"{head}Content-Length: {POST}\r\n\r\n".encode() + b"x" * POST
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunk * (POST // 4096) + b"0\r\n\r\n"


def call() -> bytes:
    """A unary call of gRPC."""
    head = f"POST {CALL} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/grpc\r\nTE: trailers\r\n\r\n"
    return head.encode() + MESSAGE


def browser() -> bytes:
    """What a browser sends: 25 headers with Host, of which one holds 2 KB of cookies."""
    cookies = "; ".join(f"crumb{i:02}={'c' * 40}" for i in range(41))
    named = [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9,de;q=0.7",
        "Cache-Control: max-age=0",
        'Sec-CH-UA: "Chromium";v="140", "Not=A?Brand";v="24"',
        "Sec-CH-UA-Mobile: ?0",
        'Sec-CH-UA-Platform: "Linux"',
        "Sec-Fetch-Dest: document",
        "Sec-Fetch-Mode: navigate",
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-User: ?1",
        "Upgrade-Insecure-Requests: 1",
        "DNT: 1",
        "Priority: u=0, i",
        f"Referer: http://{HOST}/articles/2026/the-tide-and-the-gate",
        f"Cookie: {cookies}",
    ]
    return get("/browser", *named, *(f"X-App-{i}: some-value-{i:024}" for i in range(24 - len(named))))


SCENARIOS = (
    Scenario("http1-keepalive", "50 kept-alive connections, one route, an answer of 1 KiB.", get()),
    Scenario("http1-1krow", "1,000 hosts, each with a Service of its own, asked for in turn.", get(), routes=1_000, warm=2),
    Scenario("http1-10krow", "The same with 10,000 hosts.", get(), routes=10_000, warm=4),
    Scenario(
        "conn-churn",
        "A new connection for each request (`Connection: close`).",
        get("/", "Connection: close"),
        unit="connection opened",
    ),
    Scenario("l4-rr", "TCP: small requests and answers over 50 connections that stay.", get(), layer="tcp"),
    Scenario("l4-bulk", "TCP: answers of 1 MiB over 16 connections.", get("/bulk"), layer="tcp", unit="GB", connections=16),
    Scenario("http1-bulk", "HTTP/1.1: answers of 1 MiB over 16 connections.", get("/bulk"), unit="GB", connections=16),
    Scenario(
        "idle-mem",
        "5,000 connections that stay open after one request each: growth of RSS for each. What the kernel holds for a socket is not in it.",
        get(),
        unit="idle connection",
        connections=5_000,
    ),
    Scenario("conns-1k", "1,000 kept-alive connections, all busy.", get(), connections=1_000),
    Scenario("browser", "A request with 25 headers, 2 KB of them cookies; an answer with 20 headers.", browser()),
    Scenario("post-16k-length", "Bodies of 16 KiB with `Content-Length`.", post(chunked=False)),
    Scenario("post-16k-chunked", "Bodies of 16 KiB in four chunks.", post(chunked=True)),
    Scenario(
        "h2-tls",
        "HTTP/2 in TLS 1.3: 10 connections with 20 streams each, an answer of 1 KiB; upstream HTTP/1.1 that stays.",
        get(),
        layer="https",
        load="h2load",
        connections=10,
        streams=20,
    ),
    Scenario(
        "tls-handshakes",
        "A new connection in TLS 1.3 for each request, none resumed, ECDSA on P-256. Latencies begin after the handshake.",
        get("/", "Connection: close"),
        layer="https",
        unit="handshake",
    ),
    Scenario(
        "idle-mem-tls",
        "2,000 connections in TLS 1.3 that stay open after one request each: growth of RSS for each.",
        get(),
        layer="https",
        unit="idle connection",
        connections=2_000,
    ),
    Scenario(
        "grpc-unary",
        "Unary calls of gRPC over HTTP/2 without TLS on both sides: messages of 100 bytes, 10 connections with 20 streams each.",
        call(),
        layer="grpc",
        load="h2load",
        unit="call",
        connections=10,
        streams=20,
    ),
    Scenario(
        "websocket-echo",
        "50 WebSocket connections, each with one masked text message of 128 bytes on its way out and back.",
        layer="websocket",
        load="echo",
        unit="message",
    ),
    Scenario(
        "udp-rr",
        "UDP: 50 flows, each with one datagram of 100 bytes on its way out and back.",
        layer="udp",
        load="echo",
        unit="round trip",
    ),
    Scenario("two-workers", "Two workers on two CPUs, 100 kept-alive connections.", get(), connections=100, workers=2),
    Scenario(
        "observed",
        "What being watched costs: plain; metrics scraped each second; an access log in a file; both. Ratios are to plain.",
        get(),
        contenders=("tidegate",),
        variants=("plain", "metrics", "log", "metrics+log"),
    ),
    Scenario(
        "vips-10k",
        "10,000 Services with a virtual IP each: RSS for each once all listen, and the time until then. Then all are asked.",
        get(),
        layer="tcp",
        unit="Service",
        connections=1,
        routes=10_000,
        contenders=("tidegate",),
    ),
)
