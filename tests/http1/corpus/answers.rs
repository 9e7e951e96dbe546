//! What a replica may send back, and what the client must then see.

pub(super) mod broken;
pub(super) mod fields;
pub(super) mod framed;
