"""The contenders of the tails: one hot service of 100 endpoints, 1,000 other hosts, and how each is told of changes the way its users do it."""

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

ENDPOINTS = 100
HOSTS = 1_000


@dataclass
class World:
    """What is served, and where. `port` is the proxy's, `origin` that of all endpoints, on addresses of their own."""

    folder: Path
    port: int
    origin: int
    files: int
    # The addresses of the hot service's endpoints, by number, and how often the other hosts were renamed.
    first: int = 0
    names: int = 0

    def endpoints(self) -> list[str]:
        numbers = range(self.first, self.first + ENDPOINTS)
        return [f"127.{64 + n % 16_000 // 250}.1.{1 + n % 250}" for n in numbers]

    def hosts(self) -> list[str]:
        return [f"h{number}.n{self.names}.example" for number in range(HOSTS)]


class Tidegate:
    """A folder of manifests; a file is replaced by renaming another to it."""

    name = "tidegate"

    def __init__(self, world: World):
        self.world, self.port = world, world.port
        self.folder = world.folder / "manifests"
        self.folder.mkdir()
        self._put("service.yaml", "".join(self._service(name) for name in ("hot", "cold")))
        self._put("cold.yaml", self._slice("cold", ["127.60.1.1"]))
        self.change_endpoints()
        self.change_routes()

    def command(self) -> list[str]:
        argv = [os.environ.get("TIDEGATE", "tidegate"), "run", "--manifests", str(self.folder), "--workers", "1", "--admin", "127.0.0.1:0"]
        return argv + ["--http", f"127.0.0.1:{self.port}", "--https", "none", "--access-log", "none"]

    def change_endpoints(self) -> None:
        self.world.first += 1
        self._put("hot.yaml", self._slice("hot", self.world.endpoints()))

    def change_routes(self) -> None:
        self.world.names += 1
        rule = "  - host: {host}\n    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}\n"
        rules = rule.format(host="hot.example", name="hot") + "".join(rule.format(host=host, name="cold") for host in self.world.hosts())
        head = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: all, namespace: tails}\nspec:\n  rules:\n"
        self._put("ingress.yaml", head + rules)

    def _put(self, name: str, text: str) -> None:
        new = self.world.folder / name
        new.write_text(text)
        new.rename(self.folder / name)

    def _service(self, name: str) -> str:
        port = f"{{name: main, port: 80, targetPort: {self.world.origin}}}"
        return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: tails}}\nspec: {{clusterIP: None, ports: [{port}]}}\n---\n"

    def _slice(self, name: str, addresses: list[str]) -> str:
        listed = ", ".join(f'{{addresses: ["{address}"], conditions: {{ready: true}}}}' for address in addresses)
        meta = f"{{name: {name}-a, namespace: tails, labels: {{kubernetes.io/service-name: {name}}}}}"
        port = f"[{{name: main, port: {self.world.origin}}}]"
        return f"apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {meta}\naddressType: IPv4\nports: {port}\nendpoints: [{listed}]\n"


class Nginx:
    """A file that is written anew, and SIGHUP."""

    name = "nginx"

    def __init__(self, world: World):
        self.world, self.port = world, world.port
        self.conf = world.folder / "nginx.conf"
        world.first = world.names = 1
        self._write()

    def command(self) -> list[str]:
        return ["nginx", "-p", str(self.world.folder), "-e", "stderr", "-c", str(self.conf)]

    def change_endpoints(self) -> None:
        self.world.first += 1
        self._reload()

    def change_routes(self) -> None:
        self.world.names += 1
        self._reload()

    def _reload(self) -> None:
        self._write()
        pid = self.world.folder / "pid"
        if pid.exists():
            os.kill(int(pid.read_text()), signal.SIGHUP)

    def _write(self) -> None:
        world = self.world
        user = "user root;\n" if os.geteuid() == 0 else ""
        temporary = "".join(f"{kind}_temp_path {world.folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        servers = "".join(f"    server {address}:{world.origin};\n" for address in world.endpoints())
        shared = "location / { proxy_pass http://%s; }"
        hosts = "".join(f"  server {{ listen 127.0.0.1:{world.port}; server_name {host}; {shared % 'cold'} }}\n" for host in world.hosts())
        self.conf.write_text(
            f"daemon off;\n{user}worker_processes 1;\nworker_rlimit_nofile {world.files};\nerror_log stderr crit;\npid {world.folder}/pid;\n"
            "events { worker_connections 15000; multi_accept on; }\n"
            "http {\n  access_log off; keepalive_timeout 600s; keepalive_requests 1000000000;\n"
            "  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;\n"
            f'  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;\n{temporary}'
            f"  upstream hot {{\n    least_conn;\n{servers}    keepalive 256; keepalive_requests 1000000000;\n  }}\n"
            f"  upstream cold {{ server 127.60.1.1:{world.origin}; keepalive 16; }}\n"
            f"  server {{ listen 127.0.0.1:{world.port}; server_name hot.example; {shared % 'hot'} }}\n{hosts}}}\n"
        )


class Haproxy:
    """Endpoints by its runtime interface; routes by a map that is written anew, and a reload of the master."""

    name = "haproxy"

    def __init__(self, world: World):
        self.world, self.port = world, world.port
        self.conf, self.map = world.folder / "haproxy.cfg", world.folder / "hosts.map"
        world.first = world.names = 1
        self._write()

    def command(self) -> list[str]:
        return ["haproxy", "-W", "-db", "-S", f"{self.world.folder}/master", "-f", str(self.conf)]

    def change_endpoints(self) -> None:
        number, self.world.first = self.world.first, self.world.first + 1
        address = self.world.endpoints()[-1]
        self._say("sock", f"set server hot/s{number % ENDPOINTS} addr {address} port {self.world.origin}")

    def change_routes(self) -> None:
        self.world.names += 1
        self._write()
        self._say("master", "reload")

    def _say(self, where: str, words: str) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            try:
                control.connect(f"{self.world.folder}/{where}")
                control.sendall(f"{words}\n".encode())
                while control.recv(4096):
                    pass
            except (ConnectionError, FileNotFoundError):
                pass  # it is just being reloaded

    def _write(self) -> None:
        world = self.world
        self.map.write_text("hot.example hot\n" + "".join(f"{host} cold\n" for host in world.hosts()))
        ordered = sorted(range(world.first, world.first + ENDPOINTS), key=lambda number: number % ENDPOINTS)
        addresses = dict(zip(range(world.first, world.first + ENDPOINTS), world.endpoints()))
        servers = "".join(f"  server s{number % ENDPOINTS} {addresses[number]}:{world.origin}\n" for number in ordered)
        self.conf.write_text(
            f"global\n  nbthread 1\n  maxconn 6000\n  stats socket {world.folder}/sock mode 600 level admin expose-fd listeners\n"
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 600s\n  timeout server 600s\n  http-reuse always\n"
            "  default-server pool-purge-delay 600s\n"
            f"frontend front\n  bind 127.0.0.1:{world.port} backlog 4096\n  use_backend %[req.hdr(host),lower,map_str({self.map})]\n"
            f"backend hot\n  balance leastconn\n{servers}backend cold\n  server s 127.60.1.1:{world.origin}\n"
        )


class Origin:
    """No proxy at all: what the machine, the load and the origin are late by themselves."""

    name = "origin"

    def __init__(self, world: World):
        self.world, self.port = world, world.origin

    def command(self) -> list[str]:
        return ["sleep", "infinity"]


PROXIES = {one.name: one for one in (Tidegate, Nginx, Haproxy, Origin)}
