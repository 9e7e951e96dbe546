//! What may be asked of the engine: a request's method and target become one of five questions, or a refusal with its reason.
//!
//! Pure. Invariant: a question holds typed values alone, and [`Question::target`] writes them anew; whatever is not understood to the
//! last byte is refused. Paths are those of the Docker Engine API, with or without its version (`/v1.41`), which is not looked at:
//! answers have the same form in all. A path is never decoded, cut or put straight.

mod filters;
mod query;

use filters::{EVENT_KEYS, LIST_KEYS};
use query::Query;

pub use filters::Filters;

/// Longest name of a container, in bytes. An id has 64.
const LONGEST_NAME: usize = 255;

/// One of the five questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is the engine there?
    Ping,
    /// Which engine is it?
    Version,
    /// Which containers are there?
    List {
        /// Those that do not run, too.
        all: bool,
        /// Only those that match.
        filters: Filters,
    },
    /// What about this one?
    Inspect(Name),
    /// What happens, from when to when? Of containers and networks only: [`Filters`] always names at least one of these types here.
    Events {
        /// Not before; without it, from now on.
        since: Option<Moment>,
        /// Not after; without it, without an end.
        until: Option<Moment>,
        /// Only what matches.
        filters: Filters,
    },
}

/// A container's name or id: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, 255 bytes at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// Unix time: up to twelve digits of seconds, then maybe a dot and up to nine of a fraction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(String);

/// Why a request is no question. Its text says what would be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Refusal {
    #[error("this method is refused: the Docker API is read only here; {ALLOWED}")]
    Method,
    #[error("this path is refused; {ALLOWED}")]
    Path,
    #[error("a target that is not a plain path is refused; {ALLOWED}")]
    Form,
    #[error("a request with a body is refused; {ALLOWED}")]
    Body,
    #[error("an upgrade is refused; {ALLOWED}")]
    Upgrade,
    #[error("this query parameter is refused: there are all and filters for /containers/json, since, until and filters for /events")]
    Parameter,
    #[error("sizes are not told: size may only be 0 or false")]
    Size,
    #[error("this filter is refused: there are {keys}", keys = LIST_KEYS.join(", "))]
    ListFilter,
    #[error("this filter is refused: there are {keys}", keys = EVENT_KEYS.join(", "))]
    EventFilter,
    #[error("events of this type are not told: type may be container or network")]
    EventType,
    #[error("the query is malformed: key=value pairs are expected, each key once, in UTF-8 with whole percent-encodings")]
    Query,
    #[error("this parameter's value is malformed: 1, true, 0 or false is expected")]
    Switch,
    #[error("filters are malformed: JSON of the form {{\"label\": [\"a=b\"]}} or {{\"label\": {{\"a=b\": true}}}} is expected")]
    Filters,
    #[error("this time is malformed: Unix seconds are expected, with a fraction of nine digits at most")]
    Moment,
}

/// What every refusal of a path says.
const ALLOWED: &str = "allowed are GET of /_ping, /version, /containers/json, /containers/NAME/json and /events, and HEAD of /_ping";

impl Refusal {
    /// The status that says so: 400 for what cannot be read, 403 for what is not answered here.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Query | Refusal::Switch | Refusal::Filters | Refusal::Moment => 400,
            _ => 403,
        }
    }
}

/// The question that a request with this method and target, path and query as they were sent, asks.
///
/// # Errors
/// Why it asks none.
pub fn parse(method: &str, target: &str) -> Result<Question, Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = unversioned(path);
    match method {
        "GET" => {}
        "HEAD" if path == "/_ping" => {}
        _ => return Err(Refusal::Method),
    }
    if !path.starts_with('/') {
        return Err(Refusal::Form);
    }
    let plain = |question: Question| Query::parse(query)?.end().map(|()| question);
    match path {
        "/_ping" => plain(Question::Ping),
        "/version" => plain(Question::Version),
        "/containers/json" => list(query),
        "/events" => events(query),
        _ => inspect(path, query),
    }
}

/// The path without the version of the API before it, if one is there: `/v`, one or two digits, a dot, one to three digits.
fn unversioned(path: &str) -> &str {
    let version = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
    let Some((version, rest)) = version else { return path };
    let good = version.split_once('.').is_some_and(|(major, minor)| digits(major, 2) && digits(minor, 3));
    if good { &path[path.len() - rest.len() - 1..] } else { path }
}

fn list(query: &str) -> Result<Question, Refusal> {
    let mut query = Query::parse(query)?;
    let all = query.take("all").map_or(Ok(false), |text| switch(&text))?;
    no_size(&mut query)?;
    let filters = query.take("filters").map_or_else(|| Ok(Filters::default()), |text| Filters::of_list(&text))?;
    query.end()?;
    Ok(Question::List { all, filters })
}

fn inspect(path: &str, query: &str) -> Result<Question, Refusal> {
    let name = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
    let name = name.and_then(Name::parse).ok_or(Refusal::Path)?;
    let mut query = Query::parse(query)?;
    no_size(&mut query)?;
    query.end()?;
    Ok(Question::Inspect(name))
}

fn events(query: &str) -> Result<Question, Refusal> {
    let mut query = Query::parse(query)?;
    let mut moment = |key| query.take(key).map(|text| Moment::parse(text).ok_or(Refusal::Moment)).transpose();
    let (since, until) = (moment("since")?, moment("until")?);
    let filters = Filters::of_events(query.take("filters").as_deref())?;
    query.end()?;
    Ok(Question::Events { since, until, filters })
}

/// Clients say that they want no sizes. To find them is work for the engine, and nothing here needs them.
fn no_size(query: &mut Query<'_>) -> Result<(), Refusal> {
    match query.take("size").map(|text| switch(&text)).transpose()? {
        Some(true) => Err(Refusal::Size),
        _ => Ok(()),
    }
}

fn switch(text: &str) -> Result<bool, Refusal> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(Refusal::Switch),
    }
}

/// Whether `text` is digits, one at least and `most` at most.
fn digits(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Question {
    /// Path and query to ask it by, of the engine's newest version of the API. Read again, it is the same question.
    pub fn target(&self) -> String {
        match self {
            Question::Ping => "/_ping".to_owned(),
            Question::Version => "/version".to_owned(),
            Question::List { all, filters } => {
                let all = Some(if *all { "true" } else { "false" });
                query::write("/containers/json", [("all", all), ("filters", filters.json().as_deref())])
            }
            Question::Inspect(Name(name)) => format!("/containers/{name}/json"),
            Question::Events { since, until, filters } => {
                let (since, until) = (since.as_ref().map(|at| at.0.as_str()), until.as_ref().map(|at| at.0.as_str()));
                query::write("/events", [("since", since), ("until", until), ("filters", filters.json().as_deref())])
            }
        }
    }
}

impl Name {
    /// The name, if it is one.
    pub fn parse(text: &str) -> Option<Name> {
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        (first && rest && text.len() <= LONGEST_NAME).then(|| Name(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Moment {
    fn parse(text: String) -> Option<Moment> {
        let good = match text.split_once('.') {
            Some((seconds, fraction)) => digits(seconds, 12) && digits(fraction, 9),
            None => digits(&text, 12),
        };
        good.then_some(Moment(text))
    }
}

#[cfg(test)]
mod tests;
