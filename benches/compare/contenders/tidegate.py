"""Tidegate: manifests in a folder, defaults throughout.

Not tuned: what is said here is where to listen, how many workers, and no access log, since the others have none either. In TLS it sends
two session tickets, and TLS 1.2 is there for who asks for it: neither can be switched off. `appProtocol` tells it of replicas of gRPC.
Each route is a Service with an EndpointSlice and an Ingress rule. The Services are headless, for the others have no virtual IPs
to bind; over TCP and UDP the virtual IP is the way in.
"""

import base64
import os

from certificate import Certificate
from contenders.contract import EVERYTHING, Contender, Route, Setup
from scenarios import LOCAL

PROGRAM = os.environ.get("TIDEGATE", "tidegate")

SERVICE = """---
apiVersion: v1
kind: Service
metadata: {{name: s{i}, namespace: compare}}
spec: {{clusterIP: {vip}, ports: [{{name: main, port: {front}, targetPort: {port}, protocol: {protocol}{app}}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: s{i}-a, namespace: compare, labels: {{kubernetes.io/service-name: s{i}}}}}
addressType: IPv4
ports: [{{name: main, port: {port}, protocol: {protocol}{app}}}]
endpoints: [{{addresses: ["{ip}"], conditions: {{ready: true}}}}]
"""
INGRESS = """apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: compare, namespace: compare}
spec:
"""
SECRET = """apiVersion: v1
kind: Secret
metadata: {{name: compare, namespace: compare}}
type: kubernetes.io/tls
data: {{tls.crt: {chain}, tls.key: {key}}}
"""
RULE = """  - host: {host}
    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: s{i}, port: {{number: 80}}}}}}}}]}}
"""


def command(setup: Setup) -> list[str]:
    manifests = setup.folder / "manifests"
    manifests.mkdir()
    opaque = setup.layer in ("tcp", "udp")
    said = {"protocol": "UDP" if setup.layer == "udp" else "TCP", "app": ", appProtocol: grpc" if setup.layer == "grpc" else ""}

    def service(i: int, route: Route) -> str:
        way = {"vip": route.vip, "front": setup.port} if opaque else {"vip": "None", "front": 80}
        return SERVICE.format(i=i, ip=route.ip, port=route.port, **said, **way)

    (manifests / "services.yaml").write_text("".join(service(i, route) for i, route in enumerate(setup.routes)))
    if setup.certificate:
        (manifests / "secret.yaml").write_text(_secret(setup.certificate))
    if not opaque:
        (manifests / "ingress.yaml").write_text(_ingress(setup))
    front = f"127.0.0.1:{setup.port}"
    ways = {"http": "none", "https": "none"} | ({} if opaque else {"https" if setup.certificate else "http": front})
    argv = [PROGRAM, "run", "--manifests", str(manifests), "--state-dir", str(setup.folder / "state")]
    argv += ["--workers", str(setup.workers), "--admin", "127.0.0.1:0", "--http", ways["http"], "--https", ways["https"]]
    argv += ["--service-cidr", "127.0.0.0/16" if opaque else "127.96.0.0/16"]
    argv += ["--access-log", str(setup.folder / "access") if "log" in setup.variant else "none"]
    return argv + (["--metrics", f"127.0.0.1:{setup.metrics_port}"] if "metrics" in setup.variant else [])


def _ingress(setup: Setup) -> str:
    hosts = ", ".join([LOCAL, *(route.host for route in setup.routes)])
    tls = f"  tls: [{{secretName: compare, hosts: [{hosts}]}}]\n" if setup.certificate else ""
    return INGRESS + tls + "  rules:\n" + "".join(RULE.format(i=i, host=route.host) for i, route in enumerate(setup.routes))


def _secret(certificate: Certificate) -> str:
    chain, key = (base64.b64encode(path.read_bytes()).decode() for path in (certificate.chain, certificate.key))
    return SECRET.format(chain=chain, key=key)


CONTENDER = Contender("tidegate", PROGRAM, "--version", EVERYTHING, "build it and name it in TIDEGATE", command)
