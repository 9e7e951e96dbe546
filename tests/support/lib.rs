//! What the end-to-end tests share: the real binary, honest fakes of replicas, and a client that sends exact bytes.
//!
//! Invariant: every test has its own loopback addresses ([`net::Net`]), folder and process, so tests run side by side. A thing
//! that a test waits for is awaited with a deadline ([`wait`]); nothing here retries a request, since that would hide a failure.

pub mod certificates;
pub mod chance;
pub mod client;
pub mod command;
pub mod datagrams;
pub mod differential;
pub mod engine;
pub mod frames;
pub mod fuzz;
pub mod http2_replica;
pub mod image;
pub mod machine;
pub mod net;
pub mod objects;
pub mod peers;
pub mod replica;
pub mod tidegate;
pub mod tls_replica;
pub mod wait;

pub use certificates::{Authority, Issued};
pub use chance::Chance;
pub use client::{Client, Response};
pub use command::{Finished, binary, command};
pub use datagrams::{Datagrams, dns};
pub use engine::{Container, Engine, Network};
pub use http2_replica::{Does, Http2Replica};
pub use machine::Machine;
pub use net::Net;
pub use replica::{Behaviour, Replica};
pub use tidegate::{Setup, Tidegate};
pub use tls_replica::{Handshake, Shows, TlsReplica};
pub use wait::await_until;
