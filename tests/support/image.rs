//! The container image, made as a user makes it (`make image`), of a binary of the quick profile.
//!
//! Invariant: the binaries of other tests are made in the same folder, so that only the last crate is linked anew.

use std::process::Command;

use crate::command::binary;

/// Makes it, by this name, in the engine of `DOCKER_HOST` or in this one.
///
/// # Panics
/// When it cannot be made.
pub fn make(name: &str, host: Option<&str>) {
    let cache = tempfile::tempdir().expect("the temporary folder can be written");
    let target = binary().ancestors().nth(2).expect("a binary of the quick profile").to_owned();
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "image", "IMAGE_PROFILE=quick", &format!("IMAGE={name}")]);
    make.arg(format!("CACHE={}", cache.path().display())).arg(format!("CARGO_TARGET_DIR={}", target.display()));
    make.envs(host.map(|host| ("DOCKER_HOST", host)));
    let made = make.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().expect("make can be started");
    assert!(made.status.success(), "{}{}", String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    let said = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(said.contains(&format!("{name}: ")) && said.contains(" bytes"), "it says what it made: {said}");
}
