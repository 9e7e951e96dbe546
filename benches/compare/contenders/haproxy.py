"""HAProxy.

Tuning, and why:
- Hosts are found in a map: a list of `use_backend` rules would be walked one by one.
- `http-reuse always`: an idle upstream connection serves any client. `pool-purge-delay` and the `tune.pool-*` ratios keep it from
  closing idle ones, which would show as new connections in the scenarios with many hosts.
- `splice-response` for 1 MiB answers: bytes go from socket to socket inside the kernel. Elsewhere `splice-auto`, since forced
  splicing makes small answers dearer.
- With two threads, one listening socket for each (`shards by-thread`).
- No access log (it has none unless told), time-outs of 600 s.
"""

from contenders.contract import Contender, Setup

CONF = """global
  nbthread {workers}
  maxconn {maxconn}
  tune.pool-low-fd-ratio 80
  tune.pool-high-fd-ratio 90
defaults
  mode {layer}
  option {splice}
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  {http}
  default-server pool-purge-delay 600s
frontend front
  bind 127.0.0.1:{port} backlog 4096 {shards}
  {rule}
"""


def command(setup: Setup) -> list[str]:
    http = setup.layer == "http"
    hosts = setup.write("hosts.map", "".join(f"{route.host} b{i}\n" for i, route in enumerate(setup.routes)))
    conf = CONF.format(
        workers=setup.workers,
        # Each connection may take three descriptors: its two sides, and a pipe when it is spliced.
        maxconn=(setup.files - 1000) // 3,
        layer=setup.layer,
        splice="splice-response" if setup.bulk else "splice-auto",
        http="http-reuse always\n  timeout http-keep-alive 600s" if http else "",
        port=setup.port,
        shards="shards by-thread" if setup.workers > 1 else "",
        rule=f"use_backend %[req.hdr(host),lower,map_str({hosts})]" if http else "default_backend b0",
    )
    conf += "".join(f"backend b{i}\n  server s {route.ip}:{route.port}\n" for i, route in enumerate(setup.routes))
    return ["haproxy", "-db", "-f", setup.write("haproxy.cfg", conf)]


CONTENDER = Contender("haproxy", "haproxy", "-v", frozenset({"http", "tcp"}), "install haproxy", command)
