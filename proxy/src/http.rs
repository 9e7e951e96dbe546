//! HTTP/1: heads and bodies read strictly, routed, and written anew.
//!
//! [`head`], [`body`] and [`write`] touch bytes only; no socket, no clock.

pub mod body;
pub mod head;
pub mod write;
