//! `tidegate run`: starts the process, waits for what ends it, drains.
//!
//! SIGTERM or SIGINT drains and exits 0; a second one ends at once with 1. With `--exit-with` the end of the app drains, too, and while the
//! app runs a first signal waits for it: an app that is told to stop at the same moment needs its way out until it has stopped.

use std::process::ExitCode;

use config::problem::{Problem, Reason};
use config::settings::{LogFormat, Settings};
use registry::source::settings::SettingsFile;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit_with::{App, Seen};
use crate::server;

mod orphans;

/// hickory tells of each question, and of each answer that it does not believe.
const LOG_FILTER: &str = "info,hickory_server=error,hickory_net=error,hickory_proto=error,hickory_resolver=error";

/// Serves until something ends it; the settings follow their file, if they have one.
pub fn run(settings: Settings, file: Option<SettingsFile>) -> ExitCode {
    init_log(settings.log);
    match serve(settings, file) {
        Ok(code) => code,
        Err(problem) => fail(&problem),
    }
}

fn serve(settings: Settings, file: Option<SettingsFile>) -> Result<ExitCode, Problem> {
    let cannot = |error| Problem::error(Reason::Invalid, format!("cannot listen for signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let mut signals = watch(&runtime).map_err(cannot)?;
    let app = settings.exit_with.clone().map(App::new).transpose()?;
    let running = server::follow(settings, file)?;
    match runtime.block_on(end(&mut signals, app)) {
        End::AtOnce => return Ok(ExitCode::from(1)),
        End::Drain => tracing::info!("draining; a second signal ends at once"),
    }
    std::thread::spawn(move || {
        runtime.block_on(signals.next());
        std::process::exit(1);
    });
    running.stop();
    tracing::info!("drained");
    Ok(ExitCode::SUCCESS)
}

/// Says why a process could not start; exit code 2.
pub(crate) fn fail(problem: &Problem) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(2)
}

/// The log goes to stderr; `TIDEGATE_LOG_FILTER` (as `debug` or `registry=debug,info`) says how much of it.
pub(crate) fn init_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TIDEGATE_LOG_FILTER").unwrap_or_else(|_| LOG_FILTER.into());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// How to end.
enum End {
    /// What is in flight may finish.
    Drain,
    /// Nobody is waited for.
    AtOnce,
}

/// Waits until it is time to end.
async fn end(signals: &mut Signals, app: Option<App>) -> End {
    let Some(app) = app else {
        signals.next().await;
        return End::Drain;
    };
    tokio::select! {
        app = app.seen() => end_with(signals, app, false).await,
        () = signals.next() => match app.now() {
            Some(app) => end_with(signals, app, true).await,
            None => End::Drain,
        },
    }
}

/// Waits until the app has gone, or somebody does not want to wait for that; `told`: a first signal came already.
async fn end_with(signals: &mut Signals, app: Seen, told: bool) -> End {
    let gone = async {
        app.gone().await;
        tracing::info!("the app has gone");
        End::Drain
    };
    let impatient = async {
        if !told {
            signals.next().await;
        }
        tracing::info!("told to end: serving until the app has gone; a second signal ends at once");
        signals.next().await;
        End::AtOnce
    };
    tokio::select! {
        end = gone => end,
        end = impatient => end,
    }
}

/// From here on signals are caught, and the ends of orphans.
fn watch(runtime: &Runtime) -> std::io::Result<Signals> {
    let _inside = runtime.enter();
    orphans::adopt()?;
    Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
}

/// SIGTERM and SIGINT, caught from the moment this exists.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
