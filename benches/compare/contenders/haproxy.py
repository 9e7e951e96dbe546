"""HAProxy, for all but UDP, of which it balances logs alone.

Tuning, and why:
- Hosts are found in a map: a list of `use_backend` rules would be walked one by one.
- `http-reuse always`: an idle upstream connection serves any client. `pool-purge-delay` and the `tune.pool-*` ratios keep it from
  closing idle ones, which would show as new connections in the scenarios with many hosts.
- `splice-response` for 1 MiB answers: bytes go from socket to socket inside the kernel. Elsewhere `splice-auto`, since forced
  splicing makes small answers dearer.
- TLS: 1.3 alone, no tickets and no cache of sessions: nobody resumes. It still sends two tickets of the kind that is of no use without a
  cache, and has no word against it. 256 streams for a connection of HTTP/2, more than the load has.
- gRPC: HTTP/2 by prior knowledge on both sides.
- With two threads, one listening socket for each (`shards by-thread`).
- No access log (it has none unless told), time-outs of 600 s.
"""

from contenders.contract import EVERYTHING, Contender, Setup

CONF = """global
  nbthread {workers}
  maxconn {maxconn}
  tune.ssl.cachesize 0
  ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
  tune.h2.max-concurrent-streams 256
  tune.pool-low-fd-ratio 80
  tune.pool-high-fd-ratio 90
defaults
  mode {mode}
  option {splice}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
  {http}
  default-server pool-purge-delay 600s
frontend front
  bind 127.0.0.1:{port} backlog 4096 {shards} {spoken}
  {rule}
"""


def command(setup: Setup) -> list[str]:
    http = setup.layer != "tcp"
    h2 = "proto h2" if setup.layer == "grpc" else ""
    hosts = setup.write("hosts.map", "".join(f"{route.host} b{i}\n" for i, route in enumerate(setup.routes)))
    conf = CONF.format(
        workers=setup.workers,
        # Each connection may take three descriptors: its two sides, and a pipe when it is spliced.
        maxconn=(setup.files - 1000) // 3,
        mode="http" if http else "tcp",
        spoken=f"ssl crt {setup.certificate.both} alpn h2,http/1.1" if setup.certificate else h2,
        splice="splice-response" if setup.bulk else "splice-auto",
        http="http-reuse always\n  timeout http-keep-alive 600s" if http else "",
        port=setup.port,
        shards="shards by-thread" if setup.workers > 1 else "",
        rule=f"use_backend %[req.hdr(host),lower,map_str({hosts})]" if http else "default_backend b0",
    )
    conf += "".join(f"backend b{i}\n  server s {route.ip}:{route.port} {h2}\n" for i, route in enumerate(setup.routes))
    return ["haproxy", "-db", "-f", setup.write("haproxy.cfg", conf)]


CONTENDER = Contender("haproxy", "haproxy", "-v", EVERYTHING - {"udp"}, "install haproxy", command)
