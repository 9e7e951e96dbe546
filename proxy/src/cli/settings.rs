//! Settings of one command: flags and environment laid over the file over the defaults.

use std::path::Path;
use std::sync::Arc;

use config::problem::{Problem, Reason};
use config::settings::Settings;
use config::settings::value::Unfit;
use registry::actor::local_addresses;
use registry::source::settings::SettingsFile;

use super::bindable;
use super::{Address, CheckArgs, ExplainArgs, ListenArgs, PictureArgs, RunArgs};

impl RunArgs {
    /// The settings to run with.
    ///
    /// # Errors
    /// Everything wrong with them, not only the first.
    pub fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let mut settings = laid(&self.picture, &self.listen, self.admin)?;
        if self.exit_with.is_some() {
            settings.exit_with.clone_from(&self.exit_with);
        }
        let mut problems = Vec::new();
        if settings.manifests.is_empty() && !settings.docker.enabled {
            problems.push(no_source());
        }
        if !settings.claim_service_cidr {
            problems.extend(bindable::check(settings.service_cidr, &local_addresses(), bindable::binds).err());
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

impl RunArgs {
    /// The settings file, and how it is read again: flags and environment stay as they were given.
    pub(super) fn file(&self) -> Option<SettingsFile> {
        let (path, args) = (self.picture.config.clone()?, self.clone());
        Some(SettingsFile { path, read: Arc::new(move || args.settings()) })
    }
}

impl CheckArgs {
    pub(super) fn settings(&self) -> Result<Settings, Vec<Problem>> {
        laid(&self.picture, &self.listen, self.admin)
    }
}

impl ExplainArgs {
    /// Its own `--admin` says whom to ask; the listener's address is the environment's or the file's.
    pub(super) fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let said = std::env::var("TIDEGATE_ADMIN").ok();
        let admin = said.as_deref().map(|text| text.parse().map_err(|unfit: Unfit| in_environment(text, unfit))).transpose()?;
        laid(&self.picture, &self.listen, admin)
    }
}

fn in_environment(text: &str, Unfit { expected, fix }: Unfit) -> Vec<Problem> {
    vec![Problem::error(Reason::Invalid, format!("`{text}`")).at("TIDEGATE_ADMIN").expected(expected).fix(fix)]
}

fn laid(picture: &PictureArgs, listen: &ListenArgs, admin: Option<Address>) -> Result<Settings, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut settings = picture.settings().unwrap_or_else(|found| {
        problems.extend(found);
        Settings::default()
    });
    listen.lay_over(&mut settings);
    settings.admin = admin.map_or(settings.admin, |Address(admin)| admin);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// Nothing to read is nothing to serve.
pub(super) fn no_source() -> Problem {
    Problem::error(Reason::NotFound, "no source of objects")
        .expected("at least one folder of manifests, or containers")
        .fix("name a folder with --manifests DIR, TIDEGATE_MANIFESTS, or `manifests` in the file of --config; or switch the Docker source on with --docker")
}

impl PictureArgs {
    /// The file's settings with these laid over them.
    ///
    /// # Errors
    /// Everything wrong with the file.
    fn settings(&self) -> Result<Settings, Vec<Problem>> {
        let mut settings = self.config.as_deref().map_or_else(|| Ok(Settings::default()), read)?;
        if !self.manifests.is_empty() {
            settings.manifests.clone_from(&self.manifests);
        }
        settings.docker.enabled |= self.docker || self.docker_socket.is_some();
        if let Some(socket) = &self.docker_socket {
            settings.docker.socket.clone_from(socket);
        }
        // An empty variable is none.
        let projects: Vec<String> = self.docker_project.iter().filter(|name| !name.is_empty()).cloned().collect();
        if !projects.is_empty() {
            settings.docker.projects = projects;
        }
        if self.state_dir.is_some() {
            settings.state_dir.clone_from(&self.state_dir);
        }
        settings.service_cidr = self.service_cidr.unwrap_or(settings.service_cidr);
        settings.claim_service_cidr |= self.claim_service_cidr;
        // Kubernetes gives an empty variable for a label that a node does not have.
        let lay = |said: &Option<String>, over: &mut Option<String>| {
            if let Some(name) = said {
                *over = Some(name.clone()).filter(|name| !name.is_empty());
            }
        };
        lay(&self.node_name, &mut settings.node_name);
        lay(&self.zone, &mut settings.zone);
        Ok(settings)
    }
}

impl ListenArgs {
    fn lay_over(&self, settings: &mut Settings) {
        let lay = |address: Option<Address>, over: &mut Option<_>| {
            if let Some(Address(address)) = address {
                *over = address;
            }
        };
        lay(self.http, &mut settings.http);
        lay(self.https, &mut settings.https);
        lay(self.internal_http, &mut settings.internal_http);
        lay(self.metrics, &mut settings.metrics);
        if !self.dns.is_empty() {
            settings.dns.listen = self.dns.iter().filter_map(|Address(address)| *address).collect();
        }
        if !self.internal_cidr.is_empty() {
            settings.internal_cidrs.clone_from(&self.internal_cidr);
        }
        settings.workers = self.workers.unwrap_or(settings.workers);
        settings.log = self.log.map_or(settings.log, Into::into);
        if let Some(log) = &self.access_log {
            settings.access_log.clone_from(log);
        }
    }
}

fn read(path: &Path) -> Result<Settings, Vec<Problem>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let problem = Problem::error(Reason::Unreadable, format!("cannot be read: {error}")).in_file(path);
        vec![problem.expected("a settings file that this user may read").fix("mend the path or its permissions, or leave --config out")]
    })?;
    Settings::parse(&text).map_err(|problems| problems.into_iter().map(|problem| problem.in_file(path)).collect())
}
