//! Questions to the DNS listener.

use super::{Families, labels};
use crate::dns::{Counts, Outcome};

/// Every outcome, from the start on; nothing where there is no such listener.
pub(super) fn asked(counts: Option<&Counts>, families: &mut Families) {
    let Some(counts) = counts else { return };
    let samples = Outcome::ALL.map(|(outcome, word)| (labels([("answer", word)]), counts.get(outcome) as f64));
    families.counters("tidegate_dns_queries_total", "Questions to the DNS listener, by how they were answered.", samples.into());
}
