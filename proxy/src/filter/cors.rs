//! The CORS protocol (Fetch standard): what browsers are told about other sites' scripts.
//!
//! A preflight is answered here and reaches no replica; nothing is decided for the server by it, only for the browser.

use std::borrow::Cow;

use config::filter::{Cors, Origins};
use registry::filter::Filters;

use super::{Answer, Asked};
use crate::http::head::Method;
use crate::reason::Reason;

const ALLOW_ORIGIN: &str = "Access-Control-Allow-Origin";
const CREDENTIALS: &str = "Access-Control-Allow-Credentials";
const EXPOSE: &str = "Access-Control-Expose-Headers";
const VARY: &str = "Vary";

/// What replaces a replica's own words.
pub(super) const OURS: [&str; 3] = [ALLOW_ORIGIN, CREDENTIALS, EXPOSE];

type Pairs = Vec<(&'static str, Cow<'static, str>)>;

/// The answer to a question before the question: 204.
pub(super) fn preflight(cors: &Cors, asked: &Asked<'_>) -> Option<Answer> {
    if asked.method != Method::Options || asked.fields.one("access-control-request-method").is_none() {
        return None;
    }
    let origin = asked.text("origin")?;
    let mut answer = Answer::new(Reason::Preflight);
    answer.fields.extend(for_origin(cors, origin));
    if cors.origins.admit(origin) {
        answer = answer
            .with("Access-Control-Allow-Methods", cors.methods.to_string())
            .with("Access-Control-Allow-Headers", cors.headers.to_string())
            .with("Access-Control-Max-Age", cors.max_age_s.to_string());
    }
    Some(answer)
}

/// What goes with an answer to a script of another site.
pub(super) fn fields(filters: &Filters, asked: &Asked<'_>) -> Pairs {
    let Some(cors) = &filters.cors else { return Vec::new() };
    let Some(origin) = asked.text("origin") else { return vary(cors) };
    let mut fields = for_origin(cors, origin);
    if let Some(expose) = cors.expose.as_ref().filter(|_| cors.origins.admit(origin)) {
        fields.push((EXPOSE, expose.to_string().into()));
    }
    fields
}

fn for_origin(cors: &Cors, origin: &str) -> Pairs {
    let mut fields = vary(cors);
    match &cors.origins {
        Origins::Any => fields.push((ALLOW_ORIGIN, "*".into())),
        origins if origins.admit(origin) => {
            fields.push((ALLOW_ORIGIN, origin.to_owned().into()));
            fields.extend(cors.credentials.then_some((CREDENTIALS, "true".into())));
        }
        Origins::These(_) => {}
    }
    fields
}

/// An answer that depends on who asks must not be kept for others.
fn vary(cors: &Cors) -> Pairs {
    if cors.origins == Origins::Any { Vec::new() } else { vec![(VARY, "Origin".into())] }
}
