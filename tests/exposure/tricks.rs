//! The list of tricks, each sent from outside to the real listener.

use std::time::Duration;

use proxy::tricks::{Scene as Place, TRICKS};

use super::*;

fn scene() -> (Scene, Place) {
    let scene = Scene::new(SEAL, |net, _| {
        file(&[
            ingress("data/leak", "leak.example", &[path("Prefix", "/", "db", net.port())]),
            ingress_of("tidegate-internal", "data/inside", "db.inside", &[path("Prefix", "/", "db", net.port())]),
            ingress("data/wild", "*.leak.example", &[path("Prefix", "/", "db", net.port())]),
        ])
    });
    let place = Place {
        external_host: "shop.example".to_owned(),
        external: scene.gate.http(),
        sealed_service: "db".to_owned(),
        sealed_namespace: "data".to_owned(),
        sealed_host: "leak.example".to_owned(),
        internal_host: "db.inside".to_owned(),
        vip: scene.vip(),
        replica: scene.db.address(),
        admin: scene.gate.admin(),
    };
    (scene, place)
}

#[test]
fn every_trick_is_refused() {
    let (scene, place) = scene();
    let before = scene.db.connections();
    let failed: Vec<String> = std::thread::scope(|scope| {
        let quarters = TRICKS.chunks(TRICKS.len().div_ceil(8));
        let runs: Vec<_> = quarters
            .map(|tricks| {
                let place = &place;
                scope.spawn(move || {
                    let failed = tricks.iter().filter_map(|trick| {
                        let mut client = Client::connect(place.external);
                        client.send(trick.bytes(place));
                        let answer = client.until_quiet(Duration::from_millis(200));
                        let held = trick.held(&answer, SECRET.as_bytes());
                        (!held).then(|| format!("{} ({}): {:?}", trick.name, trick.why, String::from_utf8_lossy(&answer)))
                    });
                    failed.collect::<Vec<_>>()
                })
            })
            .collect();
        runs.into_iter().flat_map(|run| run.join().expect("a stranger panicked")).collect()
    });
    println!("{} tricks tried", TRICKS.len());
    assert!(failed.is_empty(), "{} of {} got through:\n{}", failed.len(), TRICKS.len(), failed.join("\n"));
    assert_eq!(scene.db.connections(), before, "the database was connected to");
    assert_eq!(scene.gate.get("shop.example", "/").replica(), "web-0", "the public app still serves");
}

/// A test of the test: what is refused outside exists inside, so the refusals above are not for want of a service.
#[test]
fn the_same_service_answers_inside() {
    let (scene, place) = scene();
    scene.expect_inside();
    let inside = scene.gate.listener("internal-http");
    let before = scene.db.connections();
    let response = Client::connect(inside).get(&place.internal_host, "/");
    assert_eq!(response.status, 502, "the database speaks no HTTP, but it was asked");
    assert!(scene.db.connections() > before);
}

#[test]
fn a_refused_exposure_is_told_to_the_operator_and_not_to_the_stranger() {
    let (scene, _) = scene();
    let refused = scene.gate.get("leak.example", "/");
    let unknown = scene.gate.get("unknown.example", "/");
    assert_eq!(refused.status, 404);
    assert_eq!(refused.text().replace("leak", "unknown"), unknown.text(), "a refused host looks like any unknown one");
    let names = |response: &tidegate_tests::Response| response.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&refused), names(&unknown));
    scene.gate.await_problem(&["NotExposed", "Ingress data/leak", "Namespace data"]);
    await_until("the metric", || scene.gate.sum("tidegate_not_exposed_total", &[]) >= 1.0);
    let table = scene.gate.rows("exposure");
    let row = table.iter().find(|row| row["service"].as_str().is_some_and(|name| name.starts_with("data/db"))).expect("a row");
    assert_eq!(row["exposure"], "internal", "{row}");
    assert!(row["sealed_by"].as_str().is_some_and(|by| by.contains("Namespace data")), "{row}");
}
