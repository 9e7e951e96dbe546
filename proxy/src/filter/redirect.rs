//! Where clients are sent instead.

use config::filter::{Https, Location, Part, Redirects};

use super::{Answer, Asked};
use crate::reason::Reason;

/// The answer, if this request gets one: to TLS first, so that nothing else is said in plain text.
pub(super) fn answer(redirects: &Redirects, asked: &Asked<'_>) -> Option<Answer> {
    if redirects.https != Https::Nobody && !asked.https && !asked.host.is_empty() {
        let port = redirects.https_port.filter(|&port| port != 443).map(|port| format!(":{port}")).unwrap_or_default();
        return Some(to(308, format!("https://{}{port}{}", asked.host, asked.target)));
    }
    if let Some(root) = redirects.app_root.as_ref().filter(|_| asked.path() == "/") {
        return Some(to(302, root.to_string()));
    }
    let location = redirects.to.as_ref()?;
    Some(to(location.status, text(location, asked)))
}

fn to(status: u16, location: String) -> Answer {
    let answer = Answer::new(Reason::Redirected).with("Location", location);
    Answer { status, ..answer }
}

fn text(location: &Location, asked: &Asked<'_>) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.to_string(),
        Part::RequestUri => asked.target.to_owned(),
        Part::Host => asked.host.to_owned(),
        Part::Scheme => if asked.https { "https" } else { "http" }.to_owned(),
    };
    location.parts.iter().map(part).collect()
}
