//! Tidegate: a folder of manifests, and defaults but for one: a TCP connection may wait for a replica (`limits.connectionWaitMs`) as long as
//! a request does. It may not by default, since some protocols take a silent connection for a living one.
//!
//! Each change is one EndpointSlice file that is moved into place. A member that ends is `terminating` and still `serving`, as the
//! EndpointSlice controller writes it before the kubelet has seen the end. It has let go when the admin API shows no endpoint of the pod
//! any more: a removed one is Draining there until every worker has acknowledged a picture without it, and no older one is in use.

use std::fs;
use std::io;
use std::net::SocketAddr;

use tidegate_tests::objects::{self, ingress, path};
use tidegate_tests::{Setup, Tidegate};

use super::{Contender, Member, Start, WORKERS};
use crate::ledger::{SHOP, TAKER};
use crate::load::{Doors, host};

#[derive(Debug)]
pub(super) struct Running {
    gate: Tidegate,
    doors: Doors,
    port: u16,
}

impl Running {
    pub(super) fn start(start: &Start<'_>) -> io::Result<Running> {
        let port = start.port();
        let gate = Setup::new(start.net)
            .flag("--workers", &WORKERS.to_string())
            .flag("--access-log", "access.log")
            .config("limits: {connectionWaitMs: 5000}\n")
            .manifest("sites.yaml", sites(start))
            .manifest(&file(SHOP), slices(SHOP, port, &start.shop))
            .manifest(&file(TAKER), slices(TAKER, port, &start.taker))
            .start();
        let http = gate.http();
        let doors = Doors { http1: http, http2: http, tcp: SocketAddr::from((start.net.vip(10), port)) };
        Ok(Running { gate, doors, port })
    }
}

/// Services and Ingresses: they stay. HTTP has no virtual IP, so that no port below 1024 is asked for.
fn sites(start: &Start<'_>) -> String {
    let site = |name: &str| {
        let rules = [path("Prefix", "/", name, 80), path("Prefix", "/tidegate.Rollout", name, 81)];
        let service = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{clusterIP: None, ports: [\
             {{name: http, port: 80, appProtocol: http}}, {{name: grpc, port: 81, appProtocol: grpc}}]}}\n"
        );
        [service, ingress(name, &host(name), &rules)]
    };
    let tcp = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {SHOP}-tcp}}\nspec: {{clusterIP: {}, ports: [{{name: tcp, port: {}}}]}}\n",
        start.net.vip(10),
        start.port()
    );
    objects::file(&[site(SHOP), site(TAKER)].concat().into_iter().chain([tcp]).collect::<Vec<_>>())
}

fn file(service: &str) -> String {
    format!("{service}-endpoints.yaml")
}

/// The slices of a Service: of its HTTP ports, and of its TCP port, which is another Service.
fn slices(service: &str, port: u16, members: &[Member]) -> String {
    let slice = |of: &str, ports: &str| {
        let endpoints: String = members.iter().map(endpoint).collect();
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {of}-1, labels: {{kubernetes.io/service-name: {of}}}}}\naddressType: IPv4\nports: [{ports}]\n\
             endpoints: [{endpoints}]\n"
        )
    };
    let http = slice(service, &format!("{{name: http, port: {port}, appProtocol: http}}, {{name: grpc, port: {port}, appProtocol: grpc}}"));
    if service == SHOP {
        objects::file(&[http, slice(&format!("{SHOP}-tcp"), &format!("{{name: tcp, port: {}}}", port + 1))])
    } else {
        http
    }
}

fn endpoint(member: &Member) -> String {
    let Member { pod, uid, ip, terminating } = member;
    let ready = !terminating;
    format!(
        "{{addresses: ['{ip}'], conditions: {{ready: {ready}, serving: true, terminating: {terminating}}}, \
         targetRef: {{kind: Pod, name: {pod}, uid: {uid}}}}}, "
    )
}

impl Contender for Running {
    fn doors(&self) -> Doors {
        self.doors
    }

    fn publish(&mut self, service: &str, members: &[Member]) -> io::Result<()> {
        self.gate.swap(&file(service), &slices(service, self.port, members));
        Ok(())
    }

    fn has_let_go(&mut self, _service: &str, member: &Member) -> io::Result<bool> {
        let pod = format!("default/{}", member.pod);
        Ok(self.gate.rows("endpoints").iter().all(|row| row["pod"] != pod.as_str()))
    }

    fn explain(&self, id: u64) -> Option<String> {
        let log = fs::read_to_string(self.gate.home().join("access.log")).ok()?;
        let (path, call) = (format!("/{id} "), format!("request_id=id-{id} "));
        log.lines().find(|line| line.contains(&path) || line.contains(&call)).map(str::to_owned)
    }
}
