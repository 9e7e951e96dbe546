//! Ejections as a picture shows them: who is picked from on either plane, and what is told of those who are not.

use std::sync::atomic::Ordering::Relaxed;

use config::settings::Outlier;
use proptest::prelude::*;

use super::Exposure::{External, Internal};
use super::*;
use crate::snapshot::{Replica, Trial};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rules() -> Outlier {
    Outlier { base_ejection_ms: 1_000, max_ejection_ms: 4_000, interval_ms: 500, ..Outlier::default() }
}

fn gate(rules: Outlier, objects: Vec<Object>) -> Registry {
    let settings = Settings { workers: 1, outlier: rules, node_name: Some("here".to_owned()), ..Settings::default() };
    let mut registry = Registry::new(&settings, Saved::default());
    registry.apply(batch(true, vec![("m/all.yaml", manifest(objects))]), T);
    registry
}

/// Pods 10.0.0.1, 10.0.0.2, ... of `a/web`, which an Ingress leads to.
fn web(pods: &[u8]) -> Vec<Object> {
    let pods = pods.iter().map(|n| object(pod(&format!("a/web-{n}"), "web", &format!("10.0.0.{n}"))));
    pods.chain([object(service("a/web", &[])), object(ingress("a/way", None, &[("x.example", "/", "web")]))]).collect()
}

fn replica(snapshot: &Snapshot, ip: &str) -> Arc<Replica> {
    let mut members = snapshot.internal.services.iter().flat_map(|service| service.members());
    members.find(|member| member.replica.address.ip().to_string() == ip).expect("it is there").replica.clone()
}

/// So many requests of a replica come to nothing, as workers tell it.
fn fail(registry: &mut Registry, replica: &Arc<Replica>, times: u32, now: Duration) {
    for _ in 0..times {
        replica.load.in_flight.begin();
        replica.load.in_flight.end();
        replica.load.failed.fetch_add(1, Relaxed);
        replica.load.failures.fetch_add(1, Relaxed);
    }
    replica.load.told.store(true, Relaxed);
    registry.report(Report::Outlier(replica.clone()), now);
    assert!(!replica.load.told.load(Relaxed), "the next time is told, too");
}

/// The trial that a replica is on by now, as a worker that took it knows it.
fn trial(registry: &Registry, replica: &Replica) -> Option<Arc<Trial>> {
    let services = &registry.published.as_ref()?.internal.services;
    let mut aside = services.iter().flat_map(|service| &service.unsettled).flat_map(|unsettled| &unsettled.aside);
    aside.find_map(|aside| aside.trial.clone().filter(|_| aside.endpoint.replica.id == replica.id))
}

/// What came of it, as a worker tells it.
fn tried(registry: &mut Registry, replica: &Arc<Replica>, well: bool, now: Duration) {
    registry.publish(now);
    let trial = trial(registry, replica).unwrap_or_default();
    registry.report(Report::Tried { replica: replica.clone(), trial, well }, now);
}

fn last(ip: &str) -> u8 {
    ip.rsplit('.').next().and_then(|rest| rest.split(':').next()).and_then(|n| n.parse().ok()).unwrap()
}

/// The last numbers of the addresses that are picked from.
fn picked(snapshot: &Snapshot, exposure: Exposure) -> Vec<u8> {
    addresses(snapshot, exposure, "a/web").iter().map(|address| last(address)).collect()
}

/// Those on trial.
fn on_trial(snapshot: &Snapshot) -> Vec<u8> {
    let service = find(snapshot, Internal, "a/web").unwrap();
    let aside = service.unsettled.iter().flat_map(|unsettled| &unsettled.aside).filter(|aside| aside.trial.is_some());
    aside.map(|aside| last(&aside.endpoint.replica.address.to_string())).collect()
}

fn why(registry: &Registry, n: u8) -> Option<String> {
    registry.endpoints().into_iter().find(|row| last(&row.address.to_string()) == n)?.why
}

#[test]
fn five_failures_in_a_row_eject_on_both_planes_until_a_trial_goes_well() {
    let mut registry = gate(rules(), web(&[1, 2, 3]));
    let first = publish(&mut registry);
    let bad = replica(&first, "10.0.0.2");
    fail(&mut registry, &bad, 4, ms(10));
    assert!(registry.publish(ms(10)).is_none(), "four are not enough");
    fail(&mut registry, &bad, 1, ms(10));
    let out = registry.publish(ms(10)).unwrap();
    assert_eq!((picked(&out, Internal), picked(&out, External)), (vec![1, 3], vec![1, 3]));
    assert!(Arc::ptr_eq(&first.external.routes, &out.external.routes), "the routes are shared");
    registry.look_at(ms(110));
    assert_eq!(why(&registry, 2).as_deref(), Some("outlier: 5 failures in a row, 1 s left"));
    let row = registry.endpoints().into_iter().find(|row| row.why.is_some()).unwrap();
    assert_eq!((&*row.state, row.left_ms), ("Ejected", Some(900)));
    assert_eq!(registry.services()[0].ready, 2);
    let causes = [("consecutive-failures", 1), ("success-rate", 0), ("trial", 0)];
    assert_eq!(registry.counts().ejections, [Ejections { service: "a/web:80".to_owned(), causes, now: 1 }]);
    assert_eq!(registry.counts().endpoints["Ejected"], 1);
    fail(&mut registry, &bad, 5, ms(500));
    assert!(registry.publish(ms(500)).is_none(), "it is out already: what was under way fails too");

    registry.tick(ms(1_010));
    let trial = registry.publish(ms(1_010)).unwrap();
    assert_eq!((picked(&trial, Internal), on_trial(&trial)), (vec![1, 3], vec![2]));
    assert_eq!(why(&registry, 2).as_deref(), Some("outlier: 5 failures in a row, on trial"));
    assert_eq!(bad.load.failures.load(Relaxed), 4, "one more is one too many");
    tried(&mut registry, &bad, true, ms(1_020));
    let back = registry.publish(ms(1_020)).unwrap();
    assert_eq!((picked(&back, Internal), picked(&back, External)), (vec![1, 2, 3], vec![1, 2, 3]));
    assert_eq!((on_trial(&back), bad.load.failures.load(Relaxed), why(&registry, 2)), (vec![], 0, None));
    assert_eq!(ids(&back, "a/web"), ids(&first, "a/web"), "it is who it was");
    let told: Vec<String> = registry.notices().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "outlier: 10.0.0.2:8080 of a/web:80 is ejected for 1s: 5 failures in a row",
            "outlier: 10.0.0.2:8080 of a/web:80 is on trial",
            "outlier: 10.0.0.2:8080 of a/web:80 is back: its trial went well",
        ]
    );
}

#[test]
fn a_failure_on_trial_ejects_for_longer_whoever_sent_it() {
    for ticket in [true, false] {
        let mut registry = gate(rules(), web(&[1, 2, 3]));
        let bad = replica(&publish(&mut registry), "10.0.0.1");
        fail(&mut registry, &bad, 5, ms(0));
        registry.tick(ms(1_000));
        if ticket {
            tried(&mut registry, &bad, false, ms(1_100));
        } else {
            fail(&mut registry, &bad, 1, ms(1_100));
        }
        let cause = if ticket { "its trial failed" } else { "5 failures in a row" };
        assert_eq!(why(&registry, 1), Some(format!("outlier: {cause}, 2 s left")));
        registry.tick(ms(3_099));
        assert!(on_trial(&publish(&mut registry)).is_empty());
        registry.tick(ms(3_100));
        assert_eq!(on_trial(&publish(&mut registry)), [1]);
        registry.tick(ms(4_100));
        assert_eq!(picked(&publish(&mut registry), Internal), [1, 2, 3], "nobody tried");
    }
}

#[test]
fn a_late_word_of_an_earlier_trial_says_nothing() {
    let mut registry = gate(rules(), web(&[1, 2, 3]));
    let bad = replica(&publish(&mut registry), "10.0.0.1");
    fail(&mut registry, &bad, 5, ms(0));
    registry.tick(ms(1_000));
    registry.publish(ms(1_000));
    let first = trial(&registry, &bad).unwrap();
    registry.tick(ms(2_000));
    fail(&mut registry, &bad, 5, ms(2_100));
    registry.tick(ms(4_100));
    assert_eq!(on_trial(&registry.publish(ms(4_100)).unwrap()), [1]);
    registry.report(Report::Tried { replica: bad.clone(), trial: first, well: true }, ms(4_200));
    assert!(registry.publish(ms(4_200)).is_none());
    tried(&mut registry, &bad, true, ms(4_300));
    assert_eq!(picked(&registry.publish(ms(4_300)).unwrap(), Internal), [1, 2, 3]);
}

#[test]
fn the_last_one_is_never_ejected() {
    let mut registry = gate(rules(), web(&[1]));
    let only = replica(&publish(&mut registry), "10.0.0.1");
    fail(&mut registry, &only, 50, ms(0));
    assert!(registry.publish(ms(0)).is_none());
    assert_eq!((registry.endpoints()[0].state.as_str(), why(&registry, 1)), ("Ready", None));
}

#[test]
fn one_more_than_the_share_waits_for_its_turn() {
    let mut registry = gate(rules(), web(&[1, 2, 3]));
    let first = publish(&mut registry);
    let both = ["10.0.0.1", "10.0.0.2"].map(|ip| replica(&first, ip));
    both.iter().for_each(|replica| fail(&mut registry, replica, 5, ms(0)));
    assert_eq!(picked(&publish(&mut registry), Internal), [2, 3], "half of three is one");
    registry.tick(ms(1_000));
    tried(&mut registry, &both[0], true, ms(1_100));
    registry.tick(ms(1_600));
    assert_eq!(picked(&publish(&mut registry), Internal), [1, 3], "nothing told of it, but it fails still");
}

#[test]
fn all_are_used_when_too_few_are_left_and_in_each_part_by_itself() {
    let mut objects = web(&[1, 2, 3, 4]);
    let Object::Service(service) = &mut objects[4] else { panic!("a service") };
    service.local_only = LocalOnly { inside: true, outside: false };
    for (object, node) in objects.iter_mut().zip(["here", "there", "there", "there"]) {
        let Object::Pod(pod) = object else { panic!("a pod") };
        pod.node = Some(node.into());
    }
    let mut registry = gate(rules(), objects.clone());
    let first = publish(&mut registry);
    let bad = ["10.0.0.1", "10.0.0.2"].map(|ip| replica(&first, ip));
    bad.iter().for_each(|replica| fail(&mut registry, replica, 5, ms(0)));
    let out = publish(&mut registry);
    assert_eq!(picked(&out, External), [3, 4]);
    let local = |snapshot: &Snapshot| {
        let vip = snapshot.internal.listeners.values().next().unwrap();
        let service = snapshot.internal.service(vip.service);
        service.endpoints.iter().map(|endpoint| last(&endpoint.replica.address.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(local(&out), [1], "on this node it is the last one");
    // One that is well leaves: of three one is too few.
    objects.remove(3);
    again(&mut registry, objects);
    let panic = registry.publish(ms(20)).unwrap();
    assert_eq!((picked(&panic, External), local(&panic)), (vec![1, 2, 3], vec![1]));
    assert_eq!(registry.counts().ejections[0].now, 2, "they are ejected all the same");
}

#[test]
fn outside_nobody_is_ejected_who_is_the_last_that_may_be_reached() {
    let mut sealed = pod("a/web-1", "web", "10.0.0.1");
    sealed.meta.labels.extend(labels(&[SEAL]));
    let mut objects = web(&[2]);
    objects.push(object(sealed));
    let mut registry = gate(rules(), objects);
    let first = publish(&mut registry);
    assert_eq!(picked(&first, External), [2]);
    fail(&mut registry, &replica(&first, "10.0.0.2"), 5, ms(0));
    let out = publish(&mut registry);
    assert_eq!((picked(&out, Internal), picked(&out, External)), (vec![1], vec![2]));
    fail(&mut registry, &replica(&first, "10.0.0.1"), 5, ms(0));
    assert!(registry.publish(ms(0)).is_none());
}

#[test]
fn a_replica_is_judged_in_each_service_that_it_is_in() {
    let also = Service { selector: Some(labels(&[("app", "web")])), ..service("a/also", &[]) };
    let mut alone = Service { selector: Some(labels(&[("only", "yes")])), ..service("a/alone", &[]) };
    alone.ports[0].port = 81;
    let mut objects = web(&[1, 2, 3]);
    let Object::Pod(pod) = &mut objects[0] else { panic!("a pod") };
    pod.meta.labels.extend(labels(&[("only", "yes")]));
    objects.extend([object(also), object(alone)]);
    let mut registry = gate(rules(), objects);
    let first = publish(&mut registry);
    fail(&mut registry, &replica(&first, "10.0.0.1"), 5, ms(0));
    let out = publish(&mut registry);
    let count = |name| addresses(&out, Internal, name).len();
    assert_eq!((count("a/web"), count("a/also"), count("a/alone")), (2, 2, 1));
}

#[test]
fn success_rates_are_compared_once_in_an_interval() {
    let mut registry = gate(rules(), web(&[1, 2, 3, 4, 5]));
    let first = publish(&mut registry);
    let asked = |n: u8, failed: u32| {
        let replica = replica(&first, &format!("10.0.0.{n}"));
        (0..100).for_each(|_| replica.load.in_flight.begin());
        replica.load.failed.fetch_add(failed, Relaxed);
    };
    (1..=5).for_each(|n| asked(n, if n == 4 { 60 } else { 1 }));
    registry.tick(ms(499));
    assert!(registry.publish(ms(499)).is_none());
    assert_eq!(registry.due(), Some(ms(500)));
    registry.tick(ms(500));
    assert_eq!(picked(&registry.publish(ms(500)).unwrap(), Internal), [1, 2, 3, 5]);
    assert_eq!(why(&registry, 4).as_deref(), Some("outlier: success rate 40.0 %, where the mean is 87.2 %, 1 s left"));
    // What came before the last look does not count again.
    registry.tick(ms(1_500));
    registry.tick(ms(2_500));
    assert_eq!(picked(&registry.publish(ms(2_500)).unwrap(), Internal), [1, 2, 3, 4, 5]);
    registry.tick(ms(3_500));
    assert!(registry.publish(ms(3_500)).is_none());
}

#[test]
fn a_new_replica_on_the_same_address_starts_clean() {
    let mut registry = gate(rules(), web(&[1, 2, 3]));
    let bad = replica(&publish(&mut registry), "10.0.0.1");
    fail(&mut registry, &bad, 5, ms(0));
    assert_eq!(picked(&publish(&mut registry), Internal), [2, 3]);
    again(&mut registry, web(&[2, 3]));
    assert!(registry.publish(ms(10)).is_some(), "it is no member any more");
    again(&mut registry, web(&[1, 2, 3]));
    let after = registry.publish(ms(20)).unwrap();
    assert_eq!(picked(&after, Internal), [1, 2, 3]);
    fail(&mut registry, &bad, 5, ms(30));
    assert!(registry.publish(ms(30)).is_none(), "the late word of the old one does not harm the new one");
}

#[test]
fn what_is_not_ready_is_told_as_such_and_its_ejection_waits() {
    let with = |ready| {
        let mut objects = web(&[1, 2, 3]);
        objects[0] = object(Pod { ready, ..pod("a/web-1", "web", "10.0.0.1") });
        objects
    };
    let mut registry = gate(rules(), with(true));
    let bad = replica(&publish(&mut registry), "10.0.0.1");
    fail(&mut registry, &bad, 5, ms(0));
    publish(&mut registry);
    again(&mut registry, with(false));
    registry.publish(ms(10));
    assert_eq!((why(&registry, 1), registry.counts().ejections[0].now), (None, 0));
    again(&mut registry, with(true));
    assert_eq!(registry.publish(ms(20)).map(|snapshot| picked(&snapshot, Internal)), Some(vec![2, 3]));
    // It was found well again by somebody else: its trial need not wait.
    assert!(registry.due().is_some_and(|due| due <= ms(20)));
    registry.tick(ms(20));
    assert_eq!(on_trial(&registry.publish(ms(20)).unwrap()), [1]);
}

#[test]
fn rules_change_while_it_runs() {
    let mut registry = gate(rules(), web(&[1, 2, 3]));
    registry.follow_settings(Path::new("t.yaml"), T);
    let bad = replica(&publish(&mut registry), "10.0.0.1");
    fail(&mut registry, &bad, 5, ms(0));
    publish(&mut registry);
    let off = Settings { outlier: Outlier { max_ejected_percent: 0, ..rules() }, ..registry.settings().clone() };
    registry.apply(Event::Settings(crate::event::SettingsNews::Read(Box::new(off))), ms(10));
    assert_eq!(picked(&registry.publish(ms(10)).unwrap(), Internal), [1, 2, 3]);
    assert_eq!((registry.renewed(), registry.due()), (vec!["outlier"], None));
    fail(&mut registry, &bad, 50, ms(20));
    assert!(registry.publish(ms(20)).is_none());
}

#[test]
fn an_endpoint_is_young_beside_others_that_are_not() {
    let mut objects = web(&[1, 2]);
    let Object::Service(service) = &mut objects[2] else { panic!("a service") };
    service.slow_start_ms = Some(1_000);
    let service = objects[2].clone();
    let with = |pods: &[u8]| {
        let mut objects = web(pods);
        objects[pods.len()] = service.clone();
        objects
    };
    let mut registry = gate(rules(), with(&[1, 2]));
    let young = |snapshot: &Snapshot, now| {
        let service = find(snapshot, Internal, "a/web").unwrap();
        let young = service.unsettled.as_ref().and_then(|unsettled| unsettled.young.as_ref());
        let share = |id| young.map_or(1.0, |young| young.share(id, now));
        service.endpoints.iter().map(|endpoint| (share(endpoint.id) * 100.0) as u32).collect::<Vec<_>>()
    };
    let first = publish(&mut registry);
    assert_eq!(young(&first, 0), [100, 100], "the first ones are as old as can be");
    registry.apply(batch(false, vec![("m/all.yaml", manifest(with(&[1, 2, 3])))]), ms(1_200));
    let second = registry.publish(ms(1_200)).unwrap();
    assert_eq!(young(&second, 1_700_000), [100, 100, 50]);
    // One that returns from an ejection is young again; one that the clock has made old is not.
    fail(&mut registry, &replica(&first, "10.0.0.1"), 5, ms(2_300));
    registry.publish(ms(2_300));
    registry.tick(ms(3_300));
    registry.tick(ms(4_300));
    let third = registry.publish(ms(4_300)).unwrap();
    assert_eq!(young(&third, 4_550_000), [25, 100, 100]);
    // All others leave: nobody is young beside nobody.
    registry.apply(batch(false, vec![("m/all.yaml", manifest(with(&[1])))]), ms(4_400));
    assert_eq!(young(&registry.publish(ms(4_400)).unwrap(), 4_400_000), [100]);
    // Nor are those who came one after another, as after our own start: the first to answer its probe is no older than they are.
    registry.apply(batch(false, vec![("m/all.yaml", manifest(with(&[])))]), ms(9_000));
    registry.publish(ms(9_000));
    for (at, pods) in [&[4u8][..], &[4, 5], &[4, 5, 6]].into_iter().enumerate() {
        registry.apply(batch(false, vec![("m/all.yaml", manifest(with(pods)))]), ms(9_100 + 100 * at as u64));
        let snapshot = registry.publish(ms(9_100 + 100 * at as u64)).unwrap();
        assert!(young(&snapshot, 9_300_000).iter().all(|&share| share == 100), "{pods:?}");
    }
}

#[test]
fn who_was_not_ready_when_all_were_compared_is_judged_by_what_came_since() {
    let with = |ready| {
        let mut objects = web(&[1, 2, 3, 4, 5]);
        objects[3] = object(Pod { ready, ..pod("a/web-4", "web", "10.0.0.4") });
        objects
    };
    let mut registry = gate(rules(), with(true));
    let first = publish(&mut registry);
    let asked = |n: u8, failed: u32| {
        let replica = replica(&first, &format!("10.0.0.{n}"));
        (0..100).for_each(|_| replica.load.in_flight.begin());
        replica.load.failed.fetch_add(failed, Relaxed);
    };
    (1..=5).for_each(|n| asked(n, if n == 4 { 60 } else { 0 }));
    again(&mut registry, with(false));
    registry.publish(ms(400));
    registry.tick(ms(500));
    again(&mut registry, with(true));
    registry.publish(ms(600));
    (1..=5).for_each(|n| asked(n, 0));
    registry.tick(ms(1_000));
    assert_eq!(why(&registry, 4), None);
    // Nor is what came while there were no rules held against anybody once there are.
    registry.follow_settings(Path::new("t.yaml"), T);
    let mut renew = |outlier: Outlier, now| {
        let settings = Settings { outlier, ..registry.settings().clone() };
        registry.apply(Event::Settings(crate::event::SettingsNews::Read(Box::new(settings))), now);
    };
    renew(Outlier { max_ejected_percent: 0, ..rules() }, ms(1_100));
    (1..=5).for_each(|n| asked(n, if n == 2 { 60 } else { 0 }));
    renew(rules(), ms(9_000));
    assert_eq!(why(&registry, 2), None);
    registry.tick(ms(9_500));
    assert_eq!(why(&registry, 2), None);
}

#[test]
fn a_trial_in_one_service_makes_no_failure_by_another_one_too_many() {
    let also = Service { selector: Some(labels(&[("also", "yes")])), ..service("a/also", &[]) };
    let mut objects = web(&[1, 2, 3, 4, 5]);
    for object in &mut objects[..2] {
        let Object::Pod(pod) = object else { panic!("a pod") };
        pod.meta.labels.extend(labels(&[("also", "yes")]));
    }
    objects.push(object(also));
    let mut registry = gate(rules(), objects);
    let first = publish(&mut registry);
    for n in 1..=5 {
        let replica = replica(&first, &format!("10.0.0.{n}"));
        (0..100).for_each(|_| replica.load.in_flight.begin());
        replica.load.failed.fetch_add(if n == 1 { 60 } else { 0 }, Relaxed);
    }
    registry.tick(ms(500));
    registry.tick(ms(1_500));
    let trial = registry.publish(ms(1_500)).unwrap();
    let also = |snapshot: &Snapshot| addresses(snapshot, Internal, "a/also").len();
    assert_eq!((on_trial(&trial), also(&trial)), (vec![1], 2), "two are too few to compare");
    fail(&mut registry, &replica(&first, "10.0.0.1"), 1, ms(1_600));
    assert!(registry.publish(ms(1_600)).is_none(), "one failure by the other service ejects nobody there");
}

/// What happens to a service of up to six pods.
#[derive(Clone, Debug)]
enum Step {
    Fails(u8),
    Tried(u8, bool),
    Pods(Vec<u8>),
    Waits(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pods = proptest::sample::subsequence(vec![1u8, 2, 3, 4, 5, 6], 1..=6);
    let step = prop_oneof![
        6 => (1..7u8).prop_map(Step::Fails),
        3 => (1..7u8, any::<bool>()).prop_map(|(n, well)| Step::Tried(n, well)),
        2 => pods.prop_map(Step::Pods),
        4 => (0..2_500u64).prop_map(Step::Waits),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_ejected_is_picked_unless_too_few_are_left(steps in steps()) {
        let mut registry = gate(rules(), web(&[1, 2, 3, 4, 5, 6]));
        let (mut now, mut newest) = (T, publish(&mut registry));
        for step in steps {
            let known = |n: u8| {
                let members = newest.internal.services.iter().flat_map(|service| service.members());
                members.map(|member| &member.replica).find(|replica| last(&replica.address.to_string()) == n).cloned()
            };
            match step {
                Step::Fails(n) => if let Some(replica) = known(n) { fail(&mut registry, &replica, 5, now) },
                Step::Tried(n, well) => {
                    if let Some(replica) = known(n) { tried(&mut registry, &replica, well, now) }
                }
                Step::Pods(pods) => registry.apply(batch(false, vec![("m/all.yaml", manifest(web(&pods)))]), now),
                Step::Waits(wait) => {
                    now += ms(wait);
                    registry.tick(now);
                }
            }
            newest = registry.publish(now).unwrap_or(newest);
            let rows = registry.endpoints();
            let numbers = |state: &str| -> BTreeSet<u8> {
                rows.iter().filter(|row| row.state == state).map(|row| last(&row.address.to_string())).collect()
            };
            let (out, ready) = (numbers("Ejected"), numbers("Ready"));
            let picked: BTreeSet<u8> = picked(&newest, Internal).into_iter().collect();
            let all: BTreeSet<u8> = out.union(&ready).copied().collect();
            let too_few = ready.is_empty() || ready.len() * 100 < all.len() * 34;
            prop_assert_eq!(&picked, if too_few { &all } else { &ready });
            prop_assert_eq!(super::addresses(&newest, External, "a/web"), super::addresses(&newest, Internal, "a/web"));
            prop_assert!(on_trial(&newest).iter().all(|n| out.contains(n)));
        }
        for step in 1..30 {
            registry.tick(now + ms(step * 1_000));
            newest = registry.publish(now).unwrap_or(newest);
        }
        prop_assert!(registry.endpoints().iter().all(|row| row.state != "Ejected"), "all is well again");
    }
}
