use std::rc::Rc;

use super::*;
use crate::explain::worlds;
use crate::stats::{LocalCounts, Met};

fn scrape(workers: &[Arc<WorkerCounts>]) -> String {
    let snapshot = worlds::shop();
    let counts = Counts {
        endpoints: [("Ready", 3), ("Draining", 1)].into_iter().collect(),
        problems: [((config::problem::Severity::Error, config::problem::Reason::NotExposed), 2)].into_iter().collect(),
        objects: 9,
        probes: vec![("success", 5), ("refused", 2)],
        ..Counts::default()
    };
    let source = SourceView {
        name: "folder:my \"own\" folder".to_owned(),
        state: "stale".to_owned(),
        age_s: 1.5,
        objects: 3,
        skipped: BTreeMap::new(),
        problems: 0,
    };
    let scene = Scene {
        workers,
        acknowledged: vec![1, 0],
        snapshot: &snapshot,
        age: Duration::from_millis(2500),
        counts: &counts,
        sources: vec![source],
        dns: None,
    };
    render(&scene).unwrap()
}

fn met(worker: &Arc<WorkerCounts>) -> Rc<Met> {
    LocalCounts::new(worker.clone()).of(Exposure::External, &worlds::service("web", 1))
}

#[test]
fn workers_are_added_up() {
    let workers = [Arc::<WorkerCounts>::default(), Arc::default()];
    let (first, second) = (met(&workers[0]), met(&workers[1]));
    first.answered(200, 400);
    first.answered(404, 700);
    second.answered(204, 20_000_000);
    second.retries.add(2);
    workers[0].refused(Exposure::External, Reason::NoRoute);
    workers[1].refused(Exposure::External, Reason::NoRoute);
    let text = scrape(&workers);
    for line in [
        r#"tidegate_requests_total{exposure="external",service="x/web:80",code="2xx"} 2"#,
        r#"tidegate_requests_total{exposure="external",service="x/web:80",code="4xx"} 1"#,
        r#"tidegate_request_duration_seconds_bucket{exposure="external",service="x/web:80",le="0.0005"} 1"#,
        r#"tidegate_request_duration_seconds_bucket{exposure="external",service="x/web:80",le="0.001"} 2"#,
        r#"tidegate_request_duration_seconds_bucket{exposure="external",service="x/web:80",le="10"} 2"#,
        r#"tidegate_request_duration_seconds_bucket{exposure="external",service="x/web:80",le="+Inf"} 3"#,
        r#"tidegate_request_duration_seconds_count{exposure="external",service="x/web:80"} 3"#,
        r#"tidegate_refusals_total{exposure="external",reason="no-route"} 2"#,
        r#"tidegate_refusals_total{exposure="internal",reason="no-route"} 0"#,
        r#"tidegate_retries_total{service="x/web:80"} 2"#,
        r#"tidegate_requests_in_flight{service="x/web:80"} 0"#,
        r#"tidegate_snapshot_version 1"#,
        r#"tidegate_snapshot_age_seconds 2.5"#,
        r#"tidegate_worker_acknowledged_version{worker="1"} 0"#,
        r#"tidegate_endpoints{state="Ready"} 3"#,
        r#"tidegate_problems{severity="error",reason="NotExposed"} 2"#,
        r#"tidegate_objects 9"#,
        r#"tidegate_probes_total{result="refused"} 2"#,
        r#"tidegate_source_stale{source="folder:my \"own\" folder"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn bytes_of_a_vip_have_a_direction() {
    let worker = Arc::<WorkerCounts>::default();
    let met = LocalCounts::new(worker.clone()).of(Exposure::Internal, &worlds::service("db", 1));
    met.own.connections.add(1);
    met.own.up.add(3);
    met.own.down.add(5);
    let text = scrape(&[worker]);
    assert!(text.contains(r#"tidegate_vip_bytes_total{service="x/db:80",direction="up"} 3"#), "{text}");
    assert!(text.contains(r#"tidegate_vip_bytes_total{service="x/db:80",direction="down"} 5"#), "{text}");
    assert!(!text.contains("tidegate_requests_total"), "no request was answered:\n{text}");
}

#[test]
fn a_vip_counts_from_zero_before_its_first_connection() {
    let text = scrape(&[Arc::default()]);
    for line in [
        r#"tidegate_vip_connections_total{service="x/db:80"} 0"#,
        r#"tidegate_vip_connections_open{service="x/db:80"} 0"#,
        r#"tidegate_vip_bytes_total{service="x/db:80",direction="up"} 0"#,
        r#"tidegate_vip_bytes_total{service="x/db:80",direction="down"} 0"#,
    ] {
        assert_eq!(text.lines().filter(|found| *found == line).count(), 1, "{line} is not once in\n{text}");
    }
    assert!(!text.contains(r#"tidegate_vip_connections_total{service="x/web:80"}"#), "it has no virtual IP:\n{text}");
}

#[test]
fn every_family_says_what_it_is_once() {
    let worker = Arc::<WorkerCounts>::default();
    met(&worker).answered(200, 1);
    let text = scrape(&[worker]);
    let mut typed: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let all = typed.len();
    typed.dedup();
    assert!(all > 10 && typed.len() == all, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("# HELP ")).count(), all);
    let page = include_str!("../../../docs/operate.md");
    for name in typed.iter().filter_map(|line| line.split(' ').next()) {
        assert!(page.contains(&format!("`{name}")), "docs/operate.md says nothing of {name}");
    }
}
