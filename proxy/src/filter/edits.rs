//! What is different in a message that is written anew: lists that every writer can apply.

use std::borrow::Cow;
use std::time::SystemTime;

use config::filter::{Edits, Line};
use registry::filter::Filters;
use registry::route::Route;

use super::{Asked, cookie, cors, rewrite};

/// Fields that go, and fields that come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldEdits<'f> {
    gone: Vec<&'f str>,
    /// Name and value of each field that comes, in order.
    pub new: Vec<(&'f str, Cow<'f, str>)>,
}

impl<'f> FieldEdits<'f> {
    /// What these do.
    pub fn of(edits: &'f Edits) -> FieldEdits<'f> {
        let mut made = FieldEdits { gone: edits.remove.iter().map(|name| &**name).collect(), new: Vec::new() };
        made.gone.extend(edits.set.iter().map(|line| &*line.name));
        made.new.extend(edits.set.iter().chain(edits.add.iter()).map(|Line { name, value }| (&**name, Cow::Borrowed(&**value))));
        made
    }

    /// Whether a field of this name is left out of what is copied.
    pub fn drops(&self, name: &[u8]) -> bool {
        self.gone.iter().any(|gone| gone.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// What the replica sees instead of what the client wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Up<'f> {
    /// Path and query.
    pub target: Option<String>,
    /// The host.
    pub host: Option<&'f str>,
    /// Fields.
    pub fields: FieldEdits<'f>,
}

impl<'f> Up<'f> {
    /// What this route's filters make of a request.
    pub fn of(route: &Route, filters: &'f Filters, asked: &Asked<'_>) -> Up<'f> {
        Up {
            target: filters.rewrite.as_ref().and_then(|rewrite| rewrite::target(route, rewrite, asked)),
            host: filters.upstream_host.as_deref(),
            fields: FieldEdits::of(&filters.request),
        }
    }
}

/// What the client sees instead of what the replica wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Down<'f> {
    /// Fields.
    pub fields: FieldEdits<'f>,
}

impl<'f> Down<'f> {
    /// What this route's filters make of an answer to a request.
    pub fn of(filters: &'f Filters, asked: &Asked<'_>) -> Down<'f> {
        let mut fields = FieldEdits::of(&filters.response);
        if filters.cors.is_some() {
            fields.gone.extend(cors::OURS);
        }
        let hsts = hsts(filters, asked);
        fields.gone.extend(hsts.iter().map(|(name, _)| *name));
        fields.new.extend(cors::fields(filters, asked).into_iter().chain(hsts));
        Down { fields }
    }

    /// And with this mark in the cookie that names the client's endpoint, where it is told one.
    #[must_use]
    pub fn marked(mut self, route: &Route, filters: &Filters, asked: &Asked<'_>, mark: Option<u64>) -> Down<'f> {
        if let (Some(affinity), Some(mark)) = (&filters.affinity, mark) {
            let text = cookie::set(affinity, &route.path, mark, asked, SystemTime::now());
            self.fields.new.push(("Set-Cookie", text.into()));
        }
        self
    }
}

/// Over plain HTTP a browser must not believe it (RFC 6797 section 7.2).
pub(super) fn hsts(filters: &Filters, asked: &Asked<'_>) -> Option<(&'static str, Cow<'static, str>)> {
    let value = filters.hsts.as_ref().filter(|_| asked.https)?;
    Some(("Strict-Transport-Security", value.to_string().into()))
}
