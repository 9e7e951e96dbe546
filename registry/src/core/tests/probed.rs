//! Pods that do not say whether they are ready: who is asked, and what becomes of the answers.

use super::Exposure::Internal;
use super::*;
use crate::health::{Subject, Verdict};

fn probe(port: u16) -> Probe {
    let check = Check::Tcp { port };
    Probe { container: "app".into(), check, initial_delay_s: 0, period_s: 10, timeout_s: 1, successes: 1, failures: 3 }
}

fn probed(name: &str, app: &str, ip: &str) -> Pod {
    Pod { probes: vec![probe(8080)].into(), ..pod(name, app, ip) }
}

/// One whose pods somebody asks.
fn asking(objects: Vec<Object>) -> Registry {
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    registry.set_probing();
    registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
    registry.publish(T);
    registry
}

fn web(pods: Vec<Pod>) -> Vec<Object> {
    pods.into_iter().map(object).chain([object(service("a/web", &[]))]).collect()
}

fn asked(registry: &mut Registry, name: &str) -> Option<Arc<Subject>> {
    let wanted = registry.wanted();
    wanted.iter().find(|(pod, _)| pod.to_string() == name).map(|(_, subject)| subject.clone())
}

fn verdict(registry: &mut Registry, name: &str, why: Option<&str>) -> Verdict {
    let (pod, subject) = registry.wanted().iter().find(|(pod, _)| pod.to_string() == name).expect("it is asked");
    Verdict { pod: pod.clone(), met: subject.met, ready: why.is_none(), whole: true, why: why.map(Name::from), turned: true }
}

fn says(registry: &mut Registry, name: &str, why: Option<&str>) {
    let verdict = verdict(registry, name, why);
    registry.apply(Event::Judged(verdict), T);
}

/// State, and why, of each endpoint.
fn states(registry: &Registry) -> Vec<(String, Option<String>)> {
    registry.endpoints().into_iter().map(|row| (row.state, row.why)).collect()
}

fn state(state: &str, why: Option<&str>) -> Vec<(String, Option<String>)> {
    vec![(state.to_owned(), why.map(str::to_owned))]
}

#[test]
fn it_is_pending_until_it_answers_well_and_ejected_when_it_does_no_more() {
    let mut registry = asking(web(vec![probed("a/web-1", "web", "10.0.0.1")]));
    assert_eq!(states(&registry), state("Pending", Some("probe: has not passed yet")));
    assert!(registry.waits_for_probes());
    says(&mut registry, "a/web-1", Some("probe: HTTP 503"));
    assert!(!registry.waits_for_probes(), "it was asked");
    assert!(registry.publish(T).is_none(), "nothing that a worker sees");
    assert_eq!(states(&registry), state("Pending", Some("probe: HTTP 503")));
    says(&mut registry, "a/web-1", None);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.1:8080"]);
    assert_eq!(states(&registry), state("Ready", None));
    says(&mut registry, "a/web-1", Some("probe: connection refused"));
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
    assert_eq!(states(&registry), state("Ejected", Some("probe: connection refused")));
}

#[test]
fn without_anybody_who_asks_it_is_ready_and_counted() {
    let mut registry = registry(web(vec![probed("a/web-1", "web", "10.0.0.1"), pod("a/web-2", "web", "10.0.0.2")]));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web").len(), 2);
    assert_eq!(registry.check().probed, 1);
    assert_eq!(registry.probed().into_iter().collect::<Vec<_>>(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    assert!(registry.wanted().is_empty());
}

#[test]
fn a_verdict_builds_again_only_what_the_pod_is_part_of() {
    let mut objects = web(vec![probed("a/web-1", "web", "10.0.0.1")]);
    for n in 0..20 {
        objects.push(object(service(&format!("a/other-{n}"), &[])));
        objects.push(object(probed(&format!("a/o-{n}"), &format!("other-{n}"), &format!("10.0.1.{n}"))));
    }
    let mut registry = asking(objects);
    let before = registry.counts().rebuilt;
    says(&mut registry, "a/web-1", None);
    publish(&mut registry);
    assert_eq!(registry.counts().rebuilt, before + 1);
    says(&mut registry, "a/web-1", None);
    assert!(registry.publish(T).is_none());
    assert_eq!(registry.counts().rebuilt, before + 1, "the same again is nothing");
}

#[test]
fn who_returns_or_moves_is_pending_again_and_old_verdicts_are_dropped() {
    let mut registry = asking(web(vec![probed("a/web-1", "web", "10.0.0.1")]));
    let late = verdict(&mut registry, "a/web-1", None);
    registry.apply(Event::Judged(late.clone()), T);
    publish(&mut registry);
    let moved = probed("a/web-1", "web", "10.0.0.2");
    again(&mut registry, web(vec![moved.clone()]));
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
    registry.apply(Event::Judged(late), T);
    assert!(registry.publish(T).is_none(), "a verdict of another address");
    assert_eq!(states(&registry)[0].0, "Pending");
    let before = asked(&mut registry, "a/web-1").unwrap();
    assert_eq!(before.ip, "10.0.0.2".parse::<IpAddr>().unwrap());
    says(&mut registry, "a/web-1", None);
    publish(&mut registry);
    again(&mut registry, web(vec![]));
    again(&mut registry, web(vec![moved]));
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty(), "it was away");
    assert_ne!(asked(&mut registry, "a/web-1").unwrap().met, before.met);
}

#[test]
fn an_edit_of_labels_asks_nobody_anew_and_one_of_probes_keeps_the_verdict() {
    let first = probed("a/web-1", "web", "10.0.0.1");
    let mut registry = asking(web(vec![first.clone()]));
    says(&mut registry, "a/web-1", None);
    publish(&mut registry);
    let before = registry.wanted().clone();
    let mut labelled = first.clone();
    labelled.meta.labels.insert("x".into(), "y".into());
    again(&mut registry, web(vec![labelled]));
    assert!(Arc::ptr_eq(&before, registry.wanted()));
    assert_eq!(states(&registry), state("Ready", None));
    again(&mut registry, web(vec![Pod { probes: vec![probe(9090)].into(), ..first }]));
    registry.publish(T);
    assert_eq!(states(&registry), state("Ready", None), "until the new ones say otherwise");
    assert_eq!(asked(&mut registry, "a/web-1").unwrap().probes[0].check.port(), 9090);
}

#[test]
fn who_was_ready_before_it_had_probes_stays_so_until_they_fail() {
    let mut registry = asking(web(vec![pod("a/web-1", "web", "10.0.0.1")]));
    again(&mut registry, web(vec![probed("a/web-1", "web", "10.0.0.1")]));
    assert!(registry.publish(T).is_none());
    assert!(asked(&mut registry, "a/web-1").unwrap().ready);
    says(&mut registry, "a/web-1", Some("probe: HTTP 500"));
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
    again(&mut registry, web(vec![pod("a/web-1", "web", "10.0.0.1")]));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web").len(), 1, "it says so itself again");
    assert!(registry.wanted().is_empty());
}

#[test]
fn who_has_finished_or_has_no_address_is_not_asked_and_who_terminates_is() {
    let mut terminating = probed("a/web-3", "web", "10.0.0.3");
    terminating.meta.deleting = true;
    let pods = vec![
        Pod { finished: true, ..probed("a/web-1", "web", "10.0.0.1") },
        Pod { ips: Vec::new(), ready: false, ..probed("a/web-2", "web", "10.0.0.2") },
        terminating,
    ];
    let mut registry = asking(web(pods));
    let names: Vec<String> = registry.wanted().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["a/web-3"]);
    says(&mut registry, "a/web-3", None);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.3:8080"], "the last one that serves, though it terminates");
}

#[test]
fn a_workload_counts_what_the_probes_say() {
    let selector = Selector { labels: labels(&[("app", "web")]), expressions: Vec::new() };
    let workload = Workload { meta: meta("a/web", &[]), kind: Kind::Deployment, replicas: 2, selector, owner: None };
    let pods = [probed("a/web-1", "web", "10.0.0.1"), probed("a/web-2", "web", "10.0.0.2")];
    let mut registry = asking(pods.into_iter().map(object).chain([Object::Workload(workload)]).collect());
    let counts = |registry: &Registry| registry.workloads().first().map(|view| (view.ready, view.unhealthy));
    assert_eq!(counts(&registry), Some((0, 2)));
    says(&mut registry, "a/web-2", None);
    assert_eq!(counts(&registry), Some((1, 1)), "of a workload without a Service, too");
}

#[test]
fn a_slice_says_itself_who_is_ready() {
    let mut slice = slice("a/web-x", "web", &["10.0.0.1"]);
    slice.endpoints[0].pod = Some(("web-1".into(), None));
    let mut objects = web(vec![probed("a/web-1", "web", "10.0.0.1")]);
    objects.push(object(slice.clone()));
    let registry = asking(objects);
    assert_eq!(states(&registry), state("Ready", None));
    slice.endpoints[0].ready = false;
    let mut objects = web(vec![probed("a/web-1", "web", "10.0.0.1")]);
    objects.push(object(slice));
    assert_eq!(states(&asking(objects)), state("Pending", None), "the probes are not why");
}

#[test]
fn nobody_is_asked_at_our_own_listeners_or_at_a_virtual_ip() {
    let own: SocketAddr = "10.0.0.1:9901".parse().unwrap();
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    registry.set_probing();
    registry.set_own_addresses(OwnAddresses { listeners: vec![own], local: vec![own.ip()] });
    let leads_to = |port, ip: &str| Pod { probes: vec![probe(port)].into(), ..pod("a/web-1", "web", ip) };
    registry.apply(batch(true, vec![("m/all.yaml", manifest(web(vec![leads_to(9901, "10.0.0.1")])))]), T);
    publish(&mut registry);
    assert!(registry.wanted().is_empty());
    let [(state, Some(why))] = &states(&registry)[..] else { panic!("one endpoint, with a reason") };
    assert!(state == "Pending" && why.contains("our own listener 10.0.0.1:9901"), "{state} {why}");
    let told = problems(&registry, Reason::AddressRefused);
    assert!(told.len() == 1 && told[0].contains("Pod a/web-1") && told[0].contains("fix:"), "{told:?}");
    again(&mut registry, web(vec![leads_to(9902, "10.0.0.1")]));
    registry.publish(T);
    assert_eq!(registry.wanted().len(), 1, "mended");
    assert_eq!(problems(&registry, Reason::AddressRefused), [""; 0]);
    says(&mut registry, "a/web-1", None);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.1:8080"]);
    // It becomes one of ours later.
    registry.set_own_addresses(OwnAddresses { listeners: vec![own, "10.0.0.1:9902".parse().unwrap()], local: vec![own.ip()] });
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty(), "what it said of us counts no more");
    assert!(registry.wanted().is_empty());
    let vip = registry.vips.of(&ServiceKey { namespace: "a".into(), name: "web".into() }).unwrap().to_string();
    again(&mut registry, web(vec![leads_to(80, &vip)]));
    assert!(registry.wanted().is_empty());
    assert!(problems(&registry, Reason::AddressRefused).iter().any(|text| text.contains("the virtual IP of Service a/web:80")));
}

#[test]
fn a_further_address_changes_nothing_for_who_is_asked_at_the_first() {
    let with = |ips: &[&str]| Pod { ips: ips.iter().map(|ip| ip.parse().unwrap()).collect(), ..probed("a/web-1", "web", "10.0.0.1") };
    let mut registry = asking(web(vec![with(&["10.0.0.1"])]));
    says(&mut registry, "a/web-1", None);
    publish(&mut registry);
    again(&mut registry, web(vec![with(&["10.0.0.1", "fd00::1"])]));
    assert_eq!(states(&registry), state("Ready", None));
    assert!(registry.publish(T).is_none(), "it is who it was");
    again(&mut registry, web(vec![with(&["10.0.0.2"])]));
    registry.publish(T);
    assert!(states(&registry).iter().all(|(state, _)| state != "Ready"), "at another address it has yet to answer");
}

#[test]
fn who_was_there_before_us_is_asked_at_once_and_who_comes_later_when_its_delay_is_over() {
    let slow = |n: u8| {
        let probes = vec![Probe { initial_delay_s: 5, ..probe(8080) }].into();
        Pod { probes, ..pod(&format!("a/web-{n}"), "web", &format!("10.0.0.{n}")) }
    };
    let mut registry = asking(web(vec![slow(1)]));
    assert!(registry.waits_for_probes(), "the first picture is worth a moment");
    let at_once = |registry: &mut Registry| registry.wanted().values().map(|subject| subject.at_once).collect::<Vec<_>>();
    assert_eq!(at_once(&mut registry), [true]);
    says(&mut registry, "a/web-1", None);
    publish(&mut registry);
    again(&mut registry, web(vec![slow(1), slow(2)]));
    assert_eq!(at_once(&mut registry), [true, false]);
    assert!(!registry.waits_for_probes());
}
