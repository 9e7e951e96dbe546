//! The right network, or a clear error: never a request that waits for an address that nobody can reach.

use tidegate_tests::{Engine, Net, Setup, command};

use crate::{await_ready, refs, replica, shop, words};

#[test]
fn the_network_that_was_asked_for_is_used_and_the_lack_of_it_is_told() {
    let Some(engine) = Engine::shared() else { return };
    let (near, far) = (Net::take(), Net::take());
    let (apps, other) = (engine.network(&near, "apps"), engine.network(&far, "other"));
    let on = |network: &str| words(&[&["--network".to_owned(), network.to_owned()], &replica("reach", "web")]);
    let both = engine.run("web", &refs(&on(&other.name)));
    engine.docker(&["network", "connect", &apps.name, &both.id]);
    let settings = format!("docker: {{enabled: true, socket: {}, network: {}}}\n", engine.socket(), apps.name);
    let tidegate = Setup::new(&near).config(&settings).start();
    await_ready(&tidegate, "reach/web:80", &[both.host_name()]);
    let subnet = near.service_cidr().replacen("127.", "10.", 1).replace("0/24", "");
    let address = tidegate.rows("endpoints")[0]["address"].as_str().unwrap_or_default().to_owned();
    assert!(address.starts_with(&subnet), "{address} is not of {subnet}");
    let lost = engine.run("web", &refs(&on(&other.name)));
    let told = tidegate.await_problem(&["AddressRefused", &lost.id[..12], "cannot be reached", &other.name]);
    assert_eq!(told["severity"], "error");
    await_ready(&tidegate, "reach/web:80", &[both.host_name()]);
    let config = tidegate.home().join("tidegate.yaml");
    let checked = command(["check", "--config", &config.display().to_string()]);
    assert!(checked.exited(1).contains("cannot be reached"), "{}", checked.stdout);
}

#[test]
fn a_service_whose_containers_cannot_be_reached_says_so_at_once() {
    let Some(engine) = Engine::shared() else { return };
    let net = Net::take();
    let network = engine.network(&net, "other");
    let on = ["--network".to_owned(), network.name.clone()];
    let _lost = engine.run("web", &refs(&words(&[&on, &replica("lost", "web")])));
    let settings = format!("docker: {{enabled: true, socket: {}, network: apps}}\nlimits: {{endpointWaitMs: 0}}\n", engine.socket());
    let tidegate = Setup::new(&net).config(&settings).manifest("shop.yaml", shop("lost", "web", "lost.test")).start();
    assert_eq!(tidegate.get("lost.test", "/").status, 503, "not a 504 after a while");
    tidegate.await_problem(&["AddressRefused", "cannot be reached", "docker.network: apps"]);
    let admin = tidegate.admin().to_string();
    let why = command(["explain", "http://lost.test/", "--admin", &admin]);
    assert!(why.exited(0).contains("cannot be reached on it"), "{}", why.stdout);
    let problems = command(["get", "problems", "--admin", &admin]);
    assert!(problems.exited(0).contains("docker.network: apps"), "{}", problems.stdout);
}
