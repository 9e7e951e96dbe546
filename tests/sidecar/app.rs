//! The app that a sidecar stands beside: a process with a name of its own, which ends when it is told to and no sooner.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// A command that no other test has.
#[derive(Debug)]
pub(crate) struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    pub(crate) fn new() -> Program {
        let program = Program { folder: tempfile::Builder::new().prefix("app-").tempdir().expect("the temporary folder can be written") };
        // By another process: what this one holds open for writing, a child that another test starts just now would hold, too, and
        // nobody may execute it then.
        let copied = Command::new("cp").arg("/bin/cat").arg(program.path()).status().expect("cp can be started");
        assert!(copied.success(), "cat can be copied");
        program
    }

    /// Longer than the 15 bytes that a thread's name has.
    pub(crate) fn name(&self) -> String {
        let folder = self.folder.path().file_name().expect("a folder has a name");
        format!("one-shot-job-{}", folder.to_string_lossy().trim_start_matches('.'))
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(self.name())
    }

    /// Starts one.
    pub(crate) fn start(&self) -> App {
        App::of(&mut Command::new(self.path()))
    }

    /// Starts one whose file has another name: only its first argument has this one.
    pub(crate) fn start_by_argument(&self) -> App {
        use std::os::unix::process::CommandExt;
        App::of(Command::new("/bin/cat").arg0(Path::new("/nowhere").join(self.name())))
    }
}

/// A running one. It reads its input until that ends, and then ends itself.
#[derive(Debug)]
pub(crate) struct App {
    child: Child,
    input: Option<ChildStdin>,
}

impl App {
    fn of(command: &mut Command) -> App {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("a copy of cat can be started");
        let input = child.stdin.take();
        App { child, input }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it end. Nobody takes note of that: it stays a zombie for as long as this is held.
    pub(crate) fn end(&mut self) {
        drop(self.input.take());
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.end();
        let _ = self.child.wait();
    }
}
