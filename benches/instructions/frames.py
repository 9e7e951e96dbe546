"""HTTP/2 as a client's bytes: GET requests on one connection, and the frames of their answers.

It says of RFC 9113 and RFC 7541 only what these rows need, refuses what it does not expect, and reads no field but the status: a head is
right when it begins with the entry of the static table for 200, as the proxy writes it.
"""

import socket
import struct

from replica import Wrong

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 4, 6, 8
ACK = END_STREAM = 1
END_HEADERS = 4
# Window of the connection, which is 65,535 at first: as large as it can be, so that nothing needs to be granted later.
GRANT = (1 << 31) - 1 - 65535
# Of the static table: `:method: GET`, `:path: /`, `:scheme: http` and `https`, `:authority` with a value to be kept, and `:status: 200`.
GET, ROOT, HTTP, HTTPS, AUTHORITY, OK = b"\x82", b"\x84", b"\x86", b"\x87", b"\x41", 0x88
# The first entry of the dynamic table, which is the authority of the first request.
KEPT = b"\xbe"


class Streams:
    """Requests and answers of one connection. What opens the connection goes out together with its first requests."""

    def __init__(self, connection: socket.socket, host: str, tls: bool):
        self._connection, self._got, self._next = connection, bytearray(), 1
        self._opening = PREFACE + _frame(SETTINGS, 0, 0, b"") + _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", GRANT))
        self._fields = GET + ROOT + (HTTPS if tls else HTTP)
        self._authority = AUTHORITY + bytes([len(host)]) + host.encode()

    def ask(self, count: int) -> None:
        """So many requests in one piece."""
        piece, self._opening = self._opening, b""
        for _ in range(count):
            piece += _frame(HEADERS, END_STREAM | END_HEADERS, self._next, self._fields + self._authority)
            self._authority, self._next = KEPT, self._next + 2
        self._connection.sendall(piece)

    def take(self, count: int) -> list[bytes]:
        """The bodies of as many answers as there were requests, as they end."""
        open_: dict[int, bytearray] = {}
        ended: list[bytes] = []
        while len(ended) < count:
            kind, flags, stream, payload = self._frame()
            if kind == HEADERS and stream not in open_ and payload[:1] == bytes([OK]):
                open_[stream] = bytearray()
            elif kind == DATA and stream in open_:
                open_[stream] += payload
            elif kind in (SETTINGS, PING) and not flags & ACK:
                self._connection.sendall(_frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind not in (SETTINGS, WINDOW_UPDATE):
                raise Wrong(f"found a frame of kind {kind} on stream {stream}, {payload[:16]!r}, expected an answer with status 200")
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                ended.append(bytes(open_.pop(stream)))
        return ended

    def close(self) -> None:
        self._connection.close()

    def _frame(self) -> tuple[int, int, int, bytes]:
        head = self._exactly(9)
        length, kind, flags, stream = int.from_bytes(head[:3]), head[3], head[4], int.from_bytes(head[5:])
        return kind, flags, stream, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        while len(self._got) < count:
            piece = self._connection.recv(65536)
            if not piece:
                raise Wrong("found the end of the connection, expected an answer")
            self._got += piece
        taken = bytes(self._got[:count])
        del self._got[:count]
        return taken


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
