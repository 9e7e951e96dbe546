"""Kills replicas and starts them again, one after the other: chaos.py SERVICE...

Every third is told to stop instead. One replica of each service is always left alone for as long as another is not back.
"""

import http.client
import itertools
import json
import os
import random
import socket
import sys
import time
import urllib.parse

EVERY_S = float(os.environ.get("EVERY_S", "4"))


class Engine(http.client.HTTPConnection):
    """The Docker API over its socket."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/var/run/docker.sock")


def call(method, path, **query):
    engine = Engine("engine", timeout=60)
    engine.request(method, f"{path}?{urllib.parse.urlencode(query)}")
    answer = engine.getresponse()
    body = answer.read()
    engine.close()
    return json.loads(body) if body else None


def replicas(service):
    labels = [f"com.docker.compose.project={os.environ['PROJECT']}", f"com.docker.compose.service={service}"]
    return call("GET", "/containers/json", filters=json.dumps({"label": labels}))


for number, service in enumerate(itertools.cycle(sys.argv[1:]), 1):
    time.sleep(EVERY_S)
    there = replicas(service)
    if len(there) < 2 or not all("(healthy)" in one["Status"] for one in there):
        continue
    one = random.choice(there)
    name = one["Names"][0].strip("/")
    if number % 3:
        call("POST", f"/containers/{one['Id']}/kill")
        print(f"killed {name}")
    else:
        call("POST", f"/containers/{one['Id']}/stop", t=5)
        print(f"stopped {name}")
    call("POST", f"/containers/{one['Id']}/start")
