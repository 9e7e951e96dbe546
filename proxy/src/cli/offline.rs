//! The picture that a cold start on these files would make, without starting anything.
//!
//! It reads manifests, the Docker API and the state directory, and writes nothing; `check` and `explain` both stand on it, so that they agree with `run`.

use std::sync::Arc;
use std::time::Duration;

use config::exposure::Exposure;
use config::problem::{Problem, Reason};
use config::settings::Settings;
use registry::actor::{local_addresses, unix_s};
use registry::core::Registry;
use registry::event::{Event, ListenerState};
use registry::snapshot::{OwnAddresses, Plane, Snapshot};
use registry::source::{docker, folder};
use registry::state::{self, Saved};

use super::settings::no_source;
use crate::dns;

/// What a cold start knows.
pub(super) struct Offline {
    pub(super) registry: Registry,
    pub(super) snapshot: Arc<Snapshot>,
    /// As the settings ask for them.
    pub(super) listeners: Vec<ListenerState>,
}

/// Reads everything.
///
/// # Errors
/// There is nothing to read, or a folder is not there.
pub(super) fn cold_start(settings: &Settings) -> Result<Offline, Vec<Problem>> {
    if settings.manifests.is_empty() && !settings.docker.enabled {
        return Err(vec![no_source()]);
    }
    let missing: Vec<Problem> = settings.manifests.iter().filter_map(|path| missing(path)).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let saved = settings.state_dir.as_deref().map_or_else(Saved::default, state::read_only);
    let mut registry = Registry::new(settings, saved);
    registry.set_date(unix_s());
    let listeners = listeners(settings);
    let own = listeners.iter().map(|listener| listener.address).filter(|address| address.port() != 0);
    registry.set_own_addresses(OwnAddresses { listeners: own.collect(), local: local_addresses() });
    for path in &settings.manifests {
        registry.expect(folder::name(path));
    }
    for path in &settings.manifests {
        registry.apply(Event::Batch(folder::read_once(path)), Duration::ZERO);
    }
    if settings.docker.enabled {
        registry.expect(docker::name());
        registry.apply(containers(settings)?, Duration::ZERO);
    }
    let snapshot = registry.publish(Duration::ZERO).unwrap_or_else(nothing);
    Ok(Offline { registry, snapshot, listeners })
}

/// What the engine says now.
fn containers(settings: &Settings) -> Result<Event, Vec<Problem>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| vec![Problem::error(Reason::Invalid, format!("cannot make a runtime: {error}"))])?;
    Ok(runtime.block_on(docker::read_once(&settings.docker)))
}

fn missing(path: &std::path::Path) -> Option<Problem> {
    let error = std::fs::metadata(path).err()?;
    let problem = Problem::error(Reason::Unreadable, format!("cannot be read: {error}")).in_file(path);
    Some(problem.expected("a folder or file of manifests").fix("mend the path given with --manifests"))
}

fn listeners(settings: &Settings) -> Vec<ListenerState> {
    let asked = [
        ("http", Exposure::External, settings.http),
        ("https", Exposure::External, settings.https),
        ("internal-http", Exposure::Internal, settings.internal_http),
        ("admin", Exposure::Internal, settings.admin),
        ("metrics", Exposure::Internal, settings.metrics),
    ];
    let asked = asked.into_iter().filter_map(|(name, exposure, address)| Some((name, exposure, address?)));
    let http = asked
        .map(|(name, exposure, address)| ListenerState::bound(name, exposure, if name == "https" { "HTTPS" } else { "HTTP" }, address));
    http.chain(dns::asked(settings)).collect()
}

/// The picture of a world without objects.
fn nothing() -> Arc<Snapshot> {
    Arc::new(Snapshot { version: 0, external: Plane::empty(Exposure::External), internal: Plane::empty(Exposure::Internal) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{Outcome, Question, explain};

    fn settings(manifests: &std::path::Path) -> Settings {
        Settings { manifests: vec![manifests.to_owned()], http: Some(([127, 0, 0, 1], 0).into()), ..Settings::default() }
    }

    #[test]
    fn the_example_is_good_and_its_database_stays_inside() {
        let shop = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop");
        let offline = cold_start(&settings(&shop)).unwrap();
        assert_eq!(offline.registry.problems(), []);
        let asked = |url, from| explain(&offline.snapshot, &offline.listeners, &Question::new(url, from, "GET", &[]).unwrap());
        let site = asked("http://shop.localhost/", Exposure::External);
        assert_eq!((site.outcome, site.service.as_deref()), (Outcome::Forward, Some("shop/web:80")));
        assert_eq!(asked("http://db.data:5432/", Exposure::External).status, Some(404));
        assert_eq!(asked("http://db.data:5432/", Exposure::Internal).service.as_deref(), Some("data/db:5432"));
    }

    #[test]
    fn nothing_to_read_and_nothing_there_are_told_apart() {
        assert!(cold_start(&Settings::default()).err().unwrap()[0].to_string().contains("--manifests"));
        let missing = cold_start(&settings("/nonexistent/manifests".as_ref())).err().unwrap();
        assert!(missing[0].to_string().contains("/nonexistent/manifests"));
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(cold_start(&settings(empty.path())).unwrap().registry.problems(), []);
    }
}
