"""wrk, for HTTP/1, plain and in TLS: each connection asks again as soon as it has its answer.

It never resumes a session, so with `Connection: close` in TLS each request is a whole handshake. Its latencies begin after that.
"""

import json
from pathlib import Path

from drive import Outcome, visit
from load.contract import Load, Run
from process import Died, Process
from scenarios import LOCAL

REPLAY = Path(__file__).parent / "replay.lua"


def run(asked: Run) -> Outcome:
    door, connections = asked.door, asked.scenario.connections
    request = asked.folder / "request"
    request.write_bytes(door.request)
    threads = min(max(1, len(asked.cpus) // 2), connections)
    # In TLS the URL's host is the SNI; the request names its own.
    url = f"https://{LOCAL}:{door.port}/" if door.layer == "https" else f"http://{door.ip}:{door.port}/"
    argv = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{asked.seconds}s", "-s", str(REPLAY), url]
    told = {"REQUEST": str(request), "ROUTES": str(asked.scenario.routes)}
    with Process(argv, asked.cpus, asked.folder / "wrk.log", told) as load:
        return outcome(load.wait(asked.seconds + 30))


def outcome(said: str) -> Outcome:
    """From the line of JSON that a load ends with."""
    try:
        return Outcome(**json.loads(said.strip().splitlines()[-1]))
    except (ValueError, IndexError, TypeError):
        raise Died(f"the load gave no result: {said[-500:]}") from None


LOAD = Load("wrk", ("wrk",), "install wrk", visit, run)
