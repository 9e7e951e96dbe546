//! WHAT is true now: sources, store, life cycle of endpoints, VIP allocation, and the build of the Snapshot. One writer.
//!
//! Sources send [`event::Batch`]es; the [`actor`] is the only one that applies them; [`core::Registry`] decides (no I/O, no clock);
//! workers read [`snapshot::Snapshot`] through a `watch` channel and never anything else.

pub mod actor;
pub mod assertion;
mod build;
pub mod certificate;
pub mod client;
pub mod clock;
pub mod core;
pub mod event;
pub mod exposure;
pub mod filter;
pub mod hash;
pub mod health;
mod ledger;
mod lifecycle;
mod node_port;
mod outlier;
pub mod resolver;
pub mod route;
pub mod seed;
pub mod snapshot;
pub mod source;
pub mod speech;
pub mod state;
mod store;
pub mod view;
mod vip;
