//! The single writer: takes events from sources, reports from the data plane and questions, and publishes the snapshot.
//!
//! Invariant: only this task touches the [`Registry`]; whatever waits is applied before the next picture is published, and the first
//! picture is published only when every source has spoken. It decides nothing: the registry does. Snapshots that nobody reads any
//! more are freed here, never on a worker.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use config::exposure::Exposure;
use config::object::Name;
use config::problem::{Problem, Reason, Severity};
use config::settings::Settings;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::core::{Counts, Registry};
use crate::event::{Event, Report, SettingsNews, SourceName};
use crate::seed::Seed;
use crate::snapshot::{OwnAddresses, Plane, Snapshot};
use crate::source::settings::SettingsFile;
use crate::source::{self, dns, docker, folder};
use crate::state::{self, Saved, StateDir};
use crate::view::Topic;

mod asking;
mod keeper;

use asking::Asking;
use keeper::Keeper;

/// Events that may wait; a source that sends more waits itself.
const WAITING_EVENTS: usize = 64;
/// Questions that may wait.
const WAITING_ASKS: usize = 64;
/// Events applied before a picture is published, so that a busy source cannot put it off for ever.
const EVENTS_AT_ONCE: usize = 256;
/// Problems logged at once; the rest are in `tidegate check` and the admin API.
const LOGGED_AT_ONCE: usize = 100;
/// Between two tries to save what could not be saved, and two looks for snapshots to free.
const TICK: Duration = Duration::from_secs(5);
/// Between the first two starts of a source that ends; doubled each time.
const RESTART: Duration = Duration::from_millis(500);
/// The longest such wait.
const RESTART_MOST: Duration = Duration::from_secs(30);

/// The ends of the channels to a running actor. It ends when the last receiver of `snapshots` is dropped, or when it is told to.
#[derive(Debug)]
pub struct Started {
    /// The newest picture: an empty one of version 0 until every source has spoken.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Where the data plane reports.
    pub reports: mpsc::UnboundedSender<Report>,
    /// Where questions are asked.
    pub asks: mpsc::Sender<Ask>,
    /// What the process runs with: the settings as they were given, and then as their file changes.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Tells it to end.
    pub ending: Ending,
}

/// Tells the actor to end.
#[derive(Clone, Debug)]
pub struct Ending(mpsc::Sender<oneshot::Sender<()>>);

impl Ending {
    /// Ends the actor once what must survive a restart is written. False when that took longer than `most`.
    pub async fn end(&self, most: Duration) -> bool {
        let (done, ended) = oneshot::channel();
        // An actor that is gone has ended: both ends of the channels are dropped then.
        let told = async { self.0.send(done).await.is_ok() && ended.await.is_ok() };
        tokio::time::timeout(most, told).await.is_ok()
    }
}

/// A question to the registry.
#[derive(Debug)]
pub enum Ask {
    /// A list, as the admin API gives it.
    View(Topic, oneshot::Sender<serde_json::Value>),
    /// Numbers for `/metrics`.
    Counts(oneshot::Sender<Counts>),
    /// Whether every source has spoken.
    Ready(oneshot::Sender<bool>),
}

/// Opens the state directory, makes the registry, and spawns the folder sources and the actor on the current runtime.
///
/// A state directory that cannot be written costs only the memory of a restart: it is a problem in the list, and serving goes on.
///
/// # Errors
/// Another process runs on the state directory.
pub fn start(settings: &Settings, file: Option<SettingsFile>, own: OwnAddresses) -> Result<Started, Problem> {
    let (dir, saved, problem) = open_state(settings)?;
    let settings = counted(settings.clone());
    let mut registry = Registry::new(&settings, saved);
    registry.set_own_addresses(own.clone());
    registry.set_date(unix_s());
    registry.set_probing();
    let (out, events) = mpsc::channel(WAITING_EVENTS);
    let folders: HashSet<PathBuf> = settings.manifests.iter().cloned().collect();
    for path in folders {
        let (name, out) = (folder::name(&path), out.clone());
        registry.expect(name.clone());
        tokio::spawn(supervise(name, out.clone(), move || folder::watch(path.clone(), out.clone())));
    }
    if settings.docker.enabled {
        let (settings, out) = (settings.docker.clone(), out.clone());
        registry.expect(docker::name());
        tokio::spawn(supervise(docker::name(), out.clone(), move || docker::watch(settings.clone(), out.clone())));
    }
    if let Some(file) = file {
        registry.follow_settings(&file.path, Duration::ZERO);
        tokio::spawn(source::settings::watch(file, out.clone()));
    }
    let (names, wanted) = watch::channel(BTreeSet::new());
    if !settings.external_names.is_empty() {
        tokio::spawn(dns::watch(settings.dns_servers.clone(), wanted, out.clone()));
    }
    let asking = Asking::start(out.clone());
    let (snapshots, receiver) = watch::channel(Arc::new(empty()));
    let (renewed, current) = watch::channel(Arc::new(settings));
    let (reports, reported) = mpsc::unbounded_channel();
    let (asks, asked) = mpsc::channel(WAITING_ASKS);
    let (end, ends) = mpsc::channel(1);
    let actor = Actor {
        registry,
        own,
        snapshots,
        renewed,
        graves: Vec::new(),
        logged: HashSet::new(),
        keeper: Keeper::new(dir, problem),
        names,
        asking,
        ready: false,
    };
    tokio::spawn(actor.run(Inputs { events, reports: reported, asks: asked, ends, _open: out }));
    Ok(Started { snapshots: receiver, reports, asks, settings: current, ending: Ending(end) })
}

/// With as many workers as there are cores, where that is asked for.
fn counted(mut settings: Settings) -> Settings {
    if settings.workers == 0 {
        settings.workers = std::thread::available_parallelism().map_or(1, usize::from);
    }
    settings
}

/// Settings are compared with those that the process runs with.
fn with_workers_counted(event: Event) -> Event {
    match event {
        Event::Settings(SettingsNews::Read(settings)) => Event::Settings(SettingsNews::Read(Box::new(counted(*settings)))),
        event => event,
    }
}

fn open_state(settings: &Settings) -> Result<(Option<StateDir>, Saved, Option<Problem>), Problem> {
    let forgetful = |saved: Saved| Saved { seed: Seed::random(), ..saved };
    let Some(path) = &settings.state_dir else { return Ok((None, forgetful(Saved::default()), None)) };
    match StateDir::open(path) {
        Ok(dir) => {
            let saved = dir.load();
            Ok((Some(dir), saved, None))
        }
        Err(problem) if problem.reason == Reason::Conflict => Err(problem),
        Err(problem) => Ok((None, forgetful(state::read_only(path)), Some(problem))),
    }
}

/// Addresses of this machine's interfaces, sorted.
pub fn local_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot list this machine's addresses: only loopback is known to be ours");
        Vec::new()
    });
    let mut addresses: Vec<IpAddr> = interfaces.iter().map(if_addrs::Interface::ip).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// The date, in seconds since 1970.
pub fn unix_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Runs a source and starts it again when it ends.
async fn supervise<F>(name: SourceName, out: mpsc::Sender<Event>, source: impl Fn() -> F)
where
    F: Future<Output = Result<(), Problem>> + Send + 'static,
{
    let mut wait = RESTART;
    loop {
        let began = Instant::now();
        // A task of its own, so that a panic in it is an error here.
        let problem = match tokio::spawn(source()).await {
            Ok(Ok(())) => return,
            Ok(Err(problem)) => problem,
            Err(error) => Problem::error(Reason::Unreadable, format!("the source stopped: {error}")).of(format!("source {name}")),
        };
        if out.send(Event::Stale(name.clone(), problem)).await.is_err() {
            return;
        }
        if began.elapsed() > RESTART_MOST {
            wait = RESTART;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RESTART_MOST);
    }
}

fn empty() -> Snapshot {
    Snapshot { version: 0, external: Plane::empty(Exposure::External), internal: Plane::empty(Exposure::Internal) }
}

/// What the actor listens to.
struct Inputs {
    events: mpsc::Receiver<Event>,
    reports: mpsc::UnboundedReceiver<Report>,
    asks: mpsc::Receiver<Ask>,
    ends: mpsc::Receiver<oneshot::Sender<()>>,
    /// Keeps `events` open when there is no source.
    _open: mpsc::Sender<Event>,
}

struct Actor {
    registry: Registry,
    own: OwnAddresses,
    snapshots: watch::Sender<Arc<Snapshot>>,
    renewed: watch::Sender<Arc<Settings>>,
    /// Pictures that were replaced and that a worker may hold still.
    graves: Vec<Arc<Snapshot>>,
    /// Problems that are in the log already.
    logged: HashSet<Problem>,
    keeper: Keeper,
    /// Whose addresses DNS is asked for.
    names: watch::Sender<BTreeSet<Name>>,
    asking: Asking,
    /// Every source has spoken, and what they said was published.
    ready: bool,
}

impl Actor {
    async fn run(mut self, mut inputs: Inputs) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.publish();
        let told = loop {
            let due = self.due();
            tokio::select! {
                Some(event) = inputs.events.recv() => self.apply(event, &mut inputs.events),
                Some(report) = inputs.reports.recv() => self.report(report, &mut inputs.reports),
                Some(ask) = inputs.asks.recv() => self.answer(ask),
                () = self.keeper.done() => self.log(),
                _ = tick.tick() => self.tick(),
                () = self.asking.patience() => self.publish(),
                () = after(due) => self.weigh(),
                Some(done) = inputs.ends.recv() => break Some(done),
                () = self.snapshots.closed() => break None,
            }
        };
        drop(inputs);
        self.keeper.finish().await;
        self.log();
        if let Some(done) = told {
            let _ = done.send(()); // whoever waited has given up
        }
    }

    fn now(&self) -> Duration {
        Duration::from_micros(clock::now_us())
    }

    /// How long until some ejection ends, or success rates are compared.
    fn due(&self) -> Option<Duration> {
        self.registry.due().map(|due| due.saturating_sub(self.now()))
    }

    fn weigh(&mut self) {
        self.registry.tick(self.now());
        self.publish();
    }

    fn apply(&mut self, first: Event, events: &mut mpsc::Receiver<Event>) {
        let now = self.now();
        let mut next = Some(first);
        let mut news = false;
        for _ in 0..EVENTS_AT_ONCE {
            let Some(event) = next else { break };
            news |= !matches!(event, Event::Alive(_) | Event::Judged(_) | Event::Settings(SettingsNews::Unchanged));
            self.registry.apply(with_workers_counted(event), now);
            next = events.try_recv().ok();
        }
        self.publish();
        if **self.renewed.borrow() != *self.registry.settings() {
            self.renewed.send_replace(Arc::new(self.registry.settings().clone()));
            tracing::info!(keys = self.registry.renewed().join(", "), "settings renewed");
        }
        if news {
            self.log();
        }
    }

    fn report(&mut self, first: Report, reports: &mut mpsc::UnboundedReceiver<Report>) {
        let now = self.now();
        let mut next = Some(first);
        let mut news = false;
        while let Some(report) = next {
            news |= !matches!(report, Report::Acknowledged { .. } | Report::Outlier(_) | Report::Tried { .. });
            self.registry.report(report, now);
            next = reports.try_recv().ok();
        }
        self.publish();
        if news {
            self.log();
        }
    }

    fn publish(&mut self) {
        if !self.ready && (!self.registry.ready() || self.asking.holds(&mut self.registry)) {
            return;
        }
        if let Some(snapshot) = self.registry.publish(self.now()) {
            tracing::debug!(version = snapshot.version, vips = snapshot.internal.listeners.len(), "published");
            self.graves.push(self.snapshots.send_replace(snapshot));
        }
        self.names.send_if_modified(|names| {
            let changed = names != self.registry.names();
            if changed {
                names.clone_from(self.registry.names());
            }
            changed
        });
        self.asking.ask(&mut self.registry);
        for notice in self.registry.notices() {
            tracing::info!("{notice}");
        }
        for lifted in self.registry.lifted() {
            tracing::warn!("{lifted}");
        }
        self.ready = true;
        self.keeper.keep(self.registry.unsaved());
        self.bury();
    }

    /// Frees the pictures that nobody but this task holds.
    fn bury(&mut self) {
        self.graves.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    fn tick(&mut self) {
        self.bury();
        self.keeper.again();
        if self.registry.miss_silent(self.now()) {
            self.publish();
            self.log();
        }
        if self.registry.set_date(unix_s()) {
            self.log(); // what expires is told once a day at most
        }
        let known = self.own.local.len();
        let new: Vec<IpAddr> = local_addresses().into_iter().filter(|address| !self.own.local.contains(address)).collect();
        self.own.local.extend(new);
        if self.own.local.len() > known {
            // An address that came later (DHCP) must not become a way to ourselves.
            self.registry.set_own_addresses(self.own.clone());
            self.publish();
        }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.registry.problems();
        problems.extend(self.keeper.problem().cloned());
        problems.sort();
        problems
    }

    /// Logs each problem when it appears, once, and each error when it is no more.
    fn log(&mut self) {
        let problems = self.problems();
        let new = problems.iter().filter(|problem| !self.logged.contains(*problem));
        for problem in new.clone().take(LOGGED_AT_ONCE) {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
                Severity::Note => tracing::info!("{problem}"),
            }
        }
        let more = new.count().saturating_sub(LOGGED_AT_ONCE);
        if more > 0 {
            tracing::warn!(more, "further problems: `tidegate check` lists them all");
        }
        // An error in other words is one still.
        let remain: HashSet<_> = problems.iter().map(|problem| (problem.severity, problem.reason, &problem.place)).collect();
        let gone = |problem: &&Problem| !remain.contains(&(problem.severity, problem.reason, &problem.place));
        let mut mended: Vec<&Problem> = self.logged.iter().filter(|problem| problem.severity == Severity::Error).filter(gone).collect();
        mended.sort_unstable();
        mended.iter().take(LOGGED_AT_ONCE).for_each(|problem| tracing::info!("no more: {problem}"));
        let more = mended.len().saturating_sub(LOGGED_AT_ONCE);
        if more > 0 {
            tracing::info!(more, "further errors are no more");
        }
        self.logged = problems.into_iter().collect();
    }

    fn answer(&mut self, ask: Ask) {
        self.registry.look_at(self.now());
        // Whoever asked may have gone away: nothing is lost.
        let _ = match ask {
            Ask::View(topic, reply) => reply.send(self.view(topic)).is_ok(),
            Ask::Counts(reply) => reply.send(Counts { probes: self.asking.tally.read(), ..self.registry.counts() }).is_ok(),
            Ask::Ready(reply) => reply.send(self.ready).is_ok(),
        };
    }

    fn view(&self, topic: Topic) -> serde_json::Value {
        let registry = &self.registry;
        match topic {
            Topic::Services => json(registry.services()),
            Topic::Endpoints => json(registry.endpoints()),
            Topic::Routes => json(registry.routes()),
            Topic::Listeners => json(registry.listeners()),
            Topic::Workloads => json(registry.workloads()),
            Topic::Sources => json(registry.sources(self.now())),
            Topic::Problems => json(self.problems()),
            Topic::Exposure => json(registry.exposure()),
        }
    }
}

/// Waits so long; for ever when there is nothing to wait for.
async fn after(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn json<T: Serialize>(rows: Vec<T>) -> serde_json::Value {
    // Plain records with text keys cannot fail.
    serde_json::to_value(rows).unwrap_or_default()
}

#[cfg(test)]
mod tests;
