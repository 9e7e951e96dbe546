//! Whose end is ours: the app that a sidecar stands beside, found among the processes and waited for.
//!
//! Invariant: [`App::seen`] returns once such a process runs, and [`Seen::gone`] once none does. A zombie runs no more, and we are never our
//! own app. Until it is seen, the processes are looked at again and again, since the system tells nobody of a process that is not his child;
//! its end is an event (pidfd_open(2)). A process that began and ended between two looks was never seen.

use std::time::{Duration, Instant};

use config::problem::{Problem, Reason};
use config::settings::ExitWith;

mod processes;

use processes::{Alive, Facts};

/// Between two looks at what runs.
const LOOK: Duration = Duration::from_millis(500);
/// The same for the first process of a namespace, in which there is little to look at: a short job is seen, too.
const LOOK_AS_FIRST: Duration = Duration::from_millis(50);

/// Between two lines of the log that say that it has not come.
const MISSED: Duration = Duration::from_secs(30);

/// An app that may not run yet.
pub(crate) struct App(ExitWith);

/// An app that runs, in one process or several.
pub(crate) struct Seen {
    app: ExitWith,
    alive: Vec<Alive>,
}

impl App {
    /// Of this description.
    ///
    /// # Errors
    /// The system cannot show processes, or the description is of ourselves.
    pub(crate) fn new(app: ExitWith) -> Result<App, Problem> {
        let problem = |found: String| Problem::error(Reason::Invalid, found).at("--exit-with");
        if app == ExitWith::Pid(processes::ourselves()) {
            let found = format!("{app} is tidegate itself");
            return Err(problem(found)
                .expected("the process of an app beside it")
                .fix("name the app's command; it must share our PID namespace (compose, of the app: `pid: service:GATE`, Kubernetes: `shareProcessNamespace: true`)"));
        }
        processes::can_be_watched().map_err(|error| {
            problem(format!("processes cannot be watched: {error}"))
                .expected("/proc, and pidfd_open(2) of Linux 5.3")
                .fix("mount /proc, and allow pidfd_open in the seccomp profile of the container, or leave --exit-with out")
        })?;
        Ok(App(app))
    }

    /// Waits until it runs.
    pub(crate) async fn seen(&self) -> Seen {
        let wait = if processes::ourselves() == 1 { LOOK_AS_FIRST } else { LOOK };
        let mut missed = Instant::now() + MISSED;
        loop {
            if let Some(seen) = self.now() {
                return seen;
            }
            if Instant::now() >= missed {
                tracing::warn!("--exit-with: {} does not run among the processes that are seen from here; still waiting for it", self.0);
                missed += MISSED;
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Looks once: it may have begun since the last look.
    pub(crate) fn now(&self) -> Option<Seen> {
        let alive = look(&self.0);
        (!alive.is_empty()).then(|| Seen { app: self.0.clone(), alive })
    }
}

impl Seen {
    /// Waits until it has gone: the processes that were seen, and those of its name that began while they ran.
    pub(crate) async fn gone(mut self) {
        loop {
            let pids: Vec<i32> = self.alive.iter().map(Alive::pid).collect();
            tracing::info!(app = %self.app, processes = ?pids, "the app runs; its end is ours");
            processes::ended(self.alive).await;
            self.alive = match self.app {
                ExitWith::Pid(_) => Vec::new(), // the number may be another process's now
                ExitWith::Command(_) => look(&self.app),
            };
            if self.alive.is_empty() {
                return;
            }
        }
    }
}

/// The processes of the app that run now.
fn look(app: &ExitWith) -> Vec<Alive> {
    let pids = match *app {
        ExitWith::Pid(pid) => vec![pid],
        ExitWith::Command(_) => processes::all(),
    };
    let others = pids.into_iter().filter(|&pid| pid != processes::ourselves());
    others.filter_map(|pid| Alive::when(pid, || is(app, &Facts::read(pid)))).collect()
}

/// Whether a process that the system says this of is the app. Its number was compared when it was chosen.
fn is(app: &ExitWith, facts: &Facts) -> bool {
    match app {
        ExitWith::Pid(_) => true,
        ExitWith::Command(name) => facts.names().any(|known| known == name.as_bytes()),
    }
}

impl Facts {
    /// Every command name that it may be known by.
    fn names(&self) -> impl Iterator<Item = &[u8]> {
        // A program that was replaced while it runs is said to be deleted (proc_pid_exe(5)).
        let exe = self.exe.as_deref().map(|path| path.strip_suffix(b" (deleted)").unwrap_or(path));
        let argument = self.command_line.as_deref().and_then(|line| line.split(|&byte| byte == 0).next());
        let comm = self.comm.as_deref().map(|comm| comm.strip_suffix(b"\n").unwrap_or(comm));
        [exe.map(file_name), argument.map(file_name), comm].into_iter().flatten()
    }
}

/// What comes after the last slash.
fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(exe: Option<&str>, command_line: &str, comm: &str) -> Facts {
        let bytes = |text: &str| Some(text.as_bytes().to_vec());
        Facts { exe: exe.and_then(bytes), command_line: bytes(command_line), comm: bytes(comm) }
    }

    fn named(name: &str, facts: &Facts) -> bool {
        is(&ExitWith::Command(name.to_owned()), facts)
    }

    #[test]
    fn an_app_is_known_by_its_file_its_argument_or_its_comm() {
        let python = facts(Some("/usr/bin/python3.11"), "python3\0serve.py\0", "python3\n");
        assert!(named("python3.11", &python) && named("python3", &python));
        for other in ["python", "serve.py", "/usr/bin/python3.11", "bin"] {
            assert!(!named(other, &python), "{other}");
        }
        let script = facts(Some("/usr/bin/dash"), "/bin/sh\0/app/job.sh\0", "job.sh\n");
        assert!(named("job.sh", &script) && named("sh", &script) && named("dash", &script));
    }

    #[test]
    fn the_file_of_another_user_s_process_is_hidden_and_its_argument_is_not() {
        let hidden = facts(None, "/app/a-command-with-a-long-name\0-v\0", "a-command-with-\n");
        assert!(named("a-command-with-a-long-name", &hidden));
        assert!(!named("a-command-with-another-name", &hidden));
    }

    #[test]
    fn a_program_that_was_replaced_keeps_its_name() {
        assert!(named("app", &facts(Some("/bin/app (deleted)"), "x\0", "x\n")));
    }

    #[test]
    fn who_says_nothing_is_nobody() {
        assert!(!named("app", &Facts { exe: None, command_line: None, comm: None }));
    }

    #[test]
    fn we_are_not_our_own_app() {
        let refused = App::new(ExitWith::Pid(processes::ourselves())).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("itself"), "{refused}");
        let own = std::env::current_exe().unwrap();
        let own = ExitWith::Command(own.file_name().unwrap().to_string_lossy().into_owned());
        let pids: Vec<i32> = look(&own).iter().map(Alive::pid).collect();
        assert!(!pids.contains(&processes::ourselves()), "{pids:?}");
        assert!(is(&own, &Facts::read(processes::ourselves())), "though that is our name");
    }
}
