//! `docker`: whether containers are looked at, and of which projects, where the engine's API is, and on which network they are reached.

use std::path::PathBuf;

/// The Docker source's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Docker {
    /// Containers are pods. Default false: nobody looks at them.
    pub enabled: bool,
    /// Unix socket of the Docker API, or of `tidegate docker-proxy`. Default `/var/run/docker.sock`.
    pub socket: PathBuf,
    /// Name of the network on which containers are reached. Default none: one that Tidegate itself is on.
    pub network: Option<String>,
    /// Compose projects whose containers are pods. Default none: those of all, and those of none.
    pub projects: Vec<String>,
}

impl Default for Docker {
    fn default() -> Self {
        Docker { enabled: false, socket: "/var/run/docker.sock".into(), network: None, projects: Vec::new() }
    }
}
