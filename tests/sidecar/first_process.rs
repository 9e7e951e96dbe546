//! The first process of a PID namespace, as in a container: it takes note of the end of orphans, and is not its own app.

use std::fs;
use std::io::{BufRead, BufReader, Write, stderr};
use std::process::{Command, Stdio};

use rustix::process::{Pid, kill_process};
use tidegate_tests::command::binary;
use tidegate_tests::wait::await_some;

use super::*;

/// Starts what is executed as the first process of a PID namespace, which ends with it.
const FIRST: [&str; 4] = ["unshare", "--pid", "--fork", "--kill-child"];

/// Whether this process may make a PID namespace; else whoever runs the tests is told that the case is not run.
fn may() -> bool {
    let tried = Command::new(FIRST[0]).args(&FIRST[1..]).arg("true").stdin(Stdio::null()).stderr(Stdio::null()).status();
    let may = tried.is_ok_and(|status| status.success());
    if !may {
        let case = std::thread::current().name().unwrap_or("a case").to_owned();
        // The real stderr: what a test prints by macro is not shown while it passes.
        let said = writeln!(stderr(), "\n*** SKIPPED: {case}: it needs a PID namespace of its own, and there can be none ***\n");
        said.expect("stderr can be written");
    }
    may
}

/// Processes whose parent is this one, zombies included.
fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc can be read").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |child: &u32| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        // PID (COMM) STATE PARENT
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&pid.to_string())
    };
    processes.filter(is_child).collect()
}

#[test]
fn orphans_do_not_stay_zombies() {
    if !may() {
        return;
    }
    let net = Net::take();
    let mut gate = Setup::new(&net).under(&FIRST).start();
    let first = await_some("its process", || children(gate.pid()).first().copied());
    let first_pid = i32::try_from(first).ok().and_then(Pid::from_raw).expect("a process id");
    // The shell leaves its child behind, which ends with the pipe that it reads.
    let mut shell = Command::new("nsenter")
        .args(["--pid", "--target", &first.to_string(), "sh", "-c", "exec 3<&0; cat <&3 >/dev/null & echo left"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("nsenter can be started");
    let input = shell.stdin.take();
    let mut said = String::new();
    BufReader::new(shell.stdout.take().expect("stdout is piped")).read_line(&mut said).expect("the shell speaks");
    assert_eq!(said, "left\n");
    assert!(shell.wait().expect("a child can be waited for").success());
    await_until("the orphan to be ours", || !children(first).is_empty());
    drop(input);
    await_until("its end to be noted", || children(first).is_empty());
    kill_process(first_pid, Signal::TERM).expect("it runs");
    assert_eq!(gate.await_exit().code(), Some(0), "{}", gate.log());
}

#[test]
fn process_1_that_is_ourselves_is_a_slip() {
    if !may() {
        return;
    }
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(FIRST[0]);
    command.args(&FIRST[1..]).arg(binary()).args(["run", "--exit-with", "1", "--manifests"]).arg(home.path());
    let finished = command.output().expect("unshare can be started");
    let said = String::from_utf8_lossy(&finished.stderr);
    assert_eq!(finished.status.code(), Some(2), "{said}");
    assert!(said.contains("tidegate itself") && said.contains("PID namespace"), "{said}");
}
