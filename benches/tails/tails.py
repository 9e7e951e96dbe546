#!/usr/bin/env python3
"""Latency at the far end, at a given rate, while nothing changes, while endpoints change, and while routes do.

Each contender has one worker on one CPU; load, origin and this driver have the other. First its saturation is found: the most requests/s by wrk on
as many connections. Then, at half and at four fifths of the least of these, `pace` sends at a constant rate (it charges a request from when it
was due), in rounds in which contenders, rates and conditions take turns. `quiet` is measured twice in each round, so that a difference can be
held against what quiet differs from itself by. `origin` is the same load without a proxy: how late the machine is by itself.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "compare"))

from machine import allot, facts, free_port, raise_file_limit  # noqa: E402
from process import Died, Process  # noqa: E402

from proxies import PROXIES, World  # noqa: E402

QUIET = ("quiet", "again")
CONDITIONS = (*QUIET, "endpoints", "routes")
LOADS = (0.5, 0.8)
CONNECTIONS = 64
ORIGIN = """daemon off;
{user}worker_processes 1;
worker_rlimit_nofile {files};
error_log stderr crit;
pid {dir}/pid;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_timeout 600s; keepalive_requests 1000000000;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{ listen 0.0.0.0:{port}; default_type text/plain; location / {{ return 200 "{body}"; }} }}
}}
"""


class Churn:
    """Changes a world once a second until it is left."""

    def __init__(self, proxy, condition: str):
        self._change = getattr(proxy, f"change_{condition}", None)
        self._over, self.changes = threading.Event(), 0

    def __enter__(self):
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        while self._change and not self._over.wait(1):
            self._change()
            self.changes += 1

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()


def conditions(proxy) -> list[str]:
    """What it can be measured under."""
    return [condition for condition in CONDITIONS if condition in QUIET or hasattr(proxy, f"change_{condition}")]


def origin(folder: Path, port: int, files: int, cpus) -> Process:
    user = "user root;\n" if os.geteuid() == 0 else ""
    conf = folder / "origin.conf"
    conf.write_text(ORIGIN.format(user=user, files=files, dir=folder, port=port, body="x" * 1024))
    return Process(["nginx", "-p", str(folder), "-e", "stderr", "-c", str(conf)], cpus, folder / "origin.log")


def answers(port: int, host: str) -> bool:
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "2", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout == "200"


def started(proxy, folder: Path, cpus) -> Process:
    process = Process(proxy.command(), cpus, folder / f"{proxy.name}.log")
    for _ in range(200):
        if not process.running:
            raise Died(f"{proxy.name}: {process.said()[-500:]}")
        if answers(proxy.port, "hot.example"):
            return process
        time.sleep(0.05)
    process.stop()
    raise Died(f"{proxy.name} does not answer: {process.said()[-500:]}")


def saturation(proxy, cpus) -> float:
    argv = ["taskset", "-c", ",".join(map(str, cpus)), "wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", "3s", "-H", "Host: hot.example"]
    said = subprocess.run([*argv, f"http://127.0.0.1:{proxy.port}/"], capture_output=True, text=True, check=True).stdout
    return float(next(line.split()[1] for line in said.splitlines() if line.startswith("Requests/sec")))


def pace(program: str, proxy, cpus, rate: float, seconds: float) -> dict:
    argv = ["taskset", "-c", ",".join(map(str, cpus)), program, "127.0.0.1", str(proxy.port), "hot.example"]
    argv += [f"{rate:.0f}", str(CONNECTIONS), str(seconds), "1"]
    return json.loads(subprocess.run(argv, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout)


def measure(args) -> tuple[dict, dict]:
    files, cpus = raise_file_limit(), allot(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        with origin(folder, port, files, cpus.load):
            proxies = []
            for chosen in args.contenders.split(","):
                own = folder / chosen
                own.mkdir()
                proxies.append(PROXIES[chosen](World(own, free_port(), port, files)))
            most = {}
            for proxy in proxies:
                with started(proxy, proxy.world.folder, cpus.proxy):
                    most[proxy.name] = saturation(proxy, cpus.load)
                print(f"{proxy.name}: {most[proxy.name]:.0f} requests/s at most", file=sys.stderr)
            rates = {load: load * min(most.values()) for load in LOADS}
            told = {(proxy.name, load, condition): [] for proxy in proxies for load in LOADS for condition in conditions(proxy)}
            for round_ in range(args.rounds):
                turns = [(proxy, load, condition) for proxy in proxies for load in LOADS for condition in conditions(proxy)]
                random.Random(round_).shuffle(turns)
                for proxy, load, condition in turns:
                    with started(proxy, proxy.world.folder, cpus.proxy), Churn(proxy, condition) as churn:
                        said = pace(args.pace, proxy, cpus.load, rates[load], args.seconds)
                    told[proxy.name, load, condition].append(said | {"changes": churn.changes})
                print(f"round {round_ + 1} of {args.rounds}", file=sys.stderr)
    return most, {"rates": rates, "told": told}


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f}..{max(values):.0f})"


def report(args, most: dict, found: dict) -> None:
    print("# Tails\n")
    for key, value in facts(raise_file_limit()).items():
        print(f"- {key}: {value}")
    print(f"- command: tails.py {' '.join(sys.argv[1:])}")
    print("- most requests/s: " + ", ".join(f"{name} {rate:.0f}" for name, rate in most.items()))
    for load, rate in found["rates"].items():
        print(f"\n## {load:.0%} of the least: {rate:.0f} requests/s\n")
        print("| contender | condition | p50 us | p99 us | p99.9 us | most us | failed | p99 against quiet | quiet against quiet |")
        print("|---|---|---|---|---|---|---|---|---|")
        for name in most:
            rows = {condition: found["told"][name, load, condition] for condition in conditions(PROXIES[name])}
            noise = [again["p99"] - quiet["p99"] for quiet, again in zip(rows["quiet"], rows["again"])]
            for condition, turns in rows.items():
                more = [turn["p99"] - quiet["p99"] for quiet, turn in zip(rows["quiet"], turns)]
                cells = [spread([turn[key] for turn in turns]) for key in ("p50", "p99", "p999", "most")]
                failed = sum(turn["failed"] + turn["lost"] for turn in turns)
                print(f"| {name} | {condition} | {' | '.join(cells)} | {failed} | {statistics.median(more):+.0f} | {min(noise):+.0f}..{max(noise):+.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", default="tidegate,nginx,haproxy,origin")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--pace", default=os.environ.get("PACE", "pace"), help="the compiled pace.c")
    args = parser.parse_args()
    unknown = set(args.contenders.split(",")) - set(PROXIES)
    if unknown:
        parser.error(f"found {', '.join(sorted(unknown))}, expected some of {', '.join(PROXIES)}")
    report(args, *measure(args))


if __name__ == "__main__":
    main()
