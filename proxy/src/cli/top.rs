//! `tidegate top`: what a running process does now, drawn again at an interval.
//!
//! It asks the admin API and takes differences; it decides and changes nothing. Where stdout is no terminal it is one line for each
//! interval; with `--once` it is the whole picture, once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use registry::event::ListenerState;
use registry::view::{EndpointView, ServiceView, SourceView, WorkloadView};
use tokio::signal::unix::{SignalKind, signal};

use super::get::read;
use super::table::table;
use super::{TopArgs, count, nobody_to_ask};
use crate::live::Live;
use crate::traffic::TrafficView;

/// Draws until Ctrl-C. Exit 2 when nobody can be asked.
pub fn run(args: &TopArgs) -> ExitCode {
    let Some(admin) = args.admin.0 else { return nobody_to_ask() };
    let watched = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string());
    match watched.and_then(|runtime| runtime.block_on(watch(admin, args))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

async fn watch(admin: SocketAddr, args: &TopArgs) -> Result<(), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let interval = Duration::from_secs(args.interval);
    let mut before = Frame::ask(admin)?;
    let live = Live::new();
    let mut last = Vec::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            _ = tokio::signal::ctrl_c() => break,
            _ = terminate.recv() => break,
        }
        let now = match Frame::ask(admin) {
            Ok(now) => now,
            // Whoever looks at a terminal sees it come back.
            Err(why) if live.draws() && !args.once => {
                live.draw(&[why]);
                continue;
            }
            Err(why) => return Err(why),
        };
        let seen = Seen::of(&before, &now);
        if args.once {
            seen.picture().iter().for_each(|line| println!("{line}"));
            return Ok(());
        }
        last = seen.picture();
        if live.draws() {
            live.draw(&last);
        } else {
            live.say(&seen.head().join(", "));
        }
        before = now;
    }
    live.end();
    if live.draws() {
        last.iter().for_each(|line| live.say(line));
    }
    Ok(())
}

/// What the process said at one time.
struct Frame {
    at: Instant,
    services: Vec<ServiceView>,
    endpoints: Vec<EndpointView>,
    listeners: Vec<ListenerState>,
    workloads: Vec<WorkloadView>,
    sources: Vec<SourceView>,
    traffic: Vec<TrafficView>,
}

impl Frame {
    fn ask(admin: SocketAddr) -> Result<Frame, String> {
        Ok(Frame {
            at: Instant::now(),
            services: read(admin, "services")?,
            endpoints: read(admin, "endpoints")?,
            listeners: read(admin, "listeners")?,
            workloads: read(admin, "workloads")?,
            sources: read(admin, "sources")?,
            traffic: read(admin, "traffic")?,
        })
    }
}

/// What happened between two frames, beside how things are now.
struct Seen<'f> {
    now: &'f Frame,
    seconds: f64,
    /// By service port, both planes together.
    carried: BTreeMap<&'f str, TrafficView>,
    in_flight: BTreeMap<&'f str, u32>,
}

impl<'f> Seen<'f> {
    fn of(before: &Frame, now: &'f Frame) -> Seen<'f> {
        let then: BTreeMap<_, _> = before.traffic.iter().map(|view| ((&view.service, &view.exposure), view)).collect();
        let nothing = TrafficView::default();
        let mut carried: BTreeMap<&str, TrafficView> = BTreeMap::new();
        for view in &now.traffic {
            let before = then.get(&(&view.service, &view.exposure)).copied().unwrap_or(&nothing);
            carried.entry(&view.service).or_default().add(&view.since(before));
        }
        let mut in_flight: BTreeMap<&str, u32> = BTreeMap::new();
        for endpoint in &now.endpoints {
            *in_flight.entry(&endpoint.service).or_default() += endpoint.in_flight;
        }
        Seen { now, seconds: now.at.duration_since(before.at).as_secs_f64().max(0.001), carried, in_flight }
    }

    fn per_second(&self, count: u64) -> String {
        format!("{:.1}", count as f64 / self.seconds)
    }

    fn all(&self) -> TrafficView {
        let mut all = TrafficView::default();
        self.carried.values().for_each(|carried| all.add(carried));
        all
    }

    /// `28 Ready, 2 Draining`
    fn states(&self) -> String {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        self.now.endpoints.iter().for_each(|endpoint| *states.entry(&endpoint.state).or_default() += 1);
        let shown: Vec<String> = states.iter().map(|(state, number)| format!("{number} {state}")).collect();
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
    }

    fn sources(&self) -> String {
        let stale = self.now.sources.iter().filter(|source| source.state != "ok").count();
        let oldest = self.now.sources.iter().map(|source| source.age_s).fold(0.0, f64::max);
        format!("{}, {stale} stale, the oldest looked at {oldest:.0} s ago", count(self.now.sources.len(), "source"))
    }

    /// The whole process, in three parts.
    fn head(&self) -> [String; 3] {
        let all = self.all();
        let bound = self.now.listeners.iter().filter(|listener| listener.error.is_none()).count();
        let wanting = self.now.workloads.iter().filter(|workload| workload.ready < workload.desired).count();
        let (listeners, workloads) = (self.now.listeners.len(), self.now.workloads.len());
        let (requests, failures) = (self.per_second(all.requests), self.per_second(all.failures));
        [
            format!("requests/s {requests}, 5xx/s {failures}, mean {}, connections {}", mean(&all), all.open),
            format!("endpoints: {}", self.states()),
            format!("listeners bound: {bound} of {listeners}, workloads wanting: {wanting} of {workloads}, {}", self.sources()),
        ]
    }

    /// Everything, the busiest first.
    fn picture(&self) -> Vec<String> {
        let mut out = Vec::from(self.head());
        out.push(String::new());
        out.extend(self.services().lines().map(str::to_owned));
        for part in [self.workloads(), self.listeners(), self.stale()].into_iter().filter(|part| !part.is_empty()) {
            out.push(String::new());
            out.extend(part.lines().map(str::to_owned));
        }
        out
    }

    fn services(&self) -> String {
        let nothing = TrafficView::default();
        let named = |view: &ServiceView| match view.protocol.as_str() {
            "TCP" => format!("{}/{}:{}", view.namespace, view.name, view.port),
            other => format!("{}/{}:{}/{other}", view.namespace, view.name, view.port),
        };
        let mut rows: Vec<(u64, [String; 9])> = Vec::new();
        for view in &self.now.services {
            let name = named(view);
            let carried = self.carried.get(name.as_str()).unwrap_or(&nothing);
            let cells = [
                view.exposure.clone(),
                format!("{}/{}", view.ready, view.endpoints),
                self.in_flight.get(name.as_str()).copied().unwrap_or(0).to_string(),
                self.per_second(carried.requests),
                self.per_second(carried.failures),
                mean(carried),
                carried.p99_us().map_or_else(String::new, |bound| format!("<= {}", time(bound as f64))),
                carried.open.to_string(),
            ];
            let [exposure, ready, in_flight, requests, failures, mean, p99, open] = cells;
            rows.push((carried.requests + carried.open, [name, exposure, ready, in_flight, requests, failures, mean, p99, open]));
        }
        rows.sort_by(|(a, first), (b, second)| b.cmp(a).then_with(|| first.cmp(second)));
        let header = ["SERVICE", "EXPOSURE", "READY", "IN FLIGHT", "REQUESTS/S", "5XX/S", "MEAN", "P99", "CONNECTIONS"];
        table(header, rows.into_iter().map(|(_, row)| row))
    }

    /// Those that want replicas.
    fn workloads(&self) -> String {
        let wanting: Vec<&WorkloadView> = self.now.workloads.iter().filter(|workload| workload.ready < workload.desired).collect();
        if wanting.is_empty() {
            return String::new();
        }
        let row = |view: &WorkloadView| {
            let name = format!("{} {}/{}", view.kind, view.namespace, view.name);
            [name, view.desired.to_string(), view.ready.to_string(), view.unhealthy.to_string(), view.leaving.to_string()]
        };
        table(["WORKLOAD", "DESIRED", "READY", "UNHEALTHY", "LEAVING"], wanting.into_iter().map(row))
    }

    /// Those that are not bound.
    fn listeners(&self) -> String {
        let failed: Vec<&ListenerState> = self.now.listeners.iter().filter(|listener| listener.error.is_some()).collect();
        if failed.is_empty() {
            return String::new();
        }
        let row = |state: &ListenerState| [state.name.to_string(), state.address.to_string(), state.error.clone().unwrap_or_default()];
        table(["LISTENER", "ADDRESS", "NOT BOUND BECAUSE"], failed.into_iter().map(row))
    }

    /// Sources that cannot be read.
    fn stale(&self) -> String {
        let stale: Vec<&SourceView> = self.now.sources.iter().filter(|source| source.state != "ok").collect();
        if stale.is_empty() {
            return String::new();
        }
        let row = |view: &SourceView| [view.name.clone(), format!("{:.0} s", view.age_s), view.problems.to_string()];
        table(["STALE SOURCE", "AGE", "PROBLEMS"], stale.into_iter().map(row))
    }
}

fn mean(carried: &TrafficView) -> String {
    if carried.requests == 0 { "-".to_owned() } else { time(carried.latency_us as f64 / carried.requests as f64) }
}

/// Of microseconds.
fn time(us: f64) -> String {
    if us < 1e6 { format!("{:.1} ms", us / 1e3) } else { format!("{:.1} s", us / 1e6) }
}

#[cfg(test)]
mod tests {
    use config::exposure::Exposure;

    use super::*;

    fn frame(at: Instant, requests: u64, failures: u64) -> Frame {
        let service = |name: &str, exposure: &str| ServiceView {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            r#type: "ClusterIP".to_owned(),
            port: 80,
            protocol: "TCP".to_owned(),
            app_protocol: None,
            node_port: None,
            outside: Vec::new(),
            vip: None,
            exposure: exposure.to_owned(),
            sealed: false,
            ready: 1,
            endpoints: 2,
        };
        let endpoint = |state: &str| EndpointView {
            id: 1,
            replica: 1,
            service: "shop/web:80".to_owned(),
            address: ([127, 0, 0, 1], 80).into(),
            pod: None,
            speaks: String::new(),
            state: state.to_owned(),
            in_flight: 2,
            latency_us: 0,
            why: None,
            left_ms: None,
        };
        let traffic = TrafficView {
            service: "shop/web:80".to_owned(),
            exposure: "external".to_owned(),
            requests,
            failures,
            latency_us: requests * 1_500,
            latencies: vec![0, 0, requests],
            open: 3,
            ..TrafficView::default()
        };
        let bound = ListenerState::bound("http", Exposure::External, "HTTP", ([127, 0, 0, 1], 80).into());
        let failed = ListenerState { name: "https".into(), error: Some("taken".to_owned()), ..bound.clone() };
        let workload = |ready| WorkloadView {
            kind: "Deployment".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            desired: 2,
            ready,
            unhealthy: 1,
            leaving: 0,
        };
        let source = SourceView {
            name: "folder:m".to_owned(),
            state: "stale".to_owned(),
            age_s: 12.4,
            objects: 1,
            skipped: BTreeMap::new(),
            problems: 1,
        };
        Frame {
            at,
            services: vec![service("api", "internal"), service("web", "external")],
            endpoints: vec![endpoint("Ready"), endpoint("Pending")],
            listeners: vec![bound, failed],
            workloads: vec![workload(1), workload(2)],
            sources: vec![source],
            traffic: vec![traffic],
        }
    }

    #[test]
    fn the_picture_shows_rates_and_what_is_wrong() {
        let began = Instant::now();
        let (before, now) = (frame(began, 100, 1), frame(began + Duration::from_secs(2), 300, 2));
        let expected = "\
requests/s 100.0, 5xx/s 0.5, mean 1.5 ms, connections 3
endpoints: 1 Pending, 1 Ready
listeners bound: 1 of 2, workloads wanting: 1 of 2, 1 source, 1 stale, the oldest looked at 12 s ago

SERVICE      EXPOSURE  READY  IN FLIGHT  REQUESTS/S  5XX/S  MEAN    P99        CONNECTIONS
shop/web:80  external  1/2    4          100.0       0.5    1.5 ms  <= 2.5 ms  3
shop/api:80  internal  1/2    0          0.0         0.0    -       -          0

WORKLOAD             DESIRED  READY  UNHEALTHY  LEAVING
Deployment shop/web  2        1      1          0

LISTENER  ADDRESS       NOT BOUND BECAUSE
https     127.0.0.1:80  taken

STALE SOURCE  AGE   PROBLEMS
folder:m      12 s  1";
        assert_eq!(Seen::of(&before, &now).picture().join("\n"), expected);
    }
}
