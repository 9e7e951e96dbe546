//! The demo's world: three apps, their replicas, and the folder in which an operator and a kubelet would describe them.
//!
//! Invariant: a file appears whole or not at all (written beside, then renamed), and a replica listens before its pod is Ready.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net};

use super::replica::{Protocol, Replica};

/// One app of the demo: a Service and its pods.
#[derive(Debug)]
pub(super) struct App {
    pub(super) name: &'static str,
    pub(super) namespace: &'static str,
    /// The host that its Ingress serves.
    pub(super) host: &'static str,
    pub(super) protocol: Protocol,
}

/// A public site.
pub(super) const SHOP: App = App { name: "shop", namespace: "web", host: "shop.localhost", protocol: Protocol::Http };
/// Another one behind the same Ingress.
pub(super) const API: App = App { name: "api", namespace: "web", host: "api.localhost", protocol: Protocol::Http };
/// What must stay inside.
pub(super) const DB: App = App { name: "db", namespace: "data", host: "db.internal", protocol: Protocol::Lines };
/// All of them.
pub(super) const APPS: [&App; 3] = [&SHOP, &API, &DB];
/// What an Ingress asks for in vain: the Service behind it is sealed.
pub(super) const LEAK_HOST: &str = "leak.localhost";

/// Replicas of each app.
const REPLICAS: usize = 3;
/// An address rests this many replacements before another app's pod takes it.
const REST: usize = 3;

/// The part of the world that an operator writes.
const SITE: &str = include_str!("site.yaml");

/// Ports and addresses that were free when the demo began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// Of the two sites' Services and pods.
    pub(super) http: u16,
    /// Of the database.
    pub(super) lines: u16,
    /// For virtual IPs: not shared with another demo that runs.
    pub(super) service_cidr: IpNet,
}

impl Ports {
    /// The usual ports when nothing has them on every address, else any others.
    pub(super) fn choose() -> io::Result<Ports> {
        let http = free_port(8080)?;
        let lines = free_port(5432)?;
        let first = (std::process::id() % 256) as u8;
        let free = |third: &u8| (1..=6).all(|last| [http, lines].iter().all(|&port| is_free([127, 96, *third, last].into(), port)));
        let third = (0..=255).map(|step: u8| first.wrapping_add(step)).find(free);
        let third = third.ok_or_else(|| io::Error::other("no free range of virtual IPs in 127.96.0.0/16: other demos have them all"))?;
        Ok(Ports { http, lines, service_cidr: IpNet::from(Ipv4Net::new_assert([127, 96, third, 0].into(), 24)) })
    }

    fn of(&self, app: &App) -> u16 {
        match app.protocol {
            Protocol::Http => self.http,
            Protocol::Lines => self.lines,
        }
    }
}

fn is_free(ip: Ipv4Addr, port: u16) -> bool {
    TcpListener::bind((ip, port)).is_ok()
}

fn free_port(usual: u16) -> io::Result<u16> {
    let probe = Ipv4Addr::new(127, 96, 255, 254);
    if is_free(probe, usual) { Ok(usual) } else { Ok(TcpListener::bind((probe, 0))?.local_addr()?.port()) }
}

/// A folder with `manifests` and `state` in it.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes both in `root`.
    pub(super) fn new(root: &Path) -> io::Result<Folder> {
        std::fs::create_dir(root.join("manifests"))?;
        Ok(Folder(root.to_owned()))
    }

    /// What the proxy watches.
    pub(super) fn manifests(&self) -> PathBuf {
        self.0.join("manifests")
    }

    /// Where the proxy keeps what a restart needs.
    pub(super) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let whole = self.manifests().join(format!("{name}.yaml"));
        let beside = whole.with_extension("new");
        std::fs::write(&beside, text)?;
        std::fs::rename(beside, whole)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.manifests().join(format!("{name}.yaml")))
    }
}

/// What a pod's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ready,
    /// It was asked to leave.
    Terminating,
}

/// Everything there is, apart from the proxy.
pub(super) struct World {
    pub(super) folder: Folder,
    pub(super) ports: Ports,
    /// Oldest first.
    replicas: Vec<(&'static App, Replica)>,
    /// Addresses that no pod has any more, and what they served.
    left: VecDeque<(&'static App, Ipv4Addr)>,
    ips: u16,
    pods: u32,
}

impl World {
    /// Starts the replicas and writes the manifests. Needs the runtime that the replicas live on.
    pub(super) fn build(folder: Folder, ports: Ports) -> io::Result<World> {
        let mut world = World { folder, ports, replicas: Vec::new(), left: VecDeque::new(), ips: 0, pods: 0 };
        let site = SITE.replace("HTTP_PORT", &ports.http.to_string()).replace("LINES_PORT", &ports.lines.to_string());
        world.folder.write("site", &site)?;
        for app in APPS {
            for _ in 0..REPLICAS {
                world.add(app)?;
                world.publish(app, world.newest(), Status::Ready)?;
            }
        }
        Ok(world)
    }

    /// The oldest replica of an app leaves the list, to be ended by the caller.
    pub(super) fn take_oldest(&mut self, app: &App) -> Option<Replica> {
        let at = self.replicas.iter().position(|(of, _)| of.name == app.name)?;
        Some(self.replicas.remove(at).1)
    }

    /// Starts a new replica of an app, which is then the [`World::newest`]; its pod is not written yet.
    pub(super) fn add(&mut self, app: &'static App) -> io::Result<()> {
        self.pods += 1;
        let name = format!("{}-{}", app.name, self.pods);
        let (listener, before) = self.bind(app)?;
        let mut replica = Replica::start(name, app.name, app.protocol, listener)?;
        replica.before = before;
        self.replicas.push((app, replica));
        Ok(())
    }

    /// The replica that was added last.
    pub(super) fn newest(&self) -> &Replica {
        &self.replicas[self.replicas.len() - 1].1
    }

    /// An address that another app's pod had and left, once it has rested, and whose it was; else one that nobody had.
    fn bind(&mut self, app: &App) -> io::Result<(TcpListener, Option<&'static str>)> {
        let rested = self.left.len().saturating_sub(REST);
        let old = self.left.iter().take(rested).position(|(of, _)| of.name != app.name && of.protocol == app.protocol);
        if let Some((before, ip)) = old.and_then(|at| self.left.remove(at))
            && let Ok(listener) = TcpListener::bind((ip, self.ports.of(app)))
        {
            return Ok((listener, Some(before.name)));
        }
        let mut last = io::Error::other("no loopback address is left");
        for _ in 0..1000 {
            self.ips += 1;
            let [high, low] = self.ips.to_be_bytes();
            match TcpListener::bind((Ipv4Addr::new(127, 40, high, low), self.ports.of(app))) {
                Ok(listener) => return Ok((listener, None)),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Writes a replica's pod as a kubelet would.
    pub(super) fn publish(&self, app: &App, replica: &Replica, status: Status) -> io::Result<()> {
        let deletion = match status {
            Status::Ready => "",
            Status::Terminating => "\n  deletionTimestamp: \"2026-01-01T00:00:00Z\"",
        };
        let pod = format!(
            r#"apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: {namespace}
  uid: uid-of-{name}
  labels: {{ app: {app} }}{deletion}
spec:
  containers:
    - {{ name: app, image: demo, ports: [{{ containerPort: {port} }}] }}
status:
  phase: Running
  podIP: {ip}
  conditions: [{{ type: Ready, status: "True" }}]
"#,
            name = replica.name,
            namespace = app.namespace,
            app = app.name,
            port = replica.address.port(),
            ip = replica.address.ip(),
        );
        self.folder.write(&replica.name, &pod)
    }

    /// Removes the pod of a replica that ended; its address may serve another app later.
    pub(super) fn forget(&mut self, app: &'static App, name: &str, address: SocketAddrV4) -> io::Result<()> {
        self.left.push_back((app, *address.ip()));
        self.folder.remove(name)
    }

    /// One replica's address.
    pub(super) fn address_of(&self, app: &App) -> Option<SocketAddr> {
        self.replicas.iter().find(|(of, _)| of.name == app.name).map(|(_, replica)| replica.address.into())
    }

    /// How many replicas listen.
    pub(super) fn alive(&self) -> usize {
        self.replicas.len()
    }
}
