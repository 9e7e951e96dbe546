//! Who is asked: the less busy one, as the sidecar sees it.

use tidegate_tests::await_until;

use crate::project::QUIET;
use crate::{Project, engine};

/// Replicas that answer only once they are let go, and note who waits.
const HOLDING: &str = r#"
services:
  orders:
    command:
      - sh
      - -c
      - |
        mkdir -p /w/cgi-bin /held
        printf '#!/bin/sh\n: >/held/$$$$\nuntil [ -e /go ]; do sleep 0.1; done\nprintf "\\r\\n"\nhostname\n' >/w/cgi-bin/hold
        chmod 755 /w/cgi-bin/hold
        exec httpd -f -p 8080 -h /w
"#;

#[test]
fn requests_go_to_the_replica_that_has_fewer_under_way() {
    let Some(engine) = engine() else { return };
    let shop = Project::up(engine, "busy", &[QUIET, ("docker-compose.override.yml", HOLDING)]);
    shop.await_ready(2);
    let replicas = shop.containers("orders");
    let held = || -> Vec<usize> { replicas.iter().map(|id| shop.docker(&["exec", id, "sh", "-c", "ls /held"]).lines().count()).collect() };
    for count in 1..=4 {
        shop.app("wget -q -O - http://orders/cgi-bin/hold >>/answers &");
        await_until("the request to be held", || held().iter().sum::<usize>() == count);
    }
    assert_eq!(held(), [2, 2]);
    for id in &replicas {
        shop.docker(&["exec", id, "sh", "-c", ": >/go"]);
    }
    await_until("all answers", || shop.app("cat /answers").lines().count() == 4);
}
