//! `tidegate docker-proxy` between clients and an honest fake of the Docker engine, which notes whatever it is asked.
//!
//! Answers of the fake are those of a real engine (20.10) of a container whose every secret holds one word.

mod engine;
mod guard;
mod life;
mod questions;
mod streams;
mod wire;

use engine::Engine;
use guard::Guard;

/// What no answer may hold.
const SECRET: &str = "hunter2";

/// An engine, and a guard before it.
fn both() -> (Engine, Guard) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let engine = Engine::start(&home.path().join("engine.sock"));
    (engine, Guard::start(home))
}
