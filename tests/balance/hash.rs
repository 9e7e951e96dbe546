//! What says the same goes to the same replica: on every worker, after a restart, and for all but its own when one leaves.

use std::collections::BTreeSet;

use tidegate_tests::frames::{Frames, request};

use super::*;

/// The app with this way to pick, on its Ingress.
fn hashed(manifest: &str, way: &str) -> String {
    let annotated = format!("kind: Ingress\nmetadata: {{annotations: {{{way}}}, namespace");
    manifest.replace("kind: Ingress\nmetadata: {namespace", &annotated)
}

const BY_HEADER: &str = "tidegate.dev/balance: hash header X-User";

fn named<const N: usize>(net: &Net, names: [&str; N]) -> [Replica; N] {
    names.map(|name| Replica::start(net, name, Behaviour::Named))
}

/// Who answers a request with this line, two times on each of three connections: always the same.
fn home(gate: &Tidegate, path: &str, field: &str) -> String {
    let address = gate.http();
    let ask = |client: &mut Client| {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: app.example\r\n{field}\r\n"));
        client.response().replica().to_owned()
    };
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let mut client = Client::connect(address);
        seen.extend([ask(&mut client), ask(&mut client)]);
    }
    assert_eq!(seen.len(), 1, "{path} {field:?} was answered by {seen:?}");
    seen.into_iter().next().unwrap_or_default()
}

/// The homes of sixty users.
fn homes(gate: &Tidegate) -> Vec<String> {
    (0..60).map(|user| home(gate, "/", &format!("X-User: user-{user}\r\n"))).collect()
}

#[test]
fn a_user_keeps_a_replica_on_every_worker_and_through_a_restart_and_only_those_of_one_that_leaves_move() {
    let _alone = alone();
    let net = Net::take();
    let [one, two, three, four] = named(&net, ["one", "two", "three", "four"]);
    let app = |replicas: &[&Replica]| hashed(&app(&net, "app", "app.example", replicas), BY_HEADER);
    let gate = Setup::new(&net).manifest("app.yaml", app(&[&one, &two, &three, &four])).flag("--workers", "4").start();
    let before = homes(&gate);
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 4, "all serve somebody: {before:?}");

    let gate = gate.into_setup().flag("--workers", "2").start();
    assert_eq!(homes(&gate), before, "after a restart");

    gate.write("app.yaml", &app(&[&one, &two, &four]));
    let fewer = homes(&gate);
    for (before, after) in before.iter().zip(&fewer) {
        assert_eq!(before == "three", before != after, "from {before} to {after}");
    }
    gate.write("app.yaml", &app(&[&one, &two, &three, &four]));
    assert_eq!(homes(&gate), before, "it came back to its own");
}

#[test]
fn a_request_without_it_goes_anywhere_and_one_whose_replica_is_dead_elsewhere() {
    let _alone = alone();
    let net = Net::take();
    let [one, two, mut dead] = named(&net, ["one", "two", "dead"]);
    let manifest = hashed(&app(&net, "app", "app.example", &[&one, &two, &dead]), BY_HEADER);
    let gate = Setup::new(&net).manifest("app.yaml", manifest).start();
    let anywhere: BTreeSet<String> = (0..60).map(|_| gate.get("app.example", "/").replica().to_owned()).collect();
    assert!(anywhere.len() > 1, "{anywhere:?}");
    let before = homes(&gate);
    dead.die();
    for (before, after) in before.iter().zip(homes(&gate)) {
        assert!(if before == "dead" { after != "dead" } else { *before == after }, "from {before} to {after}");
    }
}

#[test]
fn each_variable_of_ingress_nginx_is_a_key() {
    let _alone = alone();
    let net = Net::take();
    let replicas = named(&net, ["one", "two", "three"]);
    let plain = app(&net, "app", "app.example", &replicas.each_ref());
    let by = |variable: &str| hashed(&plain, &format!("nginx.ingress.kubernetes.io/upstream-hash-by: \"{variable}\""));
    let gate = Setup::new(&net).manifest("app.yaml", by("$cookie_sid")).start();
    let all = |ask: &dyn Fn(u32) -> String| (0..30).map(ask).collect::<BTreeSet<_>>().len();
    assert_eq!(all(&|user| home(&gate, "/", &format!("Cookie: a=b; sid=s{user}\r\n"))), 3);
    gate.write("app.yaml", &by("$arg_user"));
    assert_eq!(all(&|user| home(&gate, &format!("/?a=b&user=u{user}"), "")), 3);
    gate.write("app.yaml", &by("$request_uri"));
    assert_eq!(all(&|user| home(&gate, &format!("/{user}"), "")), 3);
    gate.write("app.yaml", &by("$remote_addr"));
    home(&gate, "/", "");
    gate.write("app.yaml", &by("$http_x_user$request_uri"));
    gate.await_problem(&["upstream-hash-by", "one variable alone"]);
}

#[test]
fn http_2_and_http_1_agree() {
    let _alone = alone();
    let net = Net::take();
    let replicas = named(&net, ["one", "two", "three"]);
    let manifest = hashed(&app(&net, "app", "app.example", &replicas.each_ref()), BY_HEADER);
    let gate = Setup::new(&net).manifest("app.yaml", manifest).flag("--workers", "2").start();
    let mut client = Frames::connect(gate.http());
    for user in 0..20 {
        let user = format!("user-{user}");
        let home = home(&gate, "/", &format!("X-User: {user}\r\n"));
        let asked = client.ask(&[&request("GET", "app.example", "/")[..], &[("x-user", user.as_str())]].concat(), true);
        assert_eq!(String::from_utf8_lossy(&client.answer(asked).body), home, "{user}");
    }
}
