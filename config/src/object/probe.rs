//! `readinessProbe` of a container: what is asked of it, how often, and how many answers in a row count.
//!
//! Invariant: every number is as the API's defaults make it, so that nobody who reads one needs them; a port by name is the number
//! that its own container gives it. What cannot be asked from outside the pod (`exec`) is none of these.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Name;
use crate::filter::Line;

/// One probe of one container (core/v1 Probe).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// `name` of the container.
    pub container: Name,
    /// What is asked.
    pub check: Check,
    /// `initialDelaySeconds`, 0 or more.
    pub initial_delay_s: u32,
    /// `periodSeconds`, from the begin of one check to the begin of the next; 1 or more.
    pub period_s: u32,
    /// `timeoutSeconds`, for all of one check; 1 or more.
    pub timeout_s: u32,
    /// `successThreshold`: successes in a row that make it pass; 1 or more.
    pub successes: u32,
    /// `failureThreshold`: failures in a row that make it fail; 1 or more.
    pub failures: u32,
}

impl Probe {
    /// Time before the first check.
    pub fn initial_delay(&self) -> Duration {
        Duration::from_secs(self.initial_delay_s.into())
    }

    /// Time from one check to the next.
    pub fn period(&self) -> Duration {
        Duration::from_secs(self.period_s.into())
    }

    /// Time that one check may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_s.into())
    }
}

/// What is asked of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// `httpGet`
    Http(HttpCheck),
    /// `tcpSocket`: whether a connection is taken.
    Tcp {
        /// Where.
        port: u16,
    },
    /// `grpc`: the call `grpc.health.v1.Health/Check`.
    Grpc {
        /// Where.
        port: u16,
        /// Of which service; empty: of the server as a whole.
        service: Box<str>,
    },
}

impl Check {
    /// Where it is asked.
    pub fn port(&self) -> u16 {
        match self {
            Check::Http(HttpCheck { port, .. }) | Check::Tcp { port } | Check::Grpc { port, .. } => *port,
        }
    }
}

/// `httpGet`: a GET whose answer must be of the 200s or 300s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpCheck {
    /// `scheme: HTTPS`: in TLS, whoever is there.
    pub tls: bool,
    /// Where.
    pub port: u16,
    /// `host`: what is asked for in place of the pod's IP. It is not where the connection goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Box<str>>,
    /// `path`, with its query; begins with `/`.
    pub path: Box<str>,
    /// `httpHeaders`
    pub fields: Box<[Line]>,
}
