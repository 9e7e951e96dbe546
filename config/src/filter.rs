//! What an Ingress asks for beside its routes: each filter as a typed value of its own.
//!
//! Invariant: a value of these types can be applied as it is: names and values of fields hold no line break, ranges are parsed, paths
//! begin with `/`. Nothing secret is in here; a filter that needs a Secret names it. How annotations say these is in
//! [`crate::annotations`], how they are applied is the proxy's business.

mod access;
mod affinity;
mod auth;
mod balance;
mod cors;
mod headers;
mod limits;
mod rates;
mod redirect;
mod rewrite;

pub use access::Access;
pub use affinity::{Affinity, SameSite};
pub use auth::Auth;
pub use balance::{Balance, HashBy};
pub(crate) use balance::{WAYS, nginx_hash};
pub use cors::{Cors, Origins};
pub(crate) use headers::fields_of;
pub use headers::{Edits, Line};
pub use limits::{RetryOn, Timeouts};
pub use rates::{Rate, Rates};
pub use redirect::{Https, Location, Part, Redirects};
pub use rewrite::{Rewrite, is_pattern};

pub(crate) use self::draft::Draft;
use crate::annotations::Key;
use crate::object::Name;

mod draft;

/// Everything that one Ingress asks for. What it does not say is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Who may ask, by address.
    pub access: Access,
    /// How much is asked for.
    pub rates: Rates,
    /// Who may ask, by name and password.
    pub auth: Option<Auth>,
    /// Where clients are sent instead.
    pub redirects: Redirects,
    /// Which other sites' scripts may ask.
    pub cors: Option<Cors>,
    /// Most bytes of a request's content; `None` is no limit.
    pub body_bytes: Option<u64>,
    /// What the replica sees as the path.
    pub rewrite: Option<Rewrite>,
    /// What the replica sees as the host.
    pub upstream_host: Option<Name>,
    /// Fields of requests.
    pub request: Edits,
    /// Fields of answers.
    pub response: Edits,
    /// A ConfigMap of the Ingress's namespace, whose `data` are fields of answers, too.
    pub custom_headers: Option<Name>,
    /// `Strict-Transport-Security` on answers over TLS (RFC 6797).
    pub hsts: Option<Name>,
    /// How long is waited.
    pub timeouts: Timeouts,
    /// Further times that a request is tried; 0: it is sent once and never again.
    pub retries: Option<u8>,
    /// After what else it is sent again.
    pub retry_on: RetryOn,
    /// How an endpoint is picked.
    pub balance: Option<Balance>,
    /// By which cookie a client keeps its endpoint.
    pub affinity: Option<Affinity>,
}

/// Every key under `tidegate.dev/` that an Ingress's annotations may have for a filter, by the file that reads it.
pub(crate) const KEYS: [&[Key]; 10] = [
    access::KEYS,
    auth::KEYS,
    redirect::KEYS,
    cors::KEYS,
    rates::KEYS,
    limits::KEYS,
    rewrite::KEYS,
    headers::KEYS,
    balance::KEYS,
    affinity::KEYS,
];

impl Filters {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Filters::default()
    }

    /// What is asked for, a line each, in the order in which a request meets it.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        self.access.describe(&mut lines);
        self.redirects.describe(&mut lines);
        lines.extend(self.cors.iter().map(Cors::describe));
        self.rates.describe(&mut lines);
        lines.extend(self.auth.iter().map(Auth::describe));
        lines.extend(self.body_bytes.map(|bytes| format!("body-size: content up to {bytes} bytes, else 413")));
        lines.extend(self.rewrite.iter().map(Rewrite::describe));
        lines.extend(self.upstream_host.iter().map(|host| format!("upstream-vhost: the replica sees Host {host}")));
        self.request.describe("request-headers", &mut lines);
        self.timeouts.describe(&mut lines);
        lines.extend(self.retries.map(|retries| format!("retries: {retries} further tries")));
        self.retry_on.describe(&mut lines);
        lines.extend(self.balance.as_ref().map(|balance| format!("balance: {balance}")));
        lines.extend(self.affinity.iter().map(Affinity::describe));
        lines.extend(self.custom_headers.iter().map(|name| format!("custom-headers: answers have the fields of ConfigMap {name}")));
        self.response.describe("response-headers", &mut lines);
        lines.extend(self.hsts.iter().map(|hsts| format!("hsts: {hsts}, over TLS")));
        lines
    }
}

#[cfg(test)]
mod tests;
