"""Our own load for what comes back as it went: messages of WebSocket, and datagrams (`echo/ask.c`, `echo/answer.c`).

The check before speaks for itself here, so that programs that agree only with each other would be found.
"""

import base64
import hashlib
import http.client
import os
import socket
from pathlib import Path

from drive import Door, Outcome, Wrong, enter
from load.contract import Load, Run
from load.wrk import outcome
from process import Process
from scenarios import HOST

FOLDER = Path(os.environ.get("ECHO", "."))
ASK, ANSWER = str(FOLDER / "ask"), str(FOLDER / "answer")
ACCEPTS = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PATIENCE = 5.0


def visit(door: Door) -> None:
    if door.layer == "udp":
        _datagram(door)
    else:
        _message(door)


def _datagram(door: Door) -> None:
    sent = os.urandom(door.length)
    with socket.socket(type=socket.SOCK_DGRAM) as flow:
        flow.settimeout(0.2)  # nobody says of a datagram that it came too early
        flow.connect((door.ip, door.port))
        flow.send(sent)
        if (got := flow.recv(2 * door.length)) != sent:
            raise Wrong(f"found {len(got)} bytes {got[:16]!r}, expected the {door.length} that were sent")


def _message(door: Door) -> None:
    sent, mask = os.urandom(door.length).hex()[: door.length].encode(), os.urandom(4)
    named = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}"
    head = b"\x81" + (0x80 | 126).to_bytes() + len(sent).to_bytes(2)
    with enter(door) as connection:
        connection.sendall(f"GET /echo HTTP/1.1\r\nHost: {HOST}\r\n{named}\r\n\r\n".encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        accept = base64.b64encode(hashlib.sha1(KEY.encode() + ACCEPTS).digest()).decode()
        if (answer.status, answer.getheader("Sec-WebSocket-Accept")) != (101, accept):
            raise Wrong(f"found status {answer.status}, expected 101 and the accept of the key")
        connection.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(sent)))
        expected, got = b"\x81\x7e" + len(sent).to_bytes(2) + sent, b""
        while len(got) < len(expected) and (piece := connection.recv(4096)):
            got += piece
        if got != expected:
            raise Wrong(f"found {got[:16]!r}, expected the message that was sent")


def run(asked: Run) -> Outcome:
    door = asked.door
    argv = [ASK, door.layer, door.ip, str(door.port), HOST, str(asked.scenario.connections), str(asked.seconds)]
    with Process(argv, asked.cpus, asked.folder / "ask.log") as load:
        return outcome(load.wait(asked.seconds + 30))


LOAD = Load("echo", (ASK, ANSWER), "compile them (`make bench-compare` does) and name their folder in ECHO", visit, run)
