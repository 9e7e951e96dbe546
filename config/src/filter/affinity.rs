//! A cookie by which a client keeps its endpoint.
//!
//! Invariant: name, path and domain are what a cookie may have (RFC 6265 section 4.1.1): they end no attribute and no line.

use crate::annotations::{Key, Wrong, value};
use crate::host::Host;
use crate::object::Name;

/// The cookie, as the first answer sets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// What it is called.
    pub name: Name,
    /// Where the client sends it; `None` is below the rule's own path.
    pub path: Option<Name>,
    /// To which hosts; `None` is the one that set it.
    pub domain: Option<Name>,
    /// For how many seconds (`Max-Age`); `None` is until the browser is closed.
    pub max_age_s: Option<u32>,
    /// The same for clients that know no `Max-Age` (`Expires`).
    pub expires_s: Option<u32>,
    /// Over TLS alone; `None` is when it was set over TLS.
    pub secure: Option<bool>,
    /// When other sites' pages ask.
    pub same_site: Option<SameSite>,
    /// `SameSite=None` is left out for clients that take it for `Strict`.
    pub conditional_none: bool,
    /// A client whose endpoint could not be asked stays where it was sent instead.
    pub change_on_failure: bool,
}

/// `SameSite` (RFC 6265bis).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SameSite {
    None,
    Lax,
    Strict,
}

impl SameSite {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            SameSite::None => "None",
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
        }
    }
}

const NAME: &str = "INGRESSCOOKIE";
const FLAG: &str = "`true` or `false`";
const SECONDS: &str = "seconds, as a whole number";

/// What the keys said.
#[derive(Debug, Default)]
pub(super) struct Parts {
    by_cookie: bool,
    name: Option<Name>,
    path: Option<Name>,
    domain: Option<Name>,
    max_age_s: Option<u32>,
    expires_s: Option<u32>,
    secure: Option<bool>,
    same_site: Option<SameSite>,
    conditional_none: bool,
    change_on_failure: bool,
}

pub(super) const KEYS: &[Key] = &[
    Key::new("affinity", "`cookie`", |draft, text| {
        draft.affinity.by_cookie = text == "cookie";
        if draft.affinity.by_cookie { Ok(()) } else { Err("no such affinity".into()) }
    }),
    Key::new("affinity-mode", "`balanced` or `persistent`", |_, text| {
        if ["balanced", "persistent"].contains(&text) { Ok(()) } else { Err("no such mode".into()) }
    }),
    Key::new("session-cookie-name", "the name of a cookie", |draft, text| {
        if !value::is_token(text) {
            return Err("no name of a cookie".into());
        }
        draft.affinity.name = Some(text.into());
        Ok(())
    }),
    Key::new("session-cookie-path", "a path that starts with `/`", |draft, text| {
        draft.affinity.path = Some(cookie_path(text)?);
        Ok(())
    }),
    Key::new("session-cookie-domain", "a host name", |draft, text| {
        let host = text.strip_prefix('.').unwrap_or(text);
        Host::parse(host).map_err(|error| error.to_string())?;
        if host.contains(':') {
            return Err("a cookie's domain has no port".into());
        }
        draft.affinity.domain = Some(host.into());
        Ok(())
    }),
    Key::new("session-cookie-max-age", SECONDS, |draft, text| {
        draft.affinity.max_age_s = Some(seconds(text)?);
        Ok(())
    }),
    Key::new("session-cookie-expires", SECONDS, |draft, text| {
        draft.affinity.expires_s = Some(seconds(text)?);
        Ok(())
    }),
    Key::new("session-cookie-secure", FLAG, |draft, text| {
        draft.affinity.secure = Some(value::flag(text)?);
        Ok(())
    }),
    Key::new("session-cookie-samesite", "`None`, `Lax` or `Strict`", |draft, text| {
        let all = [SameSite::None, SameSite::Lax, SameSite::Strict];
        draft.affinity.same_site = Some(all.into_iter().find(|word| word.as_str() == text).ok_or("none of the three words")?);
        Ok(())
    }),
    Key::new("session-cookie-conditional-samesite-none", FLAG, |draft, text| {
        draft.affinity.conditional_none = value::flag(text)?;
        Ok(())
    }),
    Key::new("session-cookie-change-on-failure", FLAG, |draft, text| {
        draft.affinity.change_on_failure = value::flag(text)?;
        Ok(())
    }),
];

fn seconds(text: &str) -> Result<u32, Wrong> {
    text.parse().map_err(|_| "no number of seconds".into())
}

fn cookie_path(text: &str) -> Result<Name, Wrong> {
    let good = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    if good { Ok(text.into()) } else { Err("no path that a cookie may have".into()) }
}

impl Parts {
    pub(super) fn finish(self) -> Option<Affinity> {
        self.by_cookie.then(|| Affinity {
            name: self.name.unwrap_or_else(|| NAME.into()),
            path: self.path,
            domain: self.domain,
            max_age_s: self.max_age_s,
            expires_s: self.expires_s,
            secure: self.secure,
            same_site: self.same_site,
            conditional_none: self.conditional_none,
            change_on_failure: self.change_on_failure,
        })
    }
}

impl Affinity {
    pub(super) fn describe(&self) -> String {
        format!("affinity: cookie {} names the endpoint that a client keeps", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotations;

    fn affinity(pairs: &[(&str, &str)]) -> Option<Affinity> {
        let labels = pairs.iter().map(|(name, text)| (format!("nginx.ingress.kubernetes.io/{name}").into(), (*text).into()));
        annotations::read(&"a".into(), &labels.collect()).filters.affinity
    }

    #[test]
    fn the_names_of_ingress_nginx_make_a_cookie() {
        assert_eq!(affinity(&[("session-cookie-name", "sid")]), None, "nobody asked for one");
        let plain = affinity(&[("affinity", "cookie")]).unwrap();
        assert_eq!((&*plain.name, plain.path, plain.secure, plain.same_site), ("INGRESSCOOKIE", None, None, None));
        let all = affinity(&[
            ("affinity", "cookie"),
            ("affinity-mode", "persistent"),
            ("session-cookie-name", "sid"),
            ("session-cookie-path", "/shop"),
            ("session-cookie-domain", ".example.com"),
            ("session-cookie-max-age", "60"),
            ("session-cookie-expires", "120"),
            ("session-cookie-secure", "true"),
            ("session-cookie-samesite", "None"),
            ("session-cookie-conditional-samesite-none", "true"),
            ("session-cookie-change-on-failure", "true"),
        ]);
        let expected = Affinity {
            name: "sid".into(),
            path: Some("/shop".into()),
            domain: Some("example.com".into()),
            max_age_s: Some(60),
            expires_s: Some(120),
            secure: Some(true),
            same_site: Some(SameSite::None),
            conditional_none: true,
            change_on_failure: true,
        };
        assert_eq!(all, Some(expected));
    }

    #[test]
    fn no_value_ends_an_attribute_or_a_line() {
        for (name, wrong) in [
            ("session-cookie-name", "a=b"),
            ("session-cookie-name", "a;b"),
            ("session-cookie-name", ""),
            ("session-cookie-path", "shop"),
            ("session-cookie-path", "/a; Domain=b.example"),
            ("session-cookie-path", "/a\r\nX: y"),
            ("session-cookie-domain", "a.example; Path=/"),
            ("session-cookie-domain", "a.example:80"),
            ("session-cookie-max-age", "-1"),
            ("session-cookie-expires", "1h"),
            ("session-cookie-samesite", "none"),
        ] {
            let plain = affinity(&[("affinity", "cookie")]);
            assert_eq!(affinity(&[("affinity", "cookie"), (name, wrong)]), plain, "{name}: {wrong}");
        }
        assert_eq!(affinity(&[("affinity", "header")]), None);
    }
}
