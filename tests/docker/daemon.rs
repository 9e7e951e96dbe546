//! The engine itself dies and returns: what was known serves, and what changed meanwhile is found.

use tidegate_tests::{Engine, Net, await_until, command};

use crate::load::Load;
use crate::{await_ready, beside, refs, replica, shop, words};

#[test]
fn a_dead_engine_takes_nothing_away_and_a_new_one_is_read_whole() {
    let Some(engine) = Engine::own() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let on = ["--network".to_owned(), network.name.clone()];
    let start = || engine.run("web", &refs(&words(&[&on, &replica("dead", "web")])));
    let (one, two) = (start(), start());
    let tidegate = beside(&engine, &net, &shop("dead", "web", "dead.test"));
    await_ready(&tidegate, "dead/web:80", &[one.host_name(), two.host_name()]);
    let load = Load::start(tidegate.http(), "dead.test");
    engine.stop();
    let source = |state: &str| {
        await_until(&format!("the source is {state}"), || {
            tidegate.rows("sources").iter().any(|row| row["name"] == "docker" && row["state"] == state)
        });
    };
    source("stale");
    load.more();
    await_ready(&tidegate, "dead/web:80", &[one.host_name(), two.host_name()]);
    let told = tidegate.await_problem(&["Unreadable", "the Docker engine"]);
    assert!(told["fix"].as_str().is_some_and(|fix| fix.contains("--docker-socket")), "{told}");
    engine.restart();
    source("ok");
    load.more();
    let three = start();
    await_ready(&tidegate, "dead/web:80", &[one.host_name(), two.host_name(), three.host_name()]);
    load.more();
    load.finish(0);
}

#[test]
fn a_start_beside_a_dead_engine_serves_what_was_known() {
    let Some(engine) = Engine::own() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let on = ["--network".to_owned(), network.name.clone()];
    let one = engine.run("web", &refs(&words(&[&on, &replica("cold", "web")])));
    let tidegate = beside(&engine, &net, &shop("cold", "web", "cold.test"));
    await_ready(&tidegate, "cold/web:80", &[one.host_name()]);
    // What is known is on the disk when it ends.
    let setup = tidegate.into_setup();
    engine.stop();
    let (state, folder) = (setup.state(), setup.folder());
    let asked = ["check", "--docker-socket", &engine.socket(), "--manifests"].map(str::to_owned);
    let checked = command(asked.into_iter().chain([folder, "--state-dir".into(), state].map(|path| path.display().to_string())));
    assert!(checked.exited(1).contains("the Docker engine") && checked.stdout.contains("cold/web:80"), "{}", checked.stdout);
    let tidegate = setup.start();
    assert_eq!(tidegate.get("cold.test", "/").text().trim(), one.host_name());
    engine.restart();
    let two = engine.run("web", &refs(&words(&[&on, &replica("cold", "web")])));
    await_ready(&tidegate, "cold/web:80", &[one.host_name(), two.host_name()]);
}
