"""The replica behind the proxy: answers every whole request with the same bytes, on every address of 127.0.0.0/8 and nowhere else.

It runs on a thread of the driver. Nothing of it is counted, so it may be slow; it must only always answer the same, and at the same point
of the proxy's work: `before` is called before each answer, and says when that is.
"""

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Self

from scenarios import BULK

HEAD_END = b"\r\n\r\n"


class Wrong(Exception):
    """An answer that is not the replica's."""


class Replica:
    """Serves until the `with` block ends. Whoever asks for /browser gets 20 headers and for /bulk 1 MiB, everybody else little of both."""

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None
        self._socket = socket.socket()
        # Bound to the loopback device, so that no stranger can come here by any route.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self._socket.bind(("0.0.0.0", 0))
        self._socket.listen(4096)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._socket.close()
        self._loop.close()

    def _serve(self) -> None:
        self._loop.run_until_complete(self._loop.create_server(lambda: _Answers(self), sock=self._socket))
        self._loop.run_forever()


class _Answers(asyncio.Protocol):
    """One connection. Requests do not overlap: a proxy sends the next one when it has the answer."""

    def __init__(self, replica: Replica) -> None:
        self._replica, self._got = replica, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        if _whole(self._got):
            answer = answer_to(bytes(self._got))
            self._got.clear()
            self._replica.before()
            self._transport.write(answer)

    def eof_received(self) -> None:
        self._replica.before()


def answer_to(request: bytes) -> bytes:
    """By the path alone."""
    return ANSWERS.get(request.split(b" ", 2)[1], SHORT)


def _whole(request: bytearray) -> bool:
    end = request.find(HEAD_END)
    if end < 0:
        return False
    head, body = request[:end].lower(), len(request) - end - len(HEAD_END)
    if b"\r\ntransfer-encoding: chunked" in head:
        return request.endswith(b"\r\n0\r\n\r\n")
    _, named, length = head.partition(b"\r\ncontent-length: ")
    return not named or body >= int(length.split(b"\r\n", 1)[0])


def _answer(*more: str, body: int = 128) -> bytes:
    named = ["Content-Type: text/plain", f"Content-Length: {body}", "Date: Sun, 22 Nov 2026 12:00:00 GMT"]
    return ("\r\n".join(["HTTP/1.1 200 OK", *named, *more]) + "\r\n\r\n").encode() + b"x" * body


SHORT = _answer()
ANSWERS = {
    b"/browser": _answer(*(f"X-Origin-{i}: a value of an everyday length {i:02}" for i in range(17))),
    b"/bulk": _answer(body=BULK),
}
