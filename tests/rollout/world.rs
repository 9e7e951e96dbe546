//! Two Services whose pods come and go as a Deployment's do, and the order in which the proxy learns of it.
//!
//! A pod that is told to end is gone at once, and only then does the proxy learn that it is terminating; its address goes to a pod of the
//! other Service before the endpoint is removed. Controllers and kubelets take some milliseconds for each step, by chance: sometimes a new
//! pod is known before the old one ends, sometimes not.
//!
//! Invariant: what is published is what an API server would hold at that moment. While a pod is replaced nobody waits for the proxy; only
//! between one and the next, until it has let go of what is gone.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use tidegate_tests::{Chance, Net};

use crate::contender::{Contender, Member};
use crate::ledger::{Life, SHOP, TAKER};
use crate::plan::Plan;
use crate::pods::{Addresses, Nursery, Process};

/// Replicas of the Service that takes freed addresses.
const TAKERS: usize = 2;
/// Processes that wait for an address.
const WAITING: usize = 4;
/// Longest step of a controller or kubelet, in milliseconds.
const STEP_MS: u64 = 50;
/// Between two looks at what the proxy has let go of.
const GLANCE: Duration = Duration::from_millis(2);
/// How long the proxy has to say that it let go of an endpoint.
const LETTING_GO: Duration = Duration::from_secs(10);

/// How a Deployment replaces its pods (`spec.strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// `maxSurge: 1, maxUnavailable: 0`: the new one is Ready before the old one is told to end.
    Surge,
    /// `maxSurge: 0, maxUnavailable: 1`: the old one ends first, one after the other.
    Swap,
    /// `type: Recreate`: all old ones end before the first new one begins.
    Recreate,
}

impl Strategy {
    pub(crate) const ALL: [Strategy; 3] = [Strategy::Surge, Strategy::Swap, Strategy::Recreate];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Strategy::Surge => "surge",
            Strategy::Swap => "swap",
            Strategy::Recreate => "recreate",
        }
    }
}

/// A pod that runs.
#[derive(Debug)]
struct Pod {
    member: Member,
    process: Process,
    /// Its place among the lives.
    life: usize,
}

/// A pod that has ended.
#[derive(Debug)]
struct Ghost {
    service: &'static str,
    member: Member,
    life: usize,
}

/// One Service.
#[derive(Debug, Default)]
struct App {
    pods: Vec<Pod>,
    terminating: Vec<Member>,
}

impl App {
    /// As it stands in the API.
    fn members(&self) -> Vec<Member> {
        self.pods.iter().map(|pod| pod.member.clone()).chain(self.terminating.iter().cloned()).collect()
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct World {
    shop: App,
    taker: App,
    addresses: Addresses,
    nursery: Nursery,
    lives: Vec<Life>,
    /// Removed, and perhaps still asked.
    removed: Vec<Ghost>,
    chance: Chance,
    /// Between the replacement of a pod and that of the next.
    pause: Duration,
    port: u16,
    names: u32,
}

impl World {
    /// With so many pods of the shop, which listen before this returns. No proxy knows of them yet.
    pub(crate) fn new(net: &Net, replicas: usize, journal: &Path, plan: &Plan) -> io::Result<World> {
        let ips = (0..2 * replicas + 2 * TAKERS + 4).filter_map(|_| match net.replica_ip() {
            std::net::IpAddr::V4(ip) => Some(ip),
            std::net::IpAddr::V6(_) => None,
        });
        let mut world = World {
            shop: App::default(),
            taker: App::default(),
            addresses: Addresses::new(ips),
            nursery: Nursery::new(journal, WAITING + replicas)?,
            lives: Vec::new(),
            removed: Vec::new(),
            chance: Chance::of(plan.seed),
            pause: plan.pause,
            port: net.port(),
            names: 0,
        };
        for service in std::iter::repeat_n(SHOP, replicas).chain([TAKER; TAKERS]) {
            let ip = world.addresses.take()?;
            world.bear(service, ip)?;
        }
        Ok(world)
    }

    /// What a proxy is told of a Service.
    pub(crate) fn members(&self, service: &str) -> Vec<Member> {
        if service == SHOP { self.shop.members() } else { self.taker.members() }
    }

    /// The pods' lives so far.
    pub(crate) fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// Replaces every pod of the shop once.
    pub(crate) fn roll(&mut self, proxy: &mut dyn Contender, strategy: Strategy) -> io::Result<()> {
        let old: Vec<String> = self.shop.pods.iter().map(|pod| pod.member.pod.clone()).collect();
        match strategy {
            Strategy::Recreate => {
                let ghosts = old.iter().map(|pod| self.end(proxy, SHOP, pod)).collect::<io::Result<Vec<_>>>()?;
                ghosts.into_iter().try_for_each(|ghost| self.remove(proxy, ghost))?;
                old.iter().try_for_each(|_| self.begin(proxy))?;
                self.settle(proxy)
            }
            Strategy::Surge => old.iter().try_for_each(|pod| {
                self.begin(proxy)?;
                self.step(proxy)?;
                let ghost = self.end(proxy, SHOP, pod)?;
                self.remove(proxy, ghost)?;
                self.settle(proxy)
            }),
            Strategy::Swap => old.iter().try_for_each(|pod| {
                let ghost = self.end(proxy, SHOP, pod)?;
                self.remove(proxy, ghost)?;
                self.begin(proxy)?;
                self.settle(proxy)
            }),
        }
    }

    /// A new pod of the shop, Ready.
    fn begin(&mut self, proxy: &mut dyn Contender) -> io::Result<()> {
        self.step(proxy)?;
        let ip = self.addresses.take()?;
        self.bear(SHOP, ip)?;
        self.publish(proxy, SHOP)
    }

    /// A new pod at `ip`.
    fn bear(&mut self, service: &'static str, ip: Ipv4Addr) -> io::Result<()> {
        self.names += 1;
        let pod = format!("{service}-{}", self.names);
        let mut process = self.nursery.take()?;
        process.serve(service, &pod, ip, self.port)?;
        let life = Life { service, pod: pod.clone(), ip, born: Instant::now(), told: None, ended: None, removed: None, let_go: None };
        self.lives.push(life);
        let member = Member { pod, uid: format!("uid-{}", self.names), ip, terminating: false };
        let life = self.lives.len() - 1;
        self.app(service).pods.push(Pod { member, process, life });
        Ok(())
    }

    /// SIGTERM, and all that follows within milliseconds: the pod is gone, the API says that it is terminating, and a pod of the other
    /// Service has its address.
    fn end(&mut self, proxy: &mut dyn Contender, service: &'static str, pod: &str) -> io::Result<Ghost> {
        let app = self.app(service);
        let at = app.pods.iter().position(|have| have.member.pod == pod).ok_or_else(|| io::Error::other(format!("no pod {pod}")))?;
        let Pod { mut member, process, life } = app.pods.remove(at);
        let (told, ended) = process.end()?;
        member.terminating = true;
        self.app(service).terminating.push(member.clone());
        self.lives[life].told = Some(told);
        self.lives[life].ended = Some(ended);
        let ip = member.ip;
        self.publish(proxy, service)?;
        if service == SHOP {
            self.bear(TAKER, ip)?;
            self.publish(proxy, TAKER)?;
        } else {
            self.addresses.give(ip);
        }
        Ok(Ghost { service, member, life })
    }

    /// The kubelet has seen the end: the endpoint goes.
    fn remove(&mut self, proxy: &mut dyn Contender, ghost: Ghost) -> io::Result<()> {
        self.step(proxy)?;
        self.app(ghost.service).terminating.retain(|member| *member != ghost.member);
        self.lives[ghost.life].removed = Some(Instant::now());
        self.publish(proxy, ghost.service)?;
        self.removed.push(ghost);
        Ok(())
    }

    /// Notes whom the proxy has let go of.
    fn watch(&mut self, proxy: &mut dyn Contender) -> io::Result<()> {
        for ghost in std::mem::take(&mut self.removed) {
            if proxy.has_let_go(ghost.service, &ghost.member)? {
                self.lives[ghost.life].let_go = Some(Instant::now());
            } else {
                self.removed.push(ghost);
            }
        }
        Ok(())
    }

    /// Ends what the other Service has too many of, and waits until the proxy has let go of all that is gone, or has had its time.
    fn settle(&mut self, proxy: &mut dyn Contender) -> io::Result<()> {
        while self.taker.pods.len() > TAKERS {
            let oldest = self.taker.pods[0].member.pod.clone();
            let ghost = self.end(proxy, TAKER, &oldest)?;
            self.remove(proxy, ghost)?;
        }
        self.nursery.fill(WAITING)?;
        let end = Instant::now() + LETTING_GO;
        while !self.removed.is_empty() && Instant::now() < end {
            self.watch(proxy)?;
            rest(GLANCE);
        }
        self.removed.clear();
        rest(self.pause);
        self.step(proxy)
    }

    fn publish(&self, proxy: &mut dyn Contender, service: &str) -> io::Result<()> {
        proxy.publish(service, &self.members(service))
    }

    fn app(&mut self, service: &str) -> &mut App {
        if service == SHOP { &mut self.shop } else { &mut self.taker }
    }

    /// Some controller does its work.
    fn step(&mut self, proxy: &mut dyn Contender) -> io::Result<()> {
        let end = Instant::now() + Duration::from_millis(self.chance.number() % STEP_MS);
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.watch(proxy)?;
            rest(left.min(GLANCE));
        }
        Ok(())
    }
}

/// Waits: time is what a rollout is made of.
pub(crate) fn rest(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
