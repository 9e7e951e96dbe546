//! Endpoints: who is one, who stays the same one, who is gone.

use super::Exposure::Internal;
use super::*;

fn web(pods: Vec<Pod>) -> Vec<Object> {
    pods.into_iter().map(object).chain([object(service("a/web", &[]))]).collect()
}

fn with_uid(pod: Pod, uid: Option<&str>) -> Pod {
    Pod { meta: Meta { uid: uid.map(Name::from), ..pod.meta }, ..pod }
}

fn states(registry: &Registry) -> Vec<String> {
    registry.endpoints().into_iter().map(|row| row.state).collect()
}

fn acknowledge(registry: &mut Registry, version: u64) {
    registry.report(Report::Acknowledged { worker: 0, version }, T);
}

#[test]
fn a_pod_that_stays_keeps_its_ids_and_one_on_its_old_address_gets_new_ones() {
    for known in [false, true] {
        let uid = |uid| known.then_some(uid);
        let first = with_uid(pod("a/web-1", "web", "10.0.0.1"), uid("u1"));
        let mut registry = registry(web(vec![first.clone()]));
        let before = ids(&publish(&mut registry), "a/web");
        again(&mut registry, web(vec![first.clone(), with_uid(pod("a/web-2", "web", "10.0.0.2"), uid("u2"))]));
        let both = ids(&publish(&mut registry), "a/web");
        assert_eq!(both[0], before[0]);
        // Another pod takes over the address, and the first one moves.
        let heir = with_uid(pod("a/web-3", "web", "10.0.0.1"), uid("u3"));
        let moved = Pod { ips: vec!["10.0.0.7".parse().unwrap()], ..first };
        again(&mut registry, web(vec![heir, moved]));
        let after = ids(&publish(&mut registry), "a/web");
        assert_eq!(after.len(), 2);
        for (endpoint, replica) in after {
            assert!(both.iter().all(|old| old.0 != endpoint && old.1 != replica), "uid known: {known}");
        }
    }
}

#[test]
fn a_pod_that_returns_is_another_one_even_between_two_pictures() {
    let mut registry = registry(web(vec![pod("a/web-1", "web", "10.0.0.1")]));
    let before = ids(&publish(&mut registry), "a/web");
    again(&mut registry, web(vec![]));
    again(&mut registry, web(vec![pod("a/web-1", "web", "10.0.0.1")]));
    assert_ne!(before[0].1, ids(&publish(&mut registry), "a/web")[0].1);
}

#[test]
fn the_late_delete_of_an_old_pod_does_not_harm_the_new_one_on_its_address() {
    let mut old = pod("a/web-1", "web", "10.0.0.1");
    old.meta.deleting = true;
    let new = pod("a/web-2", "web", "10.0.0.1");
    let mut registry = registry(web(vec![old, new.clone()]));
    assert_eq!(ids(&publish(&mut registry), "a/web").len(), 1, "an address counts once");
    again(&mut registry, web(vec![new]));
    assert!(registry.publish(T).is_none(), "nothing changed for the workers");
}

#[test]
fn services_share_a_replica_and_leaving_one_does_not_disturb_the_other() {
    let second = Service { selector: Some(labels(&[("app", "web")])), ..service("a/also", &[]) };
    let objects = web(vec![pod("a/web-1", "web", "10.0.0.1")]);
    let mut registry = registry(objects.iter().cloned().chain([object(second)]).collect());
    let before = publish(&mut registry);
    assert_eq!(ids(&before, "a/web")[0].1, ids(&before, "a/also")[0].1);
    assert_ne!(ids(&before, "a/web")[0].0, ids(&before, "a/also")[0].0);
    again(&mut registry, objects);
    assert_eq!(ids(&publish(&mut registry), "a/web"), ids(&before, "a/web"));
}

#[test]
fn conditions_become_states() {
    let one = |change: &dyn Fn(&mut Pod)| {
        let mut pod = pod("a/web-1", "web", "10.0.0.1");
        change(&mut pod);
        web(vec![pod])
    };
    let mut registry = registry(one(&|pod| pod.ready = false));
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
    assert_eq!(states(&registry), ["Pending"]);
    again(&mut registry, one(&|_| ()));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web").len(), 1);
    assert_eq!(states(&registry), ["Ready"]);
    again(&mut registry, one(&|pod| pod.ready = false));
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
    assert_eq!(states(&registry), ["Ejected"]);
    again(&mut registry, one(&|pod| pod.meta.deleting = true));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web").len(), 1, "the last one that serves, though it terminates");
    assert_eq!(states(&registry), ["Draining"]);
    again(&mut registry, one(&|pod| pod.finished = true));
    let gone = publish(&mut registry);
    assert!(addresses(&gone, Internal, "a/web").is_empty());
    acknowledge(&mut registry, gone.version - 1);
    assert_eq!(states(&registry), ["Draining"], "a worker may use it still");
    acknowledge(&mut registry, gone.version);
    assert!(states(&registry).is_empty());
}

#[test]
fn one_that_was_unready_when_it_left_drains_from_the_pictures_that_had_it() {
    let ready = |ready| web(vec![Pod { ready, ..pod("a/web-1", "web", "10.0.0.1") }]);
    let mut registry = registry(ready(true));
    publish(&mut registry);
    acknowledge(&mut registry, 1);
    again(&mut registry, ready(false));
    assert_eq!(publish(&mut registry).version, 2);
    again(&mut registry, web(vec![]));
    assert!(registry.publish(T).is_none());
    assert_eq!(states(&registry), ["Draining"], "the worker runs version 1, which has it");
    acknowledge(&mut registry, 2);
    assert!(states(&registry).is_empty());
}

#[test]
fn slices_win_over_endpoints_and_those_over_the_selector() {
    let legacy = EndpointSlice { legacy: true, ..slice("a/web", "web", &["10.0.1.1"]) };
    let base = web(vec![pod("a/web-1", "web", "10.0.0.1")]);
    let with = |more: Vec<EndpointSlice>| base.iter().cloned().chain(more.into_iter().map(object)).collect::<Vec<_>>();
    let mut registry = registry(with(vec![legacy.clone(), slice("a/web-x", "web", &["10.0.2.1"])]));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.2.1:8080"]);
    again(&mut registry, with(vec![legacy]));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.1.1:8080"]);
    again(&mut registry, with(vec![slice("a/web-x", "web", &[])]));
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty(), "an explicit empty list clears");
    again(&mut registry, with(vec![]));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.1:8080"]);
}

#[test]
fn a_slice_that_names_a_pod_follows_who_that_is() {
    let named = |name: &str| {
        let mut slice = slice("a/web-x", "web", &["10.0.0.1"]);
        slice.endpoints[0].pod = Some((name.into(), None));
        object(slice)
    };
    let known = |uid| object(with_uid(pod("a/web-1", "other", "10.0.0.1"), Some(uid)));
    let mut registry = registry(vec![object(service("a/web", &[])), named("web-1"), known("u1")]);
    let first = ids(&publish(&mut registry), "a/web");
    again(&mut registry, vec![object(service("a/web", &[])), named("web-1"), known("u2")]);
    assert_ne!(first[0].1, ids(&publish(&mut registry), "a/web")[0].1);
    again(&mut registry, vec![object(service("a/web", &[])), named("absent")]);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.1:8080"], "an absent pod is valid");
}

#[test]
fn a_named_port_is_resolved_by_each_pod() {
    let mut service = service("a/web", &[]);
    service.ports[0].target_port = PortRef::Name("http".into());
    let with_port = |name: &str, ip: &str, port: Option<u16>| {
        let ports = port.map(|port| PodPort { name: "http".into(), port, protocol: Protocol::Tcp });
        Pod { ports: ports.into_iter().collect(), ..pod(name, "web", ip) }
    };
    let pods = [with_port("a/1", "10.0.0.1", Some(81)), with_port("a/2", "10.0.0.2", Some(82)), with_port("a/3", "10.0.0.3", None)];
    let mut registry = registry(pods.into_iter().map(object).chain([object(service)]).collect());
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.1:81", "10.0.0.2:82"]);
}

#[test]
fn unready_addresses_are_published_when_asked_and_finished_pods_never() {
    let eager = Service { publish_not_ready: true, ..service("a/web", &[]) };
    let unready = Pod { ready: false, ..pod("a/web-1", "web", "10.0.0.1") };
    let finished = Pod { finished: true, ..pod("a/web-2", "web", "10.0.0.2") };
    let mut leaving = pod("a/web-3", "web", "10.0.0.3");
    leaving.meta.deleting = true;
    let pods = [object(unready), object(finished), object(leaving)];
    let with = |service: &Service| pods.iter().cloned().chain([object(service.clone())]).collect::<Vec<_>>();
    let mut registry = registry(with(&eager));
    let before = publish(&mut registry);
    assert_eq!(addresses(&before, Internal, "a/web"), ["10.0.0.1:8080", "10.0.0.3:8080"]);
    assert_eq!(states(&registry), ["Ready", "Ready"]);
    again(&mut registry, with(&Service { publish_not_ready: false, ..eager.clone() }));
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.3:8080"], "the last that serves, though it terminates");
    again(&mut registry, with(&eager));
    assert_eq!(ids(&publish(&mut registry), "a/web"), ids(&before, "a/web"), "and they are who they were");
}

#[test]
fn unready_addresses_of_slices_are_published_when_asked() {
    let mut written = slice("a/web-x", "web", &["10.0.0.1", "10.0.0.2"]);
    written.endpoints[0].ready = false;
    written.endpoints[0].serving = false;
    let eager = Service { publish_not_ready: true, ..service("a/web", &[]) };
    let mut registry = registry(vec![object(eager), object(written.clone())]);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    again(&mut registry, vec![object(service("a/web", &[])), object(written)]);
    assert_eq!(addresses(&publish(&mut registry), Internal, "a/web"), ["10.0.0.2:8080"]);
}

#[test]
fn affinity_is_of_a_service_on_both_planes_and_follows_it() {
    let with = |affinity_s| {
        let way = object(ingress("a/way", None, &[("x.example", "/", "web")]));
        vec![object(Service { affinity_s, ..service("a/web", &[]) }), object(pod("a/web-1", "web", "10.0.0.1")), way]
    };
    let of = |snapshot: &Snapshot| [Internal, Exposure::External].map(|plane| find(snapshot, plane, "a/web").unwrap().affinity_s);
    let mut registry = registry(with(Some(600)));
    let first = publish(&mut registry);
    assert_eq!(of(&first), [Some(600), Some(600)]);
    for changed in [Some(5), None, Some(600)] {
        again(&mut registry, with(changed));
        let next = publish(&mut registry);
        assert_eq!(of(&next), [changed, changed]);
        assert_eq!(ids(&next, "a/web"), ids(&first, "a/web"), "the endpoints are the same");
    }
}

#[test]
fn what_a_bounded_service_carries_is_counted_once_for_both_planes_and_all_pictures() {
    let with = |in_flight| {
        let way = object(ingress("a/way", None, &[("x.example", "/", "web")]));
        let bounds = Bounds { in_flight, ..Bounds::default() };
        vec![object(Service { bounds, ..service("a/web", &[]) }), object(pod("a/web-1", "web", "10.0.0.1")), way]
    };
    let of = |snapshot: &Snapshot| [Internal, Exposure::External].map(|plane| find(snapshot, plane, "a/web").unwrap().bounded.clone());
    let mut registry = registry(with(Some(1)));
    let first = publish(&mut registry);
    let [inside, outside] = of(&first).map(Option::unwrap);
    let carried = inside.carry();
    assert!(carried.is_some() && outside.carry().is_none(), "the two planes count together");
    again(&mut registry, with(Some(2)));
    let next = publish(&mut registry);
    let [inside, outside] = of(&next).map(Option::unwrap);
    let second = outside.carry();
    assert!(second.is_some() && inside.carry().is_none() && inside.in_flight() == 2, "and go on when the bound is another one");
    assert_eq!(ids(&next, "a/web"), ids(&first, "a/web"), "the endpoints are the same");
    again(&mut registry, with(None));
    assert!(of(&publish(&mut registry)).iter().all(Option::is_none));
    drop((carried, second));
    assert_eq!(inside.in_flight(), 0);
}

#[test]
fn a_headless_service_has_endpoints_and_no_vip() {
    let headless = Service { cluster_ip: ClusterIp::Headless, ..service("a/web", &[]) };
    let mut registry = registry(vec![object(headless), object(pod("a/web-1", "web", "10.0.0.1"))]);
    let snapshot = publish(&mut registry);
    assert!(snapshot.internal.listeners.is_empty());
    assert_eq!(addresses(&snapshot, Internal, "a/web").len(), 1);
}

#[test]
fn one_change_builds_what_it_touches_and_shares_the_rest() {
    let mut objects: Vec<Object> = (0..200).map(|n| object(service(&format!("a/s{n}"), &[]))).collect();
    objects.extend((0..200).map(|n| object(pod(&format!("a/p{n}"), &format!("s{n}"), &format!("10.0.{n}.1")))));
    objects.push(object(ingress("a/way", None, &[("x.example", "/", "s0")])));
    let mut registry = registry(objects.clone());
    let before = publish(&mut registry);
    let built = registry.counts().rebuilt;
    assert_eq!(built, 200);
    objects[207] = object(pod("a/p7", "s7", "10.1.7.1"));
    again(&mut registry, objects.clone());
    let after = publish(&mut registry);
    assert_eq!(registry.counts().rebuilt - built, 1);
    assert!(
        Arc::ptr_eq(&before.external.routes, &after.external.routes) && Arc::ptr_eq(&before.internal.listeners, &after.internal.listeners)
    );
    assert!(Arc::ptr_eq(&before.external.services, &after.external.services));
    let shared = before.internal.services.iter().zip(&*after.internal.services).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
    assert_eq!(shared, 199);
    // A service that no route names leaves the routes alone.
    objects.remove(100);
    again(&mut registry, objects);
    let third = publish(&mut registry);
    assert!(Arc::ptr_eq(&after.external.routes, &third.external.routes));
    assert_eq!(route(&third, Exposure::External, "x.example", "/"), "a/s0:80");
}

#[test]
fn all_ports_may_change_at_once() {
    let with = |ports: &[u16]| {
        let mut many = service("a/web", &[]);
        let named = |port: &u16| ServicePort { name: format!("p{port}").into(), port: *port, ..many.ports[0].clone() };
        many.ports = ports.iter().map(named).collect();
        vec![object(many), object(pod("a/web-1", "web", "10.0.0.1"))]
    };
    let mut registry = registry(with(&[80, 81, 82]));
    publish(&mut registry);
    for ports in [&[90][..], &[91, 92, 93, 94], &[92, 80], &[94, 93, 92]] {
        again(&mut registry, with(ports));
        let snapshot = publish(&mut registry);
        let served: std::collections::BTreeSet<u16> = snapshot.internal.services.iter().map(|service| service.name.port).collect();
        assert_eq!(served, ports.iter().copied().collect());
        assert!(snapshot.internal.services.iter().all(|service| service.endpoints.len() == 1));
        let leads = |listener: &crate::snapshot::ServiceListener| snapshot.internal.service(listener.service).name == listener.name;
        assert!(snapshot.internal.listeners.len() == ports.len() && snapshot.internal.listeners.values().all(leads));
    }
}

#[test]
fn a_port_that_goes_takes_its_endpoints_along() {
    let mut two = service("a/web", &[]);
    two.ports.push(ServicePort { name: "admin".into(), port: 81, target_port: PortRef::Number(9090), ..two.ports[0].clone() });
    let mut registry = registry(vec![object(two), object(pod("a/web-1", "web", "10.0.0.1"))]);
    assert_eq!(publish(&mut registry).internal.listeners.len(), 2);
    again(&mut registry, web(vec![pod("a/web-1", "web", "10.0.0.1")]));
    let after = publish(&mut registry);
    assert_eq!(after.internal.listeners.len(), 1);
    assert_eq!(after.internal.services.iter().map(|service| service.endpoints.len()).sum::<usize>(), 1);
    let draining = registry.endpoints().into_iter().filter(|row| row.state == "Draining");
    assert_eq!(draining.map(|row| row.service).collect::<Vec<_>>(), ["a/web:81"]);
}
