"""Runs the demo stack, checks it from outside and from inside while replicas are killed and scaled, says what it found, and takes it down.

demo.py COMPOSE...: how `docker compose` is called here. Exit code 0: all held; 1: something did not; 2: it could not be run.
"""

import json
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPOSE = sys.argv[1:]
# On this machine, which is outside.
HTTP, HTTPS = ("127.0.0.1", 8080), ("127.0.0.1", 8443)
DB_VIP, ORDERS = "172.30.3.53", "orders.shop.svc.cluster.local"
# How long it may take until the stack is up, and how long replicas are killed.
PATIENCE_S, CHAOS_S = 120, 30

verdict = []


def check(what, holds, found=""):
    verdict.append(bool(holds))
    print(f"  {'ok  ' if holds else 'FAIL'} {what}{f': {found}' if found != '' else ''}", flush=True)


def compose(*words, **also):
    return subprocess.run([*COMPOSE, *words], cwd=ROOT, text=True, capture_output=True, timeout=600, **also)


def inside(service, *command):
    """Runs a command in a container of the stack."""
    return compose("exec", "-T", service, *command)


def counted():
    """What the load generator counted so far."""
    return json.loads(inside("load", "curl", "-sS", "http://127.0.0.1:8080/").stdout)


def exchange(where, said, tls=None):
    """Sends these bytes from outside, and gives the first that come back; nothing where the connection ends or nothing comes."""
    try:
        with socket.create_connection(where, timeout=5) as plain:
            wire = plain
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                wire = context.wrap_socket(plain, server_hostname=tls)
            wire.sendall(said)
            return wire.recv(4096)
    except (OSError, ssl.SSLError) as error:
        return f"({error})".encode()


def get(host, path="/", where=HTTP, tls=None, also=""):
    return exchange(where, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{also}Connection: close\r\n\r\n".encode(), tls)


def status(answer):
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(found[1]) if found else answer.decode(errors="replace")


def up():
    print("starting the stack", flush=True)
    done = compose("up", "-d")
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        sys.exit(2)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if status(get("shop.localhost", "/orders")) == 200 and len(counted()["answered"]) == 4:
            return True
        time.sleep(0.5)
    return False


def from_outside():
    print("from outside")
    replicas, end = set(), time.monotonic() + 30
    while len(replicas) < 3 and time.monotonic() < end:  # one of them may just be away
        replicas.add(get("shop.localhost").split(b'"web": "')[-1][:12])
    check("http://shop.localhost is answered by all three replicas", len(replicas) == 3, len(replicas))
    check("https://shop.test is answered", status(get("shop.test", where=HTTPS, tls="shop.test")) == 200)
    check("a host that nobody serves is not found", status(get("nobody.example")) == 404)
    published = compose("ps").stdout
    ports = sorted(set(re.findall(r"([\d.]+|\[::\]|::):(\d+)->", published)))
    doors = {port for _, port in ports}
    check("no port is published but Tidegate's and Prometheus'", doors == {"8080", "8443", "9090"}, ", ".join(sorted(doors)))


def the_database():
    print("the database, from outside")
    hello = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # PostgreSQL's SSLRequest: it is answered by one byte
    refused = [404, 400, 405, 421]
    names = ["db", "db:5432", "db.shop", "db.shop.svc.cluster.local", "postgres", "orders", ORDERS, f"{DB_VIP}:5432", DB_VIP]
    tried = {f"Host: {name}": status(get(name)) for name in names}
    tried["Host in other letters"] = status(get("DB.Shop.svc.cluster.local."))
    tried["an absolute target"] = status(get("shop.localhost", "http://db.shop.svc.cluster.local:5432/"))
    tried["CONNECT"] = status(exchange(HTTP, b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"))
    tried["two hosts"] = status(exchange(HTTP, b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nHost: db\r\n\r\n"))
    check("no name leads to it", all(found in refused for found in tried.values()), json.dumps(tried))
    forwarded = get("shop.localhost", also="X-Forwarded-Host: db\r\nForwarded: host=db\r\nX-Forwarded-For: 172.30.0.9\r\n")
    check("forwarding headers lead nowhere else", b'"web"' in forwarded)
    for where in [HTTP, HTTPS]:
        answer = exchange(where, hello)
        check(f"its protocol at port {where[1]} is not answered", answer not in (b"S", b"N"), answer[:40].decode(errors="replace"))
    answer = get("db", where=HTTPS, tls="db.shop.svc.cluster.local")
    check("its name in TLS is refused", status(answer) not in (200, 404), status(answer))
    answer = exchange((DB_VIP, 5432), hello)
    check("this machine is refused at its virtual IP", answer not in (b"S", b"N"), answer[:60].decode(errors="replace"))


def from_inside():
    print("from inside")
    found = inside("load", "getent", "hosts", "orders").stdout.split()
    check("`orders` has a virtual IP", found[:1] and found[0].startswith("172.30.3."), " ".join(found))
    orders = json.loads(inside("load", "curl", "-sS", "http://orders/new").stdout or "{}")
    check("http://orders answers from the database, at its virtual IP", orders.get("count", 0) > 0, orders)
    direct = inside("load", "sh", "-c", "getent hosts postgres && timeout 3 pg_isready -h postgres")
    check("nobody but Tidegate shares a network with the database", direct.returncode != 0, direct.stdout.strip())
    ready = inside("load", "pg_isready", "-h", "db")
    check("the database answers at its virtual IP", ready.returncode == 0, ready.stdout.strip())
    gate = inside("tidegate", "/tidegate", "check", "--config", "/etc/tidegate/tidegate.yaml", "--state-dir", "/var/lib/tidegate",
                  "--assert", "internal: shop/db", "--assert", "internal: shop/orders")
    check("`tidegate check` finds nothing wrong and holds both for internal", gate.returncode == 0, gate.stdout.strip().rsplit("\n", 1)[-1])


def seen():
    print("what Prometheus and its console say")
    query = urllib.parse.quote("sum(tidegate_requests_total)")
    end, value = time.monotonic() + 30, 0
    while not value and time.monotonic() < end:
        said = get("localhost:9090", f"/api/v1/query?query={query}", where=("127.0.0.1", 9090))
        found = re.search(rb'"value":\[[\d.]+,"(\d+)"', said)
        value = int(found[1]) if found else 0
    check("Prometheus counts requests", value, value)
    console = get("localhost:9090", "/consoles/tidegate.html", where=("127.0.0.1", 9090))
    check("the console is drawn", status(console) == 200, status(console))


def chaos():
    print(f"replicas are killed for {CHAOS_S} s, then scaled to 5 and to 2", flush=True)
    before = counted()
    time.sleep(CHAOS_S)
    killed = len(re.findall(r"killed|stopped", compose("logs", "chaos").stdout))
    check("replicas were killed and stopped", killed >= 3, killed)
    for replicas in (5, 2):
        compose("up", "-d", "--no-recreate", "--scale", f"web={replicas}")
        end = time.monotonic() + 60
        seen = None
        while time.monotonic() < end and seen != [replicas, replicas]:
            rows = json.loads(inside("tidegate", "/tidegate", "get", "workloads", "-o", "json").stdout or "[]")
            seen = next(([row["desired"], row["ready"]] for row in rows if row["name"] == "web"), None)
            time.sleep(0.2)
        check(f"Tidegate follows to {replicas}, wanted and ready", seen == [replicas, replicas], seen)
    after = counted()
    answered = sum(after["answered"].values()) - sum(before["answered"].values())
    check("requests went on", answered > 1000, answered)
    check("no request failed", not after["failed"], json.dumps(after["failed"][:5]) if after["failed"] else f"0 of {answered}")
    replicas = {what: len(who) for what, who in after["who"].items()}
    check("all that came were asked", replicas["ingress"] >= 5, replicas)


def main():
    try:
        check("it is up", up())
        if all(verdict):
            from_outside()
            the_database()
            from_inside()
            seen()
            chaos()
        if not all(verdict):
            logs = compose("logs", "tidegate", "docker-api", "load").stdout.splitlines()
            print("\n".join([line for line in logs if " status=200 " not in line][-60:]))
    finally:
        compose("down", "--volumes", "--timeout", "3")
    good = sum(verdict)
    print(f"{'ALL HELD' if all(verdict) else 'NOT ALL HELD'}: {good} of {len(verdict)}")
    return 0 if all(verdict) else 1


sys.exit(main())
