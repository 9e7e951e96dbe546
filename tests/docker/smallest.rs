//! Labels alone: a host and a port are enough, and without the word `external` nothing is exposed.

use tidegate_tests::{Engine, Net, Setup, command};

use crate::{await_ready, refs, replica, words};

fn labels(pairs: &[&str]) -> Vec<String> {
    pairs.iter().flat_map(|pair| ["--label".to_owned(), format!("tidegate.dev/{pair}")]).collect()
}

#[test]
fn two_labels_and_the_word_external_are_a_site() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let on = ["--network".to_owned(), network.name.clone()];
    let start = |project: &str, also: &[&str]| engine.run(project, &refs(&words(&[&on, &replica(project, "web"), &labels(also)])));
    let site = start("open", &["host=open.test", "exposure=external"]);
    let hidden = start("shut", &["host=shut.test"]);
    let wrong = start("odd", &["host=odd.test", "exposure=public"]);
    let tidegate = Setup::new(&net).flag("--docker-socket", &engine.socket()).start();
    await_ready(&tidegate, "open/web:80", &[site.host_name()]);
    await_ready(&tidegate, "shut/web:80", &[hidden.host_name()]);
    assert_eq!(tidegate.get("open.test", "/service").text().trim(), "open");
    for host in ["shut.test", "odd.test"] {
        assert_eq!(tidegate.get(host, "/").status, 404, "{host}");
    }
    tidegate.await_problem(&[&wrong.id[..12], "tidegate.dev/exposure", "`public`", "sealed"]);
    let exposed = command(["check", "--docker-socket", &engine.socket(), "--assert", "internal: shut/*"]);
    assert!(exposed.stdout.contains("open/web:80") && exposed.stdout.contains("http open.test /"), "{}", exposed.stdout);
    assert!(!exposed.stderr.contains("assertion broken"), "{}", exposed.stderr);
}

#[test]
fn projects_of_one_engine_do_not_meet_whatever_their_labels_say() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let on = ["--network".to_owned(), network.name.clone()];
    let app = ["--label".to_owned(), "app=web".to_owned()];
    let start = |project: &str| engine.run(project, &refs(&words(&[&on, &replica(project, "web"), &app])));
    let (mine, theirs) = (start("mine"), start("theirs"));
    let manifest =
        "apiVersion: v1\nkind: Service\nmetadata: {name: site, namespace: mine}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    let tidegate = Setup::new(&net).flag("--docker-socket", &engine.socket()).manifest("web.yaml", manifest).start();
    await_ready(&tidegate, "mine/site:80", &[mine.host_name()]);
    let workloads = tidegate.rows("workloads");
    for project in ["mine", "theirs"] {
        let row = workloads.iter().find(|row| row["namespace"] == project && row["name"] == "web");
        assert_eq!(row.map(|row| (row["desired"].as_u64(), row["ready"].as_u64())), Some((Some(1), Some(1))), "{project}: {workloads:?}");
    }
    drop(theirs);
}

#[test]
fn one_project_alone_can_be_followed() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let on = ["--network".to_owned(), network.name.clone()];
    let start = |project: &str| engine.run(project, &refs(&words(&[&on, &replica(project, "web"), &labels(&["port=80"])])));
    let (kept, left) = (start("kept"), start("left"));
    let tidegate = Setup::new(&net).flag("--docker-socket", &engine.socket()).flag("--docker-project", "kept").start();
    await_ready(&tidegate, "kept/web:80", &[kept.host_name()]);
    // Whatever came of the other one's events would be there by the time that a later one of ours is.
    engine.docker(&["restart", "-t", "0", &left.id]);
    let second = start("kept");
    await_ready(&tidegate, "kept/web:80", &[kept.host_name(), second.host_name()]);
    let others: Vec<_> = tidegate.rows("workloads").into_iter().filter(|row| row["namespace"] != "kept").collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_host_that_is_written_beside_is_not_taken_by_somebodys_labels() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let on = ["--network".to_owned(), network.name.clone()];
    let claim = labels(&["host=taken.test", "exposure=external"]);
    // It is older, and its namespace's name comes first.
    let thief = engine.run("thief", &refs(&words(&[&on, &replica("a-thief", "web"), &claim])));
    let owner = engine.run("owner", &refs(&words(&[&on, &replica("owner", "web")])));
    let written = crate::shop("owner", "web", "taken.test");
    let tidegate = Setup::new(&net).flag("--docker-socket", &engine.socket()).manifest("shop.yaml", written).start();
    await_ready(&tidegate, "owner/web:80", &[owner.host_name()]);
    await_ready(&tidegate, "a-thief/web:80", &[thief.host_name()]);
    assert_eq!(tidegate.get("taken.test", "/service").text().trim(), "owner");
}
