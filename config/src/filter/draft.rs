//! Filters while their keys are being read: what several keys say together is put together at the end.

use super::{Filters, affinity, auth, cors, rates, redirect};
use crate::annotations::Wrong;
use crate::object::Name;

/// Filters of which not all keys have been read.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// The Ingress's.
    pub(crate) namespace: Name,
    pub(crate) filters: Filters,
    /// What the key that was read last takes for something else than it says.
    pub(crate) loose: Vec<String>,
    pub(super) affinity: affinity::Parts,
    pub(super) auth: auth::Parts,
    pub(super) cors: cors::Parts,
    pub(crate) rates: rates::Parts,
    pub(super) redirect: redirect::Parts,
}

impl Draft {
    /// The filters, and each key whose value makes no sense with the others.
    pub(crate) fn finish(mut self) -> (Filters, Vec<(&'static str, Wrong)>) {
        let mut wrong = Vec::new();
        match self.auth.finish() {
            Ok(auth) => self.filters.auth = auth,
            Err(why) => wrong.push(why),
        }
        self.filters.cors = self.cors.finish();
        self.filters.affinity = self.affinity.finish();
        self.filters.rates.client = self.rates.finish();
        self.redirect.finish(&mut self.filters.redirects);
        (self.filters, wrong)
    }
}
