//! `tidegate run`: starts the process, waits for a signal, drains.
//!
//! SIGTERM or SIGINT drains and exits 0; a second one ends at once with 1.

use std::process::ExitCode;

use config::problem::Problem;
use config::settings::{LogFormat, Settings};
use registry::source::settings::SettingsFile;
use tokio::signal::unix::{SignalKind, signal};

use crate::server;

/// hickory-server tells of each question.
const LOG_FILTER: &str = "info,hickory_server=error";

/// Serves until a signal comes; the settings follow their file, if they have one.
pub fn run(settings: Settings, file: Option<SettingsFile>) -> ExitCode {
    init_log(settings.log);
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return fail(&Problem::error(config::problem::Reason::Invalid, format!("cannot listen for signals: {error}"))),
    };
    let running = match server::follow(settings, file) {
        Ok(running) => running,
        Err(problem) => return fail(&problem),
    };
    let mut signals = signals;
    signals.wait();
    tracing::info!("draining; a second signal ends at once");
    std::thread::spawn(move || {
        signals.wait();
        std::process::exit(1);
    });
    running.stop();
    tracing::info!("drained");
    ExitCode::SUCCESS
}

fn fail(problem: &Problem) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(2)
}

/// The log goes to stderr; `TIDEGATE_LOG_FILTER` (as `debug` or `registry=debug,info`) says how much of it.
fn init_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TIDEGATE_LOG_FILTER").unwrap_or_else(|_| LOG_FILTER.into());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter).with_target(false);
    match format {
        LogFormat::Text => log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}

/// SIGTERM and SIGINT, caught from the moment this exists.
struct Signals {
    runtime: tokio::runtime::Runtime,
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let _inside = runtime.enter();
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        drop(_inside);
        Ok(Signals { runtime, terminate, interrupt })
    }

    fn wait(&mut self) {
        let (terminate, interrupt) = (&mut self.terminate, &mut self.interrupt);
        self.runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
    }
}
