//! HTTP/2, by hyper: clients that speak it, and replicas that do.
//!
//! Routing, filters, choice of a replica, repetition, reasons and the log are those of HTTP/1 (`http/attempt.rs`, `http/decide.rs`); only
//! messages are others. `serve` holds one client's connection, `exchange` one request, `answer` what comes back and what is said of it at
//! its end, `one` a replica that speaks HTTP/1, `lanes`
//! those that speak HTTP/2, `way` how one is reached, `connect` streams that switch to another protocol, `fields` what goes on of a head, `form` what a
//! request must be, `grpc` what gRPC clients understand.

pub(crate) mod answer;
pub(crate) mod ask;
pub(crate) mod connect;
pub(crate) mod exchange;
mod fields;
mod form;
mod grpc;
pub(crate) mod lanes;
pub(crate) mod link;
mod one;
pub(crate) mod serve;
mod way;
