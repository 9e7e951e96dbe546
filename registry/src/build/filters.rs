//! What an Ingress's annotations ask for, with what they refer to.
//!
//! Invariant: fail closed. Without the Secret that an Ingress names, or with a list that cannot be understood, none of its rules leads
//! anywhere, and no filter of it answers in their place.

use std::sync::Arc;

use config::annotations::{self, Judged, Reading};
use config::credentials::Credentials;
use config::filter::{self, Https, Location, Part, Redirects, Rewrite, is_pattern};
use config::host::{Host, HostPattern};
use config::object::{Ingress, Kind, Object, ObjectKey};
use config::problem::{Problem, Reason};

use super::certificates::Secrets;
use crate::exposure;
use crate::filter::Filters;

/// What one Ingress asks for.
#[derive(Debug, Default)]
pub(super) struct Granted {
    filters: Option<Arc<Filters>>,
    patterns: bool,
    /// Why its rules lead nowhere.
    pub(super) closed: Option<Arc<str>>,
    /// Why nothing of it is served.
    pub(super) skipped: Option<&'static str>,
    /// The Secret that it names, there or not.
    pub(super) secret: Option<ObjectKey>,
    pub(super) judged: Vec<Judged>,
    pub(super) problems: Vec<Problem>,
}

impl Granted {
    pub(super) fn read(key: &ObjectKey, ingress: &Ingress, secrets: &Secrets) -> Granted {
        if ingress.meta.annotations.is_empty() {
            return Granted::default();
        }
        let Reading { mut filters, patterns, mut closed, skipped, judged, mut problems } = annotations::read(&ingress.meta.annotations);
        filters.redirects.https = https(&filters.redirects, ingress, &mut problems);
        let mut credentials = None;
        let secret =
            filters.auth.as_ref().map(|auth| ObjectKey { kind: Kind::Secret, namespace: key.namespace.clone(), name: auth.secret.clone() });
        match secret.as_ref().map(|secret| find(secrets, secret)) {
            None => {}
            Some(Ok(found)) => {
                problems.extend(unusable(secret.as_ref(), found));
                credentials = Some(found.clone());
            }
            Some(Err(problem)) => {
                closed.get_or_insert_with(|| problem.found.clone());
                problems.push(problem);
            }
        }
        let closed: Option<Arc<str>> = closed.map(|why| format!("{key}: {why}").into());
        // A route that is closed answers nothing but that.
        let filters = (closed.is_none() && !filters.is_empty()).then(|| Arc::new(Filters::new(filters, credentials)));
        Granted { filters, patterns, closed, skipped, secret, judged, problems }
    }

    /// Whether its hosts are to be found with and without `www.`.
    pub(super) fn sends_other_name(&self) -> bool {
        self.filters.as_ref().is_some_and(|filters| filters.redirects.from_to_www)
    }

    /// The filters of a rule with this path, and the path that it takes.
    ///
    /// # Errors
    /// The path is a pattern that is not understood.
    pub(super) fn by(&self, path: &str) -> Result<(Option<Arc<Filters>>, Box<str>), Problem> {
        let Some(rewrite) = self.filters.as_ref().and_then(|filters| filters.rewrite.as_ref()) else {
            return match path {
                pattern if self.patterns && is_pattern(pattern) => Rewrite::prefix_of(pattern).map(|path| (self.plain(), path)),
                plain => Some((self.plain(), plain.into())),
            }
            .ok_or_else(|| not_understood(path));
        };
        let (by_path, path) = rewrite.by(path).ok_or_else(|| not_understood(path))?;
        if by_path == *rewrite {
            return Ok((self.filters.clone(), path));
        }
        let changed = self.filters.as_deref().map(|filters| {
            let asked = filter::Filters { rewrite: Some(by_path), ..filters.asked.clone() };
            Arc::new(Filters::new(asked, filters.credentials.clone()))
        });
        Ok((changed, path))
    }

    /// The filters of a rule whose path is not understood: all but the rewrite.
    pub(super) fn plain(&self) -> Option<Arc<Filters>> {
        let filters = self.filters.as_ref()?;
        if filters.rewrite.is_none() {
            return Some(filters.clone());
        }
        let asked = filter::Filters { rewrite: None, ..filters.asked.clone() };
        Some(Arc::new(Filters::new(asked, filters.credentials.clone())))
    }
}

fn not_understood(path: &str) -> Problem {
    let problem = Problem::error(Reason::NotServed, format!("`{path}` is a pattern that is not understood, and no path is that text"));
    let problem =
        problem.expected("a plain path, or a plain prefix and one of `(/|$)(.*)`, `/?(.*)`, `/(.*)`, with the last group rewritten");
    problem.fix("write a rule for each prefix, and `tidegate.dev/rewrite-prefix` for what is put in its place")
}

/// Whether all clients are sent to TLS.
fn https(redirects: &Redirects, ingress: &Ingress, problems: &mut Vec<Problem>) -> Https {
    if redirects.https != Https::WithTls || !ingress.tls.is_empty() {
        return if redirects.https == Https::Nobody { Https::Nobody } else { Https::Everybody };
    }
    let problem = Problem::warning(Reason::NotFound, "a redirect to TLS, and no `spec.tls` that would serve it").at("metadata.annotations");
    problems.push(problem.fix("write `spec.tls`, or `force-ssl-redirect` if TLS ends in front of Tidegate"));
    Https::Nobody
}

/// A Secret with passwords.
fn find<'s>(secrets: &'s Secrets, key: &ObjectKey) -> Result<&'s Credentials, Problem> {
    let secret = secrets.get(key).and_then(|object| if let Object::Secret(secret) = &**object { Some(secret) } else { None });
    let problem = |reason, found: String| {
        let problem = Problem::error(reason, found).at("metadata.annotations").expected("a Secret with htpasswd lines under `auth`");
        problem.fix("write it with `htpasswd -nB NAME`; until then the Ingress answers nobody: 503")
    };
    let Some((secret, credentials)) = secret.and_then(|secret| Some((secret, secret.auth.as_ref()?))) else {
        return Err(problem(Reason::NotFound, format!("there is no {key} with `auth`")));
    };
    if exposure::said(Kind::Secret, &secret.meta).seals() {
        return Err(problem(Reason::NotExposed, format!("{key} is sealed by its labels: nobody outside is let in by it")));
    }
    if credentials.is_empty() {
        return Err(problem(Reason::Invalid, format!("no line of `auth` in {key} lets anybody in")));
    }
    Ok(credentials)
}

/// Lines that let nobody in.
fn unusable(key: Option<&ObjectKey>, credentials: &Credentials) -> Vec<Problem> {
    let Some(key) = key else { return Vec::new() };
    let told = |(line, why): &(usize, &str)| {
        let found = format!("line {line} of `auth` in {key} lets nobody in: {why}");
        Problem::warning(Reason::Invalid, found).at("metadata.annotations").fix("make it anew with `htpasswd -nB NAME`")
    };
    credentials.unusable().iter().map(told).collect()
}

/// The host with `www.` before it, or without.
pub(super) fn other_name(host: &HostPattern) -> Option<HostPattern> {
    let HostPattern::Exact(host) = host else { return None };
    let other = match host.as_str().strip_prefix("www.") {
        Some(rest) => Host::parse(rest),
        None => Host::parse(&format!("www.{host}")),
    };
    other.ok().map(HostPattern::Exact)
}

/// Sends everybody to the same on another host.
pub(super) fn to_host(host: &HostPattern) -> Filters {
    let parts = [Part::Scheme, Part::Text("://".into()), Part::Text(host.to_string().into()), Part::RequestUri];
    let to = Some(Location { status: 308, parts: parts.into() });
    let redirects = Redirects { to, ..Redirects::default() };
    Filters::new(filter::Filters { redirects, ..filter::Filters::default() }, None)
}
