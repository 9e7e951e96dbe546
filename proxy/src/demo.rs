//! `tidegate demo`: the main job in one process, with a verdict.
//!
//! Replicas that die and come back on new addresses, load through the ingress and through a virtual IP, and a stranger outside who
//! tries every trick of [`crate::tricks`]. Everything is on loopback, needs no privileges, and is gone afterwards. The proxy is the
//! very one that `tidegate run` starts; it learns of each change from files in a folder, as in real life, and is told nothing else.

mod load;
mod outsider;
mod replica;
mod screen;
mod story;
mod world;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use config::settings::{AccessLog, Settings};
use registry::route::Action;
use registry::snapshot::Snapshot;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::DemoArgs;
use crate::server::{self, Running};
use crate::tricks::Scene;

use load::Tally;
use outsider::Attempts;
use screen::{Screen, Verdict};
use story::Story;
use world::{DB, Folder, LEAK_HOST, Ports, World};

/// What only the database says, and nobody outside may ever read.
const SECRET: &str = "the-word-is-mangrove";
/// The proxy must be ready within this.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Runs the demo; fails when the verdict does.
pub fn run(args: DemoArgs) -> ExitCode {
    let screen = Screen::new(args.seconds, args.forever);
    match play(&args, &screen) {
        Ok(verdict) => {
            screen.verdict(&verdict);
            ExitCode::from(u8::from(!verdict.good()))
        }
        Err(error) => {
            eprintln!("tidegate demo: {error}");
            ExitCode::from(2)
        }
    }
}

fn play(args: &DemoArgs, screen: &Screen) -> io::Result<Verdict> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let root = tempfile::Builder::new().prefix("tidegate-demo-").tempdir()?;
    let ports = Ports::choose()?;
    let world = runtime.block_on(async { World::build(Folder::new(root.path())?, ports) })?;
    let running = server::start(settings(&world)).map_err(|problem| io::Error::other(problem.to_string()))?;
    if !running.wait_ready(READY_WITHIN) {
        return Err(io::Error::other(format!("the proxy was not ready within {} s", READY_WITHIN.as_secs())));
    }
    let verdict = runtime.block_on(act(args, screen, world, &running));
    drop(runtime);
    running.stop();
    root.close()?; // only now does nobody write in it any more
    verdict
}

fn settings(world: &World) -> Settings {
    let loopback = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    Settings {
        manifests: vec![world.folder.manifests()],
        state_dir: Some(world.folder.state()),
        http: loopback,
        https: None,
        internal_http: loopback,
        admin: loopback,
        service_cidr: world.ports.service_cidr,
        access_log: AccessLog::None,
        ..Settings::default()
    }
}

/// Load, replacements and tricks side by side, until the time is over, Ctrl-C or SIGTERM.
async fn act(args: &DemoArgs, screen: &Screen, world: World, running: &Running) -> io::Result<Verdict> {
    let snapshots = running.snapshots();
    let scene = scene(&world, running, &snapshots)?;
    vip_answers(scene.vip).await?;
    introduce(screen, &scene, &snapshots.borrow());
    let tally = Arc::new(Tally::default());
    let attempts = Arc::new(Attempts::new(scene.clone(), args.seconds));
    let clients = load::start(&scene, &tally);
    let stranger = tokio::spawn(attempts.clone().keep_trying(args.forever));
    let mut story = Story::new(world, snapshots, tally.clone(), attempts.clone());
    let mut terminate = signal(SignalKind::terminate())?;
    let over = async {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(args.seconds)), if !args.forever => Ok(false),
            stopped = tokio::signal::ctrl_c() => stopped.map(|()| true),
            _ = terminate.recv() => Ok(true),
        }
    };
    let interrupted = story.tell(screen, running, over).await??;
    if interrupted {
        stranger.abort();
    } else {
        let _ = stranger.await; // a panic in it shows as tricks that were not tried
    }
    tally.stop();
    for client in clients {
        let _ = client.await; // likewise, as requests that were not counted
    }
    Ok(Verdict::of(&tally, &attempts, story.replaced(), interrupted))
}

/// Virtual IPs are bound once the first picture is known: a moment after the workers run it.
async fn vip_answers(vip: SocketAddr) -> io::Result<()> {
    let connected = async {
        while tokio::net::TcpStream::connect(vip).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(READY_WITHIN, connected).await.map_err(|_| io::Error::other(format!("nothing answers on {vip}")))
}

/// Where the tricks are tried, as the running proxy says.
fn scene(world: &World, running: &Running, snapshots: &watch::Receiver<Arc<Snapshot>>) -> io::Result<Scene> {
    let address = |listener: &str| running.address(listener).ok_or_else(|| io::Error::other(format!("listener {listener} is not bound")));
    let snapshot = snapshots.borrow();
    let is_db = |name: &registry::snapshot::PortName| &*name.service.name == DB.name && &*name.service.namespace == DB.namespace;
    let vip = snapshot.internal.listeners.iter().find(|(_, port)| is_db(&port.name)).map(|(socket, _)| socket.address);
    Ok(Scene {
        external_host: world::SHOP.host.to_owned(),
        external: address("http")?,
        sealed_service: DB.name.to_owned(),
        sealed_namespace: DB.namespace.to_owned(),
        sealed_host: LEAK_HOST.to_owned(),
        internal_host: DB.host.to_owned(),
        vip: vip.ok_or_else(|| io::Error::other("the database has no virtual IP"))?,
        replica: world.address_of(&DB).ok_or_else(|| io::Error::other("the database has no replica"))?,
        admin: address("admin")?,
    })
}

fn introduce(screen: &Screen, scene: &Scene, snapshot: &Snapshot) {
    let port = scene.external.port();
    for app in [&world::SHOP, &world::API] {
        screen.say("outside", &format!("http://{}:{port}/ is Service {}/{}", app.host, app.namespace, app.name));
    }
    screen.say("inside", &format!("{} is Service {}/{}, for the inside alone", scene.vip, DB.namespace, DB.name));
    for route in snapshot.external.refused.routes() {
        if let Action::Refused(why) = &route.action {
            screen.say("refused", &format!("{}: {why}", route.host));
        }
    }
}

#[cfg(test)]
mod tests;
