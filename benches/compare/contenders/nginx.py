"""nginx, with its stream module for TCP and UDP.

Tuning, and why:
- `keepalive` for each upstream holds as many idle connections as there are requests at a time, `keepalive_requests` without end: its
  default closes after 1,000 requests, and without `keepalive` each request would open a connection.
- `Connection ""` and HTTP/1.1 upstream: without both, upstream connections do not stay.
- `multi_accept on`: many new connections for one wake-up.
- `reuseport` with two workers, so that both get connections; with one worker there is nothing to share.
- Bodies of answers never go to disk. For 1 MiB answers, buffers of 256 KiB and no buffering: fewer and larger reads.
- `proxy_request_buffering off` streams bodies as the others do; short trials with it on were now dearer, now cheaper.
- Heads are read into 8 KiB at once: with 1 KiB, the default, `browser` cost at least 15 % more in short trials on a busy machine,
  and neither `http1-keepalive` nor `idle-mem` suffers.
- TLS: 1.3 alone, no tickets and no cache of sessions: nobody resumes. `ssl_session_tickets off` alone leaves it sending two of another
  kind, of no use without a cache. 256 streams for a connection of HTTP/2, more than the load has.
- gRPC by `grpc_pass`, with connections that stay as above; it carries one call at a time on each of them.
- WebSocket: `Upgrade` and `Connection` are handed on, which it does not do by itself.
- UDP: a flow stays for 600 s, as with the others. The usual `proxy_responses 1` ends it with the first answer, so that each round trip
  makes a socket: twice as dear in a short trial.
- Access log off, time-outs of 600 s: nothing is closed for idleness during a turn.
"""

import os
import re
import subprocess

from contenders.contract import EVERYTHING, Contender, Setup

MAIN = """{module}daemon off;
{user}worker_processes {workers};
worker_rlimit_nofile {files};
error_log stderr crit;
pid {dir}/pid;
events {{ worker_connections {connections}; multi_accept on; }}
"""
HTTP = """http {{
  access_log off;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  server_names_hash_max_size 65536;
  server_names_hash_bucket_size 128;
  client_header_buffer_size 8k;
  client_body_buffer_size 64k;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  {tls}
  http2_max_concurrent_streams 256;
  proxy_http_version 1.1;
  {upgrade}
  proxy_set_header Host $host;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  {bulk}
"""
TLS = """ssl_certificate {chain}; ssl_certificate_key {key};
  ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_session_cache off; ssl_conf_command NumTickets 0;"""
STAY = 'proxy_set_header Connection "";'
UPGRADE = 'proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
BULK = "proxy_buffering off; proxy_buffer_size 256k; proxy_buffers 4 256k; proxy_busy_buffers_size 512k;"
ROUTE = """  upstream u{i} {{ server {ip}:{up}; keepalive {idle}; keepalive_requests 1000000000; keepalive_timeout 600s; }}
  server {{ listen 127.0.0.1:{port}{options}; server_name {host}; location / {{ {proxied}://u{i}; }} }}
"""
STREAM = """stream {{
  proxy_buffer_size {buffer};
  proxy_timeout 600s;
  server {{ listen 127.0.0.1:{port} {options}; proxy_pass {ip}:{up}; }}
}}
"""


def command(setup: Setup) -> list[str]:
    opaque = setup.layer in ("tcp", "udp")
    main = MAIN.format(
        module=_stream_module() if opaque else "",
        user="user root;\n" if os.geteuid() == 0 else "",
        workers=setup.workers,
        files=setup.files,
        connections=setup.files - 1000,
        dir=setup.folder,
    )
    conf = setup.write("nginx.conf", main + (_stream(setup) if opaque else _http(setup)))
    return ["nginx", "-p", str(setup.folder), "-e", "stderr", "-c", conf]


def _http(setup: Setup) -> str:
    # Options of a listening socket are said once, by the first server on it.
    options = " backlog=4096" + (" reuseport" if setup.workers > 1 else "")
    spoken = {"https": " ssl http2", "grpc": " http2"}.get(setup.layer, "")
    proxied = "grpc_pass grpc" if setup.layer == "grpc" else "proxy_pass http"
    shown = setup.certificate
    idle = min(setup.connections * setup.streams, 1000) if len(setup.routes) == 1 else 16
    routes = "".join(
        ROUTE.format(
            i=i,
            host=route.host,
            ip=route.ip,
            up=route.port,
            port=setup.port,
            idle=idle,
            options=spoken + (options if i == 0 else ""),
            proxied=proxied,
        )
        for i, route in enumerate(setup.routes)
    )
    head = HTTP.format(
        dir=setup.folder,
        bulk=BULK if setup.bulk else "",
        tls=TLS.format(chain=shown.chain, key=shown.key) if shown else "",
        upgrade=UPGRADE if setup.layer == "websocket" else STAY,
    )
    return head + routes + "}\n"


def _stream(setup: Setup) -> str:
    route = setup.routes[0]
    options = "udp" if setup.layer == "udp" else "backlog=4096"
    return STREAM.format(buffer="256k" if setup.bulk else "16k", port=setup.port, options=options, ip=route.ip, up=route.port)


def _stream_module() -> str:
    """Distributions build the stream module as a file to be loaded; an nginx that has it inside needs no line."""
    built = subprocess.run(["nginx", "-V"], capture_output=True, text=True).stderr
    folder = re.search(r"--modules-path=(\S+)", built)
    dynamic = "--with-stream=dynamic" in built
    return f"load_module {folder[1]}/ngx_stream_module.so;\n" if dynamic and folder else ""


FIX = "install nginx with its stream module (Debian: nginx libnginx-mod-stream)"
CONTENDER = Contender("nginx", "nginx", "-v", EVERYTHING, FIX, command)
