//! The sidecar container, of the compose file that docs/sidecar.md shows: the real image, an engine of our own and `docker-compose` itself.
//!
//! Every case runs that very file, so that the page cannot say what is not so; what a case changes it says by an override.

use std::process::Command;
use std::sync::OnceLock;

use tidegate_tests::engine::skip;
use tidegate_tests::{Engine, image};

mod balance;
mod ends;
mod example;
mod names;
mod project;
mod rights;

use project::Project;

/// The engine, with the images that the example names. `None`, with a word to whoever runs the tests, where there can be none.
fn engine() -> Option<&'static Engine> {
    static IMAGES: OnceLock<()> = OnceLock::new();
    if Command::new("docker-compose").arg("version").output().is_err() {
        return skip("there is no docker-compose");
    }
    let engine = Engine::apart()?;
    IMAGES.get_or_init(|| {
        engine.docker(&["tag", "replica", "busybox:1.36"]); // nothing is fetched from anywhere
        image::make("tidegate:dev", Some(&engine.host()));
    });
    Some(engine)
}
