//! WHERE bytes go: listeners, HTTP, TCP, balancing, pools.
//!
//! Reads [`registry::snapshot::Snapshot`] and never sees Kubernetes or Docker types; [`docker_proxy`]
//! is a process of its own, that shares nothing with the rest. One request's way is told in
//! docs/ARCHITECTURE.md, and so is the hot path law that every file here keeps.

pub mod access_log;
pub mod admin;
pub mod balance;
pub mod binder;
pub mod budget;
pub mod buffer;
mod claim;
pub mod cli;
pub mod clock;
pub mod deadline;
pub mod demo;
pub mod departed;
mod digits;
pub mod dns;
pub mod docker_proxy;
mod exit_with;
pub mod explain;
pub mod filter;
pub mod http;
mod http2;
pub mod listener;
pub mod live;
pub mod metrics;
pub mod outlier;
pub mod picture;
pub mod pool;
pub mod pressure;
pub mod proxied;
pub mod reason;
pub mod renew;
pub mod run;
pub mod server;
pub mod splice;
pub mod stats;
mod stream;
pub mod tcp;
pub mod terms;
pub mod tls;
pub mod traffic;
pub mod tricks;
pub(crate) mod udp;
pub mod upstream;
pub mod waiting;
mod websocket;
pub mod worker;
