//! What a route asks of its requests and answers beside where they go.
//!
//! Invariant: everything is resolved: a rewrite is a plain one, redirects to TLS are yes or no, and whoever must give a password finds the
//! passwords here. Credentials are never printed.

use config::credentials::Credentials;
use config::filter;
use std::ops::Deref;

/// The filters of a route, ready to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters {
    pub(crate) asked: filter::Filters,
    pub(crate) credentials: Option<Credentials>,
}

impl Filters {
    /// Filters that are resolved: `credentials` are there when `asked` wants authentication.
    pub fn new(asked: filter::Filters, credentials: Option<Credentials>) -> Filters {
        Filters { asked, credentials }
    }

    /// Who may come in, where that is asked.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl Deref for Filters {
    type Target = filter::Filters;

    fn deref(&self) -> &filter::Filters {
        &self.asked
    }
}
