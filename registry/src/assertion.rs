//! `--assert 'internal: NAMESPACE/NAME-GLOB'`: what must never be reachable from outside, checked on the compiled planes.
//!
//! Invariant: an assertion that matches nothing is broken too, so that a renamed service cannot slip out of it.

use std::str::FromStr;

use crate::view::{ExposureView, ServiceView};

/// A promise about exposure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    namespace: String,
    name: String,
}

/// Text that is no assertion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "found `{0}`, expected `internal: NAMESPACE/NAME`; fix: write for instance `internal: shop/db-*`, where `*` and `?` stand for any letters"
)]
pub struct BadAssertion(pub String);

impl FromStr for Assertion {
    type Err = BadAssertion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').filter(|(word, _)| word.trim() == "internal");
        let parts = parts.and_then(|(_, glob)| glob.trim().split_once('/'));
        let valid = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.*?".contains(&byte));
        match parts {
            Some((namespace, name)) if valid(namespace) && valid(name) => {
                Ok(Assertion { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(BadAssertion(text.to_owned())),
        }
    }
}

impl Assertion {
    /// Why it does not hold, when it does not.
    pub fn broken(&self, exposure: &[ExposureView], services: &[ServiceView]) -> Option<String> {
        let glob = format!("{}/{}", self.namespace, self.name);
        if !services.iter().any(|service| self.covers(&service.namespace, &service.name)) {
            return Some(format!("`internal: {glob}` matches no Service: mend the glob, or the name that it was written for"));
        }
        let outside: Vec<String> = exposure
            .iter()
            .filter(|row| row.exposure != "internal" && self.covers_row(&row.service))
            .map(|row| format!("{} by {}", row.service, ways_in(row)))
            .collect();
        (!outside.is_empty()).then(|| format!("`internal: {glob}` does not hold: the outside reaches {}", outside.join("; ")))
    }

    fn covers(&self, namespace: &str, name: &str) -> bool {
        matches(self.namespace.as_bytes(), namespace.as_bytes()) && matches(self.name.as_bytes(), name.as_bytes())
    }

    /// A row that cannot be read counts as covered: better a wrong alarm than a wrong silence.
    fn covers_row(&self, service: &str) -> bool {
        let name = service.split_once('/').and_then(|(namespace, rest)| Some((namespace, rest.split_once(':')?.0)));
        name.is_none_or(|(namespace, name)| self.covers(namespace, name))
    }
}

/// What carries it outside. A way whose word is new counts as one, and so do all when none is left: better too many than none.
fn ways_in(row: &ExposureView) -> String {
    let inside = |way: &&String| way.starts_with("vip ") || way.starts_with("internal-http ");
    let outside: Vec<&str> = row.by.iter().filter(|way| !inside(way)).map(String::as_str).collect();
    if outside.is_empty() { row.by.join(", ") } else { outside.join(", ") }
}

/// `*` is any run of bytes, `?` is one.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star = None;
    while in_text < text.len() {
        match glob.get(at) {
            Some(b'*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[in_text] => {
                at += 1;
                in_text += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (at, in_text) = (*after + 1, *taken);
                }
                None => return false,
            },
        }
    }
    glob[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(service: &str, exposure: &str) -> (Vec<ExposureView>, Vec<ServiceView>) {
        let (namespace, name) = service.split_once('/').unwrap();
        let ways = ["http x / (Ingress data/y)", "vip 127.96.0.2:80", "internal-http z / (Ingress data/z)"];
        let row = ExposureView {
            service: format!("{service}:80"),
            exposure: exposure.into(),
            by: ways.map(str::to_owned).into(),
            sealed_by: None,
        };

        let view = ServiceView {
            namespace: namespace.into(),
            name: name.into(),
            r#type: "ClusterIP".into(),
            port: 80,
            protocol: "TCP".into(),
            app_protocol: None,
            vip: None,
            exposure: exposure.into(),
            sealed: false,
            ready: 0,
            endpoints: 0,
        };
        (vec![row], vec![view])
    }

    #[test]
    fn it_holds_only_when_what_it_covers_is_there_and_internal() {
        let assertion: Assertion = "internal: data/db-*".parse().unwrap();
        let broken = |service, exposure| {
            let (rows, services) = rows(service, exposure);
            assertion.broken(&rows, &services)
        };
        assert_eq!(broken("data/db-1", "internal"), None);
        let said = broken("data/db-1", "external").unwrap();
        assert!(said.ends_with("the outside reaches data/db-1:80 by http x / (Ingress data/y)"), "only ways from outside: {said}");
        assert!(broken("data/cache", "internal").unwrap().contains("matches no Service"));
        assert!(broken("other/db-1", "external").unwrap().contains("matches no Service"));
        assert!(broken("data/db-1", "unheard-of").is_some(), "an unknown word is not internal");
    }

    #[test]
    fn globs_cover_runs_and_single_letters() {
        for (glob, text, expected) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*b*b", "abab", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), text.as_bytes()), expected, "{glob} {text}");
        }
    }

    #[test]
    fn other_text_is_no_assertion() {
        for text in ["", "internal", "internal: a", "external: a/b", "internal: a/b/c", "internal: /b", "internal: a/", "internal: a/b c"] {
            assert!(text.parse::<Assertion>().is_err(), "{text:?}");
        }
    }
}
