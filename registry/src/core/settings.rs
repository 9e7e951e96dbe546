//! Settings that change while the process runs.
//!
//! Invariant: what cannot be used changes nothing: the last good settings stay, and why is a problem until the file is mended.

use std::path::Path;
use std::time::Duration;

use config::problem::{Problem, Reason};
use config::settings::{ExposureMode, Settings};

use super::Registry;
use crate::event::{SettingsNews, SourceName};
use crate::source::settings;
use crate::view::SourceView;

/// What the process runs with, and how its file is.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) settings: Settings,
    file: Option<File>,
    /// Keys that have another value since they were last told.
    renewed: Vec<&'static str>,
}

#[derive(Debug)]
struct File {
    name: SourceName,
    path: Box<Path>,
    /// When it was last known to be as it is said here.
    seen: Duration,
    broken: bool,
    problems: Vec<Problem>,
}

impl Current {
    pub(super) fn new(settings: Settings) -> Current {
        Current { settings, file: None, renewed: Vec::new() }
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.file.iter().flat_map(|file| &file.problems)
    }

    pub(super) fn view(&self, now: Duration) -> Option<SourceView> {
        let file = self.file.as_ref()?;
        Some(SourceView {
            name: file.name.to_string(),
            state: if file.broken { "stale" } else { "ok" }.to_owned(),
            age_s: now.saturating_sub(file.seen).as_secs_f64(),
            objects: 0,
            skipped: Default::default(),
            problems: file.problems.len(),
        })
    }
}

impl Registry {
    /// The settings came from this file, which is followed.
    pub fn follow_settings(&mut self, path: &Path, now: Duration) {
        let name = settings::name(path);
        self.current.file = Some(File { name, path: path.into(), seen: now, broken: false, problems: Vec::new() });
    }

    /// What the process runs with now.
    pub fn settings(&self) -> &Settings {
        &self.current.settings
    }

    /// Keys of the settings that have another value since the last call.
    pub fn renewed(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.current.renewed)
    }

    pub(super) fn take_settings(&mut self, news: SettingsNews, now: Duration) {
        let Some(file) = &mut self.current.file else { return };
        match news {
            SettingsNews::Unchanged if file.broken => {}
            SettingsNews::Unchanged => file.seen = now,
            SettingsNews::Broken(mut problems) => {
                let kept = "the settings that were read before stay in force until it is mended";
                problems.push(Problem::note(Reason::Invalid, kept).in_file(&*file.path));
                (file.broken, file.problems) = (true, problems);
            }
            SettingsNews::Read(wanted) => {
                let renewed = self.current.settings.renewed(&wanted);
                (file.broken, file.seen) = (false, now);
                file.problems = renewed.waiting.iter().map(|key| waits(key, &file.path)).collect();
                self.current.renewed.extend(renewed.changed);
                self.run_with(renewed.settings);
            }
        }
    }

    fn run_with(&mut self, settings: Settings) {
        self.strict = settings.exposure_mode == ExposureMode::Strict;
        if self.classes.also != settings.ingress_classes {
            self.classes.also.clone_from(&settings.ingress_classes);
            self.routes_dirty = true;
        }
        if self.default_secret != settings.tls_default_secret {
            self.default_secret.clone_from(&settings.tls_default_secret);
            self.certificates_dirty = true;
        }
        self.world.renew_rules(settings.outlier, Duration::from_millis(settings.slow_start_ms));
        self.current.settings = settings;
    }
}

/// About a key that cannot change while the process runs.
fn waits(key: &str, path: &Path) -> Problem {
    let problem = Problem::warning(Reason::NotServed, "a new value, which counts after a restart").in_file(path).at(key);
    problem.fix("restart the process, or write the value that it runs with")
}
