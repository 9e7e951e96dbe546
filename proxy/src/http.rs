//! HTTP/1: heads and bodies read strictly, routed, and written anew.
//!
//! [`head`], [`body`] and [`mod@write`] touch bytes only; no socket, no clock. `caller` says who asks, `attempt` whom to ask, for HTTP/2
//! as well, `hops` how far a request may go. `serve` holds one client's connection, `desk` what it works
//! with, `exchange` one request, `relay` the way back of its answer, `lift` one
//! for a replica that speaks something else, `tunnel` what a connection is after it has switched protocols, `respond`
//! what we answer by ourselves.

pub(crate) mod asked;
pub(crate) mod attempt;
pub mod body;
pub(crate) mod caller;
mod client;
pub mod decide;
pub(crate) mod desk;
mod exchange;
pub mod head;
pub(crate) mod hops;
mod lift;
pub(crate) mod relay;
pub(crate) mod respond;
pub(crate) mod serve;
pub mod tried;
mod tunnel;
pub mod write;

pub(crate) use asked::{HeadFields, length as content_length};
