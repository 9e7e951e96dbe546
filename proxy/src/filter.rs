//! What a route asks of its requests and answers, applied: one code for every HTTP.
//!
//! A request meets them in this order: its address, redirects, preflights, rates, the length of its content, its password. Then it is
//! written anew for the replica ([`Up`]), and its answer for the client ([`Down`]).
//!
//! Invariant: pure, but for the checking of passwords (`admit`), which is slow on purpose and is done on threads of its own, and for rates,
//! which the caller counts. A route without filters costs one look at a pointer.

mod auth;
mod cookie;
mod cors;
mod edits;
mod redirect;
mod rewrite;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::IpAddr;

use registry::filter::Filters;
use registry::route::Route;

pub use auth::Proof;
pub(crate) use auth::Proven;
pub use edits::{Down, FieldEdits, Up};

use crate::http::head::Method;
use crate::reason::Reason;

/// A request, as filters see it.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: Method,
    /// The host that was asked for, normalised.
    pub host: &'a str,
    /// Path and query; begins with `/`.
    pub target: &'a str,
    /// Who asks, behind trusted proxies.
    pub client: IpAddr,
    /// The client speaks TLS, to us or to a trusted proxy.
    pub https: bool,
    /// Length of its content, in bytes, where it is told.
    pub length: Option<u64>,
    /// Its fields.
    pub fields: &'a dyn Fields,
}

/// A way to look fields up.
pub trait Fields {
    /// The value of the one field with this name, whatever its case. `None` also when there are several: nobody knows which is meant.
    fn one(&self, name: &str) -> Option<&[u8]>;
}

impl Asked<'_> {
    /// The path, without query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.fields.one(name)?).ok()
    }
}

/// An answer of our own that a filter gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Why.
    pub reason: Reason,
    /// Its fields, beside those of all answers of our own.
    pub fields: Vec<(&'static str, Cow<'static, str>)>,
}

impl Answer {
    /// Without fields of its own, but for the time after which an overload may be over.
    pub fn new(reason: Reason) -> Answer {
        let fields = if reason == Reason::Overload { vec![("Retry-After", "1".into())] } else { Vec::new() };
        Answer { status: reason.status(), reason, fields }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Answer {
        self.fields.push((name, value.into()));
        self
    }
}

/// What becomes of a request.
pub enum Verdict {
    /// It may go on.
    Go,
    /// It is answered.
    Answer(Answer),
    /// It may go on if this is somebody's password.
    Prove(Proof),
}

/// Looks at a request by the filters of its route. `charge` says what a request gets that is one too many, and `proven` whose password was
/// found right before.
pub fn gate(filters: &Filters, asked: &Asked<'_>, charge: impl FnOnce() -> Option<Answer>, proven: impl FnOnce(&Proof) -> bool) -> Verdict {
    if !filters.access.admits(asked.client) {
        return Verdict::Answer(told(Answer::new(Reason::Denied), filters, asked));
    }
    gate_behind_address(filters, asked, charge, proven)
}

/// As [`gate`] for a client whose address may ask.
pub fn gate_behind_address(
    filters: &Filters,
    asked: &Asked<'_>,
    charge: impl FnOnce() -> Option<Answer>,
    proven: impl FnOnce(&Proof) -> bool,
) -> Verdict {
    let early = redirect::answer(&filters.redirects, asked).or_else(|| cors::preflight(filters.cors.as_ref()?, asked)).or_else(charge);
    if let Some(answer) = early {
        return Verdict::Answer(told(answer, filters, asked));
    }
    if filters.body_bytes.zip(asked.length).is_some_and(|(most, length)| length > most) {
        return Verdict::Answer(told(Answer::new(Reason::BodyTooLarge), filters, asked));
    }
    let (Some(auth), Some(credentials)) = (&filters.auth, filters.credentials()) else {
        // Nobody is let in by a password that cannot be looked up.
        return if filters.auth.is_none() { Verdict::Go } else { Verdict::Answer(Answer::new(Reason::Denied)) };
    };
    match auth::proof(credentials, asked) {
        Some(proof) if proven(&proof) => Verdict::Go,
        Some(proof) => Verdict::Prove(proof),
        None => Verdict::Answer(told(auth::unauthorized(auth), filters, asked)),
    }
}

/// What browsers must hear with every answer, ours too.
fn told(mut answer: Answer, filters: &Filters, asked: &Asked<'_>) -> Answer {
    if answer.reason != Reason::Preflight {
        answer.fields.extend(cors::fields(filters, asked));
    }
    answer.fields.extend(edits::hsts(filters, asked));
    answer
}

/// As [`gate`], and checks the password where one is due.
///
/// # Errors
/// The answer that the client gets instead.
pub(crate) async fn admit(
    proven: &Proven,
    route: &Route,
    asked: &Asked<'_>,
    charge: impl FnOnce() -> Option<Answer>,
) -> Result<(), Answer> {
    let Some(filters) = &route.filters else { return Ok(()) };
    match gate(filters, asked, charge, |proof| proven.knows(proof)) {
        Verdict::Go => Ok(()),
        Verdict::Answer(answer) => Err(answer),
        Verdict::Prove(proof) => match (proven.check(proof).await, &filters.auth) {
            (Ok(true), _) => Ok(()),
            (Ok(false), Some(auth)) => Err(told(auth::unauthorized(auth), filters, asked)),
            (Ok(false), None) => Err(Answer::new(Reason::Denied)),
            (Err(auth::Busy), _) => Err(told(Answer::new(Reason::Overload), filters, asked)),
        },
    }
}
