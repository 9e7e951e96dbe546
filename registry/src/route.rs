//! Which route a host and path mean: a hash on the exact host, a walk up the labels for wildcards, then paths.
//!
//! Invariant: the cost of [`RouteTable::find`] does not depend on the number of hosts. Once a host is found, only its own paths
//! are looked at, then the class's default. Nothing here knows Kubernetes objects, exposure or sockets.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use config::host::{Host, HostPattern};
use config::object::{ClientTerms, Name, PathType};

use crate::filter::Filters;
use crate::snapshot::ServiceIndex;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// What happens to a request that a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Forward to this service of the same plane.
    Forward(ServiceIndex),
    /// The route stands but leads nowhere (no such Service or port): 503 `no-endpoint`. Holds why.
    Unavailable(Arc<str>),
    /// Only in [`crate::snapshot::Plane::refused`]: exposure was refused. Holds why, naming the object and the seal.
    Refused(Arc<str>),
}

/// One rule as it serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The object that wrote it, as `Ingress NAMESPACE/NAME`.
    pub owner: Name,
    /// Its host pattern.
    pub host: HostPattern,
    /// Its path type.
    pub path_type: PathType,
    /// Its path, as written.
    pub path: Box<str>,
    /// What it does.
    pub action: Action,
    /// What its clients must have shown in their handshake.
    pub client: Option<Arc<ClientTerms>>,
    /// What else is asked of its requests and answers; nearly always nothing.
    pub filters: Option<Arc<Filters>>,
}

/// The routes of one plane.
#[derive(Debug, Default)]
pub struct RouteTable {
    exact: Map<Host, Paths>,
    one_label: Map<Host, Paths>,
    any_host: Paths,
    default: Option<Arc<Route>>,
    routes: Vec<Arc<Route>>,
}

/// Why no route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// No rule for the host.
    Host,
    /// The host has rules, but none for the path.
    Path,
}

/// The paths of one host.
#[derive(Debug, Default)]
struct Paths {
    exact: Map<Box<str>, Arc<Route>>,
    /// Longest first, without trailing slash; `""` is the prefix `/`.
    prefixes: Vec<(Box<str>, Arc<Route>)>,
    /// Index of `prefixes`, once there are more than a scan should read.
    by_prefix: Map<Box<str>, usize>,
    /// The Ingress's own default backend for this host.
    default: Option<Arc<Route>>,
}

/// Above this many prefixes on one host, a hash on each element of the path replaces the scan.
const SCAN_AT_MOST: usize = 8;

impl Paths {
    fn find(&self, path: &str) -> Option<&Arc<Route>> {
        if let Some(route) = self.exact.get(path) {
            return Some(route);
        }
        let prefix = if self.by_prefix.is_empty() {
            self.prefixes.iter().find(|(prefix, _)| covers(prefix, path)).map(|(_, route)| route)
        } else {
            self.walk_up(path)
        };
        prefix.or(self.default.as_ref())
    }

    fn walk_up(&self, path: &str) -> Option<&Arc<Route>> {
        let mut end = path.len();
        loop {
            if let Some(&at) = self.by_prefix.get(&path[..end]) {
                return Some(&self.prefixes[at].1);
            }
            end = path[..end].rfind('/')?;
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty() && self.default.is_none()
    }

    fn finish(&mut self) {
        self.prefixes.sort_by(|(a, _), (b, _)| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        if self.prefixes.len() > SCAN_AT_MOST {
            self.by_prefix = self.prefixes.iter().enumerate().map(|(at, (prefix, _))| (prefix.clone(), at)).collect();
        }
    }
}

/// Element-wise: `/foo` covers `/foo`, `/foo/` and `/foo/bar`, not `/foobar`. `prefix` has no trailing slash.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl RouteTable {
    /// The route that takes `path` (without query) on `host` (normalised, see [`config::host::normalise`]).
    ///
    /// Ingress v1, "Path types" and "Hostname wildcards": an exact host beats a wildcard, which beats a rule without host; then the
    /// longest path wins, Exact before Prefix; then the Ingress's own default backend, then the class's.
    ///
    /// # Errors
    /// [`Miss`] when nothing takes it.
    pub fn find(&self, host: &str, path: &str) -> Result<&Arc<Route>, Miss> {
        let path = normal_path(path);
        let paths = self.paths_of(host);
        let miss = if paths.is_some() { Miss::Path } else { Miss::Host };
        paths.and_then(|paths| paths.find(&path)).or(self.default.as_ref()).ok_or(miss)
    }

    fn paths_of(&self, host: &str) -> Option<&Paths> {
        if let Some(paths) = self.exact.get(host) {
            return Some(paths);
        }
        let wildcard = host.split_once('.').and_then(|(_, suffix)| self.one_label.get(suffix));
        wildcard.or_else(|| (!self.any_host.is_empty()).then_some(&self.any_host))
    }

    /// Every route, in no particular order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The class's default backend.
    pub fn class_default(&self) -> Option<&Arc<Route>> {
        self.default.as_ref()
    }
}

/// Collects rules into a [`RouteTable`]. The first rule for the same host, path type and path wins, so add the oldest first.
#[derive(Debug, Default)]
pub struct RouteTableBuilder {
    table: RouteTable,
}

impl RouteTableBuilder {
    /// Adds a rule.
    ///
    /// # Errors
    /// The route that has this host and path already.
    pub fn add(&mut self, route: Route) -> Result<(), Arc<Route>> {
        let route = Arc::new(route);
        let paths = self.paths_mut(&route.host);
        let taken = match route.path_type {
            PathType::Exact => insert(&mut paths.exact, route.path.clone(), &route),
            PathType::Prefix => {
                let prefix: Box<str> = route.path.trim_end_matches('/').into();
                // `by_prefix` serves as the set of prefixes seen until `finish` rebuilds it as the index.
                match paths.by_prefix.get(&prefix) {
                    Some(&at) => Some(paths.prefixes[at].1.clone()),
                    None => {
                        paths.by_prefix.insert(prefix.clone(), paths.prefixes.len());
                        paths.prefixes.push((prefix, route.clone()));
                        None
                    }
                }
            }
        };
        taken.map_or(Ok(()), Err)?;
        self.table.routes.push(route);
        Ok(())
    }

    /// Adds an Ingress's default backend for one of its own hosts; the first wins.
    ///
    /// # Errors
    /// The route that is this host's default already.
    pub fn add_host_default(&mut self, route: Route) -> Result<(), Arc<Route>> {
        let route = Arc::new(route);
        let paths = self.paths_mut(&route.host);
        if let Some(first) = &paths.default {
            return Err(first.clone());
        }
        paths.default = Some(route.clone());
        self.table.routes.push(route);
        Ok(())
    }

    /// Sets the class's default backend; the first wins.
    ///
    /// # Errors
    /// The route that is the default already.
    pub fn add_class_default(&mut self, route: Route) -> Result<(), Arc<Route>> {
        if let Some(first) = &self.table.default {
            return Err(first.clone());
        }
        let route = Arc::new(route);
        self.table.default = Some(route.clone());
        self.table.routes.push(route);
        Ok(())
    }

    /// Whether there is a rule for just this host.
    pub fn serves(&self, host: &HostPattern) -> bool {
        match host {
            HostPattern::Exact(host) => self.table.exact.contains_key(host),
            HostPattern::OneLabel(suffix) => self.table.one_label.contains_key(suffix),
            HostPattern::Any => !self.table.any_host.is_empty(),
        }
    }

    fn paths_mut(&mut self, host: &HostPattern) -> &mut Paths {
        match host {
            HostPattern::Exact(host) => self.table.exact.entry(host.clone()).or_default(),
            HostPattern::OneLabel(suffix) => self.table.one_label.entry(suffix.clone()).or_default(),
            HostPattern::Any => &mut self.table.any_host,
        }
    }

    /// The finished table.
    pub fn build(mut self) -> RouteTable {
        let hosts = self.table.exact.values_mut().chain(self.table.one_label.values_mut());
        for paths in hosts.chain([&mut self.table.any_host]) {
            paths.by_prefix = Map::default();
            paths.finish();
        }
        self.table
    }
}

fn insert(map: &mut Map<Box<str>, Arc<Route>>, key: Box<str>, route: &Arc<Route>) -> Option<Arc<Route>> {
    if let Some(first) = map.get(&key) {
        return Some(first.clone());
    }
    map.insert(key, route.clone());
    None
}

/// The path that routing compares: unreserved characters decoded (RFC 3986 section 6.2.2.2) and dot segments removed (5.2.4), so
/// that no spelling reaches a route other than the one its upstream would serve. Borrowed when there is nothing to do.
pub fn normal_path(path: &str) -> Cow<'_, str> {
    let bytes = path.as_bytes();
    let plain = !bytes.contains(&b'%') && !path.contains("/.");
    if plain { Cow::Borrowed(path) } else { Cow::Owned(remove_dots(&decode_unreserved(path))) }
}

fn decode_unreserved(path: &str) -> String {
    let mut out = Vec::with_capacity(path.len());
    let bytes = path.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match hex_pair(&bytes[at..]) {
            Some(value) if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| path.to_owned())
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*high)? * 16 + digit(*low)?) as u8)
}

fn remove_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut elements = path.split('/').skip(1).peekable();
    while let Some(element) = elements.next() {
        match (element, elements.peek().is_none()) {
            (".", last) => kept.extend(last.then_some("")),
            ("..", last) => {
                kept.pop();
                kept.extend(last.then_some(""));
            }
            (element, _) => kept.push(element),
        }
    }
    let mut out = String::with_capacity(path.len());
    for element in kept {
        out.push('/');
        out.push_str(element);
    }
    if out.is_empty() { "/".to_owned() } else { out }
}

#[cfg(test)]
mod tests;
