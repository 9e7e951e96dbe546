use config::object::{Check, Ingress, Kind, Object, ObjectKey, Pod, PortRef, Protocol, Service};

use super::super::container::{Attached, Health, Place, State};
use super::*;
use crate::exposure::{EXTERNAL_CLASS, INTERNAL_CLASS};

const SHOP: (&str, &str) = ("com.docker.compose.project", "shop");

fn labelled(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A running container of `id` at 10.1.0.N on the network `shop_default`.
fn container(id: &str, n: u8, labels: &[(&str, &str)]) -> Container {
    let at = Attached { addresses: vec![[10, 1, 0, n].into()] };
    Container {
        id: format!("{id:0<64}").into(),
        name: format!("shop-{id}"),
        labels: labelled(labels),
        created: Some(i64::from(n)),
        state: State { running: true, started: format!("2026-01-01T00:00:{n:02}Z"), ..State::default() },
        place: Place::Networks([("shop_default".to_owned(), at)].into()),
        ..Container::default()
    }
}

fn web<'l>(also: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
    [&[SHOP, ("com.docker.compose.service", "web")], also].concat()
}

fn engine(containers: impl IntoIterator<Item = Container>) -> Engine {
    Engine { containers: containers.into_iter().map(|container| (container.id.clone(), container)).collect(), ..Engine::default() }
}

fn all(engine: &Engine) -> (Vec<Object>, Vec<String>) {
    let (manifests, _) = objects(engine);
    let problems = manifests.values().flat_map(|manifest| manifest.problems.iter().map(ToString::to_string)).collect();
    (manifests.into_values().flat_map(|manifest| manifest.objects).collect(), problems)
}

fn pods(objects: &[Object]) -> Vec<&Pod> {
    objects.iter().filter_map(|object| if let Object::Pod(pod) = object { Some(pod) } else { None }).collect()
}

fn services(objects: &[Object]) -> Vec<&Service> {
    objects.iter().filter_map(|object| if let Object::Service(service) = object { Some(service) } else { None }).collect()
}

fn ingresses(objects: &[Object]) -> Vec<&Ingress> {
    objects.iter().filter_map(|object| if let Object::Ingress(ingress) = object { Some(ingress) } else { None }).collect()
}

fn keys(objects: &[Object]) -> Vec<String> {
    let mut keys: Vec<String> = objects.iter().map(Object::key).map(|key: ObjectKey| key.to_string()).collect();
    keys.sort();
    keys
}

#[test]
fn replicas_of_a_compose_service_are_pods_of_a_deployment_in_the_projects_namespace() {
    let (found, problems) = all(&engine([container("a", 1, &web(&[("app", "web")])), container("b", 2, &web(&[]))]));
    assert_eq!(problems, [""; 0]);
    assert_eq!(keys(&found), ["Deployment shop/web", "Pod shop/web-a00000000000", "Pod shop/web-b00000000000"]);
    let pod = pods(&found)[0];
    assert!(pod.ready && !pod.finished && !pod.meta.deleting);
    assert_eq!(pod.ips, [std::net::IpAddr::from([10, 1, 0, 1])]);
    assert_eq!(pod.meta.labels.get("app").map(|value| &**value), Some("web"), "manifests select by the container's labels");
    assert_eq!(pod.meta.labels.get(NAME_LABEL).map(|value| &**value), Some("shop-a"));
    let Some(Object::Workload(workload)) = found.iter().find(|object| object.kind() == Kind::Deployment) else { panic!("a Deployment") };
    assert_eq!(workload.replicas, 2);
    assert!(pods(&found).iter().all(|pod| workload.selector.selects(&pod.meta.labels)));
}

#[test]
fn projects_on_one_engine_do_not_meet() {
    let other = [("com.docker.compose.project", "Other_Shop"), ("com.docker.compose.service", "web"), ("app", "web")];
    let (found, _) = all(&engine([container("a", 1, &web(&[("app", "web")])), container("b", 2, &other), container("c", 3, &[])]));
    let namespaces: Vec<&str> = pods(&found).iter().map(|pod| &*pod.meta.namespace).collect();
    assert_eq!(namespaces, ["default", "other-shop", "shop"]);
}

#[test]
fn only_the_projects_that_were_asked_for_are_looked_at() {
    let other = [("com.docker.compose.project", "other"), ("com.docker.compose.service", "web"), ("tidegate.dev/port", "x")];
    let mut engine = engine([container("a", 1, &web(&[])), container("b", 2, &other), container("c", 3, &[])]);
    engine.projects = vec!["shop".to_owned()];
    let (found, problems) = all(&engine);
    assert_eq!(keys(&found), ["Deployment shop/web", "Pod shop/web-a00000000000"]);
    assert_eq!(problems, [""; 0]);
}

#[test]
fn health_pauses_ends_and_starts_are_churn() {
    let change = |change: fn(&mut Container)| {
        let mut one = container("a", 1, &web(&[]));
        change(&mut one);
        let (found, _) = all(&engine([one]));
        let pod = pods(&found)[0];
        (pod.ready, pod.finished)
    };
    assert_eq!(change(|_| {}), (true, false));
    assert_eq!(change(|one| one.state.health = Health::Good), (true, false));
    assert_eq!(change(|one| one.state.health = Health::Bad), (false, false), "starting and unhealthy ones get nothing");
    assert_eq!(change(|one| one.state.running = false), (false, true));
    let once = container("a", 1, &web(&[]));
    let mut again = once.clone();
    again.state.started = "2026-01-01T01:00:00Z".to_owned();
    let uid = |container: &Container| pods(&all(&engine([container.clone()])).0)[0].meta.uid.clone();
    assert_ne!(uid(&once), uid(&again), "another start is another replica, even at the same address");
}

#[test]
fn what_was_told_to_stop_leaves_until_it_is_started_again() {
    let one = container("a", 1, &web(&[]));
    let mut told = engine([one.clone()]);
    told.stopping.insert(one.id.clone(), one.state.started.clone());
    assert!(pods(&all(&told).0)[0].meta.deleting);
    told.containers.values_mut().for_each(|one| one.state.started = "later".to_owned());
    assert!(!pods(&all(&told).0)[0].meta.deleting);
}

#[test]
fn a_single_command_beside_the_replicas_gets_no_requests() {
    let labels = web(&[("com.docker.compose.oneoff", "True"), ("tidegate.dev/port", "80")]);
    let (found, _) = all(&engine([container("a", 1, &labels)]));
    assert_eq!(keys(&found), ["Pod shop/web-a00000000000"]);
    assert!(!pods(&found)[0].ready);
}

#[test]
fn the_smallest_case_is_a_service_and_an_ingress() {
    let labels = web(&[("tidegate.dev/host", "shop.example.com"), ("tidegate.dev/port", "8080"), ("tidegate.dev/exposure", "external")]);
    let (found, problems) = all(&engine([container("a", 1, &labels)]));
    assert_eq!(problems, [""; 0]);
    assert_eq!(keys(&found), ["Deployment shop/web", "Ingress shop/web", "Pod shop/web-a00000000000", "Service shop/web"]);
    let (service, ingress) = (services(&found)[0], ingresses(&found)[0]);
    assert_eq!((service.ports[0].port, service.ports[0].target_port.clone()), (80, PortRef::Number(8080)));
    assert_eq!(service.ports[0].app_protocol.as_deref(), Some("http"));
    assert!(service.selector.iter().flatten().all(|(key, value)| pods(&found)[0].meta.labels.get(key) == Some(value)));
    assert_eq!(ingress.class.as_deref(), Some(EXTERNAL_CLASS));
    assert_eq!(ingress.rules[0].host.to_string(), "shop.example.com");
}

#[test]
fn without_the_word_external_nothing_is_exposed() {
    for (said, class) in [(None, INTERNAL_CLASS), (Some("internal"), INTERNAL_CLASS), (Some("external"), EXTERNAL_CLASS)] {
        let mut labels = web(&[("tidegate.dev/host", "shop.example.com"), ("tidegate.dev/port", "8080")]);
        labels.extend(said.map(|said| ("tidegate.dev/exposure", said)));
        let (found, _) = all(&engine([container("a", 1, &labels)]));
        assert_eq!(ingresses(&found)[0].class.as_deref(), Some(class), "{said:?}");
        assert_eq!(services(&found)[0].meta.labels.get(EXPOSURE_LABEL).map(|value| &**value), said);
    }
}

#[test]
fn a_label_that_cannot_be_understood_serves_nothing_and_seals() {
    let labels = web(&[("tidegate.dev/host", "a.example.com"), ("tidegate.dev/port", "x"), ("tidegate.dev/exposure", "external")]);
    let good = web(&[("tidegate.dev/host", "a.example.com"), ("tidegate.dev/port", "80"), ("tidegate.dev/exposure", "external")]);
    let (found, problems) = all(&engine([container("a", 1, &labels), container("b", 2, &good)]));
    assert_eq!(keys(&found), ["Deployment shop/web", "Pod shop/web-a00000000000", "Pod shop/web-b00000000000"]);
    assert!(pods(&found)[0].meta.unclear);
    assert!(problems[0].contains("Pod shop/web-a00000000000: label tidegate.dev/port: `x`"), "{problems:?}");
}

#[test]
fn of_replicas_that_differ_the_newest_says_what_is_served_and_one_that_seals_seals_all() {
    let host = |host| web(&[("tidegate.dev/host", host), ("tidegate.dev/port", "80"), ("tidegate.dev/exposure", "external")]);
    let (found, _) = all(&engine([container("a", 2, &host("new.example.com")), container("b", 1, &host("old.example.com"))]));
    assert_eq!(ingresses(&found)[0].rules.len(), 1);
    assert_eq!(ingresses(&found)[0].rules[0].host.to_string(), "new.example.com");
    let sealed = web(&[("tidegate.dev/exposure", "internal")]);
    let (found, _) = all(&engine([container("a", 2, &host("new.example.com")), container("b", 1, &sealed)]));
    assert_eq!(ingresses(&found)[0].class.as_deref(), Some(INTERNAL_CLASS));
    assert_eq!(services(&found)[0].meta.labels.get(EXPOSURE_LABEL).map(|value| &**value), Some("internal"));
}

#[test]
fn a_port_is_said_or_there_is_only_one() {
    let host = web(&[("tidegate.dev/host", "a.example.com")]);
    let with = |ports: &[(u16, Protocol)]| {
        let mut one = container("a", 1, &host);
        one.ports = ports.to_vec();
        let (found, problems) = all(&engine([one]));
        (services(&found).first().map(|service| service.ports[0].target_port.clone()), problems)
    };
    assert_eq!(with(&[(8080, Protocol::Tcp), (53, Protocol::Udp)]), (Some(PortRef::Number(8080)), vec![]));
    let (none, problems) = with(&[(80, Protocol::Tcp), (443, Protocol::Tcp)]);
    assert!(none.is_none() && problems[0].contains("exposes 80/TCP, 443/TCP"), "{problems:?}");
    let (none, problems) = with(&[]);
    assert!(none.is_none() && problems[0].contains("label it `tidegate.dev/port"), "{problems:?}");
}

#[test]
fn without_a_healthcheck_the_port_is_asked_whether_it_listens() {
    let port = web(&[("tidegate.dev/port", "8080")]);
    let probes = |change: fn(&mut Container), labels: &[(&str, &str)]| {
        let mut one = container("a", 1, labels);
        change(&mut one);
        pods(&all(&engine([one])).0)[0].probes.iter().map(|probe| probe.check.clone()).collect::<Vec<_>>()
    };
    assert_eq!(probes(|_| {}, &port), [Check::Tcp { port: 8080 }]);
    assert_eq!(probes(|one| one.state.health = Health::Good, &port), [], "its own check knows better");
    assert_eq!(probes(|_| {}, &web(&[])), [], "nobody says where it listens");
}

#[test]
fn what_does_not_speak_http_keeps_its_port() {
    let labels = [SHOP, ("com.docker.compose.service", "db"), ("tidegate.dev/port", "5432")];
    let (found, _) = all(&engine([container("a", 1, &labels)]));
    assert_eq!((services(&found)[0].ports[0].port, services(&found)[0].ports[0].app_protocol.clone()), (5432, None));
    assert!(ingresses(&found).is_empty());
}

#[test]
fn a_container_out_of_reach_is_told_by_how_much_it_matters() {
    let lonely = |labels: &[(&str, &str)]| {
        let mut one = container("a", 1, labels);
        one.place = Place::Networks([("other".to_owned(), Attached { addresses: vec![[10, 9, 0, 1].into()] })].into());
        let own = container("0", 2, &[SHOP, ("com.docker.compose.service", "tidegate")]);
        let mut engine = engine([one, own.clone()]);
        engine.own = Some(own.id);
        all(&engine)
    };
    let (found, problems) = lonely(&web(&[("tidegate.dev/port", "80")]));
    assert!(problems[0].starts_with("error AddressRefused: Pod shop/web-a00000000000: container shop-a cannot be reached"), "{problems:?}");
    assert!(!pods(&found).iter().any(|pod| &*pod.meta.name == "web-a00000000000" && pod.ready));
    assert!(lonely(&web(&[])).1[0].starts_with("warning"));
    assert!(lonely(&[]).1[0].starts_with("note"));
}

#[test]
fn an_answer_that_cannot_be_read_costs_one_container_and_not_what_was_known_of_it() {
    let one = container("a", 1, &web(&[]));
    let mut engine = engine([one.clone()]);
    engine.unread.insert(one.id.clone(), "an unknown word".to_owned());
    engine.unread.insert("b".into(), "an unknown word".to_owned());
    let (manifests, _) = objects(&engine);
    for origin in ["docker:shop/web-a00000000000", "docker:b"] {
        let manifest = &manifests[Path::new(origin)];
        assert!(manifest.broken && manifest.problems[0].to_string().contains("an unknown word"), "{origin}: {manifest:?}");
    }
}

#[test]
fn names_are_made_for_kubernetes() {
    for (text, name) in [("web", "web"), ("Web_App.1", "web-app-1"), ("-a-", "a"), ("", "x"), ("é", "x")] {
        assert_eq!(as_name(text), name);
    }
    assert_eq!(as_name(&"a".repeat(100)).len(), 63);
}

#[test]
fn who_is_in_no_network_is_missed_only_where_somebody_asks_for_it() {
    let alone = |also: &[(&str, &str)]| {
        let mut one = container("a", 1, &web(also));
        one.place = Place::Nowhere;
        let (found, problems) = all(&engine([one]));
        (pods(&found)[0].ready, pods(&found)[0].ips.clone(), problems)
    };
    assert_eq!(alone(&[]), (true, vec![], vec![]));
    let (ready, _, problems) = alone(&[("tidegate.dev/port", "80")]);
    assert!(!ready && problems[0].starts_with("error AddressRefused") && problems[0].contains("network_mode: none"), "{problems:?}");
}

fn of_project<'l>(project: &'l str, also: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
    let labels = [("com.docker.compose.project", project), ("com.docker.compose.service", "web")];
    [&labels, also, &[("tidegate.dev/host", "a.example.com"), ("tidegate.dev/port", "80")]].concat()
}

#[test]
fn projects_whose_names_come_to_one_namespace_do_not_share_it() {
    let (old, new) = (container("a", 1, &of_project("my_shop", &[])), container("b", 2, &of_project("my-shop", &[])));
    let (found, problems) = all(&engine([old.clone(), new]));
    assert_eq!(keys(&found), ["Deployment my-shop/web", "Ingress my-shop/web", "Pod my-shop/web-b00000000000", "Service my-shop/web"]);
    assert!(problems[0].starts_with("error Conflict") && problems[0].contains("project `my_shop`"), "{problems:?}");
    assert_eq!(problems.len(), 1);
    // Where neither is the namespace's own name the older has it.
    let newer = container("b", 2, &of_project("My_shop", &[]));
    let (found, problems) = all(&engine([newer, old]));
    assert_eq!(pods(&found).iter().map(|pod| &*pod.meta.name).collect::<Vec<_>>(), ["web-a00000000000"]);
    assert!(problems[0].contains("project `My_shop`"), "{problems:?}");
}

#[test]
fn who_joins_another_projects_namespace_takes_no_name_there() {
    let stranger = of_project("stranger", &[("tidegate.dev/namespace", "shop"), ("tidegate.dev/exposure", "external")]);
    // It is the older one, and that does not matter.
    let (found, problems) = all(&engine([container("a", 1, &stranger), container("b", 2, &of_project("shop", &[]))]));
    let selector = services(&found)[0].selector.clone().unwrap_or_default();
    assert_eq!(selector.get("com.docker.compose.project").map(|project| &**project), Some("shop"));
    assert_eq!(ingresses(&found)[0].class.as_deref(), Some(INTERNAL_CLASS), "its word is not ours");
    assert_eq!((services(&found).len(), ingresses(&found).len(), pods(&found).len()), (1, 1, 2), "it is in the namespace, as it asked");
    assert!(problems[0].starts_with("error Conflict") && problems[0].contains("shop/web"), "{problems:?}");
    assert!(all(&engine([container("a", 1, &stranger)])).1.is_empty(), "a name that nobody has is its own");
}

#[test]
fn services_of_a_project_whose_names_come_to_one_are_not_mixed() {
    let named = |id, n, service| container(id, n, &[SHOP, ("com.docker.compose.service", service), ("tidegate.dev/port", "80")]);
    let (found, problems) = all(&engine([named("a", 1, "web_app"), named("b", 2, "web-app")]));
    let selector = services(&found)[0].selector.clone().unwrap_or_default();
    assert_eq!(selector.get("com.docker.compose.service").map(|service| &**service), Some("web_app"), "the older one");
    assert!(problems[0].contains("which is that of service `web_app` of project `shop`"), "{problems:?}");
}

#[test]
fn what_is_made_anew_keeps_its_age_while_some_of_it_is_there() {
    let served = |host: &'static str| web(&[("tidegate.dev/host", host), ("tidegate.dev/port", "80")]);
    let mut engine = engine([container("a", 1, &served("shop.example"))]);
    let age = |engine: &mut Engine, with: Container| {
        let only = engine.containers.len() > 1;
        engine.containers.retain(|_, container| !only || container.created == with.created);
        engine.containers.insert(with.id.clone(), with);
        let (manifests, ages) = objects(engine);
        engine.ages = ages;
        let objects: Vec<Object> = manifests.into_values().flat_map(|manifest| manifest.objects).collect();
        ingresses(&objects).first().and_then(|ingress| ingress.meta.created)
    };
    assert_eq!(age(&mut engine, container("b", 9, &served("shop.example"))), Some(1), "beside the one before");
    assert_eq!(age(&mut engine, container("b", 9, &served("shop.example"))), Some(1), "instead of it");
    assert_eq!(age(&mut engine, container("c", 12, &served("other.example"))), Some(12), "an old Service that asks anew");
    engine.containers.clear();
    engine.ages = objects(&engine).1;
    assert_eq!(age(&mut engine, container("d", 20, &served("shop.example"))), Some(20), "it had gone");
}

#[test]
fn what_is_meant_to_be_inside_and_is_published_is_told() {
    let told = |labels: &[(&str, &str)], at: &str| {
        let published = vec![at.parse().unwrap()];
        all(&engine([Container { published, ..container("db", 1, labels) }])).1.join("\n")
    };
    let words = "meant to be inside, and the engine publishes it at 0.0.0.0:5432";
    assert!(told(&[("tidegate.dev/exposure", "internal")], "0.0.0.0:5432").contains(words));
    assert!(told(&[("tidegate.dev/port", "5432")], "0.0.0.0:5432").contains(words));
    assert_eq!(told(&[], "0.0.0.0:5432"), "", "nobody said what it is meant to be");
    let outside = [("tidegate.dev/host", "a.example"), ("tidegate.dev/port", "80"), ("tidegate.dev/exposure", "external")];
    assert_eq!(told(&outside, "0.0.0.0:80"), "");
}
