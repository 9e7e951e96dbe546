//! Time and memory to load 10,000 Services, each with an Ingress of one host and a pod, from a folder: as a cold start does.

use std::process::ExitCode;
use std::time::Instant;

use config::settings::Settings;
use registry::core::Registry;
use registry::event::{Content, Event};
use registry::source::folder;
use registry::state::Saved;
use tidegate_benches::{Report, memory, world};

const SERVICES: usize = 10_000;

fn main() -> ExitCode {
    let mut report = Report::new("load of 10,000 services and routes from files");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = world::write(folder.path(), SERVICES).expect("the manifests are written");
    let (before, _) = memory();
    let began = Instant::now();
    let batch = folder::read_once(folder.path());
    let read = began.elapsed();
    let objects: usize =
        batch.changes.iter().map(|change| if let Content::Manifest(said) = &change.content { said.objects.len() } else { 0 }).sum();
    let mut registry = Registry::new(&Settings::default(), Saved::default());
    registry.apply(Event::Batch(batch), began.elapsed());
    let snapshot = registry.publish(began.elapsed()).expect("a first picture");
    let all = began.elapsed();
    let (after, most) = memory();
    let seconds = |time: std::time::Duration| format!("{:.3} s", time.as_secs_f64());
    report.row("objects, bytes of YAML", format!("{objects}, {bytes}"));
    report.row("read and parse", seconds(read));
    report.row("store, build and publish", seconds(all - read));
    report.row("together", seconds(all));
    report.row("memory before, after, at most", format!("{before:.0} MiB, {after:.0} MiB, {most:.0} MiB"));
    report.law("every route serves", snapshot.external.routes.routes().len() == SERVICES && snapshot.internal.listeners.len() == SERVICES);
    report.finish()
}
