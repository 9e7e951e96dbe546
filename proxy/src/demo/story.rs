//! What happens: every second a replica is replaced on another address, by turns as a crash and in good order.
//!
//! Invariant: the proxy learns of it from the folder alone. A crash comes first and is written down later, as in life; of the
//! database only the orderly kind is played, since nobody can mend an opaque connection that its server has cut.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use registry::snapshot::{Service, Snapshot};
use tokio::sync::watch;
use tokio::time::Interval;

use super::load::{Counter, Tally};
use super::outsider::Attempts;
use super::replica::{End, Replica};
use super::screen::{Screen, counted, grouped};
use super::world::{API, App, DB, SHOP, Status, World};
use crate::server::Running;
use crate::tricks::TRICKS;

/// A replica is replaced this often.
const EVERY: Duration = Duration::from_secs(1);
/// A crash is noticed and written down after this; until then the picture still holds the dead one.
const NOTICED_AFTER: Duration = Duration::from_millis(150);
/// Every worker must know of a change within this.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// Changes between two lines about the traffic.
const SUMMARY_EVERY: usize = 5;
/// The live picture moves this often.
const FRAME: Duration = Duration::from_millis(100);

/// Who is replaced, and how; then from the start again.
const SCRIPT: [(&App, End); 8] = [
    (&SHOP, End::Reset),
    (&DB, End::Finish),
    (&API, End::Reset),
    (&SHOP, End::Finish),
    (&SHOP, End::Reset),
    (&API, End::Finish),
    (&API, End::Reset),
    (&DB, End::Finish),
];

/// How many replicas were replaced.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Replaced {
    pub(super) crashed: usize,
    pub(super) finished: usize,
    /// The longest from the last edit until every worker ran it.
    pub(super) slowest: Duration,
}

/// The teller.
pub(super) struct Story {
    world: World,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    tally: Arc<Tally>,
    attempts: Arc<Attempts>,
    replaced: Replaced,
}

impl Story {
    /// Before anything has happened.
    pub(super) fn new(world: World, snapshots: watch::Receiver<Arc<Snapshot>>, tally: Arc<Tally>, attempts: Arc<Attempts>) -> Story {
        Story { world, snapshots, tally, attempts, replaced: Replaced::default() }
    }

    /// What has happened so far.
    pub(super) fn replaced(&self) -> Replaced {
        self.replaced
    }

    /// Goes on until `over`, and hands on what that says. A replacement that has begun is brought to its end.
    pub(super) async fn tell<T>(&mut self, screen: &Screen, running: &Running, over: impl Future<Output = T>) -> io::Result<T> {
        let mut over = pin!(over);
        let mut clock = tokio::time::interval(EVERY);
        clock.tick().await; // the first is at once
        let mut played = 0;
        loop {
            let (app, end) = SCRIPT[played % SCRIPT.len()];
            tokio::select! {
                said = &mut over => return Ok(said),
                () = self.wait(&mut clock, screen) => {}
            }
            self.replace(app, end, screen, running).await?;
            played += 1;
            if played.is_multiple_of(SUMMARY_EVERY) {
                screen.say("so far", &self.summary());
            }
        }
    }

    /// Until the next second, with the live picture kept moving.
    async fn wait(&self, clock: &mut Interval, screen: &Screen) {
        let mut frame = tokio::time::interval(FRAME);
        loop {
            tokio::select! {
                _ = clock.tick() => return,
                _ = frame.tick() => screen.live(&self.tally, self.world.alive()),
            }
        }
    }

    async fn replace(&mut self, app: &'static App, end: End, screen: &Screen, running: &Running) -> io::Result<()> {
        let Some(old) = self.world.take_oldest(app) else { return Ok(()) };
        let (name, ip) = (old.name.clone(), *old.address.ip());
        let (open, known) = match end {
            End::Reset => self.crash(app, old, running).await?,
            End::Finish => self.retire(app, old, running).await?,
        };
        let new = self.world.newest();
        let (word, did) = match end {
            End::Reset => ("crash", "resets"),
            End::Finish => ("leave", "finishes"),
        };
        let went = format!("{name:<8}{ip:<13}{did} {}", counted(open, "connection"));
        let before = new.before.map(|before| format!(", once of {before}")).unwrap_or_default();
        let came = format!("{:<8}{}{before}", new.name, new.address.ip());
        screen.say(word, &format!("{went:<45} now {came:<36} known in {:>3} ms", known.as_millis()));
        if app.name == DB.name {
            self.attempts.replica_is(new.address.into());
        }
        self.replaced.slowest = self.replaced.slowest.max(known);
        Ok(())
    }

    /// It dies, later that is written down together with the pod in its place. Returns the connections it had, and how long it took
    /// until every worker knew.
    async fn crash(&mut self, app: &'static App, old: Replica, running: &Running) -> io::Result<(usize, Duration)> {
        let (name, address) = (old.name.clone(), old.address);
        let open = old.end(End::Reset).await;
        tokio::time::sleep(NOTICED_AFTER).await;
        self.world.add(app)?;
        let edited = Instant::now();
        self.world.forget(app, &name, address)?;
        self.world.publish(app, self.world.newest(), Status::Ready)?;
        self.replaced.crashed += 1;
        Ok((open, self.known(app, address, edited, running).await?))
    }

    /// Another comes up, and it is asked to leave in the moment that this is written down, as a kubelet does: it cannot know who has
    /// read it.
    async fn retire(&mut self, app: &'static App, old: Replica, running: &Running) -> io::Result<(usize, Duration)> {
        let (name, address) = (old.name.clone(), old.address);
        self.world.add(app)?;
        let edited = Instant::now();
        self.world.publish(app, self.world.newest(), Status::Ready)?;
        self.world.publish(app, &old, Status::Terminating)?;
        let (open, known) = tokio::join!(old.end(End::Finish), self.known(app, address, edited, running));
        self.world.forget(app, &name, address)?;
        self.replaced.finished += 1;
        Ok((open, known?))
    }

    /// How long after `edited` every worker runs a picture with the newest replica, and without `gone`.
    async fn known(&self, app: &App, gone: SocketAddrV4, edited: Instant, running: &Running) -> io::Result<Duration> {
        let (gone, new) = (SocketAddr::from(gone), SocketAddr::from(self.world.newest().address));
        let mut snapshots = self.snapshots.clone();
        let wait = async {
            let right = |snapshot: &Arc<Snapshot>| serves(snapshot, app, new) && !serves(snapshot, app, gone);
            let version = snapshots.wait_for(right).await.map(|snapshot| snapshot.version).map_err(io::Error::other)?;
            while running.acknowledged() < version {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(edited.elapsed())
        };
        let late = |_| io::Error::other(format!("a change of {} was not known to every worker in {} s", app.name, KNOWN_WITHIN.as_secs()));
        tokio::time::timeout(KNOWN_WITHIN, wait).await.map_err(late)?
    }

    fn summary(&self) -> String {
        let (log, tally) = (self.attempts.log(), &self.tally);
        let count = |counter: &Counter| grouped(counter.requests.load(Relaxed));
        format!(
            "{} requests to the sites, {} sessions with the database, {} failures; {} of {} tricks tried, {} got in",
            count(&tally.ingress),
            count(&tally.vip),
            tally.failures(),
            log.tried.len(),
            TRICKS.len(),
            log.broken.len()
        )
    }
}

/// Whether the picture has this address among an app's endpoints.
fn serves(snapshot: &Snapshot, app: &App, address: SocketAddr) -> bool {
    let of_app = |service: &&Arc<Service>| &*service.name.service.name == app.name && &*service.name.service.namespace == app.namespace;
    let mut services = snapshot.internal.services.iter().filter(of_app);
    services.any(|service| service.endpoints.iter().any(|endpoint| endpoint.replica.address == address))
}
