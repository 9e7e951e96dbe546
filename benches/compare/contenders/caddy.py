"""Caddy, for HTTP; its distribution package proxies no TCP and no UDP.

Tuning, and why:
- GOMAXPROCS is the number of workers: Go threads beyond its CPUs only cost switches.
- No admin endpoint, no automatic HTTPS, errors alone in the log: none of it is part of the work that is compared.
- TLS: 1.3 alone, no tickets: nobody resumes.
- gRPC: HTTP/2 by prior knowledge on both sides.
- As many idle upstream connections as there are requests at a time (the default is 32), no compression asked for upstream, time-outs
  of 600 s.
"""

import json

from contenders.contract import EVERYTHING, Contender, Route, Setup


def command(setup: Setup) -> list[str]:
    h2c = setup.layer == "grpc"
    server: dict[str, object] = {
        "listen": [f"127.0.0.1:{setup.port}"],
        "routes": [_route(route, setup.connections * setup.streams, h2c) for route in setup.routes],
        "protocols": ["h1", "h2"] if setup.certificate else ["h1", "h2c"] if h2c else ["h1"],
        "automatic_https": {"disable": True},
        "idle_timeout": "600s",
    }
    apps: dict[str, object] = {"http": {"servers": {"front": server}}}
    if setup.certificate:
        server["tls_connection_policies"] = [{"alpn": ["h2", "http/1.1"], "protocol_min": "tls1.3"}]
        shown = {"certificate": str(setup.certificate.chain), "key": str(setup.certificate.key)}
        apps["tls"] = {"session_tickets": {"disabled": True}, "certificates": {"load_files": [shown]}}
    conf = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "ERROR"}}},
        "apps": apps,
    }
    return ["caddy", "run", "--config", setup.write("caddy.json", json.dumps(conf))]


def _route(route: Route, idle: int, h2c: bool) -> dict[str, object]:
    transport = {
        "protocol": "http",
        "versions": ["h2c", "2"] if h2c else ["1.1"],
        "compression": False,
        "keep_alive": {"enabled": True, "idle_timeout": "600s", "max_idle_conns_per_host": idle},
    }
    handler = {"handler": "reverse_proxy", "upstreams": [{"dial": f"{route.ip}:{route.port}"}], "transport": transport}
    return {"match": [{"host": [route.host]}], "handle": [handler], "terminal": True}


def env(setup: Setup) -> dict[str, str]:
    return {"GOMAXPROCS": str(setup.workers), "HOME": str(setup.folder)}


CONTENDER = Contender("caddy", "caddy", "version", EVERYTHING - {"tcp", "udp"}, "install caddy", command, env)
