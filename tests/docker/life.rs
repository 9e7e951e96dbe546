//! The life of single containers: killed, restarted, ill, paused, taken from their network, and replaced at the same address.

use tidegate_tests::{Engine, Net, Setup};

use crate::load::Load;
use crate::{await_ready, beside, refs, replica, shop, words};

fn on(network: &str) -> Vec<String> {
    ["--network".to_owned(), network.to_owned()].to_vec()
}

#[test]
fn a_killed_replica_costs_no_request_and_comes_back_as_another() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let start = || engine.run("web", &refs(&words(&[&on(&network.name), &replica("kill", "web")])));
    let (one, two) = (start(), start());
    let tidegate = beside(engine, &net, &shop("kill", "web", "kill.test"));
    await_ready(&tidegate, "kill/web:80", &[one.host_name(), two.host_name()]);
    let load = Load::start(tidegate.http(), "kill.test");
    engine.docker(&["kill", &one.id]);
    await_ready(&tidegate, "kill/web:80", &[two.host_name()]);
    load.more();
    engine.docker(&["start", &one.id]);
    await_ready(&tidegate, "kill/web:80", &[one.host_name(), two.host_name()]);
    load.more();
    let who = load.finish(1);
    assert_eq!(who.len(), 2, "{who:?}");
    let replicas: Vec<_> = tidegate.rows("endpoints").iter().filter_map(|row| row["replica"].as_u64()).collect();
    assert!(replicas.iter().any(|replica| *replica > 2), "another start is another replica: {replicas:?}");
}

#[test]
fn a_replica_leaves_when_it_is_told_to_stop_not_when_it_has() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let start = |also: &[String]| engine.run("web", &refs(&words(&[&on(&network.name), &replica("stop", "web"), also])));
    // The first process of a container does not end by a signal that it does not expect.
    let deaf = start(&["--stop-signal".to_owned(), "QUIT".to_owned()]);
    let other = start(&[]);
    let tidegate = beside(engine, &net, &shop("stop", "web", "stop.test"));
    await_ready(&tidegate, "stop/web:80", &[deaf.host_name(), other.host_name()]);
    engine.docker(&["kill", "--signal", "QUIT", &deaf.id]);
    await_ready(&tidegate, "stop/web:80", &[other.host_name()]);
    let running = engine.docker(&["inspect", "-f", "{{.State.Running}}", &deaf.id]);
    assert_eq!(running, "true", "it has not ended");
}

#[test]
fn an_ill_replica_gets_nothing_until_it_is_well() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let checked = ["--health-cmd", "test ! -e /ill", "--health-interval", "100ms", "--health-retries", "1"].map(str::to_owned);
    let start = || engine.run("web", &refs(&words(&[&on(&network.name), &replica("ill", "web"), &checked])));
    let (one, two) = (start(), start());
    let tidegate = beside(engine, &net, &shop("ill", "web", "ill.test"));
    await_ready(&tidegate, "ill/web:80", &[one.host_name(), two.host_name()]);
    one.exec("touch /ill");
    await_ready(&tidegate, "ill/web:80", &[two.host_name()]);
    assert_eq!(tidegate.get("ill.test", "/").text().trim(), two.host_name());
    one.exec("rm /ill");
    await_ready(&tidegate, "ill/web:80", &[one.host_name(), two.host_name()]);
}

/// Without a healthcheck: the engine may answer nothing of a paused container whose check it waits for.
#[test]
fn a_paused_replica_gets_nothing_until_it_goes_on() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let start = || engine.run("web", &refs(&words(&[&on(&network.name), &replica("paused", "web")])));
    let (one, two) = (start(), start());
    let tidegate = beside(engine, &net, &shop("paused", "web", "paused.test"));
    await_ready(&tidegate, "paused/web:80", &[one.host_name(), two.host_name()]);
    engine.docker(&["pause", &two.id]);
    await_ready(&tidegate, "paused/web:80", &[one.host_name()]);
    engine.docker(&["unpause", &two.id]);
    await_ready(&tidegate, "paused/web:80", &[one.host_name(), two.host_name()]);
}

#[test]
fn a_replica_that_is_taken_from_its_network_is_not_asked_and_returns_with_its_new_address() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let start = || engine.run("web", &refs(&words(&[&on(&network.name), &replica("cut", "web")])));
    let (one, two) = (start(), start());
    // What was asked of it before it was cut off has no answer: so long until it is asked of another.
    let settings = format!("docker: {{enabled: true, socket: {}}}\nlimits: {{replicaDrainMs: 200}}\n", engine.socket());
    let tidegate = Setup::new(&net).config(&settings).manifest("shop.yaml", shop("cut", "web", "cut.test")).start();
    await_ready(&tidegate, "cut/web:80", &[one.host_name(), two.host_name()]);
    let load = Load::start(tidegate.http(), "cut.test");
    engine.docker(&["network", "disconnect", &network.name, &one.id]);
    await_ready(&tidegate, "cut/web:80", &[two.host_name()]);
    load.more();
    let address = net.service_cidr().replacen("127.", "10.", 1).replace(".0/24", ".77");
    engine.docker(&["network", "connect", "--ip", &address, &network.name, &one.id]);
    await_ready(&tidegate, "cut/web:80", &[one.host_name(), two.host_name()]);
    load.more();
    let who = load.finish(1);
    assert!(who.len() == 2, "{who:?}");
    assert!(tidegate.rows("endpoints").iter().any(|row| row["address"] == format!("{address}:80")));
}

#[test]
fn an_address_that_another_service_gets_never_answers_for_the_first() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "a");
    let address = net.service_cidr().replacen("127.", "10.", 1).replace(".0/24", ".66");
    let at = ["--ip".to_owned(), address.clone()];
    let start = |service: &str| engine.run(service, &refs(&words(&[&on(&network.name), &at, &replica("reuse", service)])));
    let one = start("one");
    let tidegate = beside(engine, &net, &(shop("reuse", "one", "one.test") + &shop("reuse", "two", "two.test")));
    await_ready(&tidegate, "reuse/one:80", &[one.host_name()]);
    assert_eq!(tidegate.get("one.test", "/service").text().trim(), "one");
    drop(one);
    let two = start("two");
    await_ready(&tidegate, "reuse/two:80", &[two.host_name()]);
    assert_eq!(tidegate.get("two.test", "/service").text().trim(), "two");
    let lost = tidegate.get("one.test", "/service");
    assert_eq!(lost.status, 503, "{}", lost.text());
}
