//! The state directory: VIPs, NodePorts to come, and the last good objects, so that a restart changes no address and loses no seal.
//!
//! Invariant: every file is replaced atomically, and every line carries its own check, so that a damaged line costs itself alone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::object::{Object, ServiceKey};
use config::problem::Problem;

use crate::event::Origin;

/// What the state directory held at start.
#[derive(Debug, Default)]
pub struct Saved {
    /// Addresses given to services.
    pub vips: Vec<SavedVip>,
    /// Last good objects of each origin.
    pub origins: BTreeMap<Origin, Vec<Object>>,
    /// Damaged lines and unreadable files.
    pub problems: Vec<Problem>,
    /// A record of an origin was lost: an unreadable file at a cold start must not trust what is left.
    pub damaged_origins: bool,
}

/// One service's address.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SavedVip {
    /// Whose.
    pub service: ServiceKey,
    /// Which.
    pub ip: IpAddr,
}
