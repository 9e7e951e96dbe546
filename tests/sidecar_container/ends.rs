//! The end: of a job, and of both at once.

use tidegate_tests::await_until;

use crate::{Project, engine};

/// It ends when it is let go: by a signal, since a command that is run in a container whose PID namespace ends is never heard of again.
const JOB: &str = "#!/bin/sh\ntrap 'exit 3' USR1\nwget -q -O - http://orders\nwhile :; do\n  sleep 1 &\n  wait $!\ndone\n";
/// It has much to say after it was told to end.
const LATE: &str = r#"#!/bin/sh
ask() { wget -q -O - http://orders || echo failed; }
end() {
  echo told
  for i in $(seq 50); do ask; done
  exit 0
}
trap end TERM
ask
while :; do
  sleep 1 &
  wait $!
done
"#;

#[test]
fn a_job_takes_its_sidecar_along() {
    let Some(engine) = engine() else { return };
    let shop = Project::up(engine, "job", &[("app", JOB)]);
    await_until("the job to be seen", || shop.log("gate").contains("the app runs"));
    await_until("the job to be answered", || !shop.log("app").is_empty());
    shop.docker(&["kill", "--signal", "USR1", &shop.container("app")]);
    assert_eq!([shop.ended("app"), shop.ended("gate")], ["3", "0"], "{}", shop.log("gate"));
    assert!(shop.log("gate").contains("drained"), "{}", shop.log("gate"));
    assert_eq!(shop.log("app").trim().len(), 12, "it was answered: {}", shop.log("app"));
}

#[test]
fn told_at_the_same_moment_the_app_goes_first_and_has_its_way_out_until_then() {
    let Some(engine) = engine() else { return };
    let shop = Project::up(engine, "late", &[("app", LATE)]);
    await_until("the app to be answered", || !shop.log("app").is_empty());
    for service in ["gate", "app"] {
        shop.docker(&["kill", "--signal", "TERM", &shop.container(service)]);
    }
    assert_eq!([shop.ended("app"), shop.ended("gate")], ["0", "0"], "{}", shop.log("gate"));
    let (app, gate) = (shop.log("app"), shop.log("gate"));
    assert_eq!(app.split_once("told\n").map(|(_, after)| after.lines().count()), Some(50), "{app}");
    assert!(!app.contains("failed"), "{app}");
    assert!(gate.contains("serving until the app has gone") && gate.contains("drained"), "{gate}");
}
