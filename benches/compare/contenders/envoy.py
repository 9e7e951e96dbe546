"""Envoy.

Tuning, and why:
- `--concurrency` is the number of workers; hot restart off, since it takes shared memory and a lock that nothing here needs.
- No request ids, no Envoy headers, no dynamic statistics of the router: each costs for every request, and the others do none of it.
  Its other statistics stay on, as Tidegate's metrics do.
- Limits on upstream connections and requests raised out of the way, route time-out off.
- No access log (it has none unless told), time-outs of 600 s.
"""

import json
import os

from contenders.contract import Contender, Setup

PROGRAM = os.environ.get("ENVOY", "envoy")
TYPE = "type.googleapis.com/envoy.extensions.filters."
UNLIMITED = {"thresholds": [{limit: 1_000_000 for limit in ("max_connections", "max_pending_requests", "max_requests")}]}


def command(setup: Setup) -> list[str]:
    listener = {
        "name": "front",
        "address": _address("127.0.0.1", setup.port),
        "tcp_backlog_size": 4096,
        "filter_chains": [{"filters": [_http(setup) if setup.layer == "http" else _tcp()]}],
    }
    clusters = [
        {
            "name": f"c{i}",
            "type": "STATIC",
            "connect_timeout": "5s",
            "circuit_breakers": UNLIMITED,
            "load_assignment": {
                "cluster_name": f"c{i}",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(route.ip, route.port)}}]}],
            },
        }
        for i, route in enumerate(setup.routes)
    ]
    conf = setup.write("envoy.json", json.dumps({"static_resources": {"listeners": [listener], "clusters": clusters}}))
    return [PROGRAM, "-c", conf, "--concurrency", str(setup.workers), "--disable-hot-restart", "-l", "error"]


def _address(ip: str, port: int) -> dict[str, object]:
    return {"socket_address": {"address": ip, "port_value": port}}


def _tcp() -> dict[str, object]:
    return {"name": "tcp", "typed_config": {"@type": f"{TYPE}network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tcp", "cluster": "c0"}}


def _http(setup: Setup) -> dict[str, object]:
    router = {"@type": f"{TYPE}http.router.v3.Router", "suppress_envoy_headers": True, "dynamic_stats": False}
    hosts = [_host(i, route.host) for i, route in enumerate(setup.routes)]
    connection = {
        "@type": f"{TYPE}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "generate_request_id": False,
        "stream_idle_timeout": "0s",
        "common_http_protocol_options": {"idle_timeout": "600s"},
        "http_filters": [{"name": "router", "typed_config": router}],
        "route_config": {"virtual_hosts": hosts},
    }
    return {"name": "http", "typed_config": connection}


def _host(i: int, host: str) -> dict[str, object]:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": f"c{i}", "timeout": "0s"}}]
    return {"name": host, "domains": [host], "routes": routes}


FIX = "name its binary in ENVOY (`make bench-compare` does)"
CONTENDER = Contender("envoy", PROGRAM, "--version", frozenset({"http", "tcp"}), FIX, command)
