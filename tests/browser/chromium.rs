//! A headless Chromium with a home of its own: it trusts whom it is told to, finds every name on this machine, and is gone with its test.
//!
//! Invariant: no case is left out silently. Where there is no browser, a line on the real stderr names the case and counts those so far.

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;
use tidegate_tests::Authority;
use tidegate_tests::wait::glance;

/// Nothing of its own reaches any network, and nothing is asked of whoever looks at it. Its sandbox does not run as root, and the pages are
/// ours. It must not try https by itself, since a test asks who told it to.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,MediaRouter,OptimizationHints",
    "--host-resolver-rules=MAP * 127.0.0.1",
    "--enable-logging=stderr",
];
/// What its profile begins with: no connection is opened before something is asked for.
const PREFERENCES: &str = r#"{"net": {"network_prediction_options": 2}}"#;
/// In seconds: it ends then, even if its test was killed.
const LONGEST: &str = "120";
/// How long it may take to end in good order.
const FAREWELL: Duration = Duration::from_secs(10);

/// Whether there is a browser for this case; if not, says so.
pub(crate) fn is_here(cases: usize) -> bool {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let missing: Vec<&str> = ["chromium", "certutil"].into_iter().filter(|name| !on_path(name)).collect();
    if missing.is_empty() {
        return true;
    }
    let (so_far, missing) = (SKIPPED.fetch_add(1, Ordering::Relaxed) + 1, missing.join(" and no "));
    let case = std::thread::current().name().unwrap_or("a case").to_owned();
    // The real stderr: what a test prints by macro is not shown while it passes.
    let said = writeln!(stderr(), "\n*** SKIPPED: {case}: there is no {missing}. {so_far} of {cases} browser cases were not run. ***\n");
    said.expect("stderr can be written");
    false
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// A running one. Dropped, it is ended, and its home is removed.
pub(crate) struct Browser {
    child: Child,
    home: Option<TempDir>,
}

impl Browser {
    /// Opens a page; certificates of `trusted` are good.
    pub(crate) fn open(url: &str, trusted: Option<&Authority>) -> Browser {
        let home = tempfile::tempdir().expect("the temporary folder can be written");
        if let Some(authority) = trusted {
            trust(home.path(), authority);
        }
        let profile = home.path().join("profile");
        let written =
            fs::create_dir_all(profile.join("Default")).and_then(|()| fs::write(profile.join("Default/Preferences"), PREFERENCES));
        let log = written.and_then(|()| File::create(log(home.path()))).expect("the temporary folder can be written");
        let mut command = Command::new("timeout");
        command.args(["--foreground", LONGEST, "chromium"]).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.display())).arg(url);
        for name in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS"] {
            command.env_remove(name);
        }
        command.env("HOME", home.path()).env("TMPDIR", home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.process_group(0).spawn().expect("chromium can be started");
        Browser { child, home: Some(home) }
    }

    fn group(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Ends it in good order, so that it waits for its own processes; after a while, whatever is left of it.
    fn end(&mut self) {
        let Some(group) = self.group() else { return };
        let _ = kill_process(group, Signal::TERM);
        let until = Instant::now() + FAREWELL;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < until {
            glance();
        }
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.end();
        let Some(home) = self.home.take() else { return };
        if std::thread::panicking() {
            let log = fs::read_to_string(log(home.path())).unwrap_or_default();
            let lines: Vec<_> = log.lines().filter(|line| !line.contains("dbus/")).collect();
            eprintln!("--- the last of the browser's log\n{}\n---", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        // A process of it that dies just now may still write.
        let until = Instant::now() + FAREWELL;
        let path = home.keep();
        while fs::remove_dir_all(&path).is_err() && path.exists() && Instant::now() < until {
            glance();
        }
    }
}

fn log(home: &Path) -> PathBuf {
    home.join("log")
}

/// Puts the authority into the database of certificates that a browser of this home reads.
fn trust(home: &Path, authority: &Authority) {
    let (database, pem) = (home.join(".pki/nssdb"), home.join("authority.pem"));
    fs::create_dir_all(&database).and_then(|()| fs::write(&pem, &authority.pem)).expect("the temporary folder can be written");
    let certutil = |arguments: &[&str]| {
        let output = Command::new("certutil").arg("-d").arg(format!("sql:{}", database.display())).args(arguments).output();
        let output = output.expect("certutil can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    certutil(&["-N", "--empty-password"]);
    certutil(&["-A", "-t", "C,,", "-n", "the authority of a test", "-i", &pem.display().to_string()]);
}
