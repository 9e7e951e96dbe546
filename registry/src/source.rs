//! Where objects come from. Each source runs alone and sends [`crate::event::Event`]s; none sees another, the store or a snapshot.

pub mod dns;
pub mod docker;
pub mod folder;
pub mod settings;
