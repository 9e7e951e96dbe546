"""Caddy, for HTTP; its distribution package proxies no TCP.

Tuning, and why:
- GOMAXPROCS is the number of workers: Go threads beyond its CPUs only cost switches.
- No admin endpoint, no automatic HTTPS, errors alone in the log: none of it is part of the work that is compared.
- As many idle upstream connections as there are clients (the default is 32), no compression asked for upstream, time-outs of 600 s.
"""

import json

from contenders.contract import Contender, Route, Setup


def command(setup: Setup) -> list[str]:
    server = {
        "listen": [f"127.0.0.1:{setup.port}"],
        "routes": [_route(route, setup.connections) for route in setup.routes],
        "protocols": ["h1"],
        "automatic_https": {"disable": True},
        "idle_timeout": "600s",
    }
    conf = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": {"http": {"servers": {"front": server}}},
    }
    return ["caddy", "run", "--config", setup.write("caddy.json", json.dumps(conf))]


def _route(route: Route, idle: int) -> dict[str, object]:
    transport = {
        "protocol": "http",
        "versions": ["1.1"],
        "compression": False,
        "keep_alive": {"enabled": True, "idle_timeout": "600s", "max_idle_conns_per_host": idle},
    }
    handler = {"handler": "reverse_proxy", "upstreams": [{"dial": f"{route.ip}:{route.port}"}], "transport": transport}
    return {"match": [{"host": [route.host]}], "handle": [handler], "terminal": True}


def env(setup: Setup) -> dict[str, str]:
    return {"GOMAXPROCS": str(setup.workers), "HOME": str(setup.folder)}


CONTENDER = Contender("caddy", "caddy", "version", frozenset({"http"}), "install caddy", command, env)
