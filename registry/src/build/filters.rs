//! What an Ingress's annotations ask for, with what they refer to.
//!
//! Invariant: fail closed. Without the Secret or ConfigMap that an Ingress names, or with a list that cannot be understood, none of its rules
//! leads anywhere, and no filter of it answers in their place.

use std::collections::BTreeSet;
use std::sync::Arc;

use config::annotations::{self, CUSTOM_HEADERS, Judged, Reading};
use config::credentials::Credentials;
use config::filter::{self, Auth, Https, Line, Location, Part, Redirects, Rewrite, is_pattern};
use config::host::{Host, HostPattern};
use config::object::{Ingress, Kind, Name, ObjectKey};
use config::problem::{Problem, Reason};

use super::referents::Referents;
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
    /// The Secret and the ConfigMap that it names, there or not.
    pub(super) named: BTreeSet<ObjectKey>,
    pub(super) judged: Vec<Judged>,
    pub(super) problems: Vec<Problem>,
}

impl Granted {
    pub(super) fn read(key: &ObjectKey, ingress: &Ingress, referents: &Referents) -> Granted {
        if ingress.meta.annotations.is_empty() {
            return Granted::default();
        }
        let reading = annotations::read(&key.namespace, &ingress.meta.annotations);
        let Reading { mut filters, patterns, closed, skipped, judged, problems } = reading;
        let mut finder = Finder { owner: key, referents, named: BTreeSet::new(), closed, problems };
        filters.redirects.https = https(&filters.redirects, ingress, &mut finder.problems);
        let credentials = filters.auth.as_ref().and_then(|auth| finder.credentials(auth));
        finder.custom_headers(&mut filters);
        let Finder { named, closed, problems, .. } = finder;
        let closed: Option<Arc<str>> = closed.map(|why| format!("{key}: {why}").into());
        // A route that is closed answers nothing but that.
        let filters = (closed.is_none() && !filters.is_empty()).then(|| Arc::new(Filters::new(filters, credentials)));
        Granted { filters, patterns, closed, skipped, named, judged, problems }
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

/// Finds what filters name in the Ingress's namespace. What cannot be had closes the Ingress.
struct Finder<'r> {
    owner: &'r ObjectKey,
    referents: &'r Referents,
    named: BTreeSet<ObjectKey>,
    closed: Option<String>,
    problems: Vec<Problem>,
}

impl Finder<'_> {
    /// Notes that this object is named, and gives its key.
    fn name(&mut self, kind: Kind, name: &Name) -> ObjectKey {
        let key = ObjectKey { kind, namespace: self.owner.namespace.clone(), name: name.clone() };
        self.named.insert(key.clone());
        key
    }

    /// Whom a Secret lets in.
    fn credentials(&mut self, auth: &Auth) -> Option<Credentials> {
        let key = self.name(Kind::Secret, &auth.secret);
        match credentials(self.referents, &key) {
            Ok(found) => {
                self.problems.extend(unusable(&key, found));
                Some(found.clone())
            }
            Err(problem) => {
                self.close(problem);
                None
            }
        }
    }

    /// Adds the fields that a ConfigMap holds.
    fn custom_headers(&mut self, filters: &mut filter::Filters) {
        let Some(name) = &filters.custom_headers else { return };
        let key = self.name(Kind::ConfigMap, name);
        match fields(self.referents, &key) {
            Ok(lines) => filters.response.set_more(lines),
            Err(problems) => problems.into_iter().for_each(|problem| self.close(problem)),
        }
    }

    fn close(&mut self, problem: Problem) {
        self.closed.get_or_insert_with(|| problem.found.clone());
        self.problems.push(problem);
    }
}

/// The passwords of a Secret.
fn credentials<'s>(referents: &'s Referents, key: &ObjectKey) -> Result<&'s Credentials, Problem> {
    let problem = |reason, found: String| {
        let problem = Problem::error(reason, found).at("metadata.annotations").expected("a Secret with htpasswd lines under `auth`");
        problem.fix("write it with `htpasswd -nB NAME`; until then the Ingress answers nobody: 503")
    };
    let Some(credentials) = referents.secret(key).and_then(|secret| secret.auth.as_ref()) else {
        return Err(problem(Reason::NotFound, format!("there is no {key} with `auth`")));
    };
    if referents.is_sealed(key) {
        return Err(problem(Reason::NotExposed, format!("{key} is sealed by its labels: nobody outside is let in by it")));
    }
    if credentials.is_empty() {
        return Err(problem(Reason::Invalid, format!("no line of `auth` in {key} lets anybody in")));
    }
    Ok(credentials)
}

/// The fields of a ConfigMap.
fn fields<'s>(referents: &'s Referents, key: &ObjectKey) -> Result<&'s [Line], Vec<Problem>> {
    let problem = |reason, found: String| {
        let problem = Problem::error(reason, found).at(format!("metadata.annotations[\"{CUSTOM_HEADERS}\"]"));
        let problem = problem.expected("a ConfigMap of the Ingress's namespace, each key of its `data` a field of answers");
        problem.fix("write it, or remove the annotation; until then the Ingress answers nobody: 503")
    };
    let Some(map) = referents.config_map(key) else {
        return Err(vec![problem(Reason::NotFound, format!("there is no {key}"))]);
    };
    if referents.is_sealed(key) {
        return Err(vec![problem(Reason::NotExposed, format!("{key} is sealed by its labels: nobody outside is told its fields"))]);
    }
    let wrong = |why: &str| problem(Reason::Invalid, format!("{key} cannot be fields of answers: {why}"));
    map.fields.as_deref().map_err(|all| all.iter().map(|why| wrong(why)).collect())
}

/// Lines that let nobody in.
fn unusable(key: &ObjectKey, credentials: &Credentials) -> Vec<Problem> {
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
