//! Settings that change while the process runs.

use super::Exposure::External;
use super::*;
use crate::event::SettingsNews;

fn followed(objects: Vec<Object>) -> Registry {
    let mut registry = registry(objects);
    registry.follow_settings("tidegate.yaml".as_ref(), T);
    publish(&mut registry);
    registry
}

fn read(registry: &mut Registry, settings: Settings) {
    let settings = Box::new(Settings { workers: 1, ..settings });
    registry.apply(Event::Settings(SettingsNews::Read(settings)), T);
}

fn world() -> Vec<Object> {
    let rule = |name: &str, class, host: &str| object(ingress(name, class, &[(host, "/", "front")]));
    let pod = object(pod("out/front-1", "front", "10.0.0.2"));
    vec![object(service("out/front", &[])), pod, rule("out/a", None, "a.example"), rule("out/b", Some("nginx"), "b.example")]
}

fn way(snapshot: &Snapshot, host: &str) -> bool {
    route(snapshot, External, host, "/") == "out/front:80"
}

#[test]
fn classes_and_strict_mode_follow_the_settings() {
    let mut registry = followed(world());
    read(&mut registry, Settings { ingress_classes: vec!["nginx".to_owned()], ..Settings::default() });
    let snapshot = publish(&mut registry);
    assert!(way(&snapshot, "a.example") && way(&snapshot, "b.example"));
    assert_eq!(registry.renewed(), ["ingress.classes"]);
    read(&mut registry, Settings { exposure_mode: ExposureMode::Strict, ..Settings::default() });
    let snapshot = publish(&mut registry);
    assert!(!way(&snapshot, "a.example") && !way(&snapshot, "b.example"));
    assert_eq!(registry.renewed(), ["exposure.mode", "ingress.classes"]);
    read(&mut registry, Settings::default());
    assert!(way(&publish(&mut registry), "a.example"));
}

#[test]
fn what_cannot_be_used_changes_nothing_and_ages() {
    let mut registry = followed(world());
    read(&mut registry, Settings { exposure_mode: ExposureMode::Strict, ..Settings::default() });
    let strict = publish(&mut registry);
    assert_eq!(registry.renewed(), ["exposure.mode"]);
    let wrong = Problem::error(Reason::Invalid, "`strikt`").at("exposure.mode").in_file("tidegate.yaml");
    registry.apply(Event::Settings(SettingsNews::Broken(vec![wrong])), Duration::from_secs(1));
    registry.apply(Event::Settings(SettingsNews::Unchanged), Duration::from_secs(9));
    assert!(registry.publish(T).is_none() && !way(&strict, "a.example"), "the last good settings are strict");
    assert_eq!(registry.settings().exposure_mode, ExposureMode::Strict);
    assert_eq!(problems(&registry, Reason::Invalid).len(), 2, "what is wrong, and that the settings before stay");
    let source = |registry: &Registry| {
        let sources = registry.sources(Duration::from_secs(10));
        let source = sources.into_iter().find(|source| source.name == "settings:tidegate.yaml").unwrap();
        (source.state, source.age_s, source.problems)
    };
    assert_eq!(source(&registry), ("stale".to_owned(), 10.0, 2));
    read(&mut registry, Settings { exposure_mode: ExposureMode::Strict, ..Settings::default() });
    assert_eq!((problems(&registry, Reason::Invalid).len(), source(&registry).0.as_str()), (0, "ok"));
    assert_eq!(registry.renewed(), [""; 0], "the same file again changes nothing");
}

#[test]
fn what_waits_for_a_restart_is_said_and_not_done() {
    let mut registry = followed(world());
    read(&mut registry, Settings { http: None, ..Settings::default() });
    let said = problems(&registry, Reason::NotServed);
    assert!(said.iter().any(|problem| problem.contains("tidegate.yaml: http: a new value, which counts after a restart")), "{said:?}");
    assert_eq!(registry.settings().http, Settings::default().http);
    read(&mut registry, Settings::default());
    assert_eq!(problems(&registry, Reason::NotServed).iter().filter(|problem| problem.contains("restart")).count(), 0);
}
