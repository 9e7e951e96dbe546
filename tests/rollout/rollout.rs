//! No failed request while pods come and go: a few rollouts of each sort, by the rig that `make rollout` runs for longer (`main.rs`).

use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Plays one scene, all kinds of traffic at once, and wants a good verdict.
fn rolls(replicas: &str, strategy: &str, rollouts: &str) {
    // One at a time: load that others make would be taken for churn.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = ["--contenders", "tidegate", "--replicas", replicas, "--strategies", strategy, "--rollouts", rollouts, "--pause", "50"];
    let rig = env!("CARGO_BIN_EXE_rollout");
    let output = Command::new("timeout").arg("120").arg(rig).args(plan).output().expect("the rig can be started");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    assert!(said.contains("verdict: good"), "{said}");
}

#[test]
fn three_replicas_new_ones_first() {
    rolls("3", "surge", "4");
}

#[test]
fn three_replicas_old_ones_first() {
    rolls("3", "swap", "4");
}

#[test]
fn one_replica_the_new_one_first() {
    rolls("1", "surge", "5");
}

#[test]
fn one_replica_with_a_gap() {
    rolls("1", "recreate", "5");
}

#[test]
fn a_slip_in_the_plan_is_no_good_verdict() {
    let output = Command::new(env!("CARGO_BIN_EXE_rollout")).args(["--kinds", "h3"]).output().expect("the rig can be started");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
