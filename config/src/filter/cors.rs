//! Which other sites' scripts may ask (Fetch standard, CORS protocol).

use crate::annotations::{Key, Wrong, value};
use crate::object::Name;

/// What browsers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// Whose scripts may ask.
    pub origins: Origins,
    /// `Access-Control-Allow-Methods`
    pub methods: Name,
    /// `Access-Control-Allow-Headers`
    pub headers: Name,
    /// `Access-Control-Expose-Headers`
    pub expose: Option<Name>,
    /// Whether they may send cookies and passwords; never told beside `*`, which browsers refuse.
    pub credentials: bool,
    /// How long a browser may remember it, in seconds.
    pub max_age_s: u32,
}

/// Whose scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's: `*`.
    Any,
    /// These: `https://a.example`, or `https://*.example` with a star for one label.
    These(Box<[Name]>),
}

const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const HEADERS: &str = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,Range,Authorization";
const MAX_AGE_S: u32 = 1_728_000;

/// What the keys said.
#[derive(Debug, Default)]
pub(super) struct Parts {
    enabled: bool,
    /// Nobody knows whose scripts were meant: then nobody's may.
    unclear: bool,
    origins: Option<Origins>,
    methods: Option<Name>,
    headers: Option<Name>,
    expose: Option<Name>,
    credentials: Option<bool>,
    max_age_s: Option<u32>,
}

pub(super) const KEYS: &[Key] = &[
    Key::new("enable-cors", "`true` or `false`", |draft, text| {
        draft.cors.enabled = value::flag(text)?;
        Ok(())
    }),
    Key::new("cors-allow-origin", "`*`, or origins such as `https://a.example` with commas between", |draft, text| {
        let origins = origins(text);
        draft.cors.unclear = origins.is_err();
        draft.cors.origins = Some(origins?);
        Ok(())
    }),
    Key::new("cors-allow-methods", "methods with commas between", |draft, text| {
        draft.cors.methods = Some(value::tokens(text)?);
        Ok(())
    }),
    Key::new("cors-allow-headers", "names of fields with commas between", |draft, text| {
        draft.cors.headers = Some(value::tokens(text)?);
        Ok(())
    }),
    Key::new("cors-expose-headers", "names of fields with commas between", |draft, text| {
        draft.cors.expose = Some(value::tokens(text)?);
        Ok(())
    }),
    Key::new("cors-allow-credentials", "`true` or `false`", |draft, text| {
        draft.cors.credentials = Some(value::flag(text)?);
        Ok(())
    }),
    Key::new("cors-max-age", "seconds, as a whole number", |draft, text| {
        draft.cors.max_age_s = Some(text.parse().map_err(|_| "no number of seconds")?);
        Ok(())
    }),
];

fn origins(text: &str) -> Result<Origins, Wrong> {
    let list = value::list(text)?;
    if list.contains(&"*") {
        return if list.len() == 1 { Ok(Origins::Any) } else { Err("`*` beside others".into()) };
    }
    let good = |origin: &&str| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let rest = rest.map(|rest| rest.strip_prefix("*.").unwrap_or(rest));
        rest.is_some_and(|host| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte)))
    };
    match list.iter().find(|origin| !good(origin)) {
        Some(bad) => Err(format!("`{bad}` is no origin").into()),
        None => Ok(Origins::These(list.into_iter().map(|origin| origin.to_ascii_lowercase().into()).collect())),
    }
}

impl Parts {
    pub(super) fn finish(self) -> Option<Cors> {
        (self.enabled && !self.unclear).then(|| Cors {
            origins: self.origins.unwrap_or(Origins::Any),
            methods: self.methods.unwrap_or_else(|| METHODS.into()),
            headers: self.headers.unwrap_or_else(|| HEADERS.into()),
            expose: self.expose,
            credentials: self.credentials.unwrap_or(true),
            max_age_s: self.max_age_s.unwrap_or(MAX_AGE_S),
        })
    }
}

impl Cors {
    pub(super) fn describe(&self) -> String {
        let origins = match &self.origins {
            Origins::Any => "every origin".to_owned(),
            Origins::These(list) => list.join(", "),
        };
        format!("enable-cors: for {origins}")
    }
}

impl Origins {
    /// Whether scripts of `origin`, as a browser writes it, may ask.
    pub fn admit(&self, origin: &str) -> bool {
        match self {
            Origins::Any => true,
            Origins::These(list) => list.iter().any(|pattern| matches(pattern, origin)),
        }
    }
}

/// A star stands for exactly one label.
fn matches(pattern: &str, origin: &str) -> bool {
    let Some((scheme, suffix)) = pattern.split_once("*.") else { return pattern.eq_ignore_ascii_case(origin) };
    let Some((start, rest)) = origin.split_at_checked(scheme.len()) else { return false };
    let label = rest.split_once('.').filter(|(_, rest)| rest.eq_ignore_ascii_case(suffix)).map(|(label, _)| label);
    let whole = |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    start.eq_ignore_ascii_case(scheme) && label.is_some_and(whole)
}
