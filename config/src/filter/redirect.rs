//! Where clients are sent instead (RFC 9110 section 15.4).

use crate::annotations::{Key, Wrong, value};
use crate::object::Name;

/// All redirects of an Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirects {
    /// From plain HTTP to the same in TLS: 308.
    pub https: Https,
    /// The port that clients find TLS on; 443 is not written.
    pub https_port: Option<u16>,
    /// Everything.
    pub to: Option<Location>,
    /// `/` alone, to this path: 302.
    pub app_root: Option<Name>,
    /// The Ingress's hosts with and without `www.`: from the one that it does not have to the one that it has, 308.
    pub from_to_www: bool,
}

/// Who is sent to TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Https {
    /// Nobody.
    #[default]
    Nobody,
    /// Clients of an Ingress that has `spec.tls`.
    WithTls,
    /// Every client: TLS may end in front of us.
    Everybody,
}

/// A status and what goes into `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// What it is put together of.
    pub parts: Box<[Part]>,
}

/// A piece of a `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As written.
    Text(Name),
    /// Path and query of the request.
    RequestUri,
    /// The host that was asked for, without port.
    Host,
    /// `http` or `https`.
    Scheme,
}

/// What the keys said.
#[derive(Debug, Default)]
pub(super) struct Parts {
    permanent: Option<Box<[Part]>>,
    permanent_code: Option<u16>,
    temporal: Option<Box<[Part]>>,
    temporal_code: Option<u16>,
    with_tls: bool,
    everybody: bool,
}

const URL: &str = "a URL, or a path that starts with `/`; `$scheme`, `$host` and `$request_uri` stand for the request's";
const CODE: &str = "301, 302, 303, 307 or 308";

pub(super) const KEYS: &[Key] = &[
    Key::new("ssl-redirect", "`true` or `false`", |draft, text| {
        draft.redirect.with_tls = value::flag(text)?;
        Ok(())
    }),
    Key::new("force-ssl-redirect", "`true` or `false`", |draft, text| {
        draft.redirect.everybody = value::flag(text)?;
        Ok(())
    }),
    Key::new("ssl-redirect-port", "a port, 1 to 65535", |draft, text| {
        let port = text.parse::<u16>().ok().filter(|&port| port > 0);
        draft.filters.redirects.https_port = Some(port.ok_or("no port")?);
        Ok(())
    }),
    Key::new("permanent-redirect", URL, |draft, text| {
        draft.redirect.permanent = Some(parts(text)?);
        Ok(())
    }),
    Key::new("permanent-redirect-code", CODE, |draft, text| {
        draft.redirect.permanent_code = Some(code(text)?);
        Ok(())
    }),
    Key::new("temporal-redirect", URL, |draft, text| {
        draft.redirect.temporal = Some(parts(text)?);
        Ok(())
    }),
    Key::new("temporal-redirect-code", CODE, |draft, text| {
        draft.redirect.temporal_code = Some(code(text)?);
        Ok(())
    }),
    Key::new("app-root", "a path that starts with `/`", |draft, text| {
        let path = value::path(text)?;
        if &*path == "/" {
            return Err("it would send clients round and round".into());
        }
        draft.filters.redirects.app_root = Some(path);
        Ok(())
    }),
    Key::new("from-to-www-redirect", "`true` or `false`", |draft, text| {
        draft.filters.redirects.from_to_www = value::flag(text)?;
        Ok(())
    }),
];

fn code(text: &str) -> Result<u16, Wrong> {
    let code = text.parse().ok().filter(|code| [301, 302, 303, 307, 308].contains(code));
    code.ok_or_else(|| "no status that redirects".into())
}

fn parts(text: &str) -> Result<Box<[Part]>, Wrong> {
    let begins = ["http://", "https://", "$scheme://", "/"].iter().any(|start| text.starts_with(start));
    if !begins || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
        return Err("neither a URL nor a path".into());
    }
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let known = [("$request_uri", Part::RequestUri), ("$host", Part::Host), ("$scheme", Part::Scheme)];
        let Some((name, part)) = known.into_iter().find(|(name, _)| rest[at..].starts_with(name)) else {
            return Err(format!("`{}` stands for nothing here", &rest[at..]).into());
        };
        if at > 0 {
            found.push(Part::Text(rest[..at].into()));
        }
        found.push(part);
        rest = &rest[at + name.len()..];
    }
    if !rest.is_empty() {
        found.push(Part::Text(rest.into()));
    }
    Ok(found.into())
}

impl Parts {
    pub(super) fn finish(self, into: &mut Redirects) {
        // As ingress-nginx: the temporary one is looked at first.
        let temporal = self.temporal.map(|parts| Location { status: self.temporal_code.unwrap_or(302), parts });
        let permanent = self.permanent.map(|parts| Location { status: self.permanent_code.unwrap_or(301), parts });
        into.to = temporal.or(permanent);
        into.https = match (self.everybody, self.with_tls) {
            (true, _) => Https::Everybody,
            (false, true) => Https::WithTls,
            (false, false) => Https::Nobody,
        };
    }
}

impl Redirects {
    pub(super) fn describe(&self, lines: &mut Vec<String>) {
        match self.https {
            Https::Nobody => {}
            Https::WithTls => lines.push("ssl-redirect: plain HTTP to https, 308".to_owned()),
            Https::Everybody => lines.push("force-ssl-redirect: plain HTTP to https, 308".to_owned()),
        }
        lines.extend(self.app_root.iter().map(|path| format!("app-root: / to {path}, 302")));
        lines.extend(self.to.iter().map(|to| format!("redirect: all to {}, {}", to.pattern(), to.status)));
    }
}

impl Location {
    /// As an operator writes it.
    pub fn pattern(&self) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::RequestUri => "$request_uri".to_owned(),
            Part::Host => "$host".to_owned(),
            Part::Scheme => "$scheme".to_owned(),
        };
        self.parts.iter().map(text).collect()
    }
}
