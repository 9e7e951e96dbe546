//! What reaches the one writer: batches from sources, reports from the data plane.
//!
//! Invariant: a batch is applied whole or not at all, so that a ConfigMap's swap is one step.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use config::exposure::Exposure;
use config::manifest::Manifest;
use config::object::Name;
use config::problem::Problem;
use config::settings::Settings;

use crate::health::Verdict;
use crate::snapshot::{Replica, Trial};

/// What a source calls one unit of its content: for a folder, the file's path as the operator would type it.
pub type Origin = Arc<Path>;

/// Name of a source: `folder:manifests`, for instance.
pub type SourceName = Arc<str>;

/// A change of what one source says, applied in one step.
#[derive(Debug)]
pub struct Batch {
    /// Who says it.
    pub source: SourceName,
    /// What changed.
    pub changes: Vec<Change>,
    /// True when the batch is the source's whole view: origins that it does not name are gone, except those below one that it
    /// names as unreadable (a folder that nobody can look into).
    pub whole: bool,
}

/// One origin's new content.
#[derive(Debug)]
pub struct Change {
    /// Which unit.
    pub origin: Origin,
    /// What it says now.
    pub content: Content,
}

/// Content of an origin.
#[derive(Debug)]
pub enum Content {
    /// It was read. When `Manifest::broken`, its last good objects stay; so do the last good versions of `Manifest::refused`.
    Manifest(Manifest),
    /// It exists but could not be read; its last good objects stay.
    Unreadable(Problem),
    /// It was deleted: so are its objects. When it was a folder that could not be read, so is what lies below it and is not named by
    /// the same batch.
    Gone,
}

/// What a source sends.
#[derive(Debug)]
pub enum Event {
    /// Its content changed.
    Batch(Batch),
    /// The source cannot be read at all (folder swapped away); its last good state stays, marked stale.
    Stale(SourceName, Problem),
    /// It was looked at and nothing changed; its age starts anew.
    Alive(SourceName),
    /// What DNS says of a name; none is none. An error leaves the last answer, marked stale.
    Resolved(Name, Result<Vec<IpAddr>, Problem>),
    /// What the checks of a pod come to.
    Judged(Verdict),
    /// Something about the settings file.
    Settings(SettingsNews),
}

/// What is new about the settings file.
#[derive(Debug)]
pub enum SettingsNews {
    /// It was looked at, and is as before.
    Unchanged,
    /// It says this now, with flags and environment laid over it.
    Read(Box<Settings>),
    /// It cannot be used.
    Broken(Vec<Problem>),
}

/// What the data plane tells the registry.
#[derive(Debug)]
pub enum Report {
    /// A worker runs this version of the snapshot, and nothing older.
    Acknowledged {
        /// Which worker.
        worker: usize,
        /// [`crate::snapshot::Snapshot::version`]
        version: u64,
    },
    /// A listener was bound, failed to bind, or was closed.
    Listener(ListenerState),
    /// A listener of this name at this address is gone.
    Closed(Arc<str>, SocketAddr),
    /// The access log could not be moved where the settings want it; `None` when it could.
    AccessLog(Option<Problem>),
    /// Requests came to nothing at this replica so many times in a row that it may be an outlier; told once until it is heard.
    Outlier(Arc<Replica>),
    /// What came of the one request of a replica that is on trial.
    Tried {
        /// Which.
        replica: Arc<Replica>,
        /// On which one.
        trial: Arc<Trial>,
        /// It did its work.
        well: bool,
    },
}

/// One listener as `get listeners` shows it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ListenerState {
    /// `http`, `internal-http`, `admin`, `metrics`, `dns`, or `vip NAMESPACE/NAME:PORT`, `node-port ...`, `load-balancer ...`.
    pub name: Arc<str>,
    /// `external` or `internal`.
    pub exposure: String,
    /// `HTTP`, `HTTPS`, `TCP` or `UDP`.
    pub protocol: String,
    /// The bound address (with the real port), or the one asked for when it could not be bound.
    pub address: SocketAddr,
    /// Why it is not bound, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ListenerState {
    /// A bound listener.
    pub fn bound(name: impl Into<Arc<str>>, exposure: Exposure, protocol: &str, address: SocketAddr) -> ListenerState {
        ListenerState { name: name.into(), exposure: exposure.to_string(), protocol: protocol.to_owned(), address, error: None }
    }
}
