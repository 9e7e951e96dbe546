//! Files that break, vanish, clash or were never read.

use super::Exposure::{External, Internal};
use super::*;

fn broken() -> Content {
    let problems = vec![Problem::error(Reason::Invalid, "not YAML")];
    Content::Manifest(Manifest { broken: true, problems, ..Manifest::default() })
}

fn unreadable() -> Content {
    Content::Unreadable(Problem::error(Reason::Unreadable, "no permission"))
}

fn refused(kind: Kind, name: &str, objects: Vec<Object>) -> Content {
    let Meta { namespace, name, .. } = meta(name, &[]);
    let problems = vec![Problem::error(Reason::Invalid, "a wrong type")];
    Content::Manifest(Manifest { objects, refused: vec![ObjectKey { kind, namespace, name }], problems, ..Manifest::default() })
}

fn web() -> Vec<Object> {
    let way = ingress("a/web", None, &[("web.example", "/", "web")]);
    vec![object(service("a/web", &[])), object(pod("a/web-1", "web", "10.0.0.1")), object(way)]
}

fn saved(files: &[(&str, Vec<Object>)]) -> Saved {
    let origins = files.iter().map(|(file, objects)| (Origin::from(Path::new(file)), objects.clone()));
    Saved { origins: origins.collect(), ..Saved::default() }
}

fn cold(saved: Saved, files: Vec<(&str, Content)>) -> Registry {
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, saved);
    registry.apply(batch(true, files), T);
    registry
}

fn out(registry: &mut Registry) -> String {
    route(&publish(registry), External, "web.example", "/")
}

#[test]
fn a_file_that_breaks_keeps_its_last_good_objects_and_says_so() {
    for content in [broken(), unreadable()] {
        let mut registry = cold(Saved::default(), vec![("m/web.yaml", manifest(web()))]);
        publish(&mut registry);
        registry.apply(batch(false, vec![("m/web.yaml", content)]), T);
        assert!(registry.publish(T).is_none());
        let told: Vec<String> = registry.problems().iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|text| text.contains("m/web.yaml") && text.contains("the 3 objects of its last good version")), "{told:?}");
        registry.apply(batch(false, vec![("m/web.yaml", Content::Gone)]), T);
        assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
        assert_eq!(registry.problems(), []);
    }
}

#[test]
fn a_refused_object_keeps_its_last_good_version_and_its_neighbours_move_on() {
    let mut registry = cold(Saved::default(), vec![("m/web.yaml", manifest(web()))]);
    publish(&mut registry);
    let rest = vec![object(pod("a/web-1", "web", "10.0.0.9")), web()[2].clone()];
    registry.apply(batch(false, vec![("m/web.yaml", refused(Kind::Service, "a/web", rest))]), T);
    assert_eq!(addresses(&publish(&mut registry), External, "a/web"), ["10.0.0.9:8080"]);
    assert!(problems(&registry, Reason::Invalid).iter().any(|text| text.contains("its last good version")));
}

#[test]
fn one_object_in_two_files_serves_from_the_first_and_is_told_with_both() {
    let other = vec![object(Service { selector: None, ..service("a/web", &[]) })];
    let files = || vec![("m/b.yaml", manifest(web())), ("m/c.yaml", manifest(other.clone()))];
    for shuffled in [files(), files().into_iter().rev().collect()] {
        let mut registry = cold(Saved::default(), shuffled);
        assert_eq!(addresses(&publish(&mut registry), Internal, "a/web").len(), 1, "the first by path");
        let told = problems(&registry, Reason::Conflict);
        assert!(told[0].contains("m/c.yaml") && told[0].contains("m/b.yaml"), "{told:?}");
        // Later, the one that was there first stays, whatever its path.
        registry.apply(batch(false, vec![("m/a.yaml", manifest(other.clone()))]), T);
        assert!(registry.publish(T).is_none());
        registry.apply(batch(false, vec![("m/b.yaml", Content::Gone)]), T);
        assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
        assert_eq!(problems(&registry, Reason::Conflict).len(), 1);
    }
}

#[test]
fn a_manifest_goes_before_labels_whoever_came_first() {
    let labelled = |created| {
        let mut labelled = service("a/web", &[]);
        (labelled.meta.by_label, labelled.meta.created) = (true, Some(created));
        let mut site = ingress("a/site", Some("tidegate-internal"), &[("x.example", "/", "web")]);
        (site.meta.by_label, site.meta.created) = (true, Some(created));
        manifest(vec![object(labelled), object(pod("a/web-1", "web", "10.0.0.1")), object(site)])
    };
    let own = vec![
        object(Service { selector: None, ..service("a/web", &[]) }),
        object(service("a/other", &[])),
        object(ingress("a/written", Some("tidegate-internal"), &[("x.example", "/", "other")])),
    ];
    let mut registry = cold(Saved::default(), vec![("docker:a/web", labelled(1))]);
    let shown = publish(&mut registry);
    assert_eq!(addresses(&shown, Internal, "a/web").len(), 1);
    assert!(route(&shown, Internal, "x.example", "/").contains("a/web"));
    registry.apply(batch(false, vec![("m/web.yaml", manifest(own))]), T);
    let shown = publish(&mut registry);
    assert!(addresses(&shown, Internal, "a/web").is_empty(), "the Service that was written down");
    assert!(route(&shown, Internal, "x.example", "/").contains("a/other"), "the host that was written down");
    let told = problems(&registry, Reason::Conflict);
    assert!(
        told.len() == 2 && told.iter().all(|text| text.contains("a manifest before labels") || text.contains("before labels")),
        "{told:?}"
    );
    registry.apply(batch(false, vec![("m/web.yaml", Content::Gone)]), T);
    assert!(route(&publish(&mut registry), Internal, "x.example", "/").contains("a/web"));
}

#[test]
fn one_object_twice_in_one_file_is_told() {
    let twice = vec![object(service("a/web", &[])), object(service("a/web", &[SEAL]))];
    let mut registry = cold(Saved::default(), vec![("m/a.yaml", manifest(twice))]);
    publish(&mut registry);
    assert_eq!(problems(&registry, Reason::Conflict).len(), 1);
}

#[test]
fn a_whole_batch_takes_away_what_it_does_not_name() {
    let mut registry = cold(Saved::default(), vec![("m/web.yaml", manifest(web()))]);
    publish(&mut registry);
    registry.apply(batch(true, vec![("m/other.yaml", manifest(vec![]))]), T);
    assert!(addresses(&publish(&mut registry), Internal, "a/web").is_empty());
    assert!(registry.unsaved().origins.contains(&(Origin::from(Path::new("m/web.yaml")), None)));
}

#[test]
fn a_stale_source_keeps_everything() {
    let mut registry = cold(Saved::default(), vec![("m/web.yaml", manifest(web()))]);
    publish(&mut registry);
    let problem = Problem::error(Reason::Unreadable, "the folder is gone");
    registry.apply(Event::Stale("folder:m".into(), problem), Duration::from_secs(5));
    assert!(registry.publish(T).is_none());
    let source = &registry.sources(Duration::from_secs(9))[0];
    assert_eq!((&*source.state, source.age_s, source.objects), ("stale", 9.0, 3));
    assert_eq!(problems(&registry, Reason::Unreadable).len(), 1);
    registry.apply(Event::Alive("folder:m".into()), Duration::from_secs(10));
    assert_eq!(registry.sources(Duration::from_secs(10))[0].state, "ok");
}

#[test]
fn a_cold_start_on_a_broken_file_serves_what_was_saved() {
    let mut whole = cold(saved(&[("m/web.yaml", web())]), vec![("m/web.yaml", broken())]);
    assert_eq!(out(&mut whole), "a/web:80");
    assert_eq!(whole.unsaved().origins, [], "nothing is forgotten");
    let rest = refused(Kind::Service, "a/web", web()[1..].to_vec());
    let mut one = cold(saved(&[("m/web.yaml", web())]), vec![("m/web.yaml", rest)]);
    assert_eq!(out(&mut one), "a/web:80");
}

#[test]
fn a_cold_start_on_an_unread_file_that_nobody_remembers_is_strict_until_it_can_be_read() {
    for content in [broken(), unreadable()] {
        let files = vec![("m/seals.yaml", content), ("m/web.yaml", manifest(web()))];
        let mut registry = cold(Saved::default(), files);
        assert_eq!(out(&mut registry), "Host");
        assert!(problems(&registry, Reason::NotExposed).iter().any(|text| text.contains("m/seals.yaml") && text.contains("strict")));
        registry.apply(batch(false, vec![("m/seals.yaml", manifest(vec![]))]), T);
        assert_eq!(out(&mut registry), "a/web:80");
        assert_eq!(registry.problems(), []);
    }
}

#[test]
fn lost_records_are_not_trusted() {
    let saved = Saved { damaged_origins: true, ..saved(&[("m/web.yaml", web())]) };
    let mut registry = cold(saved, vec![("m/web.yaml", broken())]);
    let snapshot = publish(&mut registry);
    assert_eq!(route(&snapshot, External, "web.example", "/"), "Host");
    assert_eq!(addresses(&snapshot, Internal, "a/web").len(), 1);
}

#[test]
fn a_namespace_that_cannot_be_read_is_sealed() {
    let files = vec![("m/a.yaml", refused(Kind::Namespace, "a", vec![])), ("m/web.yaml", manifest(web()))];
    let mut registry = cold(Saved::default(), files);
    assert_eq!(out(&mut registry), "Host");
    registry.apply(batch(false, vec![("m/a.yaml", manifest(vec![namespace("a", &[])]))]), T);
    assert_eq!(out(&mut registry), "a/web:80");
}

#[test]
fn what_is_saved_is_what_a_restart_needs() {
    let mut first = cold(Saved::default(), vec![("m/web.yaml", manifest(web()))]);
    publish(&mut first);
    let unsaved = first.unsaved();
    assert_eq!(unsaved.origins, [(Origin::from(Path::new("m/web.yaml")), Some(web().into_iter().map(Arc::new).collect()))]);
    assert_eq!(unsaved.grants.as_ref().map(Vec::len), Some(1));
    let again = first.unsaved();
    assert!(again.grants.is_none() && again.origins.is_empty());
    let kept = saved(&[("m/web.yaml", web()), ("m/gone.yaml", vec![namespace("x", &[])]), ("other/x.yaml", vec![])]);
    let mut second = cold(Saved { grants: unsaved.grants.unwrap(), ..kept }, vec![("m/web.yaml", manifest(web()))]);
    publish(&mut second);
    assert_eq!(second.unsaved().origins, [(Origin::from(Path::new("m/gone.yaml")), None)], "what is the same is not written again");
}

#[test]
fn ready_means_that_every_source_has_spoken() {
    let name: SourceName = "folder:m".into();
    let problem = || Problem::error(Reason::Unreadable, "no folder");
    let mut registry = Registry::new(&Settings::default(), Saved::default());
    assert!(registry.ready());
    registry.expect(name.clone());
    assert!(!registry.ready());
    registry.apply(Event::Stale(name.clone(), problem()), T);
    assert!(!registry.ready(), "nothing is known of it");
    registry.apply(batch(true, vec![]), T);
    assert!(registry.ready());
    let mut remembers = Registry::new(&Settings::default(), saved(&[("m/web.yaml", web()), ("n/other.yaml", vec![])]));
    remembers.expect(name.clone());
    remembers.apply(Event::Stale(name, problem()), T);
    assert!(remembers.ready());
    assert_eq!(out(&mut remembers), "a/web:80");
}

#[test]
fn a_source_that_nobody_knows_turns_strict_mode_on_and_the_others_serve() {
    let seals: SourceName = "folder:seals".into();
    let problem = Problem::error(Reason::Unreadable, "no folder").in_file("seals");
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    registry.expect(seals.clone());
    registry.expect("folder:m".into());
    registry.apply(Event::Stale(seals.clone(), problem.clone()), T);
    assert!(!registry.ready(), "the other one may speak yet");
    registry.apply(batch(true, vec![("m/web.yaml", manifest(web()))]), T);
    assert!(registry.ready());
    assert_eq!(out(&mut registry), "Host");
    let told = problems(&registry, Reason::NotExposed);
    assert!(told.iter().any(|text| text.contains("seals:") && text.contains("strict mode") && text.contains("fix:")), "{told:?}");
    let open = Batch { source: seals.clone(), changes: Vec::new(), whole: true };
    registry.apply(Event::Batch(open), T);
    assert_eq!(out(&mut registry), "a/web:80");
    assert_eq!(registry.problems(), []);
    registry.apply(Event::Stale(seals, problem), T);
    assert!(registry.ready() && registry.publish(T).is_none(), "what was read once is known");
}

#[test]
fn a_listener_that_cannot_be_bound_is_a_problem() {
    let mut registry = cold(Saved::default(), vec![]);
    let mut state = ListenerState::bound("http", External, "HTTP", "0.0.0.0:80".parse().unwrap());
    state.error = Some("permission denied".into());
    registry.report(Report::Listener(state), T);
    assert_eq!(problems(&registry, Reason::BindFailed).len(), 1);
    registry.report(Report::Closed("http".into(), "0.0.0.0:80".parse().unwrap()), T);
    assert_eq!(registry.problems(), []);
}

#[test]
fn a_source_that_says_nothing_for_long_is_stale_until_it_speaks() {
    let at = Duration::from_secs;
    let mut registry = Registry::new(&Settings { workers: 1, ..Settings::default() }, Saved::default());
    registry.expect("folder:m".into());
    registry.apply(batch(true, vec![("m/web.yaml", manifest(web()))]), T);
    publish(&mut registry);
    assert!(!registry.miss_silent(at(120)));
    assert!(registry.miss_silent(at(121)));
    assert!(!registry.miss_silent(at(126)), "it is told once");
    let view = registry.sources(at(126)).remove(0);
    assert_eq!((view.state.as_str(), view.age_s), ("stale", 126.0));
    let told = problems(&registry, Reason::Unreadable);
    assert!(told.len() == 1 && told[0].contains("nothing was heard of folder:m for 120 s"), "{told:?}");
    assert!(registry.publish(T).is_none(), "what it said stays true");
    registry.apply(Event::Alive("folder:m".into()), at(130));
    assert_eq!(registry.sources(at(131))[0].state, "ok");
    assert_eq!(problems(&registry, Reason::Unreadable), [""; 0]);
}
