//! Fields that are set, added and removed.
//!
//! Refuses: what frames a message or belongs to one connection, and what Tidegate writes itself, since two writers of one field are two
//! meanings.

use serde::{Deserialize, Serialize};

use crate::annotations::{Key, Wrong, value};
use crate::object::Name;

/// A field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its name, as written.
    pub name: Name,
    /// Its value; no line break, no NUL.
    pub value: Name,
}

/// What is done to the fields of a message, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Fields that go.
    pub remove: Box<[Name]>,
    /// Fields that take the place of all of the same name.
    pub set: Box<[Line]>,
    /// Fields that come beside what is there.
    pub add: Box<[Line]>,
}

/// Names that nobody edits: they frame a message, or belong to a connection.
const FRAMING: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Those of requests that Tidegate writes.
const WRITTEN: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];

/// Most bytes that the fields of one ConfigMap come to.
const MOST_BYTES: usize = 16 * 1024;
/// Longest name of one, as of a key in the API.
const MOST_NAME: usize = 253;
/// What is kept of what is wrong with them.
const MOST_WRONG: usize = 8;

const LINES: &str = "`NAME: VALUE`, one in a line";
const NAMES: &str = "names of fields with commas between";

pub(super) const KEYS: &[Key] = &[
    Key::new("request-headers-set", LINES, |draft, text| {
        draft.filters.request.set = lines(text, &WRITTEN)?;
        Ok(())
    }),
    Key::new("request-headers-add", LINES, |draft, text| {
        draft.filters.request.add = lines(text, &WRITTEN)?;
        Ok(())
    }),
    // What is to be kept from a replica must not reach it because the list is wrong.
    Key::guard("request-headers-remove", NAMES, |draft, text| {
        draft.filters.request.remove = names(text, &WRITTEN)?;
        Ok(())
    }),
    Key::new("response-headers-set", LINES, |draft, text| {
        draft.filters.response.set = lines(text, &[])?;
        Ok(())
    }),
    Key::new("response-headers-add", LINES, |draft, text| {
        draft.filters.response.add = lines(text, &[])?;
        Ok(())
    }),
    Key::new("response-headers-remove", NAMES, |draft, text| {
        draft.filters.response.remove = names(text, &[])?;
        Ok(())
    }),
    Key::new("upstream-vhost", "a host name, with a port if need be", |draft, text| {
        if text.parse::<std::net::IpAddr>().is_err() {
            crate::host::Host::parse(text).map_err(|error| error.to_string())?;
        }
        draft.filters.upstream_host = Some(text.into());
        Ok(())
    }),
    Key::new("x-forwarded-prefix", "a path that starts with `/`", |draft, text| {
        let line = Line { name: "X-Forwarded-Prefix".into(), value: value::path(text)? };
        draft.filters.request.set = draft.filters.request.set.iter().cloned().chain([line]).collect();
        Ok(())
    }),
    Key::new("hsts", "`true`, or what the field holds: `max-age=SECONDS; includeSubDomains; preload`", |draft, text| {
        draft.filters.hsts = match text {
            "true" => Some("max-age=31536000; includeSubDomains".into()),
            "false" => None,
            text => Some(hsts(text)?),
        };
        Ok(())
    }),
];

/// RFC 6797 section 6.1: `max-age` is required.
fn hsts(text: &str) -> Result<Name, Wrong> {
    let mut aged = false;
    for directive in text.split(';').map(str::trim) {
        match directive.split_once('=') {
            Some((name, seconds)) if name.trim().eq_ignore_ascii_case("max-age") && !aged => {
                aged = seconds.trim().parse::<u64>().is_ok();
            }
            None if directive.eq_ignore_ascii_case("includeSubDomains") || directive.eq_ignore_ascii_case("preload") => {}
            _ => return Err(format!("`{directive}` is no directive of it").into()),
        }
    }
    if aged { Ok(text.into()) } else { Err("`max-age` is missing or no number".into()) }
}

fn lines(text: &str, written: &[&str]) -> Result<Box<[Line]>, Wrong> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = |line: &str| {
        let (name, text) = line.split_once(':').ok_or_else(|| format!("`{line}` has no colon"))?;
        let (name, text) = (name.trim_end(), text.trim());
        editable(name, written)?;
        value::field_value(text)?;
        Ok(Line { name: name.into(), value: text.into() })
    };
    let lines: Box<[Line]> = lines.map(line).collect::<Result<_, Wrong>>()?;
    if lines.is_empty() { Err("nothing".into()) } else { Ok(lines) }
}

/// The entries of a ConfigMap as fields of answers.
///
/// # Errors
/// Some cannot be that: why, for the first of them.
pub(crate) fn fields_of<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Box<[Line]>, Box<[Box<str>]>> {
    let (mut lines, mut wrong) = (Vec::<Line>::new(), Vec::<Box<str>>::new());
    let mut bytes = 0_usize;
    for (name, text) in entries {
        let text = text.trim(); // a block of YAML ends with a line break
        bytes = bytes.saturating_add(name.len()).saturating_add(text.len());
        let judged = if name.len() > MOST_NAME {
            Err(format!("it is longer than {MOST_NAME} bytes").into())
        } else if bytes > MOST_BYTES {
            Err(format!("all together are more than {MOST_BYTES} bytes").into())
        } else if lines.iter().any(|line| line.name.eq_ignore_ascii_case(name)) {
            Err(Wrong::from("it is there twice, since names of fields have no case"))
        } else {
            editable(name, &[]).and_then(|()| value::field_value(text))
        };
        match judged {
            Ok(()) => lines.push(Line { name: name.into(), value: text.into() }),
            Err(why) => wrong.push(format!("its key `{}`: {why}", shortened(name)).into()),
        }
        if wrong.len() == MOST_WRONG {
            break;
        }
    }
    if wrong.is_empty() { Ok(lines.into()) } else { Err(wrong.into()) }
}

/// As much of a name as is told.
fn shortened(name: &str) -> std::borrow::Cow<'_, str> {
    match name.char_indices().nth(64) {
        Some((end, _)) => format!("{}...", &name[..end]).into(),
        None => name.into(),
    }
}

fn names(text: &str, written: &[&str]) -> Result<Box<[Name]>, Wrong> {
    let names = value::list(text)?;
    names.iter().try_for_each(|name| editable(name, written))?;
    Ok(names.into_iter().map(Name::from).collect())
}

fn editable(name: &str, written: &[&str]) -> Result<(), Wrong> {
    let known = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if !value::is_token(name) {
        return Err(format!("`{name}` is no name of a field").into());
    }
    if known(&FRAMING) {
        return Err(format!("`{name}` frames a message or belongs to a connection").into());
    }
    if known(written) { Err(format!("`{name}` is written by Tidegate").into()) } else { Ok(()) }
}

impl Edits {
    /// Sets these too, but for what is set already; one without a value takes its field away, as in ingress-nginx.
    pub fn set_more(&mut self, lines: &[Line]) {
        let new = lines.iter().filter(|line| !self.set.iter().any(|set| set.name.eq_ignore_ascii_case(&line.name)));
        let (gone, set): (Vec<&Line>, Vec<&Line>) = new.partition(|line| line.value.is_empty());
        self.remove = self.remove.iter().cloned().chain(gone.into_iter().map(|line| line.name.clone())).collect();
        self.set = self.set.iter().cloned().chain(set.into_iter().cloned()).collect();
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Names alone: a value may be what an operator calls a secret.
    pub(super) fn describe(&self, what: &str, lines: &mut Vec<String>) {
        let mut tell = |how: &str, names: Vec<&str>| {
            if !names.is_empty() {
                lines.push(format!("{what}-{how}: {}", names.join(", ")));
            }
        };
        tell("remove", self.remove.iter().map(|name| &**name).collect());
        tell("set", self.set.iter().map(|line| &*line.name).collect());
        tell("add", self.add.iter().map(|line| &*line.name).collect());
    }
}
