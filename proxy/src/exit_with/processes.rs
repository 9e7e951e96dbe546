//! What the system says of processes: /proc, and pidfds. Decides nothing.
//!
//! Invariant: an [`Alive`] is of the process that its facts were read from, also where its number is given to another one meanwhile.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};
use tokio::sync::oneshot;

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// What /proc says of a process; what it hides, or no longer has, is `None`.
pub(super) struct Facts {
    /// The path of its program. Hidden from other users (ptrace(2), PTRACE_MODE_READ_FSCREDS).
    pub(super) exe: Option<Vec<u8>>,
    /// Its arguments, each with a NUL behind it; empty for a zombie.
    pub(super) command_line: Option<Vec<u8>>,
    /// The name of its first thread, 15 bytes at most, and a newline.
    pub(super) comm: Option<Vec<u8>>,
}

impl Facts {
    pub(super) fn read(pid: i32) -> Facts {
        use std::os::unix::ffi::OsStringExt;
        let file = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        Facts { exe: exe.map(|path| path.into_os_string().into_vec()), command_line: file("cmdline"), comm: file("comm") }
    }
}

/// Our own number.
pub(super) fn ourselves() -> i32 {
    getpid().as_raw_pid()
}

/// The numbers of all processes that we may see.
pub(super) fn all() -> Vec<i32> {
    let entries = match std::fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, "cannot look for the app of --exit-with in /proc");
            return Vec::new();
        }
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Whether the system lets us do all of this; asked once, of ourselves.
pub(super) fn can_be_watched() -> io::Result<()> {
    pidfd_open(getpid(), PidfdFlags::empty())?;
    std::fs::read_dir("/proc/self").map(|_| ())
}

/// A process that ran when this was made.
pub(super) struct Alive {
    pid: i32,
    /// Readable once it has ended, before anybody took note of that.
    end: OwnedFd,
}

impl Alive {
    /// The process of this number, when it runs and is the one that is looked for.
    pub(super) fn when(pid: i32, is: impl Fn() -> bool) -> Option<Alive> {
        if !is() {
            return None; // most are not, and cost no file
        }
        let end = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty());
        if let Err(error) = end
            && error != Errno::SRCH
        {
            tracing::warn!(pid, %error, "cannot watch a process of the app of --exit-with");
        }
        let process = Alive { pid, end: end.ok()? };
        // Asked again, since the number could be another's by now. A process that still runs after that is the one that was asked about.
        (is() && !process.has_ended(Some(&AT_ONCE))).then_some(process)
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has ended, within this time; `None` is as long as it takes.
    fn has_ended(&self, within: Option<&Timespec>) -> bool {
        let mut asked = [PollFd::from_borrowed_fd(self.end.as_fd(), PollFlags::IN)];
        poll(&mut asked, within).is_ok_and(|ready| ready > 0)
    }
}

/// Waits until all of them have ended: on a thread of its own, since tokio takes such a descriptor by `unsafe` alone.
pub(super) async fn ended(processes: Vec<Alive>) {
    let (tell, told) = oneshot::channel();
    let waits = std::thread::Builder::new().name("exit-with".to_owned()).spawn(move || {
        for process in processes {
            while !process.has_ended(None) {} // a signal interrupts it
        }
        let _ = tell.send(()); // nobody listens any more when we end by a signal
    });
    if let Err(error) = waits {
        tracing::error!(%error, "cannot wait for the end of the app: signals alone end this process");
        std::future::pending::<()>().await;
    }
    let _ = told.await; // the thread drops its end after it told
}
