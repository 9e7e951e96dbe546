//! Bytes of one manifest file in, typed objects and problems out.
//!
//! YAML (several documents) and JSON, `kind: List` included. Pure: no file is opened here. One bad object never hides its
//! neighbours; a file that is not YAML at all gives no objects and one problem with its line.

use std::collections::BTreeMap;

use crate::object::{Object, ObjectKey};
use crate::problem::Problem;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The objects that can be used, in file order.
    pub objects: Vec<Object>,
    /// Objects that are named but cannot be used: their last good version stays.
    pub refused: Vec<ObjectKey>,
    /// Everything wrong or worth knowing; places without the file.
    pub problems: Vec<Problem>,
    /// Kinds that are not read, as `apiVersion/kind`, and how many of each.
    pub skipped: BTreeMap<String, usize>,
    /// The text is not YAML or JSON: whatever the file said before stays.
    pub broken: bool,
}

/// Reads one file's bytes.
pub fn parse(_bytes: &[u8]) -> Manifest {
    Manifest::default()
}
