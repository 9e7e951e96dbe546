//! `tidegate docker-proxy`: holds the socket of the Docker engine, so that the process which the internet talks to never does.
//!
//! Invariant: five questions that only read are answered, and nothing else is. What a client sends is read into a typed question
//! ([`question`]) or refused; the question is asked of the engine anew (`engine`), and the answer written anew from a table of fields
//! ([`answer`]). No byte of a client reaches the engine, and no field that the tables do not name leaves it.
//!
//! It is a process of its own, that needs no settings file, has no plane, no listener on a network and no state.

pub mod answer;
mod engine;
mod events;
mod patience;
pub mod question;
mod refused;
mod serve;
mod socket;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::problem::{Problem, Reason};
use config::settings::LogFormat;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::run::{fail, init_log};
use engine::Engine;

/// What it is started with.
#[derive(Clone, Debug)]
pub struct DockerProxy {
    /// The engine's socket. It may come later: until then each question is answered 502.
    pub socket: PathBuf,
    /// Where questions are taken.
    pub listen: PathBuf,
    /// Form of the log.
    pub log: LogFormat,
}

/// Answers until SIGTERM or SIGINT, then exits 0; exits 2 when it cannot start.
pub fn run(asked: &DockerProxy) -> ExitCode {
    init_log(asked.log);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(|error| no_start("cannot start its runtime", &error)).and_then(|runtime| runtime.block_on(answers(asked)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => fail(&problem),
    }
}

async fn answers(DockerProxy { socket, listen, .. }: &DockerProxy) -> Result<(), Problem> {
    let listen_signal = |kind| signal(kind).map_err(|error| no_start("cannot listen for signals", &error));
    let (mut terminate, mut interrupt) = (listen_signal(SignalKind::terminate())?, listen_signal(SignalKind::interrupt())?);
    if is_same(socket, listen) {
        return Err(Problem::error(Reason::Conflict, "the engine's socket and its own are the same file")
            .in_file(listen)
            .fix("name another path with --listen"));
    }
    let (listener, file) = socket::claim(listen)?;
    let listener = listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener));
    let listener = listener.map_err(|error| no_start("cannot listen on its socket", &error).in_file(listen))?;
    tracing::info!(listen = %listen.display(), engine = %socket.display(), "answering questions about containers");
    if let Err(error) = std::os::unix::net::UnixStream::connect(socket) {
        tracing::warn!(engine = %socket.display(), %error, "the engine cannot be reached yet; until it can, questions are answered 502");
    }
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Who asks from here on finds nobody, not somebody who leaves.
        drop(file);
    };
    serve::serve(listener, Engine::new(socket.clone()), stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// Whether both paths lead to one file that is there.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn no_start(what: &str, error: &std::io::Error) -> Problem {
    Problem::error(Reason::Invalid, format!("{what}: {error}"))
}
