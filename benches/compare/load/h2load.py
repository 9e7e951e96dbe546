"""h2load, for HTTP/2: in TLS by ALPN, and without TLS by prior knowledge; so many streams at a time on each connection.

The check before is nghttp's, which prints what it receives. An answer of a gRPC origin is right when its message is whole and its trailers
say 0. Under load a status of 200 says nothing of that, so the bytes of bodies are counted, too: each answer that lacks its own is an error.
"""

import re
import subprocess
from pathlib import Path

from drive import Door, Outcome, Wrong
from load.contract import Load, Run
from process import Died, Process
from scenarios import HOST

SECONDS = 10


def visit(door: Door) -> None:
    """Status, length of the body, and trailers of one answer."""
    named, body = _parts(door)
    argv = ["nghttp", "-nv", "-t", str(SECONDS), "-H", f":authority: {HOST}", *named, *(["-d", "-"] if body else [])]
    argv += [f"{_scheme(door)}://{door.ip}:{door.port}{door.path}"]
    said = subprocess.run(argv, input=body, capture_output=True, timeout=2 * SECONDS)
    text = said.stdout.decode(errors="replace")
    found = dict(re.findall(r"recv \(stream_id=\d+\) (:?[a-z-]+): (.*)", text))
    length = sum(map(int, re.findall(r"recv DATA frame <length=(\d+)", text)))
    if (found.get(":status"), length) != ("200", door.length):
        raise Wrong(f"found status {found.get(':status')} and {length} bytes, expected 200 and {door.length}: {said.stderr[-200:]!r}")
    if door.layer == "grpc" and found.get("grpc-status") != "0":
        raise Wrong(f"found grpc-status {found.get('grpc-status')}, expected 0")


def run(asked: Run) -> Outcome:
    door, log, message = asked.door, asked.folder / "h2load.took", asked.folder / "message"
    log.unlink(missing_ok=True)
    named, body = _parts(door)
    message.write_bytes(body)
    connections = asked.scenario.connections
    threads = min(max(1, len(asked.cpus) // 2), connections)
    argv = ["h2load", "-D", str(asked.seconds), "-t", str(threads), "-c", str(connections), "-m", str(asked.scenario.streams)]
    argv += [f"--log-file={log}", f"--connect-to={door.ip}:{door.port}", *named, *(["-d", str(message)] if body else [])]
    with Process([*argv, f"{_scheme(door)}://{HOST}{door.path}"], asked.cpus, asked.folder / "h2load.log") as load:
        said = load.wait(asked.seconds + 30)
    expected = "h2" if door.layer == "https" else "h2c"
    if f"Application protocol: {expected}\n" not in said:
        raise Died(f"no connection agreed on {expected}: {said[-500:]}")
    return _outcome(said, door, log, asked.seconds)


def _outcome(said: str, door: Door, log: Path, seconds: int) -> Outcome:
    kinds = {kind: int(count) for count, kind in re.findall(r"(\d+) (succeeded|failed|errored|timeout)\b", said)}
    body = re.search(r"\((\d+)\) data$", said, re.MULTILINE)
    if len(kinds) != 4 or not body:
        raise Died(f"h2load gave no result: {said[-500:]}")
    answered, came = kinds["succeeded"], int(body[1])
    errors = {"errored": kinds["errored"], "timeout": kinds["timeout"], "status": kinds["failed"] - kinds["errored"] - kinds["timeout"]}
    # Of what was under way when time was over a part has come, too, so that a few short answers may hide behind it.
    errors["short"] = max(0, answered - came // door.length)
    took = sorted(int(line.rsplit(b"\t", 1)[1]) for line in log.read_bytes().splitlines())
    p50, p99 = (took[len(took) * part // 100] / 1e3 if took else None for part in (50, 99))
    return Outcome(answered, came, seconds, p50, p99, errors)


def _parts(door: Door) -> tuple[list[str], bytes]:
    """The fields of a request beside its host, as options of either program, and its body."""
    head, _, body = door.request.partition(b"\r\n\r\n")
    fields = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
    return [word for name, value in fields if name != "Host" for word in ("-H", f"{name.lower()}: {value}")], body


def _scheme(door: Door) -> str:
    return "https" if door.layer == "https" else "http"


LOAD = Load("h2load", ("h2load", "nghttp"), "install nghttp2-client", visit, run)
