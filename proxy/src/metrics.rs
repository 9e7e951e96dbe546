//! `/metrics`: what the workers counted and what the registry knows, in Prometheus' text form.
//!
//! Built anew for each scrape, on the control thread, from counters that have one writer each; there is no global registry and no label
//! is looked up while traffic flows. A service appears over HTTP once a worker has met it; the listeners of Services are
//! there from the start, with zeros, so that its first connection is an increase.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use config::exposure::Exposure;
use config::object::Protocol;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};
use registry::core::{Counts, Ejections};
use registry::snapshot::{Plane, PortName, Snapshot};
use registry::view::{SourceView, WorkloadView};

use crate::dns;
use crate::reason::Reason;
use crate::stats::{Bound, Dropped, Entry, Flow, LATENCY_BOUNDS_US, ServiceCounts, WorkerCounts, plane};
use crate::tls::Outcome;

mod pressure;
mod questions;

/// What a scrape looks at.
pub struct Scene<'a> {
    /// What each worker counted.
    pub workers: &'a [Arc<WorkerCounts>],
    /// The version that each worker acknowledged.
    pub acknowledged: Vec<u64>,
    /// The newest picture.
    pub snapshot: &'a Snapshot,
    /// Time since it came.
    pub age: Duration,
    /// The registry's numbers.
    pub counts: &'a Counts,
    /// The sources.
    pub sources: Vec<SourceView>,
    /// What was asked by DNS, where it is on.
    pub dns: Option<&'a dns::Counts>,
}

/// The whole text.
///
/// # Errors
/// A family that breaks the format, which would be a mistake of ours.
pub fn render(scene: &Scene<'_>) -> prometheus::Result<String> {
    let mut families = Families::default();
    let services = sum(scene.workers);
    requests(&services, &mut families);
    in_flight(&services, scene.snapshot, &mut families);
    vips(&services, scene.snapshot, &mut families);
    outward(&services, scene.snapshot, &mut families);
    datagrams(&services, scene, &mut families);
    upgraded(&services, &mut families);
    pressure::bounded(&services, &mut families);
    pressure::of_workers(scene.workers, &mut families);
    of_workers(scene.workers, &mut families);
    handshakes(scene.workers, &mut families);
    of_picture(scene, &mut families);
    of_registry(scene, &mut families);
    questions::asked(scene.dns, &mut families);
    let mut text = Vec::new();
    TextEncoder::new().encode(&families.0, &mut text)?;
    String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
}

/// One service port on one plane, over all workers.
#[derive(Clone, Default)]
pub(crate) struct Sum {
    pub(crate) answers: [u64; 5],
    pub(crate) latency: [u64; LATENCY_BOUNDS_US.len() + 1],
    pub(crate) latency_sum_us: u64,
    pub(crate) retries: u64,
    pub(crate) full: [u64; Bound::ALL.len()],
    pub(crate) own: FlowSum,
    pub(crate) udp: FlowSum,
    pub(crate) datagrams: [u64; 2],
    pub(crate) upgraded: FlowSum,
}

/// As [`Flow`], over all workers.
#[derive(Clone, Default)]
pub(crate) struct FlowSum {
    pub(crate) connections: u64,
    pub(crate) open: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
}

pub(crate) type Sums = BTreeMap<(PortName, Exposure), Sum>;

/// What all workers counted, by service port and plane.
pub(crate) fn sum(workers: &[Arc<WorkerCounts>]) -> Sums {
    let mut sums = Sums::new();
    for Entry { name, exposure, counts } in workers.iter().flat_map(|worker| worker.entries()) {
        sums.entry((name, exposure)).or_default().add(&counts);
    }
    sums
}

impl Sum {
    fn add(&mut self, counts: &ServiceCounts) {
        self.answers.iter_mut().zip(&counts.answers).for_each(|(sum, count)| *sum += count.get());
        self.latency.iter_mut().zip(&counts.latency).for_each(|(sum, count)| *sum += count.get());
        self.latency_sum_us += counts.latency_sum_us.get();
        self.retries += counts.retries.get();
        self.full.iter_mut().zip(&counts.full).for_each(|(sum, count)| *sum += count.get());
        self.own.add(&counts.own);
        self.udp.add(&counts.udp.flows);
        self.datagrams[0] += counts.udp.up.get();
        self.datagrams[1] += counts.udp.down.get();
        self.upgraded.add(&counts.upgraded);
    }

    fn histogram(&self) -> Histogram {
        let mut below = 0;
        let buckets = LATENCY_BOUNDS_US.iter().zip(&self.latency).map(|(&bound, &count)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound as f64 / 1e6);
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(self.latency.iter().sum());
        histogram.set_sample_sum(self.latency_sum_us as f64 / 1e6);
        histogram
    }
}

impl FlowSum {
    fn add(&mut self, flow: &Flow) {
        self.connections += flow.connections.get();
        // Each worker adds and takes its own, so that no term is below zero.
        self.open += flow.open.get();
        self.up += flow.up.get();
        self.down += flow.down.get();
    }
}

fn requests(services: &Sums, families: &mut Families) {
    let (mut answers, mut durations, mut retries) = (Vec::new(), Vec::new(), BTreeMap::<String, u64>::new());
    for ((name, exposure), sum) in services {
        let name = name.to_string();
        for (class, &count) in sum.answers.iter().enumerate().filter(|(_, count)| **count > 0) {
            let code = format!("{}xx", class + 1);
            answers.push((labels([("exposure", exposure.as_str()), ("service", &name), ("code", &code)]), count as f64));
        }
        if sum.answers.iter().any(|&count| count > 0) {
            durations.push((labels([("exposure", exposure.as_str()), ("service", &name)]), sum.histogram()));
        }
        *retries.entry(name).or_default() += sum.retries;
    }
    families.counters(
        "tidegate_requests_total",
        "Answers for a service, by class of status; our own after a failed try included.",
        answers,
    );
    families.histograms("tidegate_request_duration_seconds", "From the request's head to the end of the replica's answer.", durations);
    let retries = retries.iter().map(|(name, &count)| (labels([("service", name)]), count as f64)).collect();
    families.counters("tidegate_retries_total", "Tries of a request or connection after its first.", retries);
}

/// Replicas count what they carry together, over all workers, planes and services that they are in.
fn in_flight(services: &Sums, snapshot: &Snapshot, families: &mut Families) {
    let live: HashMap<&PortName, _> = snapshot.internal.services.iter().map(|service| (&service.name, service)).collect();
    let mut names: Vec<&PortName> = services.keys().map(|(name, _)| name).collect();
    names.dedup();
    let samples = names.into_iter().map(|name| {
        let loads = live.get(name).into_iter().flat_map(|service| service.members()).map(|endpoint| &endpoint.replica.load);
        let busy: u64 = loads.map(|load| u64::from(load.in_flight.load(Relaxed))).sum();
        (labels([("service", &name.to_string())]), busy as f64)
    });
    let help = "Requests and connections in flight at the service's replicas; a replica in several services counts in each.";
    families.gauges("tidegate_requests_in_flight", help, samples.collect());
}

/// What is carried by a plane's own TCP listeners: all of the picture, and those that are gone but carried something.
fn carried<'a>(services: &'a Sums, plane: &'a Plane, idle: &'a FlowSum) -> BTreeMap<&'a PortName, &'a FlowSum> {
    let here = services.iter().filter(|((_, side), sum)| *side == plane.exposure && sum.own.connections > 0);
    let listeners = plane.listeners.iter().filter(|(socket, _)| socket.protocol == Protocol::Tcp);
    let mut rows: BTreeMap<&PortName, &FlowSum> = listeners.map(|(_, listener)| (&listener.name, idle)).collect();
    rows.extend(here.map(|((name, _), sum)| (name, &sum.own)));
    rows
}

fn vips(services: &Sums, snapshot: &Snapshot, families: &mut Families) {
    let idle = FlowSum::default();
    let [total, open, bytes] = connections(carried(services, &snapshot.internal, &idle));
    families.counters("tidegate_vip_connections_total", "Connections carried through a virtual IP.", total);
    families.gauges("tidegate_vip_connections_open", "Connections through a virtual IP that are open.", open);
    families.counters("tidegate_vip_bytes_total", "Bytes through a virtual IP: up from clients, down to them.", bytes);
}

fn outward(services: &Sums, snapshot: &Snapshot, families: &mut Families) {
    let idle = FlowSum::default();
    let [total, open, bytes] = connections(carried(services, &snapshot.external, &idle));
    let through = "through node ports and load balancers";
    families.counters("tidegate_outward_connections_total", &format!("Connections carried {through}."), total);
    families.gauges("tidegate_outward_connections_open", &format!("Connections {through} that are open."), open);
    families.counters("tidegate_outward_bytes_total", &format!("Bytes {through}: up from clients, down to them."), bytes);
}

/// All, open, bytes.
fn connections(rows: BTreeMap<&PortName, &FlowSum>) -> [Samples<f64>; 3] {
    let (mut total, mut open, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for (name, sum) in rows {
        let name = name.to_string();
        total.push((labels([("service", &name)]), sum.connections as f64));
        open.push((labels([("service", &name)]), sum.open as f64));
        bytes.push((labels([("service", &name), ("direction", "up")]), sum.up as f64));
        bytes.push((labels([("service", &name), ("direction", "down")]), sum.down as f64));
    }
    [total, open, bytes]
}

/// Flows of UDP, by plane and service; what was dropped, by plane and cause.
fn datagrams(services: &Sums, scene: &Scene<'_>, families: &mut Families) {
    let idle = Sum::default();
    let planes = [&scene.snapshot.external, &scene.snapshot.internal];
    let wanted =
        planes.into_iter().flat_map(|plane| plane.listeners.iter().map(move |(socket, listener)| (socket, listener, plane.exposure)));
    let wanted = wanted.filter(|(socket, ..)| socket.protocol == Protocol::Udp);
    let mut rows: BTreeMap<(&str, &PortName), &Sum> = wanted.map(|(_, listener, side)| ((side.as_str(), &listener.name), &idle)).collect();
    let met = services.iter().filter(|(_, sum)| sum.udp.connections > 0);
    rows.extend(met.map(|((name, side), sum)| ((side.as_str(), name), sum)));
    let (mut total, mut open, mut bytes, mut count) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((exposure, name), sum) in rows {
        let name = name.to_string();
        let here = || labels([("exposure", exposure), ("service", &name)]);
        total.push((here(), sum.udp.connections as f64));
        open.push((here(), sum.udp.open as f64));
        for (at, direction, moved) in [(0, "up", sum.udp.up), (1, "down", sum.udp.down)] {
            let here = || labels([("exposure", exposure), ("service", &name), ("direction", direction)]);
            bytes.push((here(), moved as f64));
            count.push((here(), sum.datagrams[at] as f64));
        }
    }
    families.counters("tidegate_udp_flows_total", "Flows of UDP: one client address and port on one endpoint.", total);
    families.gauges("tidegate_udp_flows_open", "Flows of UDP that are open.", open);
    families.counters("tidegate_udp_datagrams_total", "Datagrams passed on: up from clients, down to them.", count);
    families.counters("tidegate_udp_bytes_total", "Bytes in them, without headers.", bytes);
    let mut dropped = Vec::new();
    for exposure in [Exposure::External, Exposure::Internal] {
        for cause in Dropped::ALL {
            let count: u64 = scene.workers.iter().map(|worker| worker.dropped[plane(exposure)][cause as usize].get()).sum();
            dropped.push((labels([("exposure", exposure.as_str()), ("cause", cause.as_str())]), count as f64));
        }
    }
    families.counters("tidegate_udp_dropped_total", "Datagrams that were not passed on, by cause.", dropped);
}

/// Services whose connections have ever switched to another protocol.
fn upgraded(services: &Sums, families: &mut Families) {
    let (mut open, mut bytes) = (Vec::new(), Vec::new());
    for ((name, exposure), sum) in services.iter().filter(|(_, sum)| sum.upgraded.connections > 0) {
        let (name, exposure) = (name.to_string(), exposure.as_str());
        open.push((labels([("exposure", exposure), ("service", &name)]), sum.upgraded.open as f64));
        for (direction, count) in [("up", sum.upgraded.up), ("down", sum.upgraded.down)] {
            bytes.push((labels([("exposure", exposure), ("service", &name), ("direction", direction)]), count as f64));
        }
    }
    families.gauges("tidegate_upgraded_connections_open", "Connections that switched protocols (WebSocket) and are open.", open);
    families.counters("tidegate_upgraded_bytes_total", "Bytes after a switch of protocols: up from clients, down to them.", bytes);
}

fn of_workers(workers: &[Arc<WorkerCounts>], families: &mut Families) {
    let all = |count: &dyn Fn(&WorkerCounts) -> u64| workers.iter().map(|worker| count(worker)).sum::<u64>() as f64;
    let (mut refusals, mut not_exposed, mut total, mut open) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut turned_away = Vec::new();
    for exposure in [Exposure::External, Exposure::Internal] {
        let (at, word) = (plane(exposure), exposure.as_str());
        for reason in Reason::ALL {
            let count = all(&|worker| worker.refusals[at][reason.index()].get());
            refusals.push((labels([("exposure", word), ("reason", reason.as_str())]), count));
        }
        let here = || labels([("exposure", word)]);
        not_exposed.push((here(), all(&|worker| worker.not_exposed[at].get())));
        turned_away.push((here(), all(&|worker| worker.turned_away[at].get())));
        total.push((here(), all(&|worker| worker.connections[at].get())));
        open.push((here(), all(&|worker| worker.connections_open[at].get())));
    }
    families.counters("tidegate_refusals_total", "Answers of Tidegate's own, by reason (docs/reasons.md).", refusals);
    families.counters("tidegate_not_exposed_total", "Misses whose rule was refused exposure.", not_exposed);
    families.counters(
        "tidegate_waited_total",
        "Requests, and connections through a Service's own listener, that waited for somebody who may answer them.",
        vec![(Vec::new(), all(&|worker| worker.waited.get()))],
    );
    families.gauges("tidegate_waiting_requests", "The same, those that wait now.", vec![(Vec::new(), all(&|worker| worker.waiting.get()))]);
    families.counters(
        "tidegate_turned_away_total",
        "Connections reset at once: their peer is outside internalCidrs or the source ranges.",
        turned_away,
    );
    families.counters("tidegate_connections_total", "Client connections accepted by HTTP listeners.", total);
    let each = workers.iter().enumerate().map(|(id, worker)| {
        let open = worker.connections_open.iter().map(|open| open.get()).sum::<u64>();
        (labels([("worker", &id.to_string())]), open as f64)
    });
    families.gauges("tidegate_worker_connections_open", "Client connections of HTTP listeners that are open, by worker.", each.collect());
    families.gauges("tidegate_connections_open", "Client connections of HTTP listeners that are open.", open);
}

/// Of the inside nothing is said until somebody shakes hands there.
fn handshakes(workers: &[Arc<WorkerCounts>], families: &mut Families) {
    let mut samples = Vec::new();
    for exposure in [Exposure::External, Exposure::Internal] {
        let count = |outcome: Outcome| workers.iter().map(|worker| worker.handshakes[plane(exposure)][outcome.index()].get()).sum::<u64>();
        let counts = Outcome::ALL.map(|outcome| (outcome.labels(), count(outcome)));
        if exposure == Exposure::External || counts.iter().any(|(_, count)| *count > 0) {
            let sample = |((result, version), count)| {
                (labels([("exposure", exposure.as_str()), ("result", result), ("version", version)]), count as f64)
            };
            samples.extend(counts.map(sample));
        }
    }
    let help = "TLS handshakes with clients by how they ended: full and resumed are connections, all others failed.";
    families.counters("tidegate_tls_handshakes_total", help, samples);
}

fn of_picture(scene: &Scene<'_>, families: &mut Families) {
    let one = |value: f64| vec![(Vec::new(), value)];
    families.gauges("tidegate_snapshot_version", "Version of the newest picture.", one(scene.snapshot.version as f64));
    families.gauges("tidegate_snapshot_age_seconds", "Time since the picture changed.", one(scene.age.as_secs_f64()));
    let acknowledged = scene.acknowledged.iter().enumerate();
    let acknowledged = acknowledged.map(|(worker, &version)| (labels([("worker", &worker.to_string())]), version as f64));
    families.gauges("tidegate_worker_acknowledged_version", "Version that the worker runs, and nothing older.", acknowledged.collect());
}

fn of_registry(scene: &Scene<'_>, families: &mut Families) {
    let source = |source: &SourceView| labels([("source", &source.name)]);
    let ages = scene.sources.iter().map(|view| (source(view), view.age_s)).collect();
    families.gauges("tidegate_source_age_seconds", "Time since the source was last known to be true.", ages);
    let stale = scene.sources.iter().map(|view| (source(view), f64::from(u8::from(view.state != "ok")))).collect();
    families.gauges("tidegate_source_stale", "1 while the source cannot be read and its last good state serves.", stale);
    let counts = scene.counts;
    let endpoints = counts.endpoints.iter().map(|(state, &number)| (labels([("state", state)]), number as f64)).collect();
    families.gauges("tidegate_endpoints", "Endpoints by state of their life.", endpoints);
    ejections(&counts.ejections, families);
    let problems = counts.problems.iter().map(|((severity, reason), &number)| {
        let severity = format!("{severity:?}").to_lowercase();
        (labels([("severity", &severity), ("reason", &format!("{reason:?}"))]), number as f64)
    });
    workloads(&counts.workloads, families);
    let probes = counts.probes.iter().map(|(result, count)| (labels([("result", result)]), *count as f64));
    families.counters(
        "tidegate_probes_total",
        "Checks of pods that do not say whether they are ready, by how they ended.",
        probes.collect(),
    );
    families.gauges(
        "tidegate_problems",
        "What `tidegate check` would say now, but for workloads that lack replicas, by severity and reason.",
        problems.collect(),
    );
    let expiries = counts.expiries.iter().map(|(secret, &expiry)| (labels([("secret", secret)]), expiry as f64)).collect();
    let help = "When the first certificate of a chain that is shown expires, in seconds since 1970.";
    families.gauges("tidegate_certificate_expiry_timestamp_seconds", help, expiries);
    families.gauges("tidegate_objects", "Objects that serve.", vec![(Vec::new(), counts.objects as f64)]);
}

fn ejections(ports: &[Ejections], families: &mut Families) {
    let of = |port: &Ejections| {
        let sample = |(cause, count)| (labels([("service", &port.service), ("cause", cause)]), count as f64);
        port.causes.map(sample)
    };
    let help = "Endpoints that were left out for what their requests came to, by cause.";
    families.counters("tidegate_ejections_total", help, ports.iter().flat_map(of).collect());
    let now = ports.iter().map(|port| (labels([("service", &port.service)]), port.now as f64)).collect();
    families.gauges("tidegate_ejected_endpoints", "Endpoints that are left out so now, on trial or not.", now);
}

fn workloads(workloads: &[WorkloadView], families: &mut Families) {
    let samples = workloads.iter().flat_map(|view| {
        let states = [("desired", view.desired), ("ready", view.ready), ("unhealthy", view.unhealthy), ("leaving", view.leaving)];
        let name = |state| [("kind", &*view.kind), ("namespace", &view.namespace), ("workload", &view.name), ("state", state)];
        states.map(|(state, count)| (labels(name(state)), f64::from(count)))
    });
    families.gauges("tidegate_workload_replicas", "Replicas that a workload wants, and pods that it has, by state.", samples.collect());
}

/// Families in the order in which they are written.
#[derive(Default)]
struct Families(Vec<MetricFamily>);

type Samples<T> = Vec<(Vec<LabelPair>, T)>;

impl Families {
    fn counters(&mut self, name: &str, help: &str, samples: Samples<f64>) {
        self.add(name, help, MetricType::COUNTER, samples, |metric, value| {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        });
    }

    fn gauges(&mut self, name: &str, help: &str, samples: Samples<f64>) {
        self.add(name, help, MetricType::GAUGE, samples, |metric, value| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        });
    }

    fn histograms(&mut self, name: &str, help: &str, samples: Samples<Histogram>) {
        self.add(name, help, MetricType::HISTOGRAM, samples, |metric, value| metric.set_histogram(value));
    }

    /// A family without samples is left out: the format has no room for it.
    fn add<T>(&mut self, name: &str, help: &str, kind: MetricType, samples: Samples<T>, set: impl Fn(&mut Metric, T)) {
        if samples.is_empty() {
            return;
        }
        let metrics = samples.into_iter().map(|(labels, value)| {
            let mut metric = Metric::from_label(labels);
            set(&mut metric, value);
            metric
        });
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics.collect());
        self.0.push(family);
    }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    pairs.map(pair).into()
}

#[cfg(test)]
mod tests;
