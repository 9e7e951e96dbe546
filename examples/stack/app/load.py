"""Asks all the time, through the ingress and at virtual IPs, and counts: http://localhost:8080/ says how many were answered and what failed."""

import collections
import http.client
import threading
import time

import serve

# What is asked: how it is called, where, as which host, and for what.
ASKED = [
    ("ingress", "tidegate:8080", "shop.localhost", "/"),
    ("ingress, and orders behind it", "tidegate:8080", "shop.localhost", "/orders"),
    ("web at its virtual IP", "web.shop:80", "web", "/"),
    ("orders at its virtual IP", "orders:80", "orders", "/count"),
]
EVERY_S = 0.02

counts = collections.Counter()
failures = []
who = collections.defaultdict(collections.Counter)
lock = threading.Lock()


def ask(what, where, host, path):
    connection = None
    while True:
        began = time.monotonic()
        try:
            connection = connection or http.client.HTTPConnection(where, timeout=10)
            connection.request("GET", path, headers={"Host": host})
            answer = connection.getresponse()
            said = answer.read()
            failed = None if answer.status == 200 else f"{answer.status} {said.decode(errors='replace').strip()}"
            if answer.will_close:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            failed, said = f"{type(error).__name__}: {error}", b""
            connection.close()
            connection = None
        with lock:
            counts[what] += 1
            if failed:
                failures.append({"what": what, "when": time.strftime("%H:%M:%S"), "why": failed})
                print(f"failed: {what}: {failed}")
            else:
                who[what][said.decode().split('"')[3]] += 1
        time.sleep(max(0, EVERY_S - (time.monotonic() - began)))


def answer(_path):
    with lock:
        return 200, {"answered": counts, "failed": failures, "who": who}


def begin(asked):
    # What is not there yet at the start is no failure: it begins with the first answer.
    what, where, host, path = asked
    while True:
        try:
            connection = http.client.HTTPConnection(where, timeout=10)
            connection.request("GET", path, headers={"Host": host})
            if connection.getresponse().status == 200:
                connection.close()
                break
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.2)
    ask(*asked)


for asked in ASKED:
    threading.Thread(target=begin, args=(asked,), daemon=True).start()
serve.serve(answer)
