//! The version that `tidegate --version` says: the package's, and the commit where it is built in a git checkout, or told by
//! `TIDEGATE_REVISION`, as where an image is built from a copy without git.
//!
//! Invariant: it runs again when the commit or what the binary is made from changes, and at no other build. Without git, or as a part of
//! somebody else's checkout, the package's version stands alone: that is no error.

use std::path::Path;
use std::process::Command;

/// What the binary is made from, seen from the workspace.
const MADE_FROM: [&str; 5] = ["Cargo.toml", "Cargo.lock", "config", "registry", "proxy"];
/// Digits of a commit that are told.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TIDEGATE_REVISION");
    let package = env!("CARGO_PKG_VERSION");
    let version = told().or_else(commit).map_or_else(|| package.to_owned(), |commit| format!("{package} ({commit})"));
    println!("cargo::rustc-env=TIDEGATE_VERSION={version}");
}

/// The commit that the environment tells, whole or not, `-dirty` or not.
fn told() -> Option<String> {
    let told = std::env::var("TIDEGATE_REVISION").ok()?;
    let (commit, dirty) = told.strip_suffix("-dirty").map_or((&*told, ""), |commit| (commit, "-dirty"));
    Some(format!("{}{dirty}", commit.get(..DIGITS)?))
}

/// The commit, `-dirty` when what the binary is made from is not as committed.
fn commit() -> Option<String> {
    // In a checkout of something else we would lie in another folder.
    if git(&["rev-parse", "--show-prefix"])? != "proxy/" {
        return None;
    }
    watch();
    let commit = git(&["rev-parse", "HEAD"])?;
    let mut status = vec!["--no-optional-locks", "status", "--porcelain", "--untracked-files=no", "--"];
    let paths = MADE_FROM.map(|path| format!(":/{path}"));
    status.extend(paths.iter().map(String::as_str));
    let dirty = if git(&status)?.is_empty() { "" } else { "-dirty" };
    Some(format!("{}{dirty}", commit.get(..DIGITS)?))
}

/// Names what a new answer depends on. A file that is not there is left out: cargo would take it for changed at each build.
fn watch() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    // The log tells of commits also while the branch is kept among the packed ones.
    let of_git = ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    let of_git = of_git.filter_map(|path| git(&["rev-parse", "--git-path", path]));
    let sources = MADE_FROM.iter().map(|path| format!("../{path}"));
    for path in of_git.chain(sources).filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What git answers, when there is one and it does.
fn git(arguments: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(arguments).output().ok().filter(|answer| answer.status.success())?;
    Some(String::from_utf8(answer.stdout).ok()?.trim_end().to_owned())
}
