//! The end: of a job, and of both at once.

use tidegate_tests::await_until;

use crate::{Project, engine};

/// It ends when it is let go.
const JOB: &str = "#!/bin/sh\nwget -q -O - http://orders\nuntil [ -e /done ]; do sleep 0.1; done\nexit 3\n";
/// It has much to say after it was told to end.
const LATE: &str = r#"#!/bin/sh
ask() { wget -q -O - http://orders || echo failed; }
end() {
  echo told
  until [ -e /done ]; do ask; done
  exit 0
}
trap end TERM
ask
while :; do
  sleep 1 &
  wait $!
done
"#;

/// Lets the app end. What was told so may end with it.
fn let_go(shop: &Project) {
    let _ = shop.try_app(": >/done");
}

#[test]
fn a_job_takes_its_sidecar_along() {
    let Some(engine) = engine() else { return };
    let shop = Project::up(engine, "job", &[("app", JOB)]);
    await_until("the job to be seen", || shop.log("gate").contains("the app runs"));
    let_go(&shop);
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
    await_until("it to be told", || shop.log("gate").contains("serving until the app has gone"));
    let answered = || shop.log("app").split_once("told\n").map_or(0, |(_, after)| after.lines().count());
    await_until("many answers since", || answered() >= 50);
    let_go(&shop);
    assert_eq!([shop.ended("app"), shop.ended("gate")], ["0", "0"], "{}", shop.log("gate"));
    assert!(!shop.log("app").contains("failed") && shop.log("gate").contains("drained"), "{}", shop.log("app"));
}
