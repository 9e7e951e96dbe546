//! WHAT may be said: settings and lean typed objects; parsing and validation.
//!
//! Pure functions over text. No tokio, no sockets, no clock, no logging; files are read by whoever calls.

pub mod annotations;
pub mod credentials;
pub mod exposure;
pub mod filter;
pub mod host;
pub mod manifest;
pub mod object;
pub mod problem;
pub mod settings;
pub mod tls;
