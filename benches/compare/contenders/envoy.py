"""Envoy.

Tuning, and why:
- `--concurrency` is the number of workers; hot restart off, since it takes shared memory and a lock that nothing here needs.
- No request ids, no Envoy headers, no dynamic statistics of the router: each costs for every request, and the others do none of it.
  Its other statistics stay on, as Tidegate's metrics do.
- Limits on upstream connections and requests raised out of the way, route time-out off.
- TLS: 1.3 alone, no resumption. 256 streams for a connection of HTTP/2, more than the load has.
- gRPC: HTTP/2 by prior knowledge on both sides, which its listener tells by itself. WebSocket must be allowed by name.
- UDP: `udp_proxy`, whose flows stay for 600 s.
- No access log (it has none unless told), time-outs of 600 s.
"""

import json
import os

from certificate import Certificate
from contenders.contract import EVERYTHING, Contender, Route, Setup
from scenarios import Layer

PROGRAM = os.environ.get("ENVOY", "envoy")
EXTENSIONS = "type.googleapis.com/envoy.extensions."
TYPE = f"{EXTENSIONS}filters."
UNLIMITED = {"thresholds": [{limit: 1_000_000 for limit in ("max_connections", "max_pending_requests", "max_requests")}]}


def command(setup: Setup) -> list[str]:
    static = {"listeners": [_listener(setup)], "clusters": [_cluster(i, route, setup.layer) for i, route in enumerate(setup.routes)]}
    conf = setup.write("envoy.json", json.dumps({"static_resources": static}))
    return [PROGRAM, "-c", conf, "--concurrency", str(setup.workers), "--disable-hot-restart", "-l", "error"]


def _listener(setup: Setup) -> dict[str, object]:
    if setup.layer == "udp":
        address = _address("127.0.0.1", setup.port, "UDP")
        return {"name": "front", "address": address, "udp_listener_config": {}, "listener_filters": [_udp()]}
    chain: dict[str, object] = {"filters": [_tcp() if setup.layer == "tcp" else _http(setup)]}
    if setup.certificate:
        chain["transport_socket"] = _tls(setup.certificate)
    return {"name": "front", "address": _address("127.0.0.1", setup.port), "tcp_backlog_size": 4096, "filter_chains": [chain]}


def _cluster(i: int, route: Route, layer: Layer) -> dict[str, object]:
    address = {"endpoint": {"address": _address(route.ip, route.port, "UDP" if layer == "udp" else "TCP")}}
    h2 = {"@type": f"{EXTENSIONS}upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
    return {
        "name": f"c{i}",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": UNLIMITED,
        "load_assignment": {"cluster_name": f"c{i}", "endpoints": [{"lb_endpoints": [address]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": h2} if layer == "grpc" else {},
    }


def _address(ip: str, port: int, protocol: str = "TCP") -> dict[str, object]:
    return {"socket_address": {"address": ip, "port_value": port, "protocol": protocol}}


def _tls(certificate: Certificate) -> dict[str, object]:
    pair = {"certificate_chain": {"filename": str(certificate.chain)}, "private_key": {"filename": str(certificate.key)}}
    versions = {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}
    context = {
        "@type": f"{EXTENSIONS}transport_sockets.tls.v3.DownstreamTlsContext",
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_params": versions, "tls_certificates": [pair]},
    }
    return {"name": "tls", "typed_config": context}


def _udp() -> dict[str, object]:
    route = {"name": "route", "typed_config": {"@type": f"{TYPE}udp.udp_proxy.v3.Route", "cluster": "c0"}}
    proxy = {
        "@type": f"{TYPE}udp.udp_proxy.v3.UdpProxyConfig",
        "stat_prefix": "udp",
        "idle_timeout": "600s",
        "matcher": {"on_no_match": {"action": route}},
    }
    return {"name": "envoy.filters.udp_listener.udp_proxy", "typed_config": proxy}


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
        "http2_protocol_options": {"max_concurrent_streams": 256},
        "upgrade_configs": [{"upgrade_type": "websocket"}] if setup.layer == "websocket" else [],
        "common_http_protocol_options": {"idle_timeout": "600s"},
        "http_filters": [{"name": "router", "typed_config": router}],
        "route_config": {"virtual_hosts": hosts},
    }
    return {"name": "http", "typed_config": connection}


def _host(i: int, host: str) -> dict[str, object]:
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": f"c{i}", "timeout": "0s"}}]
    return {"name": host, "domains": [host], "routes": routes}


FIX = "name its binary in ENVOY (`make bench-compare` does)"
CONTENDER = Contender("envoy", PROGRAM, "--version", EVERYTHING, FIX, command)
