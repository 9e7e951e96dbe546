use super::screen::grouped;
use super::*;

#[test]
fn thousands_are_grouped() {
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1234567, "1,234,567")] {
        assert_eq!(grouped(number), text);
    }
}

#[test]
fn the_operators_file_is_read_without_a_complaint() {
    let text = include_str!("site.yaml").replace("HTTP_PORT", "8080").replace("LINES_PORT", "5432");
    let manifest = config::manifest::parse(text.as_bytes());
    assert_eq!(manifest.problems, []);
    assert_eq!(manifest.objects.len(), 8);
}

/// The whole demo, short: the verdict must be good.
#[test]
fn a_short_run_has_a_good_verdict() {
    let verdict = play(&DemoArgs { seconds: 4, forever: false }).expect("the demo runs");
    assert!(verdict.good(), "{verdict:#?}");
}
