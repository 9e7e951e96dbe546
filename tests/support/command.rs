//! The binary, run as a command that ends.

use std::path::PathBuf;
use std::process::Command;

/// The binary under test.
///
/// # Panics
/// When there is none yet.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TIDEGATE_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test knows its own path");
    let built = test.ancestors().map(|folder| folder.join("quick/tidegate")).find(|path| path.is_file());
    built.unwrap_or_else(|| {
        panic!("no tidegate to test: run `make test`, or build it with `cargo build --profile quick -p tidegate`, or set TIDEGATE_BIN")
    })
}

/// How a command ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; 124 when it did not end in time.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained.
    pub stderr: String,
}

/// Runs `tidegate` with these arguments, for 30 seconds at most.
///
/// # Panics
/// When it cannot be started.
pub fn command<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Finished {
    let output = Command::new("timeout").arg("30").arg(binary()).args(arguments).output().expect("the binary can be started");
    Finished {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Finished {
    /// What it printed, when it exited so.
    ///
    /// # Panics
    /// When it exited otherwise.
    pub fn exited(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        &self.stdout
    }
}
