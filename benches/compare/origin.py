"""The origins behind every proxy, on addresses of 127.0.0.0/8 and nowhere else.

One nginx that answers on each of them; nghttpd for gRPC, since nginx sends no trailers of its own; a program of ours for echoes.
"""

import os
import random
import socket
from collections.abc import Callable
from pathlib import Path

import drive
from drive import Door
from load import echo, h2load
from machine import free_port
from process import Process
from scenarios import BULK, CALL, DATAGRAM, MESSAGE, TEXT, Scenario, get

BODY = "x" * 1024
LENGTHS = {b"/": len(BODY), b"/browser": len(BODY), b"/bulk": BULK, b"/post": 2, CALL.encode(): len(MESSAGE)}
CONF = """daemon off;
{user}worker_processes {workers};
worker_rlimit_nofile {files};
error_log stderr crit;
pid {dir}/pid;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  sendfile on;
  open_file_cache max=8;
  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  upstream inner {{ server unix:{dir}/inner; keepalive 64; keepalive_requests 1000000000; }}
  server {{
    listen 0.0.0.0:{port};
    default_type text/plain;
    location = / {{ return 200 "{body}"; }}
    location = /bulk {{ root {dir}; }}
    location = /browser {{
      {headers}
      return 200 "{body}";
    }}
    # Proxying reads the whole body first; a plain `return` would answer early, and an early answer is another scenario.
    location = /post {{
      add_header X-Received $request_length;
      proxy_pass http://inner/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_method GET;
      proxy_pass_request_headers off;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }}
  }}
  server {{ listen unix:{dir}/inner; default_type text/plain; location / {{ return 200 "ok"; }} }}
}}
"""


class Origin(Process):
    """Knows its port, and how it is asked without a proxy. Route `i` finds it under an address of its own, so that no contender can share
    connections between routes."""

    port: int
    visit: Callable[[Door], None] = staticmethod(drive.visit)

    def door(self, scenario: Scenario) -> Door:
        return Door(address(0), self.port, scenario.request, length(scenario), scenario.layer)


class Web(Origin):
    """For all that is HTTP/1 towards replicas, and for TCP."""

    def __init__(self, folder: Path, cpus: tuple[int, ...], files: int):
        folder.mkdir()
        (folder / "bulk").write_bytes(random.Random(1).randbytes(BULK))
        self.port = free_port()
        conf = CONF.format(
            dir=folder,
            port=self.port,
            body=BODY,
            files=files,
            connections=files - 1000,
            user="user root;\n" if os.geteuid() == 0 else "",
            workers=max(1, len(cpus) // 2),
            # With Server, Date, Content-Type, Content-Length and Connection: 20 headers.
            headers="\n      ".join(f'add_header X-Origin-{i} "a value of an everyday length {i:02}";' for i in range(15)),
        )
        (folder / "conf").write_text(conf)
        # Bound to the loopback device, which nginx itself cannot say, and handed over the way nginx hands sockets to its successor.
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
            listener.bind(("0.0.0.0", self.port))
            listener.listen(4096)
            argv = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "conf")]
            super().__init__(argv, cpus, folder / "log", {"NGINX": f"{listener.fileno()};"}, (listener.fileno(),))

    def door(self, _: Scenario) -> Door:
        return Door(address(0), self.port, get(), LENGTHS[b"/"])


class Grpc(Origin):
    """Answers each call with the message that is in a file, and trailers. Without a length in the head, as servers of gRPC do."""

    visit = staticmethod(h2load.visit)

    def __init__(self, folder: Path, cpus: tuple[int, ...]):
        message = folder / "served" / CALL.removeprefix("/")
        message.parent.mkdir(parents=True)
        message.write_bytes(MESSAGE)
        types = folder / "types"
        types.write_text("application/grpc grpc\n")
        self.port = free_port()
        argv = ["nghttpd", "--no-tls", "-a", address(0), "-d", str(folder / "served"), f"--mime-types-file={types}"]
        argv += ["-n", str(max(1, len(cpus) // 2)), "--no-content-length", "--trailer", "grpc-status: 0", str(self.port)]
        super().__init__(argv, cpus, folder / "log")


class Echo(Origin):
    """Sends back what it gets, by WebSocket or UDP."""

    visit = staticmethod(echo.visit)

    def __init__(self, folder: Path, cpus: tuple[int, ...], layer: str):
        folder.mkdir()
        self.port = free_port()
        super().__init__([echo.ANSWER, layer, address(0), str(self.port)], cpus, folder / "log")


def behind(scenario: Scenario, folder: Path, cpus: tuple[int, ...], files: int) -> Origin:
    """The origin of a scenario. It is a folder's only one."""
    match scenario.layer:
        case "grpc":
            return Grpc(folder, cpus)
        case "websocket" | "udp":
            return Echo(folder, cpus, scenario.layer)
        case _:
            return Web(folder, cpus, files)


def length(scenario: Scenario) -> int:
    """Bytes of a right answer's body."""
    return {"websocket": TEXT, "udp": DATAGRAM}.get(scenario.layer) or LENGTHS[scenario.request.split()[1]]


def address(route: int) -> str:
    return f"127.1.{route >> 8}.{route & 255}"
