//! `tidegate check`: what is wrong with these files, and who can be reached from outside.
//!
//! It walks the same compiled planes that serve. Exit 0: good; 1: an object was refused or an assertion is broken; 2: it could not run.

use std::process::ExitCode;

use config::problem::Severity;
use registry::view::{AnnotationView, CheckView, ExposureView};

use super::offline::{self, Offline};
use super::table::table;
use super::{CheckArgs, Form, could_not_run, count, print};

/// Checks and prints.
pub fn run(args: &CheckArgs) -> ExitCode {
    let offline = match args.settings().and_then(|settings| offline::cold_start(&settings)) {
        Ok(offline) => offline,
        Err(problems) => return could_not_run(&problems),
    };
    let view = offline.registry.check();
    let broken = broken(args, &offline, &view);
    match args.output {
        Form::Text => print(&text(&view)),
        Form::Json => print(&json(&view, &broken)),
    }
    for assertion in &broken {
        eprintln!("{assertion}");
    }
    let refused = view.problems.iter().any(|problem| problem.severity == Severity::Error);
    if refused || !broken.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS }
}

fn broken(args: &CheckArgs, offline: &Offline, view: &CheckView) -> Vec<String> {
    let services = offline.registry.services();
    let broken = args.assertions.iter().filter_map(|assertion| assertion.broken(&view.exposure, &services));
    broken.map(|why| format!("assertion broken: {why}")).collect()
}

fn text(view: &CheckView) -> String {
    let mut out = String::new();
    for problem in &view.problems {
        out.push_str(&format!("{problem}\n"));
    }
    if !view.problems.is_empty() && !view.exposure.is_empty() {
        out.push('\n');
    }
    if !view.exposure.is_empty() {
        out.push_str(&exposure(&view.exposure));
        out.push('\n');
    }
    if !view.annotations.is_empty() {
        out.push_str(&annotations(&view.annotations));
        out.push('\n');
    }
    if !view.skipped.is_empty() {
        let kinds: Vec<String> = view.skipped.iter().map(|(kind, number)| format!("{kind} ({number})")).collect();
        let number = view.skipped.values().sum();
        out.push_str(&format!("{} of kinds that are not read yet: {}\n", count(number, "object"), kinds.join(", ")));
    }
    if view.probed > 0 {
        let (number, verb) = (count(view.probed, "pod"), if view.probed == 1 { "has" } else { "have" });
        out.push_str(&format!("{number} {verb} readiness probes, which a running process asks; here they count as ready\n"));
    }
    out.push_str(&summary(view));
    out
}

/// One line for each way in; what belongs to the same service as the line above is left empty.
fn exposure(rows: &[ExposureView]) -> String {
    let mut lines = Vec::new();
    for row in rows {
        let sealed = row.sealed_by.clone().unwrap_or_default();
        let first = row.by.first().cloned().unwrap_or_default();
        lines.push([row.service.clone(), row.exposure.clone(), sealed, first]);
        let more = row.by.iter().skip(1);
        lines.extend(more.map(|by| [" ".to_owned(), " ".to_owned(), " ".to_owned(), by.clone()]));
    }
    table(["SERVICE", "EXPOSURE", "SEALED BY", "REACHED BY"], lines)
}

/// One line for each annotation for a filter.
fn annotations(rows: &[AnnotationView]) -> String {
    let line = |row: &AnnotationView| [row.owner.clone(), row.key.clone(), row.verdict.as_str().to_owned(), row.how.clone()];
    table(["OWNER", "ANNOTATION", "VERDICT", "HOW"], rows.iter().map(line))
}

fn summary(view: &CheckView) -> String {
    let of = |severity| view.problems.iter().filter(|problem| problem.severity == severity).count();
    let external = view.exposure.iter().filter(|row| row.exposure == "external").count();
    format!(
        "{}: {}, {}, {}; {} of {} reachable from outside\n",
        count(view.objects, "object"),
        count(of(Severity::Error), "error"),
        count(of(Severity::Warning), "warning"),
        count(of(Severity::Note), "note"),
        external,
        count(view.exposure.len(), "service port"),
    )
}

/// The view, with the broken assertions when there are any.
fn json(view: &CheckView, broken: &[String]) -> String {
    let mut value = serde_json::to_value(view).unwrap_or_default(); // plain records always have a JSON form
    if !broken.is_empty() {
        value["assertions_broken"] = broken.into();
    }
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use config::annotations::Verdict;
    use config::problem::{Problem, Reason};

    use super::*;

    fn view() -> CheckView {
        let row = |service: &str, exposure: &str, by: &[&str], sealed: Option<&str>| ExposureView {
            service: service.to_owned(),
            exposure: exposure.to_owned(),
            by: by.iter().map(|&by| by.to_owned()).collect(),
            sealed_by: sealed.map(str::to_owned),
        };
        CheckView {
            problems: vec![Problem::warning(Reason::UnknownField, "`bogus`").of("Service shop/web")],
            exposure: vec![
                row("data/db:5432", "internal", &["vip 127.96.0.3:5432"], Some("Namespace data")),
                row("shop/web:80", "external", &["http shop.localhost / (Ingress shop/web)", "vip 127.96.0.2:80"], None),
            ],
            annotations: vec![AnnotationView {
                owner: "Ingress shop/web".to_owned(),
                key: "tidegate.dev/hsts".to_owned(),
                verdict: Verdict::Honoured,
                how: String::new(),
            }],
            skipped: [("apps/v1/DaemonSet".to_owned(), 2)].into_iter().collect(),
            objects: 7,
            probed: 2,
        }
    }

    #[test]
    fn people_get_problems_then_the_table_then_the_sum() {
        let expected = "\
warning UnknownField: Service shop/web: `bogus`

SERVICE       EXPOSURE  SEALED BY       REACHED BY
data/db:5432  internal  Namespace data  vip 127.96.0.3:5432
shop/web:80   external  -               http shop.localhost / (Ingress shop/web)
                                        vip 127.96.0.2:80

OWNER             ANNOTATION         VERDICT   HOW
Ingress shop/web  tidegate.dev/hsts  honoured  -

2 objects of kinds that are not read yet: apps/v1/DaemonSet (2)
2 pods have readiness probes, which a running process asks; here they count as ready
7 objects: 0 errors, 1 warning, 0 notes; 1 of 2 service ports reachable from outside
";
        assert_eq!(text(&view()), expected);
    }

    #[test]
    fn scripts_get_the_same_as_json() {
        let value: serde_json::Value = serde_json::from_str(&json(&view(), &["x".to_owned()])).unwrap();
        assert_eq!(value["exposure"][0]["sealed_by"], "Namespace data");
        assert_eq!(value["assertions_broken"][0], "x");
    }
}
