//! The Docker source: the containers of one engine as Pods, followed by its events.
//!
//! Invariant: the engine is only read (list, inspect, events, ping). Events are read from before the first list on, and while anything is
//! looked at, since the engine drops those that nobody takes; each costs one look at one container. A gap (the stream ends, an answer does not come) is told, keeps the last good state, and is closed
//! by a whole list. Which of the containers matter is for the registry to judge.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerSummary, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder};
use bollard::{API_DEFAULT_VERSION, Docker};
use config::manifest::Manifest;
use config::problem::{Problem, Reason};
use config::settings;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::event::{Batch, Change, Content, Event, Origin, SourceName};

mod claims;
mod container;
mod labels;
mod news;
mod objects;
mod own;
mod reach;

use container::Id;
use news::News;
use objects::Engine;

/// How every origin of this source begins.
const ORIGINS: &str = "docker:";
/// An answer that takes longer does not come.
const PATIENCE_S: u64 = 10;
/// A container of which the engine says nothing for so long is given up for now: one that hangs must not keep all others from being known.
const ONE: Duration = Duration::from_secs(3);
/// So many events may wait while something is looked at.
const EVENTS: usize = 4096;
/// Between two looks at the list: the net below the events.
const LIST: Duration = Duration::from_secs(30);
/// A container that was told to stop and runs on after this was not meant to end.
const RELENTS: Duration = Duration::from_secs(30);
/// Between the first two tries to reach an engine that does not answer; doubled each time.
const AGAIN: Duration = Duration::from_millis(100);
/// The longest such wait.
const AGAIN_MOST: Duration = Duration::from_secs(3);

/// What the source is called.
pub fn name() -> SourceName {
    "docker".into()
}

/// Whether a saved origin is of this source.
pub(crate) fn owns(origin: &Path) -> bool {
    origin.to_str().is_some_and(|text| text.starts_with(ORIGINS))
}

/// Looks once at everything. Of an engine that does not answer nothing is known but what was saved.
pub async fn read_once(settings: &settings::Docker) -> Event {
    let mut follower = Follower::new(settings);
    match follower.look_at_all().await {
        Ok(()) => Event::Batch(follower.batch(true)),
        Err(problem) => Event::Stale(name(), problem),
    }
}

/// Follows the engine until nobody listens any more.
///
/// # Errors
/// None: an engine that does not answer is told, and asked again.
pub async fn watch(settings: settings::Docker, out: mpsc::Sender<Event>) -> Result<(), Problem> {
    let mut follower = Follower::new(&settings);
    let mut wait = AGAIN;
    loop {
        let began = Instant::now();
        let problem = tokio::select! {
            ended = follower.follow(&out) => match ended {
                Some(problem) => problem,
                None => return Ok(()),
            },
            () = out.closed() => return Ok(()),
        };
        if out.send(Event::Stale(name(), problem)).await.is_err() {
            return Ok(());
        }
        wait = if began.elapsed() > AGAIN_MOST { AGAIN } else { wait };
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN_MOST);
    }
}

/// One engine, and what was told of it.
struct Follower {
    socket: String,
    engine: Engine,
    told: BTreeMap<Origin, Manifest>,
    /// When those that were told to stop are taken for running again.
    relent: Option<Instant>,
    /// [`ONE`]
    one: Duration,
    /// [`PATIENCE_S`]
    patience_s: u64,
}

impl Follower {
    fn new(settings: &settings::Docker) -> Follower {
        let engine =
            Engine { own: own::container(), network: settings.network.clone(), projects: settings.projects.clone(), ..Engine::default() };
        Follower {
            socket: settings.socket.display().to_string(),
            engine,
            told: BTreeMap::new(),
            relent: None,
            one: ONE,
            patience_s: PATIENCE_S,
        }
    }

    /// Follows until something is wrong; `None` when nobody listens any more.
    async fn follow(&mut self, out: &mpsc::Sender<Event>) -> Option<Problem> {
        let docker = match self.connect() {
            Ok(docker) => docker,
            Err(problem) => return Some(problem),
        };
        let (mut reading, (heard, mut events)) = (JoinSet::new(), mpsc::channel(EVENTS));
        reading.spawn(hear(docker.clone(), heard));
        if let Err(problem) = self.list(&docker, true).await {
            return Some(problem);
        }
        if out.send(Event::Batch(self.batch(true))).await.is_err() {
            return None;
        }
        let mut list = tokio::time::interval_at(Instant::now() + LIST, LIST);
        loop {
            let relent = self.relent;
            let looked = tokio::select! {
                event = events.recv() => match event {
                    Some(Ok(event)) => {
                        let news = gather(event, &mut events);
                        self.look(&docker, news).await
                    }
                    Some(Err(error)) => Err(self.silent("its events ended", &error)),
                    None => Err(self.silent("its events ended", &std::io::Error::from(std::io::ErrorKind::UnexpectedEof))),
                },
                _ = list.tick() => self.list(&docker, false).await,
                () = until(relent) => self.relent_all(&docker).await,
            };
            if let Err(problem) = looked {
                return Some(problem);
            }
            let batch = self.batch(false);
            let event = if batch.changes.is_empty() { Event::Alive(name()) } else { Event::Batch(batch) };
            if out.send(event).await.is_err() {
                return None;
            }
        }
    }

    fn connect(&self) -> Result<Docker, Problem> {
        Docker::connect_with_unix(&self.socket, self.patience_s, API_DEFAULT_VERSION)
            .map_err(|error| self.silent("it cannot be reached", &error))
    }

    async fn look_at_all(&mut self) -> Result<(), Problem> {
        let docker = self.connect()?;
        self.list(&docker, true).await
    }

    /// Looks at the list, and at each container of it that is not as it was; `all`: at each of them.
    async fn list(&mut self, docker: &Docker, all: bool) -> Result<(), Problem> {
        let options = ListContainersOptionsBuilder::default().all(true).build();
        let list = docker.list_containers(Some(options)).await.map_err(|error| self.silent("it does not list its containers", &error))?;
        let ids: Vec<(Id, bool)> = list.into_iter().filter_map(|one| Some((one.id.clone()?.into(), all || self.differs(&one)))).collect();
        let listed: BTreeSet<&Id> = ids.iter().map(|(id, _)| id).collect();
        self.engine.containers.retain(|known, _| listed.contains(known));
        self.engine.unread.retain(|known, _| listed.contains(known));
        for (id, _) in ids.into_iter().filter(|(_, look)| *look) {
            self.inspect(docker, id).await?;
        }
        Ok(())
    }

    /// Whether the list says something else of a container than what is known.
    fn differs(&self, listed: &ContainerSummary) -> bool {
        let Some(id) = listed.id.as_deref() else { return false };
        let known = self.engine.containers.get(id);
        self.engine.unread.contains_key(id) || known.is_none_or(|known| container::differs(known, listed))
    }

    async fn look(&mut self, docker: &Docker, news: News) -> Result<(), Problem> {
        for (id, happened) in news.0 {
            if happened.gone {
                self.forget(&id);
                continue;
            }
            match happened.stopping {
                Some(true) => self.stops(&id),
                Some(false) => _ = self.engine.stopping.remove(&id),
                None => {}
            }
            if happened.changed {
                self.inspect(docker, id).await?;
            }
        }
        Ok(())
    }

    /// Requests should stop before the process does.
    fn stops(&mut self, id: &Id) {
        let running = self.engine.containers.get(id).filter(|container| container.state.running);
        if let Some(container) = running {
            self.engine.stopping.insert(id.clone(), container.state.started.clone());
            self.relent = Some(Instant::now() + RELENTS);
        }
    }

    async fn inspect(&mut self, docker: &Docker, id: Id) -> Result<(), Problem> {
        self.engine.unread.remove(&id);
        let asked = docker.inspect_container(&id, None::<InspectContainerOptions>);
        let Ok(answer) = tokio::time::timeout(self.one, asked).await else {
            docker.ping().await.map_err(|error| self.silent("it does not answer", &error))?;
            self.engine.unread.insert(id, format!("no answer came within {} ms", self.one.as_millis()));
            return Ok(());
        };
        match answer {
            Ok(said) => match container::read(said) {
                Some(container) => _ = self.engine.containers.insert(id, container),
                None => self.forget(&id),
            },
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => self.forget(&id),
            // A newer engine may say something that nobody here knows: that costs this container alone.
            Err(error @ bollard::errors::Error::JsonDataError { .. }) => _ = self.engine.unread.insert(id, error.to_string()),
            Err(error) => return Err(self.silent(format_args!("it does not tell of container {id}"), &error)),
        }
        Ok(())
    }

    fn forget(&mut self, id: &Id) {
        self.engine.containers.remove(id);
        self.engine.stopping.remove(id);
        self.engine.unread.remove(id);
    }

    /// Those that were told to stop long ago and run on.
    async fn relent_all(&mut self, docker: &Docker) -> Result<(), Problem> {
        self.relent = None;
        for (id, _) in std::mem::take(&mut self.engine.stopping) {
            self.inspect(docker, id).await?;
        }
        Ok(())
    }

    /// What is new since the last one.
    fn batch(&mut self, whole: bool) -> Batch {
        let (now, ages) = objects::objects(&self.engine);
        self.engine.ages = ages;
        let before = std::mem::take(&mut self.told);
        let gone = before.keys().filter(|origin| !whole && !now.contains_key(*origin));
        let mut changes: Vec<Change> = gone.map(|origin| Change { origin: origin.clone(), content: Content::Gone }).collect();
        let new = now.iter().filter(|(origin, manifest)| whole || before.get(*origin) != Some(manifest));
        changes.extend(new.map(|(origin, manifest)| Change { origin: origin.clone(), content: Content::Manifest(manifest.clone()) }));
        self.told = now;
        Batch { source: name(), changes, whole }
    }

    fn silent(&self, what: impl std::fmt::Display, error: &dyn Error) -> Problem {
        let found = format!("the Docker engine: {what}: {}; what is known of its containers stays", whole(error));
        let problem = Problem::error(Reason::Unreadable, found).in_file(&self.socket).expected("the API of an engine that runs");
        problem.fix("start the engine, or name the socket of one, or of `tidegate docker-proxy`, by --docker-socket, and see that this user may use it (its file's group: `group_add`, `--group-add`); it is tried again")
    }
}

/// An error with its causes: the outermost alone may say no more than that something could not be had.
fn whole(error: &dyn Error) -> String {
    let (mut told, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let text = cause.to_string();
        // Some quote the next one themselves.
        if !told.ends_with(&text) {
            told = format!("{told}: {text}");
        }
        next = cause.source();
    }
    told
}

type Heard = Result<EventMessage, bollard::errors::Error>;

/// Tells what happens to containers and networks, until that ends or nobody listens.
async fn hear(docker: Docker, out: mpsc::Sender<Heard>) {
    // The engine tells again what happened since then, so that nothing falls between the list and the first event.
    let since = (crate::actor::unix_s() - 1).to_string();
    let filters = [("type", vec!["container", "network"])].into();
    let mut events = std::pin::pin!(docker.events(Some(EventsOptionsBuilder::default().since(&since).filters(&filters).build())));
    while let Some(event) = events.next().await {
        if out.send(event).await.is_err() {
            return;
        }
    }
}

/// An event, and those that are there already.
fn gather(first: EventMessage, events: &mut mpsc::Receiver<Heard>) -> News {
    let mut news = News::default();
    news.take(first);
    while let Ok(Ok(event)) = events.try_recv() {
        news.take(event);
    }
    news
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
