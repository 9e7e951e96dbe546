//! HTTP/2: clients that speak it, by the crate h2, and replicas that do, by hyper's client.
//!
//! Routing, filters, choice of a replica, repetition, reasons and the log are those of HTTP/1 (`http/attempt.rs`, `http/decide.rs`); only
//! messages are others. `serve` holds one client's connection, `gathered` what it writes, `reply` one stream, `exchange` its request, `answer`
//! what comes back and what is said of it at its end, `one` a replica that speaks HTTP/1, `lanes` those that speak HTTP/2, `way` how one is
//! reached, `connect` streams that switch to another protocol, `fields` what goes on of a head, `form` what makes a request malformed, `signs`
//! what a pick may look at of it, `grpc` what gRPC clients understand.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod connect;
pub(crate) mod exchange;
pub(crate) mod fields;
mod form;
mod gathered;
mod grpc;
pub(crate) mod lanes;
pub(crate) mod link;
mod one;
mod reply;
pub(crate) mod serve;
mod signs;
mod way;
