//! What is wrong with something an operator wrote, said so that it can be mended.
//!
//! Invariant: a problem names the place (file, object, field), what was found, what was expected, and the fix when there is one.
//! It never holds the value of a Secret. Shown, it is one line: what it quotes may come from anybody, and a terminal obeys control characters.

use std::fmt::{self, Write};
use std::path::PathBuf;

/// How much a problem matters to `tidegate check`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something was refused: `check` exits 1.
    Error,
    /// Served, but probably not as meant.
    Warning,
    /// Worth knowing; nothing to mend.
    Note,
}

/// Why, in one word that scripts can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Reason {
    /// A file or folder could not be read.
    Unreadable,
    /// Text that is not YAML or JSON, or a value of the wrong type or range.
    Invalid,
    /// A field that the API does not have.
    UnknownField,
    /// An `apiVersion` that is not read.
    UnsupportedVersion,
    /// It refers to something that does not exist.
    NotFound,
    /// Another object or listener has it already.
    Conflict,
    /// A seal, or the lack of an exposure, keeps it from the outside.
    NotExposed,
    /// Valid, but not served by this version.
    NotServed,
    /// An address that traffic may not be sent to (a VIP, one of our listeners, a refused range).
    AddressRefused,
    /// A socket could not be bound.
    BindFailed,
    /// A certificate that is not valid now, or will not be soon.
    Expiry,
    /// A record of the state directory failed its check.
    StateDamaged,
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Place {
    /// The file, when it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub file: Option<PathBuf>,
    /// The object, as `Kind namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// The field, as `spec.ports[0].port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
}

/// A file's name that is no text is told as well as can be.
fn shown<S: serde::Serializer>(file: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match file {
        Some(file) => to.serialize_some(&file.to_string_lossy()),
        None => to.serialize_none(),
    }
}

/// One thing that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Problem {
    /// How much it matters.
    pub severity: Severity,
    /// Why, in one word.
    pub reason: Reason,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What was found.
    pub found: String,
    /// What was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Problem {
    /// An error without a place yet.
    pub fn error(reason: Reason, found: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, reason, place: Place::default(), found: found.into(), expected: None, fix: None }
    }

    /// A warning without a place yet.
    pub fn warning(reason: Reason, found: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, ..Problem::error(reason, found) }
    }

    /// A note without a place yet.
    pub fn note(reason: Reason, found: impl Into<String>) -> Problem {
        Problem { severity: Severity::Note, ..Problem::error(reason, found) }
    }

    /// Names the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<PathBuf>) -> Problem {
        self.place.file = Some(file.into());
        self
    }

    /// Names the object.
    #[must_use]
    pub fn of(mut self, object: impl fmt::Display) -> Problem {
        self.place.object = Some(object.to_string());
        self
    }

    /// Names the field.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>) -> Problem {
        self.place.field = Some(field.into());
        self
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Problem {
        self.expected = Some(expected.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Problem {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        };
        let mut f = OneLine(f);
        write!(f, "{severity} {:?}:", self.reason)?;
        if let Some(file) = &self.place.file {
            write!(f, " {}:", file.display())?;
        }
        if let Some(object) = &self.place.object {
            write!(f, " {object}:")?;
        }
        if let Some(field) = &self.place.field {
            write!(f, " {field}:")?;
        }
        write!(f, " {}", self.found)?;
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(fix) = &self.fix {
            write!(f, "; fix: {fix}")?;
        }
        Ok(())
    }
}

/// Writes control characters as Rust escapes them: `\u{1b}`, `\n`.
struct OneLine<'f, 'b>(&'f mut fmt::Formatter<'b>);

impl Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, letter)) = rest.char_indices().find(|(_, letter)| letter.is_control()) {
            write!(self.0, "{}{}", &rest[..at], letter.escape_default())?;
            rest = &rest[at + letter.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_quotes_cannot_move_the_cursor() {
        let problem = Problem::error(Reason::Invalid, "`pu\u{1b}[31m\nblic\u{9b}`").at("label \r").expected("é").fix("x");
        assert_eq!(problem.to_string(), r"error Invalid: label \r: `pu\u{1b}[31m\nblic\u{9b}`; expected é; fix: x");
    }
}
