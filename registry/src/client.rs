//! What a client must show in a handshake: a certificate that somebody whom an Ingress names vouches for.
//!
//! Invariant: a session that was opened by other terms is never resumed by these, since each policy has a ticket key of its own; one
//! that was resumed has the certificate that it was opened with. A policy whose content does not change stays the same object.

use std::fmt;
use std::sync::Arc;

use config::object::ClientTerms;
use config::tls::Authorities;
use rustls::Error;
use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, WebPkiClientVerifier};

/// Terms that can be met.
pub struct ClientPolicy {
    /// What is asked, and what holds the authorities.
    pub terms: ClientTerms,
    /// Looks at what clients show.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// Seals the tickets of sessions that were opened by it.
    pub ticketer: Arc<dyn ProducesTickets>,
    authorities: Authorities,
}

impl ClientPolicy {
    /// A policy for these terms.
    ///
    /// # Errors
    /// The system has no randomness for a ticket key.
    pub fn new(terms: ClientTerms, authorities: Authorities) -> Result<ClientPolicy, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(authorities.roots().clone(), provider);
        let builder = if terms.optional { builder.allow_unauthenticated() } else { builder };
        let verifier = builder.build().map_err(|error| Error::General(error.to_string()))?;
        Ok(ClientPolicy { terms, verifier, ticketer: Ticketer::new()?, authorities })
    }

    /// Whether it is what these would make.
    pub(crate) fn is_of(&self, authorities: &Authorities) -> bool {
        self.authorities == *authorities
    }
}

impl PartialEq for ClientPolicy {
    fn eq(&self, other: &ClientPolicy) -> bool {
        self.terms == other.terms && self.authorities == other.authorities
    }
}

impl Eq for ClientPolicy {}

impl fmt::Debug for ClientPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client certificates by {}", self.terms.key())
    }
}

/// What is asked of the clients of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    /// A certificate, by this policy.
    By(Arc<ClientPolicy>),
    /// What nobody has: the authorities are not there. Holds why.
    Nobody(Arc<str>),
}

impl Demand {
    /// The terms, where they can be met.
    pub fn terms(&self) -> Option<&ClientTerms> {
        match self {
            Demand::By(policy) => Some(&policy.terms),
            Demand::Nobody(_) => None,
        }
    }
}
