//! A new endpoint grows to its share.

use super::*;

/// How many of 300 requests the third replica answers, once it has joined two that are there.
fn share_of_the_newcomer(config: &str, annotation: &str) -> usize {
    let net = Net::take();
    let replicas = three(&net);
    let with = |replicas: &[&Replica]| with_service_annotation(&in_turn(&net, replicas), annotation);
    let [one, two, new] = &replicas;
    let gate = Setup::new(&net).config(config).manifest("app.yaml", with(&[one, two])).start();
    assert!(ask(&gate, 30).iter().filter(|answer| answer.replica() == one.name()).count() >= 10, "the first are not new");
    gate.write("app.yaml", &with(&[one, two, new]));
    ask(&gate, 300).iter().filter(|answer| answer.replica() == new.name()).count()
}

#[test]
fn a_newcomer_gets_little_at_first_where_the_service_or_the_settings_say_so() {
    let plain = share_of_the_newcomer("", "x.example/y: z");
    assert!((80..120).contains(&plain), "without slow start it has a third at once, not {plain} of 300");
    // At most a minute of the hour has passed: less than a sixtieth of a third.
    let by_annotation = share_of_the_newcomer("", "tidegate.dev/slow-start: 1h");
    assert!(by_annotation < 30, "{by_annotation} of 300");
    let by_settings = share_of_the_newcomer("slowStartMs: 3600000\n", "x.example/y: z");
    assert!(by_settings < 30, "{by_settings} of 300");
    let overruled = share_of_the_newcomer("slowStartMs: 3600000\n", "tidegate.dev/slow-start: 0s");
    assert!((80..120).contains(&overruled), "{overruled} of 300");
}
